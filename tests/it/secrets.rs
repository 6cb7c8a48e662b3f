//! No secret is shown anywhere: a gateway with the most verbose log goes through every kind of event and failure, then
//! everything that it answered, logged and stored is searched.

mod search;

use std::sync::Arc;

use serde_json::json;
use wxgate::account::AppId;
use wxgate::jssdk::sign;
use wxgate::sandbox::{Api, Fault, Sandbox, SandboxConfig, TokenKind};

use self::search::{Secret, Seen};
use crate::support::{
    Answer, Caller, Gateway, GatewayBuilder, GatewayProcess, ImageService, RedisServer, SandboxHost, account,
    free_address, until,
};

const APP_ID: &str = "wx5ec2e700000000aa";
const APP_SECRET: &str = "appsecret-7f3a+/=9c&d1";
const OPERATOR_KEY: &str = "operator-key-5b1e07c4aa";
const CLIENT_SECRET: &str = "crm-secret-d83f0b6612";
const API_KEY: &str = "api-key-a91c77e2f4b0";
const JWT_KEY: &str = "jwt-secret-0c44d2e98a7b5f31";
const REDIS_PASSWORD: &str = "redis-pw-6d20e1b9f7";
const HEADER_SECRET: &str = "Bearer image-store-e7710c3f58";
const S3_KEY_ID: &str = "AKIA3SECRETKEYID0042";
const S3_SECRET: &str = "s3-secret-b5/90+fd2c71e8";

/// The sandbox's tokens and tickets, collected repeatedly since it issues new ones.
struct Issued<'a> {
    sandbox: &'a Sandbox,
    app_id: AppId,
    secrets: Vec<Secret>,
}

impl Issued<'_> {
    fn gather(&mut self) {
        let token = |kind| self.sandbox.current_token(&self.app_id, kind);
        let found = [
            ("an access_token", token(TokenKind::Stable)),
            ("an access_token", token(TokenKind::Classic)),
            ("a jsapi_ticket", self.sandbox.current_ticket(&self.app_id)),
        ];
        for (name, value) in found {
            let value = value.map(|value| value.expose().to_owned()).unwrap_or_default();
            let known = self.secrets.iter().any(|secret| secret.forms[0] == value);
            if !value.is_empty() && !known {
                self.secrets.push(Secret::new(name, &value));
            }
        }
    }
}

fn configured(jwt: &str) -> Vec<Secret> {
    [
        ("the AppSecret", APP_SECRET),
        ("the operator's key", OPERATOR_KEY),
        ("a client's secret", CLIENT_SECRET),
        ("an API key", API_KEY),
        ("the JWT key", JWT_KEY),
        ("a caller's JWT", jwt),
        ("the Redis password", REDIS_PASSWORD),
        ("the image store's header", HEADER_SECRET),
        ("the S3 key's id", S3_KEY_ID),
        ("the S3 key", S3_SECRET),
    ]
    .map(|(name, value)| Secret::new(name, value))
    .into()
}

/// A token that the upload route takes.
fn jwt() -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(JWT_KEY.as_bytes());
    let claims = json!({ "sub": "a-caller", "exp": 4_000_000_000_u64 });
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

/// A gateway with every kind of secret and the most verbose log.
fn builder(redis: &RedisServer, log_format: &str) -> GatewayBuilder {
    let url = format!("redis://wxgate:{REDIS_PASSWORD}@{}/0", redis.address);
    Gateway::builder()
        .patient_with_redis()
        .set("credentials.backend", "redis")
        .set("credentials.adopt_interval", "200ms")
        .set("redis.url", url)
        .set("internal.operator_key", OPERATOR_KEY)
        .set("internal.clients.0.name", "crm")
        .set("internal.clients.0.secret", CLIENT_SECRET)
        .set("telemetry.log_format", log_format)
        .set("telemetry.log_level", "trace")
}

async fn start_redis() -> RedisServer {
    let password = format!(">{REDIS_PASSWORD}");
    RedisServer::start_with(&["--user", "wxgate", "on", &password, "~*", "+@all"]).await
}

/// A page posts a new photo with these headers.
async fn upload(gateway: &Caller, media_id: &str, header: (&str, &str)) -> Answer {
    let request = gateway
        .request("POST", "/p/active/weChatOa/upload")
        .header(header.0, header.1);
    gateway.send(request.json(&json!({ "mediaId": media_id }))).await
}

/// Signatures and uploads, good and bad.
async fn pages(gateway: &Caller, seen: &mut Seen, header: (&str, &str)) {
    for path in [
        "/wechat/jsSDK?url=https%3A%2F%2Fa.cn%2Fp",
        "/wechat/jsSDK?url=nonsense",
        "/wechat/jsSDK?url=https://a.cn&appId=wx-unknown",
        "/nowhere",
    ] {
        seen.answer(path, &gateway.get(path).await);
    }
    let photo = gateway.wechat.takes_photo(crate::support::TINY_PHOTO);
    for (media_id, header) in [
        (photo.as_str(), header),
        ("no-such-photo", header),
        (photo.as_str(), ("x-api-key", "wrong")),
        (photo.as_str(), ("authorization", "Bearer wrong")),
    ] {
        seen.answer("an upload", &upload(gateway, media_id, header).await);
    }
}

