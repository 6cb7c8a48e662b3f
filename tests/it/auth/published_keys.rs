//! A login that publishes its public keys, changes them, and is down at times.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, Header, encode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use wxgate::http::serve::Server;
use wxgate::sandbox::SandboxConfig;

use super::{AUDIENCE, ISSUER, Issuer, claims, is_let_in, upload};
use crate::support::{Gateway, GatewayBuilder, GatewayProcess, SandboxHost, free_address, until};

/// A login that publishes keys at `/jwks.json`; it ends with the test.
struct Login {
    address: SocketAddr,
    published: Arc<Published>,
    serving: Mutex<Option<DropGuard>>,
}

struct Published {
    answer: Mutex<(StatusCode, Vec<u8>)>,
    asked: AtomicUsize,
    /// One permit for each answer.
    may_answer: Semaphore,
}

impl Login {
    /// A login that is down.
    fn away() -> Self {
        Self {
            address: free_address(),
            published: Arc::new(Published {
                answer: Mutex::new((StatusCode::OK, Vec::new())),
                asked: AtomicUsize::new(0),
                may_answer: Semaphore::new(Semaphore::MAX_PERMITS),
            }),
            serving: Mutex::new(None),
        }
    }

    async fn publishing(keys: &[Value]) -> Self {
        let login = Self::away();
        login.publish(keys);
        login.come().await;
        login
    }

    /// Starts to listen.
    async fn come(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let published = Arc::clone(&self.published);
        let answer = async move || -> Response {
            published.asked.fetch_add(1, Ordering::SeqCst);
            published.may_answer.acquire().await.unwrap().forget();
            published.answer.lock().unwrap().clone().into_response()
        };
        let router = Router::new().route("/jwks.json", axum::routing::get(answer));
        let stop = CancellationToken::new();
        let serve = Server::default().serve(listener, router, stop.clone(), Duration::ZERO);
        tokio::spawn(serve);
        *self.serving.lock().unwrap() = Some(stop.drop_guard());
    }

    /// Refuses connections from now on.
    async fn go(&self) {
        *self.serving.lock().unwrap() = None;
        until("the login is gone", || async {
            tokio::net::TcpStream::connect(self.address).await.is_err()
        })
        .await;
    }

    fn publish(&self, keys: &[Value]) {
        self.answer(StatusCode::OK, json!({ "keys": keys }).to_string());
    }

    fn answer(&self, status: StatusCode, body: impl Into<Vec<u8>>) {
        *self.published.answer.lock().unwrap() = (status, body.into());
    }

    fn asked(&self) -> usize {
        self.published.asked.load(Ordering::SeqCst)
    }

    fn url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    fn gateway(&self, algorithm: Algorithm) -> GatewayBuilder {
        Gateway::builder()
            .set("auth.mode", "jwt")
            .set("auth.jwt_algorithm", format!("{algorithm:?}"))
            .set("auth.jwt_jwks_url", self.url())
            .set("auth.jwt_audience", AUDIENCE)
            .set("auth.jwt_issuer", ISSUER)
    }

    async fn until_asked(&self, times: usize) {
        until("the login is asked", || async { self.asked() >= times }).await;
    }
}

impl Issuer {
    /// The public key, as a login publishes it.
    fn jwk(&self, id: &str) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.signing, self.algorithm).unwrap();
        jwk.common.key_id = Some(id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    /// A token that names its key.
    fn sign_as(&self, id: &str) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(id.to_owned());
        encode(&header, &claims(), &self.signing).unwrap()
    }
}

fn without(mut jwk: Value, field: &str) -> Value {
    jwk.as_object_mut().unwrap().remove(field);
    jwk
}

#[tokio::test]
async fn published_key_verifies_tokens_of_every_public_algorithm() {
    for algorithm in [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ] {
        let (issuer, stranger) = (Issuer::new(algorithm), Issuer::new(algorithm));
        let other = json!({ "kty": "oct", "kid": "other", "k": "c2VjcmV0" });
        let login = Login::publishing(&[other, issuer.jwk("one")]).await;
        let gateway = login.gateway(algorithm).start().await;
        assert!(is_let_in(&gateway, &issuer.sign_as("one")).await, "{algorithm:?}");
        assert!(!is_let_in(&gateway, &stranger.sign_as("one")).await, "{algorithm:?}");
        assert!(
            is_let_in(&gateway, &issuer.sign(&claims())).await,
            "the only key needs no kid"
        );
        assert_eq!(login.asked(), 1, "a known key is asked for once: {algorithm:?}");
    }
}

