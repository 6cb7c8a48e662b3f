//! Attacks on the upload route's authentication: every forged, stale or misdirected token or key is 401 and 1005.

mod cookie;
mod published_keys;

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, GatewayBuilder, openssl};

const UPLOAD: &str = "/p/active/weChatOa/upload";
const AUDIENCE: &str = "wxgate";
const ISSUER: &str = "https://login.example.com";
const SHARED: &str = "a shared secret of more than the 64 bytes that HS512 asks for, and more";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Valid claims.
fn claims() -> Value {
    json!({ "sub": "page", "aud": AUDIENCE, "iss": ISSUER, "exp": now() + 300 })
}

/// The claims with `changes`; null takes one away.
fn but(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.as_ref().chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(*three.get(i).unwrap_or(&0)));
        for i in 0..=three.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * i) & 63) as usize]));
        }
    }
    text
}

/// A key pair that only this test has.
struct Issuer {
    algorithm: Algorithm,
    signing: EncodingKey,
    public: String,
}

impl Issuer {
    fn new(algorithm: Algorithm) -> Self {
        let made = match algorithm {
            Algorithm::ES256 => "EC -pkeyopt ec_paramgen_curve:P-256",
            Algorithm::ES384 => "EC -pkeyopt ec_paramgen_curve:P-384",
            Algorithm::EdDSA => "ED25519",
            _ if algorithm.family() == AlgorithmFamily::Hmac => return Self::shared(algorithm, SHARED),
            _ => "RSA -pkeyopt rsa_keygen_bits:2048",
        };
        let directory = tempfile::tempdir().unwrap();
        openssl(directory.path(), &format!("genpkey -out key.pem -algorithm {made}"));
        openssl(directory.path(), "pkey -in key.pem -pubout -out public.pem");
        let private = std::fs::read(directory.path().join("key.pem")).unwrap();
        let signing = match algorithm.family() {
            AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(&private),
            AlgorithmFamily::Ec => EncodingKey::from_ec_pem(&private),
            _ => EncodingKey::from_ed_pem(&private),
        };
        Self {
            algorithm,
            signing: signing.unwrap(),
            public: std::fs::read_to_string(directory.path().join("public.pem")).unwrap(),
        }
    }

    fn shared(algorithm: Algorithm, secret: &str) -> Self {
        Self {
            algorithm,
            signing: EncodingKey::from_secret(secret.as_bytes()),
            public: secret.to_owned(),
        }
    }

    fn sign(&self, claims: &Value) -> String {
        encode(&Header::new(self.algorithm), claims, &self.signing).unwrap()
    }

    fn builder(&self) -> GatewayBuilder {
        Gateway::builder()
            .set("auth.mode", "jwt")
            .set("auth.jwt_algorithm", format!("{:?}", self.algorithm))
            .set("auth.jwt_key", &self.public)
            .set("auth.jwt_audience", AUDIENCE)
            .set("auth.jwt_issuer", ISSUER)
    }
}

fn upload(gateway: &Gateway) -> reqwest::RequestBuilder {
    gateway.request("POST", UPLOAD).json(&json!({ "mediaId": "x" }))
}

/// True if the check was passed: then WeChat is asked, which does not know the media.
async fn is_let_in(gateway: &Gateway, token: &str) -> bool {
    passes(gateway, upload(gateway).bearer_auth(token)).await
}

async fn passes(gateway: &Gateway, request: reqwest::RequestBuilder) -> bool {
    let answer = gateway.send(request).await;
    let let_in = answer.code() == (404, 2005);
    if !let_in {
        assert_refused(&answer);
    }
    let_in
}

fn assert_refused(answer: &Answer) {
    answer.assert_envelope();
    assert_eq!(answer.code(), (401, 1005), "{answer:?}");
    assert_eq!(answer.body["error"], "UNAUTHORIZED");
    assert_eq!(answer.header("www-authenticate"), "Bearer");
}

