//! The only HTTP client: reqwest, with the proxy and the certificate authorities from `[http_client]`, and with errors
//! that contain no URL, since a query may contain a token.
//!
//! Every client in the gateway is built here. Redirects are not followed, cookies are not kept, and bodies are
//! streamed in both directions.

mod activity;
mod error;

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, IntoUrl, NoProxy, Proxy, RequestBuilder, Response, StatusCode, Url};
use tokio::time::timeout;

pub(crate) use activity::LastActivity;
pub use error::{HttpError, cause, certificate_cure, certificate_problem};

use crate::settings::values::{HttpProxy, pem_file};
use crate::settings::{self, UnusableSetting};

/// Longer than any request takes; for requests limited by the time without activity ([`LastActivity`]).
pub(crate) const NO_LIMIT: Duration = Duration::from_hours(24);

/// How long an idle connection is kept.
const POOL_IDLE: Duration = Duration::from_mins(1);

/// Addresses at which clouds provide a machine's role; they can't be reached through a proxy.
const MACHINE_ROLE: [&str; 2] = ["169.254.0.0/16", "fd00:ec2::/32"];

/// The setting to correct if a proxy can't be used.
const PROXY: &str = "http_client.proxy";

/// The environment variables that name a proxy, each with the kind of proxy that it names.
const PROXY_VARIABLES: [(&str, NewProxy); 3] = [
    ("HTTPS_PROXY", Proxy::https),
    ("HTTP_PROXY", Proxy::http),
    ("ALL_PROXY", Proxy::all),
];

type NewProxy = fn(Url) -> reqwest::Result<Proxy>;

/// The schemes of proxies that the client supports.
const PROXY_SCHEMES: [&str; 6] = ["http", "https", "socks5h", "socks5", "socks4a", "socks4"];

/// A client whose connections fail after `connect_timeout`, including DNS, proxy and TLS. Each of a host's addresses gets
/// an equal share of that time.
pub fn build(settings: &settings::HttpClient, connect_timeout: Duration) -> Result<Client, UnusableSetting> {
    build_with(settings, connect_timeout, |builder| builder)
}

/// Like [`build`], with more options.
pub fn build_with(
    settings: &settings::HttpClient,
    connect_timeout: Duration,
    options: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Result<Client, UnusableSetting> {
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
    let certificates = pem_file::authorities(&settings.ca_file);
    let certificates = certificates.map_err(|problem| UnusableSetting::new("http_client.ca_file", problem))?;
    let certificates = certificates.iter().map(|der| Certificate::from_der(der));
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(no_client)?;
    let builder = builder.tls_certs_merge(certificates);
    options(builder).build().map_err(no_client)
}

fn no_client(error: reqwest::Error) -> UnusableSetting {
    let problem = format!("no HTTP client: {}", cause(&error.without_url()));
    UnusableSetting::new("http_client", problem)
}

fn proxies(settings: &settings::HttpClient) -> Result<Vec<Proxy>, UnusableSetting> {
    let direct = settings.no_proxy.iter().map(settings::values::DirectHost::as_str);
    let direct: Vec<&str> = direct.chain(MACHINE_ROLE).collect();
    let direct = direct.join(",");
    match &settings.proxy {
        HttpProxy::Never => Ok(Vec::new()),
        HttpProxy::Through(url) => {
            let proxy = Proxy::all(url.expose()).map_err(|_| {
                // The URL is not shown, since it may contain a password.
                UnusableSetting::new(PROXY, "the proxy's URL can't be used")
            })?;
            Ok(vec![proxy.no_proxy(NoProxy::from_string(&direct))])
        }
        HttpProxy::Environment => {
            let exceptions = variable("NO_PROXY").unwrap_or_default();
            let mut hosts = hosts_of(&exceptions);
            if hosts.contains(&"*") {
                return Ok(Vec::new());
            }
            hosts.push(&direct);
            proxies_of_environment(&hosts.join(","))
        }
    }
}

/// Says which outgoing connections go through which proxy, if there is one.
pub(crate) fn proxy_notice(settings: &settings::HttpClient) -> Option<String> {
    let (urls, names, exceptions) = match &settings.proxy {
        HttpProxy::Never => return None,
        HttpProxy::Through(_) => ("http:// and https://", PROXY.to_owned(), "http_client.no_proxy"),
        HttpProxy::Environment => {
            if variable("NO_PROXY").is_some_and(|hosts| hosts_of(&hosts).contains(&"*")) {
                return None;
            }
            let names = PROXY_VARIABLES.into_iter().map(|(name, _)| name);
            let names: Vec<_> = names.filter(|name| variable(name).is_some()).collect();
            let urls = match names[..] {
                [] => return None,
                ["HTTPS_PROXY"] => "https://",
                ["HTTP_PROXY"] => "http://",
                _ => "http:// and https://",
            };
            (urls, names.join(", "), "http_client.no_proxy or NO_PROXY")
        }
    };
    Some(format!(
        "connections to {urls} URLs go through the proxy of {names}, except to hosts in {exceptions}"
    ))
}

/// The proxies named by the environment. One that can't be used is an error: otherwise, calls that must go through a
/// proxy would go directly.
fn proxies_of_environment(direct: &str) -> Result<Vec<Proxy>, UnusableSetting> {
    let mut proxies = Vec::new();
    for (name, new) in PROXY_VARIABLES {
        if let Some(text) = variable(name) {
            let proxy = usable_proxy(&text).and_then(|url| new(url).ok()).ok_or_else(|| {
                // The value is not shown, since it may contain a password.
                let problem = format!(
                    "{name} in the environment is not the URL of a proxy that can be used ({}); correct it, or set {PROXY}",
                    PROXY_SCHEMES.join(", ")
                );
                UnusableSetting::new(PROXY, problem)
            })?;
            proxies.push(proxy.no_proxy(NoProxy::from_string(direct)));
        }
    }
    Ok(proxies)
}

/// The URL of a proxy in the environment, which may lack a scheme. `None` if the client would ignore it and connect directly.
fn usable_proxy(text: &str) -> Option<Url> {
    let url = match Url::parse(text) {
        Ok(url) if url.has_host() => url,
        _ if text.contains("://") => return None,
        _ => Url::parse(&format!("http://{text}")).ok()?,
    };
    // The client parses it again, as an `http::Uri`.
    let is_usable = PROXY_SCHEMES.contains(&url.scheme()) && http::Uri::try_from(url.as_str()).is_ok();
    is_usable.then_some(url)
}

/// The hosts in a `NO_PROXY`.
fn hosts_of(exceptions: &str) -> Vec<&str> {
    exceptions.split(',').map(|entry| host_of(entry.trim())).collect()
}

/// The host of an entry of `NO_PROXY`, in the form that [`NoProxy`] takes. A port is removed: the host is then reached
/// directly on all ports.
fn host_of(entry: &str) -> &str {
    let entry = entry
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
        .unwrap_or(entry);
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => entry,
    }
}