#[tokio::test]
async fn key_rotation_is_followed_at_once() {
    let (old, new) = (Issuer::new(Algorithm::ES256), Issuer::new(Algorithm::ES256));
    let login = Login::publishing(&[old.jwk("old")]).await;
    let gateway = login.gateway(Algorithm::ES256).start().await;
    assert!(is_let_in(&gateway, &old.sign_as("old")).await);
    login.publish(&[old.jwk("old"), new.jwk("new")]);
    // Concurrent callers share one fetch, and none of them is refused.
    let asked = login.asked();
    let token = new.sign_as("new");
    let all = join_all((0..20).map(|_| is_let_in(&gateway, &token))).await;
    assert!(all.into_iter().all(|let_in| let_in));
    assert_eq!(login.asked(), asked + 1);
    assert!(is_let_in(&gateway, &old.sign_as("old")).await, "both are valid");
    // With two keys, a token without a kid is ambiguous.
    assert!(!is_let_in(&gateway, &new.sign(&claims())).await);
}

#[tokio::test]
async fn unknown_kid_makes_one_fetch_in_30_seconds() {
    let (issuer, stranger) = (Issuer::new(Algorithm::ES256), Issuer::new(Algorithm::ES256));
    let login = Login::publishing(&[issuer.jwk("one")]).await;
    let gateway = login.gateway(Algorithm::ES256).start().await;
    login.until_asked(1).await;
    for round in 0..5 {
        let made_up = (0..10).map(|i| stranger.sign_as(&format!("{round}-{i}")));
        let let_in = join_all(made_up.map(async |token| is_let_in(&gateway, &token).await)).await;
        assert!(let_in.into_iter().all(|let_in| !let_in));
    }
    assert_eq!(login.asked(), 2, "the first fetch, and one for all of these");
    assert!(is_let_in(&gateway, &issuer.sign_as("one")).await);
    // A token of another algorithm needs no fetch.
    let other = Issuer::new(Algorithm::EdDSA);
    assert!(!is_let_in(&gateway, &other.sign_as("one")).await);
    assert_eq!(login.asked(), 2);
}

#[tokio::test]
async fn known_keys_outlive_the_login() {
    let (issuer, other) = (Issuer::new(Algorithm::ES256), Issuer::new(Algorithm::ES256));
    let login = Login::publishing(&[issuer.jwk("one")]).await;
    let gateway = login.gateway(Algorithm::ES256).start().await;
    assert!(is_let_in(&gateway, &issuer.sign_as("one")).await);
    login.go().await;
    assert!(!is_let_in(&gateway, &other.sign_as("two")).await);
    assert!(is_let_in(&gateway, &issuer.sign_as("one")).await);
}

#[tokio::test]
async fn useless_answers_leave_the_known_keys() {
    let (issuer, other) = (Issuer::new(Algorithm::ES256), Issuer::new(Algorithm::ES256));
    let endless = json!({ "keys": [other.jwk("two")], "x": "x".repeat(300 * 1024) }).to_string();
    let weak = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "two", "x": "AA" }] }).to_string();
    for (what, status, body) in [
        (
            "an error",
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({ "keys": [other.jwk("two")] }).to_string(),
        ),
        ("a page", StatusCode::OK, "<html>log in</html>".to_owned()),
        ("no keys", StatusCode::OK, json!({ "keys": [] }).to_string()),
        ("a broken key", StatusCode::OK, weak),
        ("too long", StatusCode::OK, endless),
        ("a key for encryption", StatusCode::OK, {
            let mut key = without(other.jwk("two"), "alg");
            key["use"] = json!("enc");
            json!({ "keys": [key] }).to_string()
        }),
    ] {
        let login = Login::publishing(&[without(issuer.jwk("one"), "alg")]).await;
        let gateway = login.gateway(Algorithm::ES256).start().await;
        assert!(is_let_in(&gateway, &issuer.sign_as("one")).await, "{what}");
        login.answer(status, body);
        assert!(!is_let_in(&gateway, &other.sign_as("two")).await, "{what}");
        assert!(is_let_in(&gateway, &issuer.sign_as("one")).await, "{what}");
        assert_eq!(login.asked(), 2, "{what}");
    }
}

