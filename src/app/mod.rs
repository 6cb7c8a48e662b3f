//! Builds a gateway from settings, runs it and drains it.

mod lifecycle;
mod parts;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::allocator;
use crate::credentials::keep_fresh;
use crate::http::public::{self, PublicState, RateLimit};
use crate::http::serve::{Server, Tls};
use crate::image_store;
use crate::metrics::Metrics;
use crate::rotation;
use crate::settings::{Backend, Settings, UnusableSetting};
use crate::wechat::WeChatClient;
use lifecycle::{Lifecycle, repeat};
use parts::{Builder, internal_tls};

/// Why a gateway can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be opened.
    #[error("{key} = \"{address}\": can't listen there: {source}")]
    Listen {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// A setting is well-formed but can't be used.
    #[error(transparent)]
    Setting(#[from] UnusableSetting),
    /// A bug.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// What a gateway is built from.
pub struct AppParts {
    /// The operator's settings.
    pub settings: Settings,
    /// This process's name, in the journal and on the console.
    pub replica: String,
    /// Routes that only some gateways have: the sandbox's demo page.
    pub sandbox: Router,
}

/// A gateway whose listeners are open, and which serves once it is run.
pub struct App {
    public: TcpListener,
    internal: Option<TcpListener>,
    internal_tls: Option<Tls>,
    public_routes: Router,
    internal_routes: Router,
    state: Arc<PublicState>,
    settings: Arc<Settings>,
    lifecycle: Lifecycle,
    server: Server,
}

impl App {
    /// Builds the gateway described by `parts`, and opens its listeners.
    pub async fn build(parts: AppParts) -> Result<Self, StartError> {
        let current = Arc::new(ArcSwap::from_pointee(parts.settings));
        let settings = current.load_full();
        let lifecycle = Lifecycle::default();
        let metrics = Metrics::new(settings.credentials.backend == Backend::Redis)?;
        let images = image_store::open(&settings.resolved.image_store, &settings.http_client, &lifecycle.tasks).await?;
        let wechat = WeChatClient::new(&settings.wechat, &settings.http_client, metrics.wechat.clone())?;
        let builder = Builder {
            settings: &settings,
            current,
            replica: parts.replica,
            wechat: Arc::new(wechat),
            metrics,
            lifecycle: &lifecycle,
        };
        let state = Arc::new(builder.public_state(images)?);
        let stack = builder.stack()?;
        Ok(Self {
            public: listen("server.listen", settings.server.listen).await?,
            internal: match settings.internal.listen {
                Some(address) => Some(listen("internal.listen", address).await?),
                None => None,
            },
            internal_tls: internal_tls(&settings)?,
            server: Server {
                malformed: Some(stack.metrics.clone()),
                closing: state.stopping.clone(),
                ..Server::default()
            },
            public_routes: public::routes(&state, parts.sandbox, &stack),
            internal_routes: builder.internal_routes(&state, &stack)?,
            state,
            settings,
            lifecycle,
        })
    }

    /// The public listener's address.
    pub fn public_address(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// The public listener's routes, for callers without a socket.
    pub fn service(&self) -> Router {
        self.public_routes.clone()
    }

    /// The internal listener's address, if there is one.
    pub fn internal_address(&self) -> Option<SocketAddr> {
        self.internal.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `stop` is cancelled and `server.shutdown_delay` has passed, then drains: no new connections are
    /// accepted, requests, renewals and uploads in flight end within `server.shutdown_grace`, held locks are released.
    pub async fn run(self, stop: CancellationToken) {
        self.start_background();
        let (lifecycle, grace) = (&self.lifecycle, self.settings.server.shutdown_grace);
        // The clone shares the connection limit.
        let internal_server = Server {
            tls: self.internal_tls,
            ..self.server.clone()
        };
        let public = self
            .server
            .serve(self.public, self.public_routes, lifecycle.stop.clone(), grace);
        let internal = async {
            if let Some(listener) = self.internal {
                let stop = lifecycle.stop.clone();
                internal_server.serve(listener, self.internal_routes, stop, grace).await;
            }
        };
        let drain = async {
            stop.cancelled().await;
            self.state.stopping.cancel();
            let delay = self.settings.server.shutdown_delay;
            if !delay.is_zero() {
                tracing::info!(?delay, "shutdown requested; still serving for server.shutdown_delay");
                sleep(delay).await;
            }
            tracing::info!("draining");
            lifecycle.stop.cancel();
            Instant::now() + grace
        };
        let ((), (), end_of_grace) = tokio::join!(public, internal, drain);
        lifecycle.drain_tasks(end_of_grace).await;
        tracing::info!("drained");
    }

    fn start_background(&self) {
        let Lifecycle { stop, background, .. } = &self.lifecycle;
        for account in self.state.directory.all() {
            background.spawn(keep_fresh(Arc::clone(&account.credentials), stop.clone()));
        }
        if let Some(keys) = self.state.auth.key_set() {
            background.spawn(Arc::clone(keys).keep_fresh(stop.clone()));
        }
        if let Some(local) = &self.state.local {
            background.spawn(Arc::clone(local).watch(stop.clone()));
        }
        background.spawn(repeat(allocator::TRIM_INTERVAL, stop.clone(), allocator::trim));
        let take_over_secrets = rotation::take_over_secrets(Arc::clone(&self.state));
        background.spawn(stop.clone().run_until_cancelled_owned(take_over_secrets));
        if let (Some(files), Some(tls)) = (self.settings.resolved.internal_tls.clone(), self.internal_tls.clone()) {
            let take_over_certificate = rotation::take_over_certificate(files, tls);
            background.spawn(stop.clone().run_until_cancelled_owned(take_over_certificate));
        }
        let state = Arc::clone(&self.state);
        background.spawn(repeat(RateLimit::SWEEP_INTERVAL, stop.clone(), move || {
            state.jssdk_limit.sweep();
            state.upload_limit.sweep();
        }));
    }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { key, address, source })
}

/// A name for this process, in the journal and in traces: the host name and a random part, since a host may run several.
pub fn replica_name() -> String {
    // Not the variable HOSTNAME, which systemd does not set.
    let system = rustix::system::uname();
    format!("{}-{:04x}", system.nodename().to_string_lossy(), rand::random::<u16>())
}
