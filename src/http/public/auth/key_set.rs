//! The public keys of a company's identity provider, as it publishes them (JSON Web Key Set, RFC 7517).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use parking_lot::Mutex;
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::refused;
use crate::http::ApiError;
use crate::http_client;
use crate::settings::{HttpClient, UnusableSetting};
use crate::single_flight::SingleFlight;

/// How often keys are fetched.
struct Pace {
    /// The interval of fetches not caused by a token, so that a withdrawn key is not accepted for long.
    refresh: Duration,
    /// The minimum time between fetches after the first, so that made-up `kid`s can't flood the identity provider.
    pause: Duration,
}

const PACE: Pace = Pace {
    refresh: Duration::from_mins(10),
    pause: Duration::from_secs(30),
};

/// The time limits of a fetch: for its connection, and in total.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const FETCH_LIMIT: Duration = Duration::from_secs(5);

/// The maximum response size. A key with its certificate chain has about 6 KiB.
const MAX_SET: usize = 256 * 1024;

/// The published keys, cached.
pub(crate) struct KeySet {
    client: Client,
    url: Url,
    /// Keys of other algorithms are ignored.
    algorithm: Algorithm,
    keys: ArcSwap<Vec<PublicKey>>,
    fetches: Arc<SingleFlight<(), ()>>,
    tasks: TaskTracker,
    fetched_again: Mutex<Option<Instant>>,
    pace: Pace,
    failing: AtomicBool,
}

struct PublicKey {
    id: Option<String>,
    key: DecodingKey,
}

impl KeySet {
    /// The keys at `url` for verifying `algorithm`. None is fetched yet.
    pub(crate) fn new(url: &Url, algorithm: Algorithm, settings: &HttpClient) -> Result<Self, UnusableSetting> {
        Ok(Self {
            client: http_client::build(settings, CONNECT_LIMIT)?,
            url: url.clone(),
            algorithm,
            keys: ArcSwap::default(),
            fetches: Arc::default(),
            tasks: TaskTracker::new(),
            fetched_again: Mutex::new(None),
            pace: PACE,
            failing: AtomicBool::new(false),
        })
    }

    /// The key for a token with this `kid`. If it is unknown, the keys are fetched again.
    pub(super) async fn find(self: &Arc<Self>, id: Option<&str>) -> Result<DecodingKey, ApiError> {
        if let Some(key) = self.known(id) {
            return Ok(key);
        }
        self.fetch_if(Self::may_fetch_again).await;
        self.known(id).ok_or_else(|| {
            if self.keys.load().is_empty() {
                let message = "the token can't be checked now: the identity provider's keys could not be fetched";
                return refused(message).with_retry_after(self.pace.pause);
            }
            refused("the token is not valid").with_detail("no published key has its kid")
        })
    }

    /// Fetches the keys periodically until `stop` is cancelled.
    pub(crate) async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        self.fetch_if(|_| true).await;
        loop {
            // Without keys nobody can upload.
            let wait = if self.keys.load().is_empty() {
                self.pace.pause
            } else {
                self.pace.refresh
            };
            let sleep = tokio::time::sleep(wait);
            if stop.run_until_cancelled(sleep).await.is_none() {
                return;
            }
            self.fetch_if(Self::may_fetch_again).await;
        }
    }

    /// A set with a single key needs no `kid`.
    fn known(&self, id: Option<&str>) -> Option<DecodingKey> {
        let keys = self.keys.load();
        let found = match keys.as_slice() {
            [one] if id.is_none() || one.id.is_none() => Some(one),
            keys => keys.iter().find(|key| id.is_some() && key.id.as_deref() == id),
        };
        found.map(|found| found.key.clone())
    }

    /// Fetches the keys if `may` allows it. Concurrent callers share one fetch.
    async fn fetch_if(self: &Arc<Self>, may: fn(&Self) -> bool) {
        let this = Arc::clone(self);
        let (fetched, _) = self.fetches.join_or_start(&(), &self.tasks, async move || {
            if may(&this) {
                this.fetch().await;
            }
        });
        let _ = fetched.await;
    }

    /// False if the keys were fetched again very recently; otherwise they count as fetched now.
    fn may_fetch_again(&self) -> bool {
        let mut fetched = self.fetched_again.lock();
        let may = fetched.is_none_or(|at| at.elapsed() >= self.pace.pause);
        if may {
            *fetched = Some(Instant::now());
        }
        may
    }

    /// Replaces the keys by those published now. If that fails, the known ones remain in use.
    async fn fetch(&self) {
        let (host, known) = (self.host(), self.keys.load().len());
        match self.published().await {
            Ok(keys) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(
                        host,
                        keys = keys.len(),
                        "auth.jwt_jwks_url: the keys can be fetched again"
                    );
                }
                self.keys.store(Arc::new(keys));
            }
            Err(problem) if !self.failing.swap(true, Ordering::Relaxed) => {
                tracing::warn!(
                    host,
                    known,
                    "auth.jwt_jwks_url: the identity provider's keys can't be fetched: {problem}. Known keys remain accepted; \
                     tokens with a new one are refused. `wxgate check` tries again"
                );
            }
            Err(problem) => tracing::debug!(host, "auth.jwt_jwks_url: {problem}"),
        }
    }

    /// How many keys are published now; the error says what is wrong.
    pub(crate) async fn count(&self) -> Result<usize, String> {
        self.published().await.map(|keys| keys.len())
    }

    /// The host that publishes the keys.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    async fn published(&self) -> Result<Vec<PublicKey>, String> {
        let body = http_client::get(&self.client, self.url.clone(), MAX_SET, FETCH_LIMIT).await?;
        let body = body.ok_or_else(|| format!("the answer is longer than {MAX_SET} bytes"))?;
        let set: Set =
            serde_json::from_slice(&body).map_err(|_| "the answer is not a JSON Web Key Set (RFC 7517)".to_owned())?;
        // One by one: a key of an unknown type must not make the others unusable.
        let keys = set.keys.into_iter();
        let keys: Vec<_> = keys.filter_map(|key| public_key(key, self.algorithm)).collect();
        if keys.is_empty() {
            let algorithm = self.algorithm;
            return Err(format!("none of the keys is for {algorithm:?} (auth.jwt_algorithm)"));
        }
        Ok(keys)
    }
}

