//! Calls with an older token of ours: it is replaced by the current one until the end that was announced for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::response::IntoResponse;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;
use wxgate::sandbox::{Api, SandboxConfig};

use crate::support::{
    Answer, Caller, Gateway, GatewayBuilder, OPERATOR_KEY, RedisServer, SandboxHost, TINY_PHOTO, account, always, until,
};

/// Uploads a picture that is too large to be sent again.
async fn uploads(caller: &Caller, token: &str) -> Answer {
    let mut bytes = TINY_PHOTO.to_vec();
    bytes.resize(300_000, 7);
    let part = reqwest::multipart::Part::bytes(bytes).file_name("photo.jpg");
    let path = format!("/cgi-bin/media/upload?access_token={token}&type=image");
    let request = caller.internal_request("POST", &path);
    caller
        .send(request.multipart(reqwest::multipart::Form::new().part("media", part)))
        .await
}

/// Uploads twenty at once, and asserts that each arrives, and arrives once.
async fn assert_uploads_arrive(caller: &Caller, token: &str) {
    let before = caller.wechat.sandbox.calls(Api::MediaUpload);
    for answer in futures_util::future::join_all((0..20).map(|_| uploads(caller, token))).await {
        assert!(answer.body["media_id"].is_string(), "{answer:?}");
    }
    assert_eq!(caller.wechat.sandbox.calls(Api::MediaUpload), before + 20);
}

async fn renews(caller: &Caller) {
    let renewed = caller.operator_renews("access_token", OPERATOR_KEY).await;
    assert_eq!(renewed.body["changed"], true, "{renewed:?}");
}

fn classic(wechat: &Arc<SandboxHost>) -> GatewayBuilder {
    let builder = Gateway::builder().wechat(wechat).classic();
    builder.set("internal.operator_key", OPERATOR_KEY)
}

async fn short_lived(life: Duration) -> Arc<SandboxHost> {
    let config = SandboxConfig {
        token_ttl: life,
        ..SandboxConfig::default()
    };
    SandboxHost::start(config).await
}

#[tokio::test]
async fn upload_with_a_superseded_token_reaches_wechat_once() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = classic(&wechat).start().await;
    let first = gateway.token().await;
    renews(&gateway).await;
    let second = gateway.token().await;
    renews(&gateway).await;
    assert_uploads_arrive(&gateway, &first).await;
    assert_uploads_arrive(&gateway, &second).await;
}

#[tokio::test]
async fn upload_with_a_rejected_token_reaches_wechat_once() {
    let gateway = Gateway::start().await;
    let first = gateway.token().await;
    let mut last = first.clone();
    for _ in 0..2 {
        gateway.wechat.kill_token();
        // The gateway meets the rejection.
        assert!(gateway.calls_wechat(&last).await.body["ip_list"].is_array());
        last = gateway.token().await;
    }
    assert_ne!(first, last);
    assert_uploads_arrive(&gateway, &first).await;
}

/// Calls with `token` until WeChat refuses it for good; how long after `asked` that was. With tokens that live for
/// seconds only, a busy machine may see a single refusal before.
async fn refused_after(caller: &Caller, token: &str, asked: Instant) -> Duration {
    let since = std::cell::Cell::new(None);
    let refused = async || {
        let answer = caller.calls_wechat(token).await.body;
        since.set(match answer["errcode"].as_i64() {
            Some(40001 | 42001) => since.get().or(Some(Instant::now())),
            _ => None,
        });
        since
            .get()
            .is_some_and(|since| since.elapsed() > Duration::from_millis(500))
    };
    until("WeChat refuses the old token", refused).await;
    since.get().unwrap() - asked
}

