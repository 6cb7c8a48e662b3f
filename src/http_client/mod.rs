//! The one HTTP client: reqwest, with the proxy and the certificate authorities of `[http_client]`, and with
//! errors that contain no URL, since a query may hold a token.
//!
//! Every client in the gateway is built here. Redirects are not followed, cookies are not kept, and bodies are
//! streamed in both directions.

mod body;
mod error;

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, NoProxy, Proxy, RequestBuilder, Response, StatusCode};
use tokio::time::timeout;

pub use body::{ReadError, chunks, whole};
pub use error::{BuildError, SendError, cause};

use crate::settings;
use crate::settings::values::HttpProxy;

/// How long an idle connection is kept.
const POOL_IDLE: Duration = Duration::from_mins(1);

/// Link-local addresses, at which a cloud serves a machine's role: a proxy can't reach them for us.
const LINK_LOCAL: &str = "169.254.0.0/16";

/// A client whose connections fail after `connect_timeout`, DNS, proxy and TLS included. Each of a host's
/// addresses gets an equal share of that time.
pub fn build(settings: &settings::HttpClient, connect_timeout: Duration) -> Result<Client, BuildError> {
    build_with(settings, connect_timeout, |builder| builder)
}

/// The same with more options.
pub fn build_with(
    settings: &settings::HttpClient,
    connect_timeout: Duration,
    options: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Result<Client, BuildError> {
    #[expect(clippy::disallowed_methods, reason = "this is the place where clients are built")]
    let builder = Client::builder();
    let mut builder = builder
        .user_agent(concat!("wxgate/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(POOL_IDLE)
        .redirect(Policy::none())
        .referer(false)
        .http1_only()
        // Otherwise reqwest reads the environment itself.
        .no_proxy();
    for proxy in proxies(settings)? {
        builder = builder.proxy(proxy);
    }
    let certificates = settings.ca_file.certificates().map_err(BuildError::CaFile)?;
    let certificates = certificates.iter().map(|der| Certificate::from_der(der));
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(BuildError::of)?;
    let builder = builder.tls_certs_merge(certificates);
    options(builder).build().map_err(BuildError::of)
}

fn proxies(settings: &settings::HttpClient) -> Result<Vec<Proxy>, BuildError> {
    let direct = settings.no_proxy.iter().map(settings::values::DirectHost::as_str);
    let direct: Vec<&str> = direct.chain([LINK_LOCAL]).collect();
    let direct = direct.join(",");
    match &settings.proxy {
        HttpProxy::Never => Ok(Vec::new()),
        HttpProxy::Through(url) => {
            let proxy = Proxy::all(url.expose()).map_err(|_| BuildError::Proxy)?;
            Ok(vec![proxy.no_proxy(NoProxy::from_string(&direct))])
        }
        HttpProxy::Environment => {
            let direct = [direct, variable("NO_PROXY").unwrap_or_default()].join(",");
            Ok(proxies_of_environment(&direct))
        }
    }
}

/// The proxies in the environment. As in other programs, invalid values are ignored.
fn proxies_of_environment(direct: &str) -> Vec<Proxy> {
    let https = variable("HTTPS_PROXY").and_then(|url| Proxy::https(url).ok());
    let http = variable("HTTP_PROXY").and_then(|url| Proxy::http(url).ok());
    let all = variable("ALL_PROXY").and_then(|url| Proxy::all(url).ok());
    let proxies = [https, http, all].into_iter().flatten();
    proxies
        .map(|proxy| proxy.no_proxy(NoProxy::from_string(direct)))
        .collect()
}

/// An environment variable, in upper or lower case.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).or_else(|_| std::env::var(name.to_lowercase()));
    value.ok().filter(|value| !value.is_empty())
}

/// Sends `request` and waits at most `limit` for its answer to begin. See [`chunks`] and [`whole`] for its body.
pub async fn send(request: RequestBuilder, limit: Duration) -> Result<Response, SendError> {
    let answer = timeout(limit, request.send()).await;
    let answer = answer.map_err(|_| SendError::TimedOut)?.map_err(SendError::of)?;
    // Only a proxy sends this status: the request went no further.
    if answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Err(SendError::Connect(
            "the proxy asks for another user or password".to_owned(),
        ));
    }
    Ok(answer)
}
