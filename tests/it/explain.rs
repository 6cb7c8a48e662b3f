//! `wxgate explain`, and the same as a form on the console.

use wxgate::jssdk::sign;
use wxgate::sandbox::{Api, SandboxConfig};

use crate::support::{Gateway, Ran, RedisServer, SandboxHost};

const PAGE: &str = "https://h5.example.com/p?x=1&from=singlemessage&isappinstalled=0#/orders";
const SIGNED: &str = "https://h5.example.com/p?x=1&from=singlemessage&isappinstalled=0";
const NONCE: &str = "Wm3WZYTPz0wzccnW";
const TIMESTAMP: &str = "1414587457";

fn arguments(signature: &str) -> Vec<&str> {
    vec![
        "explain",
        "--url",
        PAGE,
        "--nonce",
        NONCE,
        "--timestamp",
        TIMESTAMP,
        "--signature",
        signature,
    ]
}

/// Runs it with a ticket of the test's own, so that nothing is asked for.
async fn explain(signature: &str, more: &[&str]) -> Ran {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let mut arguments = arguments(signature);
    arguments.extend(["--ticket", "the-right-ticket", "--ticket", "an-older-ticket"]);
    arguments.extend(more);
    let ran = Gateway::builder().run(&wechat, &arguments).await;
    for ticket in ["the-right-ticket", "an-older-ticket"] {
        assert!(!ran.out.contains(ticket) && !ran.err.contains(ticket), "{ran:?}");
    }
    assert!(wechat.sandbox.log().is_empty());
    ran
}

#[tokio::test]
async fn the_right_signature_is_said_to_be_right() {
    let ran = explain(&sign("the-right-ticket", NONCE, TIMESTAMP, SIGNED), &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.starts_with(&format!("The signature is right for {SIGNED}\n")),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("landing URL") && ran.out.contains("invalid url domain"),
        "{}",
        ran.out
    );
}

#[tokio::test]
async fn a_mistake_is_named_with_its_cure() {
    let ran = explain(&sign("the-right-ticket", NONCE, TIMESTAMP, PAGE), &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in [
        "Found: the fragment",
        "&url=https://h5.example.com/p?x=1&from=singlemessage&isappinstalled=0#/orders\n",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(
        ran.out
            .contains("what to do: send encodeURIComponent(location.href.split('#')[0])"),
        "{}",
        ran.out
    );
    let both = sign(
        "an-older-ticket",
        NONCE,
        TIMESTAMP,
        "http://h5.example.com/p?x=1&from=singlemessage&isappinstalled=0",
    );
    let json = explain(&both, &["--json"]).await.json();
    assert_eq!(json["verdict"], "explained");
    let names: Vec<_> = json["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["other_scheme", "other_ticket"]);
}

#[tokio::test]
async fn what_nothing_explains_ends_with_1_and_bad_input_with_2() {
    let ran = explain(&"0".repeat(40), &[]).await;
    assert!(
        ran.code == 1 && ran.out.contains("Tried") && ran.out.contains("www."),
        "{ran:?}"
    );
    let ran = explain("0123", &[]).await;
    assert!(
        ran.code == 2 && ran.err.contains("40 hex digits") && ran.out.is_empty(),
        "{ran:?}"
    );
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    assert_eq!(
        Gateway::builder().run(&wechat, &["explain", "--url", PAGE]).await.code,
        2
    );
    let signature = "0".repeat(40);
    let nobody = Gateway::builder()
        .variable("WXGATE_APP_ID", "")
        .variable("WXGATE_APP_SECRET", "");
    let ran = nobody.run(&wechat, &arguments(&signature)).await;
    assert!(ran.code == 2 && ran.err.contains("--ticket"), "{ran:?}");
    let mut unknown = arguments(&signature);
    unknown.extend(["--app-id", "wx-unknown"]);
    let ran = Gateway::builder().run(&wechat, &unknown).await;
    let app_id = wechat.account().app_id;
    assert!(ran.code == 2 && ran.err.contains(app_id.as_str()), "{ran:?}");
}

#[tokio::test]
async fn with_settings_the_ticket_is_the_cluster_s() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = || Gateway::builder().redis(&redis).classic();
    let gateway = builder().wechat(&wechat).start().await;
    gateway.until_ready().await;
    let data = gateway.sign(SIGNED).await.body["data"].clone();
    let text = |field: &str| data[field].as_str().unwrap();
    let calls = wechat.sandbox.log().len();
    let arguments = |url: &'static str| {
        [
            "explain",
            "--url",
            url,
            "--nonce",
            text("nonceStr"),
            "--timestamp",
            text("timestamp"),
            "--signature",
            text("signature"),
        ]
    };
    let ran = builder().run(&wechat, &arguments(PAGE)).await;
    assert!(
        ran.code == 0 && ran.out.starts_with("The signature is right"),
        "{ran:?}"
    );
    let ran = builder()
        .run(
            &wechat,
            &arguments("http://h5.example.com/p?x=1&from=singlemessage&isappinstalled=0"),
        )
        .await;
    assert!(
        ran.code == 0 && ran.out.contains("http was signed for https"),
        "{ran:?}"
    );
    assert_eq!(wechat.sandbox.log().len(), calls, "Redis has it all");

    // The token itself, taken for a ticket.
    let app_id = wechat.account().app_id;
    let token = redis.value(&crate::support::token_key(&app_id)).await.unwrap();
    let signature = sign(&token, NONCE, TIMESTAMP, SIGNED);
    let ran = builder().run(&wechat, &self::arguments(&signature)).await;
    assert!(
        ran.code == 0 && ran.out.contains("an access_token was taken"),
        "{ran:?}"
    );
    assert!(!ran.out.contains(&token), "{ran:?}");
}

#[tokio::test]
async fn without_redis_wechat_is_asked_as_harmlessly_as_by_check() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let signature = "0".repeat(40);
    let ran = Gateway::builder().run(&wechat, &arguments(&signature)).await;
    assert!(ran.code == 1 && ran.out.contains("Not found"), "{ran:?}");
    assert_eq!(wechat.sandbox.calls(Api::GetTicket), 1);
    let ran = Gateway::builder().classic().run(&wechat, &arguments(&signature)).await;
    assert!(
        ran.code == 1 && ran.err.contains("would kill the token in use"),
        "{ran:?}"
    );
    assert_eq!(wechat.sandbox.calls(Api::Token), 0);
}