/// Tokens that were not signed with a key of the issuer, or were changed afterwards.
fn forged(issuer: &Issuer, stranger: &Issuer) -> Vec<(String, String)> {
    let good = issuer.sign(&claims());
    let (head, rest) = good.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let with_head = |head: Value| format!("{}.{body}.{signature}", base64(head.to_string()));
    let mut tokens = vec![
        ("another's key".to_owned(), stranger.sign(&claims())),
        ("no signature".to_owned(), format!("{head}.{body}.")),
        ("no third part".to_owned(), format!("{head}.{body}")),
        ("a fourth part".to_owned(), format!("{good}.{signature}")),
        ("cut short".to_owned(), good[..good.len() - 8].to_owned()),
        ("another body".to_owned(), {
            let body = base64(but(&json!({ "sub": "admin" })).to_string());
            format!("{head}.{body}.{signature}")
        }),
        ("only dots".to_owned(), "..".to_owned()),
        ("nothing".to_owned(), String::new()),
        ("not base64".to_owned(), "%%%.%%%.%%%".to_owned()),
        ("huge".to_owned(), format!("{head}.{}.{signature}", "A".repeat(30_000))),
        ("huge and no token".to_owned(), "x".repeat(30_000)),
        ("no algorithm".to_owned(), with_head(json!({ "typ": "JWT" }))),
    ];
    for none in ["none", "None", "NONE", "nOnE", "", " none", "null"] {
        let head = base64(json!({ "alg": none, "typ": "JWT" }).to_string());
        tokens.push((format!("alg {none:?}, unsigned"), format!("{head}.{body}.")));
        tokens.push((format!("alg {none:?}"), format!("{head}.{body}.{signature}")));
    }
    for other in [
        "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA",
    ] {
        if other != format!("{:?}", issuer.algorithm) {
            let head = with_head(json!({ "alg": other, "typ": "JWT" }));
            tokens.push((format!("alg {other}, our signature"), head));
        }
    }
    // The public key, used as a shared secret.
    for (what, secret) in [
        ("PEM", issuer.public.as_str()),
        ("PEM without its end", issuer.public.trim_end()),
    ] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            if issuer.algorithm.family() != AlgorithmFamily::Hmac {
                let key = EncodingKey::from_secret(secret.as_bytes());
                let token = encode(&Header::new(algorithm), &claims(), &key).unwrap();
                tokens.push((format!("{algorithm:?} with the {what}"), token));
            }
        }
    }
    // A token that names the key to verify it with.
    let mut header = Header::new(stranger.algorithm);
    header.jku = Some("https://evil.example/keys".to_owned());
    header.x5u = Some("https://evil.example/chain".to_owned());
    header.kid = Some("../../../dev/null".to_owned());
    tokens.push((
        "jku, x5u, kid".to_owned(),
        encode(&header, &claims(), &stranger.signing).unwrap(),
    ));
    tokens
}

/// Tokens that the issuer has signed, but for another audience or another time.
fn misdirected() -> Vec<(&'static str, Value)> {
    vec![
        ("another audience", json!({ "aud": "else" })),
        ("other audiences", json!({ "aud": ["a", "b"] })),
        ("an audience in upper case", json!({ "aud": "WXGATE" })),
        ("an audience that is an object", json!({ "aud": { "wxgate": true } })),
        ("no audience", json!({ "aud": null })),
        ("another issuer", json!({ "iss": "https://login.example.com.evil.cn" })),
        ("an issuer with a slash", json!({ "iss": format!("{ISSUER}/") })),
        ("no issuer", json!({ "iss": null })),
        ("a list of issuers", json!({ "iss": [ISSUER] })),
        ("an issuer among others", json!({ "iss": ["else", ISSUER] })),
        ("an issuer that is an object", json!({ "iss": { "name": ISSUER } })),
        ("expired", json!({ "exp": now() - 60 })),
        ("expired long ago", json!({ "exp": 0 })),
        ("a negative expiry", json!({ "exp": -1 })),
        ("no expiry", json!({ "exp": null })),
        ("an expiry that is a string", json!({ "exp": "9999999999" })),
        ("not yet", json!({ "nbf": now() + 3_600 })),
    ]
}

async fn assert_attacks_are_refused(algorithm: Algorithm) {
    let (issuer, stranger) = (Issuer::new(algorithm), Issuer::new_stranger(algorithm));
    let gateway = issuer.builder().start().await;
    for (what, claims) in [
        ("in order", claims()),
        ("one audience of several", but(&json!({ "aud": ["else", AUDIENCE] }))),
        ("expired within the leeway of 30 s", but(&json!({ "exp": now() - 10 }))),
        ("valid since just now", but(&json!({ "nbf": now() + 10 }))),
    ] {
        assert!(is_let_in(&gateway, &issuer.sign(&claims)).await, "{what}");
    }
    for (what, token) in forged(&issuer, &stranger) {
        assert!(!is_let_in(&gateway, &token).await, "{what}");
    }
    for (what, change) in misdirected() {
        assert!(!is_let_in(&gateway, &issuer.sign(&but(&change))).await, "{what}");
    }
    let mut demanding = Header::new(algorithm);
    demanding.crit = Some(vec!["exp".to_owned()]);
    let demanding = encode(&demanding, &claims(), &issuer.signing).unwrap();
    assert!(!is_let_in(&gateway, &demanding).await, "crit");
    let good = issuer.sign(&claims());
    for (what, request) in [
        ("no header", upload(&gateway)),
        (
            "another scheme",
            upload(&gateway).header("authorization", format!("Basic {good}")),
        ),
        ("no scheme", upload(&gateway).header("authorization", &good)),
        ("two headers", upload(&gateway).bearer_auth(&good).bearer_auth(&good)),
        ("another header", upload(&gateway).header("x-api-key", &good)),
        (
            "a cookie",
            upload(&gateway).header("cookie", format!("access_token={good}")),
        ),
        ("the query", upload(&gateway).query(&[("access_token", &good)])),
    ] {
        let answer = gateway.send(request).await;
        assert_eq!(answer.code(), (401, 1005), "{what}");
        assert!(!answer.body.to_string().contains(&good), "{what}");
    }
    assert_eq!(
        gateway.wechat.sandbox.calls(wxgate::sandbox::Api::MediaGet),
        4,
        "nothing else got through"
    );
}