/// The calls of other systems and the operator. Successful answers contain a token, so only refusals are searched.
async fn internal(gateway: &Caller, seen: &mut Seen, issued: &mut Issued<'_>) {
    let token = gateway.good_token();
    for secret in [APP_SECRET, CLIENT_SECRET] {
        let secret = crate::support::encode_uri_component(secret);
        let answer = gateway.asks_for_token(APP_ID, &secret).await;
        assert!(answer.body["access_token"].is_string(), "{answer:?}");
        // Asking again so soon reports the token as dead.
        gateway.asks_for_token(APP_ID, &secret).await;
    }
    seen.answer("a refusal", &gateway.asks_for_token(APP_ID, "wrong").await);
    seen.answer("a refusal", &gateway.asks_for_ticket("wrong").await);
    assert!(gateway.asks_for_ticket(&token).await.body["ticket"].is_string());
    assert!(gateway.calls_wechat(&token).await.body["ip_list"].is_array());
    for key in [OPERATOR_KEY, "wrong"] {
        for kind in ["jsapi_ticket", "access_token"] {
            seen.answer("an operator's action", &gateway.operator_renews(kind, key).await);
            issued.gather();
        }
    }
    // A client goes on with a token that WeChat no longer takes.
    gateway.wechat.kill_token();
    gateway.calls_wechat(&token).await;
    issued.gather();
}

/// Every page that the gateway has, on both listeners.
async fn every_page(gateway: &Caller, seen: &mut Seen, ticket: &str) {
    for path in ["/healthz", "/readyz", "/docs/", "/openapi.json"] {
        seen.answer(path, &gateway.get(path).await);
    }
    for path in [
        "/metrics",
        "/readyz",
        "/console",
        "/console?lang=zh",
        "/console/explain",
        "/console/console.js",
    ] {
        seen.answer(path, &gateway.internal_get(path).await);
    }
    let page = "https://a.cn/p";
    for (ticket, url) in [(ticket, page), (ticket, "http://a.cn/p"), ("wrong", page)] {
        let signature = sign(ticket, "abc", "1", url);
        let form = format!("url={page}&nonce=abc&timestamp=1&signature={signature}");
        let request = gateway.internal_request("POST", "/console/explain").body(form);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        seen.answer("the console's explanation", &gateway.send(request).await);
    }
}

/// The commands that people run.
async fn commands(builder: &GatewayBuilder, wechat: &Arc<SandboxHost>, seen: &mut Seen, ticket: &str) {
    for arguments in [&["check"][..], &["check", "--json"], &["config"]] {
        seen.ran(&arguments.join(" "), &builder.run(wechat, arguments).await);
    }
    for (ticket, url) in [
        (ticket, "https://a.cn/p"),
        (ticket, "http://a.cn/p"),
        ("wrong", "https://a.cn/p"),
    ] {
        let signature = sign(ticket, "abc", "1", url);
        let asked = [
            "explain",
            "--url",
            "https://a.cn/p",
            "--nonce",
            "abc",
            "--timestamp",
            "1",
            "--signature",
            &signature,
        ];
        for more in [None, Some("--json")] {
            let arguments: Vec<&str> = asked.into_iter().chain(more).collect();
            seen.ran("explain", &builder.run(wechat, &arguments).await);
        }
    }
}

/// Mistakes in settings near secrets, in the environment and in a file.
async fn wrong_settings(redis: &RedisServer, wechat: &Arc<SandboxHost>, seen: &mut Seen) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wxgate.toml");
    let lines = format!(
        "[internal]\noperator_key = \"{OPERATOR_KEY}\nclients = 1\n[image_store.http]\nheaders = \"{HEADER_SECRET}\"\n[auth]\napi_keys = {{ a = \"{API_KEY}\" }}\n"
    );
    let well_formed = lines.replacen(&format!("{OPERATOR_KEY}\n"), &format!("{OPERATOR_KEY}\"\n"), 1);
    for text in [&lines, &well_formed] {
        std::fs::write(&file, text).unwrap();
        for command in ["serve", "config", "check"] {
            let ran = builder(redis, "text")
                .set("redis.url", format!("http://u:{REDIS_PASSWORD}@r"))
                .set("auth.mode", "jwt")
                .set("auth.jwt_algorithm", "RS256")
                .set("auth.jwt_key", JWT_KEY)
                .set("media.max_bytes", "many")
                .run(wechat, &[command, "--config", file.to_str().unwrap()])
                .await;
            assert_eq!(ran.code, 2, "{ran:?}");
            seen.ran(command, &ran);
        }
    }
}