/// A key set, before its keys are parsed.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// The key, if it can verify `algorithm`.
fn public_key(key: Value, algorithm: Algorithm) -> Option<PublicKey> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let has_right_curve = match (algorithm, &jwk.algorithm) {
        (Algorithm::ES256, AlgorithmParameters::EllipticCurve(point)) => point.curve == EllipticCurve::P256,
        (Algorithm::ES384, AlgorithmParameters::EllipticCurve(point)) => point.curve == EllipticCurve::P384,
        (_, AlgorithmParameters::OctetKeyPair(pair)) => pair.curve == EllipticCurve::Ed25519,
        _ => key.family() == AlgorithmFamily::Rsa,
    };
    let Jwk { common, .. } = jwk;
    let is_right = has_right_curve
        && key.family() == algorithm.family()
        && !is_short_rsa(&key)
        && (common.key_algorithm).is_none_or(|given| given == algorithm.into())
        && (common.public_key_use).is_none_or(|purpose| purpose == PublicKeyUse::Signature)
        && (common.key_operations).is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let id = common.key_id;
    is_right.then_some(PublicKey { id, key })
}

/// Whether it is an RSA key of less than 2048 bits.
fn is_short_rsa(key: &DecodingKey) -> bool {
    matches!(key.kind(), DecodingKeyKind::RsaModulusExponent { n, .. } if n.len() < 2048 / 8)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use serde_json::json;
    use tokio::time::timeout;

    use super::*;
    use crate::http::serve::Server;
    use crate::settings::values::HttpProxy;

    fn set(ids: &[&str]) -> String {
        let x = "KbgOysGv-WMuoOdDZreAQg0Gt4ErqvRMIkfK21hsDb8";
        let keys = ids
            .iter()
            .map(|id| json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": x }));
        json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
    }

    #[tokio::test]
    async fn withdrawn_key_is_forgotten_with_the_next_refresh() {
        let published = Arc::new(Mutex::new(set(&["one", "two"])));
        let answer = Arc::clone(&published);
        let router = Router::new().route("/", get(async move || answer.lock().clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let stop = CancellationToken::new();
        let serve = Server::default().serve(listener, router, stop.clone(), Duration::from_secs(1));
        let serving = tokio::spawn(serve);
        let settings = HttpClient {
            proxy: HttpProxy::Never,
            ..HttpClient::default()
        };
        let mut keys = KeySet::new(&url, Algorithm::EdDSA, &settings).unwrap();
        keys.pace = Pace {
            refresh: Duration::from_millis(30),
            pause: Duration::from_millis(10),
        };
        let keys = Arc::new(keys);
        let fresh = tokio::spawn(Arc::clone(&keys).keep_fresh(stop.clone()));
        let until = async |known: &[&str]| {
            let all = || known.iter().all(|id| keys.known(Some(id)).is_some()) && keys.keys.load().len() == known.len();
            let poll = async {
                while !all() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(Duration::from_secs(20), poll).await.unwrap();
        };
        until(&["one", "two"]).await;
        *published.lock() = set(&["two", "three"]);
        until(&["two", "three"]).await;
        assert!(keys.known(Some("one")).is_none());
        // A set without usable keys does not withdraw the known ones.
        *published.lock() = set(&[]);
        assert!(keys.find(Some("four")).await.is_err());
        until(&["two", "three"]).await;
        stop.cancel();
        fresh.await.unwrap();
        serving.await.unwrap();
    }
}