/// An environment variable, in upper or lower case. Bytes that are not UTF-8 become replacement characters, so that such
/// a proxy is an error and not ignored.
fn variable(name: &str) -> Option<String> {
    let spellings = [name.to_owned(), name.to_lowercase()];
    let values = spellings.iter().filter_map(std::env::var_os);
    let mut values = values.map(|value| value.to_string_lossy().into_owned());
    values.find(|value| !value.is_empty())
}

/// Sends `request` and waits at most `limit` for its answer to begin. For the body, see [`chunks`] and [`whole`].
pub async fn send(request: RequestBuilder, limit: Duration) -> Result<Response, HttpError> {
    let answer = timeout(limit, request.send()).await;
    answer.map_err(|_| HttpError::TimedOut)?.map_err(HttpError::of)
}

/// The body of `answer` as it arrives. Each wait for the next chunk may take at most `stall`; the stream ends after an error.
pub fn chunks(answer: Response, stall: Duration) -> impl Stream<Item = Result<Bytes, HttpError>> + Send + 'static {
    stream::try_unfold(answer, move |mut answer| async move {
        let chunk = next(&mut answer, stall).await?;
        Ok(chunk.map(|chunk| (chunk, answer)))
    })
}

/// The whole body of `answer`; `None` if it is longer than `limit` bytes. Each chunk may take at most `stall`.
pub async fn whole(mut answer: Response, limit: usize, stall: Duration) -> Result<Option<Vec<u8>>, HttpError> {
    let mut whole = Vec::new();
    while let Some(chunk) = next(&mut answer, stall).await? {
        if whole.len() + chunk.len() > limit {
            return Ok(None);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(Some(whole))
}

/// The body at `url`, which must arrive with status 200 and within `limit`; `None` if it has more than `longest` bytes.
/// The error says what is wrong.
pub async fn get(
    client: &Client,
    url: impl IntoUrl,
    longest: usize,
    limit: Duration,
) -> Result<Option<Vec<u8>>, String> {
    let read = async {
        let answer = send(client.get(url), limit).await.map_err(|error| error.to_string())?;
        if answer.status() != StatusCode::OK {
            return Err(format!("HTTP status {}", answer.status()));
        }
        whole(answer, longest, limit).await.map_err(|error| error.to_string())
    };
    let read = timeout(limit, read).await;
    read.unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
}

async fn next(answer: &mut Response, stall: Duration) -> Result<Option<Bytes>, HttpError> {
    let chunk = timeout(stall, answer.chunk()).await;
    chunk.map_err(|_| HttpError::TimedOut)?.map_err(|_| HttpError::CutOff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_of_the_environment_is_one_that_the_client_can_use() {
        for (text, url) in [
            ("http://proxy:3128", "http://proxy:3128/"),
            ("proxy:3128", "http://proxy:3128/"),
            ("10.0.0.9:3128", "http://10.0.0.9:3128/"),
            ("user:hunter2@proxy:3128", "http://user:hunter2@proxy:3128/"),
            ("https://proxy", "https://proxy/"),
            ("socks5://proxy:1080", "socks5://proxy:1080"),
            ("socks5h://u:p@proxy", "socks5h://u:p@proxy"),
            ("socks4a://proxy", "socks4a://proxy"),
        ] {
            assert_eq!(usable_proxy(text).unwrap().as_str(), url);
        }
        let words = "socks://10.0.0.9:1080 htpp://proxy:3128 socks5h:// ftp://proxy http:// proxy:port file:///proxy \
                     http://u:hunter2@h:1::: socks5://pro|xy";
        for text in words
            .split(' ')
            .chain(["http://u:hunter2 x@h:1:::", "http://\u{fffd}:3128"])
        {
            assert!(usable_proxy(text).is_none(), "{text}");
        }
    }

    #[test]
    fn entries_of_no_proxy_lose_their_star_and_their_port() {
        for (entry, host) in [
            ("*", "*"),
            ("*.corp.cn", ".corp.cn"),
            (".corp.cn", ".corp.cn"),
            ("localhost:8080", "localhost"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("::1", "::1"),
            ("fd00::/8", "fd00::/8"),
        ] {
            assert_eq!(host_of(entry), host);
        }
    }
}
