//! WeChat and the accounts in `wxgate check`: unreachable, refusing, with another clock. Classic tokens are kept.

use std::time::Duration;

use wxgate::sandbox::{Api, Fault, SandboxConfig};

use super::{assert_failed, lines, patient, sandbox, with_redis};
use crate::support::{RedisServer, SandboxHost, free_address, token_key};

#[tokio::test]
async fn every_wechat_refusal_comes_with_advice() {
    for (code, seen, cure) in [
        (40164, "40164 invalid ip", "add 127.0.0.1 to the account's IP list"),
        (40125, "40125", "copy it again"),
        (40013, "40013", "correct app_id"),
        (45009, "45009", "quota"),
        (-1, "-1", "busy"),
    ] {
        let wechat = sandbox().await;
        let message =
            (code == 40164).then(|| "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist".to_owned());
        wechat
            .sandbox
            .inject(Fault::Errcode { code, message }.on(Api::StableToken));
        let ran = patient().run(&wechat, &["check"]).await;
        assert_failed(&ran, "account", seen, cure);
    }
    // The token is good, and the account may not use JS-SDK.
    let wechat = sandbox().await;
    wechat.sandbox.inject(Fault::errcode(48001).on(Api::GetTicket));
    let ran = patient().run(&wechat, &["check"]).await;
    assert_failed(&ran, "account", "no jsapi_ticket", "接口权限");
}

#[tokio::test]
async fn sandbox_refusals_are_reported() {
    let config = SandboxConfig {
        allowed_ips: vec!["10.9.8.7".parse().unwrap()],
        ..SandboxConfig::default()
    };
    let ran = patient().run(&SandboxHost::start(config).await, &["check"]).await;
    assert_failed(&ran, "account", "40164", "add 127.0.0.1 to");
    let wechat = sandbox().await;
    let wrong = patient().variable("WXGATE_APP_SECRET", "another-secret-of-mine");
    let ran = wrong.run(&wechat, &["check"]).await;
    assert_failed(&ran, "account", "401", "AppSecret");
    assert!(!ran.out.contains("another-secret-of-mine"));
}

#[tokio::test]
async fn wechat_is_out_of_reach() {
    let nowhere = format!("http://{}", free_address());
    let ran = patient()
        .set("wechat.api_base_url", nowhere)
        .run(&sandbox().await, &["check"])
        .await;
    assert_eq!(ran.code, 1);
    assert!(matches!(lines(&ran, "wechat")[..], [("FAILED", text)] if text.contains("no connection")));
    assert!(matches!(lines(&ran, "account")[..], [("FAILED", text)] if text.contains("no connection")));
    assert!(matches!(lines(&ran, "clock")[..], [("warning", _)]), "{}", ran.out);
    assert!(ran.out.contains("DNS"), "{}", ran.out);
}

#[tokio::test]
async fn each_host_is_tried_and_only_the_one_in_use_has_to_answer() {
    let (wechat, nowhere) = (sandbox().await, format!("http://{}", free_address()));
    for [first, second] in [[&nowhere, &wechat.url()], [&wechat.url(), &nowhere]] {
        let builder = patient()
            .set("wechat.api_base_url", first)
            .set("wechat.fallback_base_urls", second)
            .set("credentials.lock_ttl", "60s");
        let ran = builder.run(&wechat, &["check"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let mut found = lines(&ran, "wechat");
        found.sort_by_key(|(state, _)| *state == "ok");
        let [("warning", missed), ("ok", answers)] = found[..] else {
            panic!("{ran:?}");
        };
        assert!(missed.contains(&format!("{nowhere}: no connection")), "{missed}");
        assert!(answers.contains(&format!("{} answers", wechat.url())), "{answers}");
    }
}

#[tokio::test]
async fn clock_is_compared_with_wechats() {
    let wechat = sandbox().await;
    wechat.sandbox.advance(Duration::from_mins(1));
    let ran = patient().run(&wechat, &["check"]).await;
    assert!(matches!(lines(&ran, "clock")[..], [("warning", text)] if text.contains("s behind WeChat's")));
    wechat.sandbox.advance(Duration::from_hours(1));
    let ran = patient().run(&wechat, &["check"]).await;
    assert_failed(&ran, "clock", "s behind WeChat's", "NTP");
}

#[tokio::test]
async fn classic_token_of_a_running_cluster_is_not_replaced() {
    let (wechat, redis) = (sandbox().await, RedisServer::start().await);
    let builder = || with_redis(&redis).classic();
    let app_id = wechat.account().app_id;
    let gateway = builder().wechat(&wechat).start().await;
    gateway.until_ready().await;
    let before = redis.value(&token_key(&app_id)).await;
    let ran = builder().run(&wechat, &["check"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(matches!(lines(&ran, "account")[..], [("ok", text)] if text.contains("the classic token in use")));
    assert!(before.is_some() && redis.value(&token_key(&app_id)).await == before);
    assert_eq!(wechat.sandbox.calls(Api::Token), 1, "the gateway's own");
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 0);
    assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));

    // Another system has invalidated the token: the check reports it and does not renew it.
    wechat.kill_token();
    let ran = builder().run(&wechat, &["check"]).await;
    assert_failed(
        &ran,
        "account",
        "the classic token in use: WeChat refused: 40001",
        "another system",
    );
    assert_eq!(wechat.sandbox.calls(Api::Token), 1);
}

#[tokio::test]
async fn classic_token_in_an_unreachable_redis_is_not_replaced() {
    let wechat = sandbox().await;
    let ran = patient().classic().run(&wechat, &["check"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(matches!(lines(&ran, "account")[..], [("warning", text)] if text.contains("not tried")));
    let lost = format!("redis://{}", free_address());
    let lost = patient()
        .classic()
        .set("credentials.backend", "redis")
        .set("redis.url", lost);
    let ran = lost.run(&wechat, &["check"]).await;
    assert!(
        ran.code == 1 && matches!(lines(&ran, "account")[..], [("warning", _)]),
        "{ran:?}"
    );
    // If Redis certainly holds none, the AppSecret is tried by a call that invalidates no token.
    let redis = RedisServer::start().await;
    let foreign = wechat.sandbox.foreign_token(&wechat.account().app_id).unwrap();
    let ran = with_redis(&redis).classic().run(&wechat, &["check"]).await;
    assert!(
        ran.code == 0 && ran.out.contains("leaves classic tokens alone"),
        "{ran:?}"
    );
    let current = wechat
        .sandbox
        .current_token(&wechat.account().app_id, wxgate::sandbox::TokenKind::Classic);
    assert_eq!(current, Some(foreign));
    assert_eq!(wechat.sandbox.calls(Api::Token), 0);
}