#[tokio::test]
async fn token_past_its_announced_life_is_not_replaced() {
    let wechat = short_lived(Duration::from_secs(3)).await;
    let gateway = classic(&wechat).start().await;
    let asked = Instant::now();
    let answer = gateway.asks_for_stable_token(false).await.body;
    let announced = Duration::from_secs(answer["expires_in"].as_u64().unwrap());
    let token = answer["access_token"].as_str().unwrap();
    renews(&gateway).await;
    renews(&gateway).await;
    let refused = refused_after(&gateway, token, asked).await;
    assert!(
        refused >= announced,
        "announced {announced:?}, refused after {refused:?}"
    );
    let calls = wechat.sandbox.calls(Api::GetCallbackIp);
    always("the dead token is refused", Duration::from_millis(500), async || {
        gateway.calls_wechat(token).await.body["ip_list"].is_null()
    })
    .await;
    assert!(
        wechat.sandbox.calls(Api::GetCallbackIp) > calls,
        "the refusal is WeChat's"
    );
    let upload = uploads(&gateway, token).await;
    assert!(upload.body["media_id"].is_null(), "{upload:?}");
    assert!(gateway.calls_wechat(&gateway.token().await).await.body["ip_list"].is_array());
}

#[tokio::test]
async fn expires_in_is_never_less_than_min_expires_in() {
    let clients = r#"
[[internal.clients]]
name = "crm"
secret = "the-crm-knows-this-one"
min_expires_in = "7s"
[[internal.clients]]
name = "shop"
secret = "the-shop-knows-this-one"
"#;
    let redis = RedisServer::start().await;
    let wechat = short_lived(Duration::from_secs(3)).await;
    let start = || {
        let builder = classic(&wechat).redis(&redis).file(clients);
        // Short, since the tokens live for seconds.
        let builder = builder.set("credentials.adopt_interval", "50ms");
        builder.set("internal.min_expires_in", "4s").start()
    };
    let gateway = start().await;
    let app_id = wechat.account().app_id;
    let handed_out = async |secret: &str| {
        let answer = gateway.asks_for_token(app_id.as_str(), secret).await.body;
        (
            answer["access_token"].as_str().unwrap().to_owned(),
            answer["expires_in"].as_u64().unwrap(),
        )
    };
    let asked = Instant::now();
    let (shop, four) = handed_out("the-shop-knows-this-one").await;
    assert_eq!(four, 4);
    let (_, four) = handed_out(wechat.account().secret.expose()).await;
    assert_eq!(four, 4);
    let refused = refused_after(&gateway, &shop, asked).await;
    assert!(refused >= Duration::from_secs(4), "{refused:?}");

    let asked = Instant::now();
    let (crm, seven) = handed_out("the-crm-knows-this-one").await;
    assert_eq!(seven, 7);
    // Also by a replica that knows the promise from Redis only.
    let other = start().await;
    let refused = refused_after(&other, &crm, asked).await;
    assert!(refused >= Duration::from_secs(7), "{refused:?}");
    let ticket = gateway
        .asks_for_ticket(&handed_out("the-shop-knows-this-one").await.0)
        .await;
    assert!(ticket.body["expires_in"].as_u64().unwrap() >= 7, "{ticket:?}");
}

#[tokio::test]
async fn token_is_replaced_by_a_replica_that_never_held_it_also_without_redis() {
    let mut redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let start = || classic(&wechat).redis(&redis).start();
    let one = start().await;
    let first = one.token().await;
    renews(&one).await;
    let second = one.token().await;
    renews(&one).await;
    let two = start().await;
    two.until_it_says("ready").await;
    assert_uploads_arrive(&two, &first).await;

    redis.kill();
    assert_uploads_arrive(&two, &first).await;
    assert_uploads_arrive(&one, &first).await;
    assert_uploads_arrive(&one, &second).await;
}

