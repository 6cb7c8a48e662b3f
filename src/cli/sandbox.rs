//! The WeChat sandbox, alone (`wxgate sandbox`) or with the gateway (`serve --sandbox`).

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::signal::stop_on_signal;
use super::{CommandFailure, address, block_on, print};
use crate::account::AppId;
use crate::sandbox::{Api, Sandbox, SandboxAccount, SandboxConfig};
use crate::secret::Secret;

#[derive(Args)]
pub(super) struct SandboxArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9300")]
    listen: SocketAddr,
    /// An account, as APPID:APPSECRET; may be given more than once
    // Not parsed by clap, whose message would show the AppSecret.
    #[arg(long = "account", value_name = "APPID:APPSECRET")]
    accounts: Vec<String>,
    /// The lifetime of a token
    #[arg(long, default_value = "2h", value_parser = humantime::parse_duration)]
    token_ttl: Duration,
    /// How long a classic token outlives its successor [default: 5m, or a quarter of --token-ttl if that is less]
    #[arg(long, value_parser = humantime::parse_duration)]
    token_overlap: Option<Duration>,
    /// How long a ticket is returned; it stays valid for twice as long
    #[arg(long, default_value = "2h", value_parser = humantime::parse_duration)]
    ticket_ttl: Duration,
    /// How long a media id is valid
    #[arg(long, default_value = "72h", value_parser = humantime::parse_duration)]
    media_ttl: Duration,
    /// Calls to /cgi-bin/token allowed per account and day
    #[arg(long, default_value_t = 2000)]
    daily_token_calls: u64,
    /// An address that may fetch tokens; may be given more than once [default: all]
    #[arg(long = "allow-ip", value_name = "ADDR")]
    allowed_ips: Vec<std::net::IpAddr>,
}

fn account(text: &str) -> Result<SandboxAccount, &'static str> {
    let parts = text.split_once(':').filter(|(_, secret)| !secret.is_empty());
    let (app_id, secret) = parts.ok_or("expected APPID:APPSECRET")?;
    Ok(SandboxAccount::new(
        AppId::try_from(app_id.to_owned())?,
        Secret::new(secret),
    ))
}

impl SandboxArgs {
    fn config(&self) -> Result<SandboxConfig, CommandFailure> {
        let wrong = |why: &str| CommandFailure::Settings(format!("--account: {why}"));
        let accounts = self.accounts.iter().map(|text| account(text).map_err(wrong));
        let mut accounts: Vec<_> = accounts.collect::<Result<_, _>>()?;
        let mut app_ids = HashSet::new();
        if let Some(again) = accounts.iter().find(|account| !app_ids.insert(&account.app_id)) {
            return Err(wrong(&format!("{} is given twice", again.app_id)));
        }
        if accounts.is_empty() {
            accounts.push(SandboxAccount::default());
        }
        Ok(SandboxConfig {
            token_ttl: self.token_ttl,
            token_overlap: self.token_overlap,
            ticket_ttl: self.ticket_ttl,
            media_ttl: self.media_ttl,
            daily_calls: [(Api::Token, self.daily_token_calls)].into(),
            allowed_ips: self.allowed_ips.clone(),
            ..SandboxConfig::with_accounts(accounts)
        })
    }
}

pub(super) fn run(args: &SandboxArgs) -> Result<(), CommandFailure> {
    block_on(async {
        let stop = stop_on_signal()?;
        let sandbox = LocalSandbox::listen(args.config()?, args.listen).await?;
        print(&sandbox.introduction())?;
        sandbox.run(stop).await;
        Ok(())
    })
}

/// A sandbox whose listener is open.
pub(super) struct LocalSandbox {
    pub(super) sandbox: Sandbox,
    pub(super) address: SocketAddr,
    listener: TcpListener,
}

impl LocalSandbox {
    pub(super) async fn listen(config: SandboxConfig, address: SocketAddr) -> Result<Self, CommandFailure> {
        // Not a mistake in the command line: another process may free the port.
        let failed =
            |error: std::io::Error| CommandFailure::Running(format!("the sandbox can't listen on {address}: {error}"));
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            sandbox: Sandbox::new(config),
            address,
            listener,
        })
    }

    /// The settings for a gateway that uses this sandbox, as environment variables.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let account = self.sandbox.config().accounts.first().cloned().unwrap_or_default();
        let settings = [
            ("WXGATE_APP_ID", account.app_id.to_string()),
            ("WXGATE_APP_SECRET", account.secret.expose().to_owned()),
            (
                "WXGATE__WECHAT__API_BASE_URL",
                format!("http://{}", address::from_here(self.address)),
            ),
            ("WXGATE__HTTP_CLIENT__PROXY", "none".to_owned()),
            ("WXGATE__CREDENTIALS__BACKEND", "memory".to_owned()),
            ("WXGATE__IMAGE_STORE__BACKEND", "local".to_owned()),
        ];
        settings.map(|(name, value)| (name.to_owned(), value)).into()
    }

    fn introduction(&self) -> String {
        let url = address::url(self.address);
        let mut lines = vec![
            format!("WeChat sandbox: {url}  (set wechat.api_base_url to this)"),
            format!("Control:        {url}/sandbox"),
        ];
        for account in &self.sandbox.config().accounts {
            // Not secret: a default, or given on this command line.
            lines.push(format!(
                "Account:        {} with AppSecret {}",
                account.app_id,
                account.secret.expose()
            ));
        }
        lines.join("\n")
    }

    /// Serves until `stop` is cancelled.
    pub(super) async fn run(self, stop: CancellationToken) {
        self.sandbox.serve(self.listener, stop).await;
    }
}