impl Issuer {
    /// One with another key for the same algorithm.
    fn new_stranger(algorithm: Algorithm) -> Self {
        match algorithm {
            _ if algorithm.family() == AlgorithmFamily::Hmac => Self::shared(
                algorithm,
                "another secret of more than the 64 bytes that HS512 asks for, and more",
            ),
            _ => Self::new(algorithm),
        }
    }
}

#[tokio::test]
async fn expired_token_is_refused_as_expired() {
    let (issuer, stranger) = (Issuer::new(Algorithm::HS256), Issuer::new_stranger(Algorithm::HS256));
    let gateway = issuer.builder().start().await;
    let expired = but(&json!({ "exp": now() - 60 }));
    for (token, message) in [
        (issuer.sign(&expired), "the token has expired"),
        (stranger.sign(&expired), "the token is not valid"),
        (issuer.sign(&but(&json!({ "aud": "else" }))), "the token is not valid"),
    ] {
        let answer = gateway.send(upload(&gateway).bearer_auth(token)).await;
        assert_refused(&answer);
        assert_eq!(answer.body["message"], message);
    }
}

#[tokio::test]
async fn shared_secret_rejects_forged_tokens() {
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        assert_attacks_are_refused(algorithm).await;
    }
}

#[tokio::test]
async fn rsa_key_rejects_forged_tokens() {
    for algorithm in [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512] {
        assert_attacks_are_refused(algorithm).await;
    }
}

#[tokio::test]
async fn rsa_pss_key_rejects_forged_tokens() {
    for algorithm in [Algorithm::PS256, Algorithm::PS384, Algorithm::PS512] {
        assert_attacks_are_refused(algorithm).await;
    }
}

#[tokio::test]
async fn elliptic_curve_key_rejects_forged_tokens() {
    for algorithm in [Algorithm::ES256, Algorithm::ES384] {
        assert_attacks_are_refused(algorithm).await;
    }
}

#[tokio::test]
async fn eddsa_rejects_forged_tokens() {
    assert_attacks_are_refused(Algorithm::EdDSA).await;
}

#[tokio::test]
async fn api_key_must_match_exactly() {
    let gateway = Gateway::builder()
        .set("auth.mode", "api_key")
        .set(
            "auth.api_keys",
            "first-key-of-twenty-letters,second-key-of-twenty-letters",
        )
        .start()
        .await;
    let good = "second-key-of-twenty-letters";
    let with = |name: &str, value: &str| upload(&gateway).header(name, value);
    for request in [
        with("x-api-key", good),
        with("authorization", &format!("bearer {good}")),
        with("authorization", &format!("BEARER  {good} ")),
    ] {
        assert_eq!(gateway.send(request).await.code(), (404, 2005));
    }
    for (what, request) in [
        ("none", upload(&gateway)),
        ("an empty one", with("x-api-key", "")),
        ("an empty bearer", with("authorization", "Bearer ")),
        ("a head", with("x-api-key", &good[..good.len() - 1])),
        ("more", with("x-api-key", &format!("{good}x"))),
        ("other letters", with("x-api-key", &good.to_uppercase())),
        (
            "both keys",
            with("x-api-key", "first-key-of-twenty-letters,second-key-of-twenty-letters"),
        ),
        ("twice", with("x-api-key", good).header("x-api-key", good)),
        (
            "beside a wrong one",
            with("x-api-key", "wrong").header("x-api-key", good),
        ),
        ("another scheme", with("authorization", &format!("Basic {good}"))),
        (
            "the query",
            upload(&gateway).query(&[("api_key", good), ("x-api-key", good)]),
        ),
    ] {
        let answer = gateway.send(request).await;
        assert_eq!(answer.code(), (401, 1005), "{what}");
        assert_refused(&answer);
    }
}