#[tokio::test]
async fn login_that_is_away_at_start_is_asked_again() {
    let issuer = Issuer::new(Algorithm::ES256);
    let login = Login::away();
    login.publish(&[issuer.jwk("one")]);
    let gateway = login.gateway(Algorithm::ES256).start().await;
    gateway.until_ready().await;
    login.come().await;
    until("the token is let in", || is_let_in_or_asked_to_retry(&gateway, &issuer)).await;
}

async fn is_let_in_or_asked_to_retry(gateway: &Gateway, issuer: &Issuer) -> bool {
    let answer = gateway.send(upload(gateway).bearer_auth(issuer.sign_as("one"))).await;
    if answer.code() == (404, 2005) {
        return true;
    }
    assert_eq!(answer.code(), (401, 1005), "{answer:?}");
    assert_eq!(answer.retry_after(), 30, "{answer:?}");
    false
}

#[tokio::test]
async fn login_that_does_not_answer_holds_no_request_for_long() {
    let issuer = Issuer::new(Algorithm::ES256);
    let login = Login::publishing(&[issuer.jwk("one")]).await;
    let gateway = login.gateway(Algorithm::ES256).start().await;
    assert!(is_let_in(&gateway, &issuer.sign_as("one")).await);
    login.published.may_answer.forget_permits(Semaphore::MAX_PERMITS);
    let (unknown, known) = (issuer.sign_as("two"), issuer.sign_as("one"));
    let waiting = is_let_in(&gateway, &unknown);
    let asked = async {
        login.until_asked(2).await;
        assert!(
            is_let_in(&gateway, &known).await,
            "a token with a known key does not wait"
        );
    };
    let (let_in, ()) = tokio::join!(waiting, asked);
    assert!(!let_in);
}

#[tokio::test]
async fn login_that_is_away_is_logged_once_and_without_its_query() {
    let issuer = Issuer::new(Algorithm::ES256);
    let login = Login::away();
    let builder = login.gateway(Algorithm::ES256);
    let builder = builder.set("auth.jwt_jwks_url", format!("{}?tenant=hunter2", login.url()));
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = GatewayProcess::start(&builder, &wechat).await;
    for _ in 0..3 {
        let request = gateway.request("POST", super::UPLOAD).json(&json!({ "mediaId": "x" }));
        let answer = gateway.send(request.bearer_auth(issuer.sign_as("one"))).await;
        assert_eq!(answer.code(), (401, 1005), "{answer:?}");
        assert!(
            answer.body["message"]
                .as_str()
                .unwrap()
                .contains("could not be fetched"),
            "{answer:?}"
        );
    }
    until("it is logged", || async {
        !gateway.logged("auth.jwt_jwks_url").is_empty()
    })
    .await;
    let logged = gateway.logged("auth.jwt_jwks_url");
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(
        logged[0].contains("WARN") && logged[0].contains("no connection"),
        "{logged:?}"
    );
    assert_eq!(gateway.logged("hunter2"), [""; 0]);
}

#[tokio::test]
async fn check_looks_at_the_published_keys() {
    let issuer = Issuer::new(Algorithm::ES256);
    let login = Login::publishing(&[issuer.jwk("one"), json!({ "kty": "unheard of" })]).await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let check = async |algorithm| login.gateway(algorithm).run(&wechat, &["check"]).await.out;
    let fine = check(Algorithm::ES256).await;
    assert!(fine.contains("ok       auth"), "{fine}");
    assert!(fine.contains("public keys for ES256 at 127.0.0.1: 1"), "{fine}");
    let wrong = check(Algorithm::RS256).await;
    assert!(
        wrong.contains("FAILED   auth") && wrong.contains("none of the keys is for RS256"),
        "{wrong}"
    );
    login.go().await;
    let away = check(Algorithm::ES256).await;
    assert!(
        away.contains("FAILED   auth") && away.contains("auth.jwt_jwks_url"),
        "{away}"
    );
}