/// Redis' key names, and the journal.
async fn in_redis(redis: &RedisServer, app_id: &AppId, seen: &mut Seen) {
    let keys = redis.keys().await;
    assert!(keys.len() > 5, "{keys:?}");
    seen.note("the names of keys", keys.join("\n"));
    let journal = redis.journal_entries(app_id).await;
    assert!(!journal.is_empty());
    seen.note("the journal", format!("{journal:?}"));
}

/// Everything that can happen to a gateway. `header` authenticates uploads; `stored` is the status of a good one.
async fn life(builder: GatewayBuilder, mut redis: RedisServer, header: (&str, &str), jwt: &str, stored: (u16, i64)) {
    let config = SandboxConfig::with_accounts(vec![account(APP_ID, APP_SECRET)]);
    let wechat = SandboxHost::start(config).await;
    let (mut seen, app_id) = (Seen::default(), wechat.account().app_id);
    let mut issued = Issued {
        sandbox: &wechat.sandbox,
        app_id: app_id.clone(),
        secrets: configured(jwt),
    };
    wrong_settings(&redis, &wechat, &mut seen).await;

    let mut gateway = GatewayProcess::start(&builder, &wechat).await;
    gateway.until_ready().await;
    issued.gather();
    let photo = wechat.takes_photo(crate::support::TINY_PHOTO);
    assert_eq!(upload(&gateway, &photo, header).await.code(), stored);
    pages(&gateway, &mut seen, header).await;
    wechat.kill_token();
    pages(&gateway, &mut seen, header).await;
    issued.gather();
    internal(&gateway, &mut seen, &mut issued).await;
    let ticket = wechat.sandbox.current_ticket(&app_id).unwrap();
    every_page(&gateway, &mut seen, ticket.expose()).await;
    commands(&builder, &wechat, &mut seen, ticket.expose()).await;
    in_redis(&redis, &app_id, &mut seen).await;

    // WeChat refuses, breaks off, and does not answer.
    for fault in [Fault::errcode(40125), Fault::status(502), Fault::Reset, Fault::cut(10)] {
        let ids =
            [Api::StableToken, Api::GetTicket, Api::MediaGet].map(|api| wechat.sandbox.inject(fault.clone().on(api)));
        wechat.kill_token();
        pages(&gateway, &mut seen, header).await;
        seen.answer(
            "an operator's action",
            &gateway.operator_renews("access_token", OPERATOR_KEY).await,
        );
        seen.ran("check", &builder.run(&wechat, &["check"]).await);
        every_page(&gateway, &mut seen, ticket.expose()).await;
        for id in ids {
            wechat.sandbox.remove_fault(id);
        }
    }
    issued.gather();
    redis.kill();
    until("the gateway notices", || async {
        gateway
            .internal_get("/metrics")
            .await
            .body
            .as_str()
            .unwrap()
            .contains("wxgate_redis_up 0")
    })
    .await;
    pages(&gateway, &mut seen, header).await;
    every_page(&gateway, &mut seen, ticket.expose()).await;
    commands(&builder, &wechat, &mut seen, ticket.expose()).await;
    issued.gather();
    gateway.signal("TERM");
    assert!(gateway.ended().await.success());

    let log = gateway.log();
    assert!(log.len() > 50, "the log is too short: {log:#?}");
    assert!(log.iter().any(|line| line.contains("DEBUG")), "{log:#?}");
    seen.note("the log", log.join("\n"));
    assert!(issued.secrets.len() >= 14, "{}", issued.secrets.len());
    let leaks = seen.leaks(&issued.secrets);
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[tokio::test]
async fn no_secret_is_logged_with_an_upload_service_and_json() {
    let (redis, service, jwt) = (start_redis().await, ImageService::start().await, jwt());
    let builder = builder(&redis, "json")
        .set("image_store.backend", "http")
        .set("image_store.http.url", service.url())
        .set("image_store.http.headers.authorization", HEADER_SECRET)
        .set("auth.mode", "jwt")
        .set("auth.jwt_key", JWT_KEY);
    life(
        builder,
        redis,
        ("authorization", &format!("Bearer {jwt}")),
        &jwt,
        (200, 0),
    )
    .await;
}

#[tokio::test]
async fn no_secret_is_logged_with_a_broken_s3_store_and_text() {
    let redis = start_redis().await;
    let builder = builder(&redis, "text")
        .set("image_store.backend", "s3")
        .set("image_store.s3.endpoint", format!("http://{}", free_address()))
        .set("image_store.s3.bucket", "photos")
        .set("image_store.s3.access_key_id", S3_KEY_ID)
        .set("image_store.s3.secret_access_key", S3_SECRET)
        .set("image_store.s3.public_base_url", "https://images.example.com")
        .set("auth.mode", "api_key")
        .set("auth.api_keys", API_KEY);
    life(builder, redis, ("x-api-key", API_KEY), &jwt(), (502, 3001)).await;
}