#[tokio::test]
async fn call_with_the_current_token_costs_no_redis_command() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::with_accounts(vec![
        account("wx1", "secret-of-wx1"),
        account("wx2", "secret-of-wx2"),
    ]))
    .await;
    let accounts = "[[accounts]]\napp_id = \"wx1\"\napp_secret = \"secret-of-wx1\"\n\
                    [[accounts]]\napp_id = \"wx2\"\napp_secret = \"secret-of-wx2\"\n";
    let builder = Gateway::builder().wechat(&wechat).redis(&redis).file(accounts);
    let gateway = builder.set("credentials.adopt_interval", "1h").start().await;
    gateway.until_it_says("ready").await;
    let mut tokens = Vec::new();
    for name in ["wx1", "wx2"] {
        let answer = gateway.asks_for_token(name, &format!("secret-of-{name}")).await;
        tokens.push(answer.body["access_token"].as_str().unwrap().to_owned());
    }
    let written = async || {
        let journals = [redis.journaled(&account("wx1", "").app_id, "handed_out").await, {
            redis.journaled(&account("wx2", "").app_id, "handed_out").await
        }];
        journals == [1, 1]
    };
    until("what was handed out is noted", written).await;
    let commands = async || {
        let stats: String = redis.command("INFO stats").await;
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    let (before, began) = (commands().await, tokio::time::Instant::now());
    for _ in 0..100 {
        for token in &tokens {
            assert!(gateway.calls_wechat(token).await.body["ip_list"].is_array());
        }
    }
    let spent = commands().await - before;
    // The test's own, and those of the background.
    let allowed = 20 + 2 * began.elapsed().as_secs();
    assert!(spent < allowed, "{spent} commands");
}

/// A WeChat that issues a new token each time, and echoes other calls.
async fn echo() -> String {
    async fn answer(request: Request) -> axum::response::Response {
        static ISSUED: AtomicU64 = AtomicU64::new(0);
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/cgi-bin/token" => {
                let token = format!("issued-{}", ISSUED.fetch_add(1, Ordering::Relaxed));
                axum::Json(json!({ "access_token": token, "expires_in": 7200 })).into_response()
            }
            "/cgi-bin/ticket/getticket" => {
                axum::Json(json!({ "errcode": 0, "errmsg": "ok", "ticket": "t", "expires_in": 7200 })).into_response()
            }
            _ => {
                let query = request.uri().query().unwrap_or_default().to_owned();
                let length = request.headers().get("content-length").cloned();
                let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
                assert_eq!(length.unwrap(), body.len().to_string().as_str());
                axum::Json(json!({ "query": query, "body": String::from_utf8_lossy(&body) })).into_response()
            }
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn superseded_token_is_replaced_in_the_query_and_in_a_small_form() {
    let url = echo().await;
    let builder = Gateway::builder().classic().set("wechat.api_base_url", url);
    let gateway = builder.set("internal.operator_key", OPERATOR_KEY).start().await;
    let old = gateway.token().await;
    for _ in 0..12 {
        renews(&gateway).await;
    }
    let good = gateway.token().await;
    assert_ne!(good.len(), old.len(), "the tokens must differ in length");
    let (new, as_it_is) = (good.as_str(), old.as_str());
    let post = async |query: &str, kind: &str, body: String| {
        let request = gateway.internal_request("POST", &format!("/cgi-bin/x?{query}"));
        let answer = gateway.send(request.header("content-type", kind).body(body)).await;
        (answer.body["query"].clone(), answer.body["body"].clone())
    };
    let form = "application/x-www-form-urlencoded";
    let (query, body) = post(&format!("a=1&access_token={old}&b=%7e"), "text/plain", "x".to_owned()).await;
    assert_eq!(
        (query, body),
        (json!(format!("a=1&access_token={new}&b=%7e")), json!("x"))
    );
    let sent = format!("a=%7e&access%5Ftoken={old}&b=+");
    let (_, body) = post("", &format!("{form}; charset=utf-8"), sent.clone()).await;
    assert_eq!(body, format!("a=%7e&access%5Ftoken={new}&b=+"));

    // What is not a form, is too large, or names two tokens goes out as it came.
    let json = json!({ "access_token": old }).to_string();
    let large = format!("access_token={as_it_is}&pad={}", "x".repeat(70_000));
    for (query, kind, body) in [
        ("", "application/json", json),
        ("", "text/plain", sent.clone()),
        ("", form, large),
        ("", form, format!("access_token={old}&access_token={old}")),
        (&*format!("access_token={good}"), form, sent),
    ] {
        let (arrived, echoed) = post(query, kind, body.clone()).await;
        assert_eq!((arrived, echoed), (json!(query), json!(body)));
    }
    for path in ["/sns/userinfo", "/SNS/userinfo"] {
        let users = gateway
            .internal_request("POST", &format!("{path}?access_token={old}"))
            .body("x");
        assert_eq!(gateway.send(users).await.body["query"], format!("access_token={old}"));
    }
}
