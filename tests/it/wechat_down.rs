//! C9, C11: WeChat that fails, refuses, stalls, or loses its answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wxgate::sandbox::{Api, Fault, SandboxConfig};

use crate::support::{
    Gateway, GatewayProcess, OPERATOR_KEY, RedisServer, SandboxHost, Traffic, accounts, free_address, no_overlap, until,
};

/// Counts the calls to WeChat of a gateway that never had a credential, in five seconds of traffic under `fault`. Every
/// answer has `Retry-After`; afterwards the gateway recovers by itself.
async fn calls_in_5s(fault: Fault, errcode: Option<i64>) -> u64 {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    // Long enough for WeChat to answer on a busy machine; only a call without an answer takes that long.
    let [connect, whole] = match fault {
        Fault::Stall => ["300ms", "500ms"],
        _ => ["5s", "10s"],
    };
    wechat.sandbox.inject(fault);
    let gateway = Gateway::builder()
        .wechat(&wechat)
        .set("wechat.connect_timeout", connect)
        .set("wechat.timeout", whole)
        .start()
        .await;
    let end = Instant::now() + Duration::from_secs(5);
    let mut answered = 0;
    while Instant::now() < end {
        let refused = gateway.assert_no_credential().await;
        assert_eq!(refused.body.get("errcode").and_then(serde_json::Value::as_i64), errcode);
        answered += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let calls = wechat.sandbox.calls(Api::StableToken);
    assert!(
        answered > 5 * calls,
        "few callers wait for a call to WeChat, the others are answered at once: {answered}, {calls} calls"
    );
    wechat.sandbox.clear_faults();
    gateway.until_it_says("ready").await;
    gateway.assert_signs().await;
    calls
}

#[tokio::test]
async fn calls_are_backed_off_while_wechat_is_down_and_it_recovers_by_itself() {
    let (busy, reset, stalled, page, secret) = tokio::join!(
        calls_in_5s(Fault::errcode(-1), Some(-1)),
        calls_in_5s(Fault::Reset, None),
        calls_in_5s(Fault::Stall, None),
        calls_in_5s(Fault::status(502), None),
        calls_in_5s(Fault::errcode(40125), Some(40125)),
    );
    for calls in [busy, reset, stalled, page] {
        assert!((2..=10).contains(&calls), "{calls}");
    }
    assert!((1..=3).contains(&secret), "{secret}");
}

#[tokio::test]
async fn errors_for_operators_come_with_advice() {
    for (code, cure) in [
        (40164, "IP白名单"),
        (40125, "AppSecret"),
        (40013, "app_id"),
        (50002, "frozen"),
        (40001, "AppSecret"),
    ] {
        let wechat = SandboxHost::start(SandboxConfig::default()).await;
        wechat.sandbox.inject(Fault::errcode(code).on(Api::StableToken));
        let process = GatewayProcess::start(&Gateway::builder(), &wechat).await;
        process.assert_no_credential().await;
        until("the cure is logged", || async { !process.logged("ERROR").is_empty() }).await;
        let line = process.logged("ERROR").pop().unwrap();
        assert!(
            line.contains(&code.to_string()) && line.contains("What to do"),
            "{line}"
        );
        assert!(line.contains(cure), "{line}");
        // The advice names the address that WeChat saw.
        assert!(code != 40164 || line.contains("127.0.0.1"), "{line}");
        process.until_it_says("unready").await;
    }
}

#[tokio::test]
async fn valid_credentials_are_served_while_wechat_is_down() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let gateway = Gateway::builder()
        .wechat(&wechat)
        .set("credentials.ticket_max_age", "300ms")
        .start()
        .await;
    gateway.until_it_says("ready").await;
    let signing = Traffic::signing([&*gateway]);
    for fault in [Fault::Reset, Fault::errcode(-1), Fault::status(500)] {
        let down = wechat.sandbox.inject(fault);
        gateway.until_it_says("degraded").await;
        signing.goes_on(50).await;
        wechat.sandbox.remove_fault(down);
        gateway.until_it_says("ready").await;
    }
    signing.end().await.assert_flawless();
}

#[tokio::test]
async fn accounts_whose_calls_hang_hold_up_no_other() {
    let accounts = accounts(36);
    let wechat = SandboxHost::start(SandboxConfig::with_accounts(accounts.clone())).await;
    let (hanging, good) = accounts.split_at(32);
    for account in hanging {
        let hangs = Fault::Stall.on(Api::StableToken).for_account(account.app_id.clone());
        wechat.sandbox.inject(hangs);
    }
    // Longer than this test takes.
    let gateway = Gateway::builder()
        .wechat(&wechat)
        .accounts(&accounts)
        .set("wechat.timeout", "2m")
        .set("credentials.lock_ttl", "10m")
        .start()
        .await;
    until("the others have their tickets", || async {
        let metrics = gateway.internal_get("/metrics").await;
        let metrics = metrics.body.as_str().unwrap();
        good.iter().all(|account| {
            let app_id = &account.app_id;
            metrics.contains(&format!(
                "wxgate_credential_expiry_timestamp_seconds{{app_id=\"{app_id}\",kind=\"jsapi_ticket\"}}"
            ))
        })
    })
    .await;
    assert_eq!(wechat.sandbox.calls(Api::GetTicket), 4);
}

#[tokio::test]
async fn lost_token_response_is_retried_soon_and_not_reported_as_foreign() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(no_overlap()).await;
    let app_id = wechat.account().app_id;
    let start = || {
        let builder = Gateway::builder().wechat(&wechat).redis(&redis).classic();
        builder
            .set("internal.operator_key", OPERATOR_KEY)
            .set("credentials.adopt_interval", "200ms")
            .start()
    };
    let (one, other) = tokio::join!(start(), start());
    one.until_it_says("ready").await;
    other.until_it_says("ready").await;
    wechat.sandbox.inject(Fault::lost_answer().on(Api::Token).once());
    until("the call whose answer is lost is made", || async {
        one.operator_renews("access_token", OPERATOR_KEY).await;
        wechat.sandbox.calls(Api::Token) > 1
    })
    .await;
    // Both hold a token that WeChat has replaced; the answer with the new one was lost.
    let upload = async |gateway: &Gateway| {
        let answer = gateway.upload_new_photo().await;
        matches!(answer.code(), (200, 0)).then_some(()).ok_or(answer)
    };
    let other_at_once = upload(&other).await;
    assert!(other_at_once.is_ok(), "{other_at_once:?}");
    until("uploads succeed again", || async { upload(&one).await.is_ok() }).await;
    for gateway in [&one, &other] {
        gateway.assert_signs().await;
        assert!(gateway.foreign_invalidations().await < 0.5);
    }
    assert_eq!(redis.journaled(&app_id, "foreign_invalidation").await, 0);
    let calls = wechat.sandbox.calls(Api::Token);
    assert!((3..=4).contains(&calls), "{calls}");
}

#[tokio::test]
async fn pages_that_find_no_token_are_not_counted_as_renewals_of_the_ticket() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    wechat.sandbox.inject(Fault::errcode(40164));
    let gateway = Gateway::builder().wechat(&wechat).start().await;
    for _ in 0..50 {
        gateway.assert_no_credential().await;
    }
    let app_id = wechat.account().app_id;
    let labels = format!("app_id=\"{app_id}\",kind=\"jsapi_ticket\",outcome=\"failed\",trigger=\"missing\"");
    let failed = gateway
        .metric(&format!("wxgate_credential_refreshes_total{{{labels}}}"))
        .await;
    assert!(failed < 4.0, "{failed}");
}

#[tokio::test]
async fn fallback_host_is_used_only_if_connecting_fails() {
    let (wechat, fallback) = tokio::join!(
        SandboxHost::start(SandboxConfig::default()),
        SandboxHost::start(SandboxConfig::default())
    );
    let unused_address = free_address();
    let with_fallback = |main: &Arc<SandboxHost>, url: String, timeout: &str, other: &Arc<SandboxHost>| {
        Gateway::builder()
            .wechat(main)
            .set("wechat.api_base_url", url)
            .set("wechat.fallback_base_urls", other.url())
            .set("wechat.timeout", timeout)
            .set("wechat.connect_timeout", "300ms")
            .start()
    };
    let calls =
        |wechat: &SandboxHost| [Api::StableToken, Api::GetTicket, Api::MediaGet].map(|api| wechat.sandbox.calls(api));
    // Nothing listens at the first host, or something accepts the connection and never answers the TLS handshake.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let no_tls = format!("https://{}", silent.local_addr().unwrap());
    for (time, first) in [(1, format!("http://{unused_address}")), (2, no_tls)] {
        let gateway = with_fallback(&fallback, first, "5s", &fallback).await;
        gateway.assert_signs().await;
        assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
        drop(gateway);
        assert_eq!(calls(&fallback), [time; 3]);
    }

    // The first host answers badly, or takes the request and does not answer.
    let faults = [
        Fault::errcode(-1),
        Fault::errcode(40164),
        Fault::status(502),
        Fault::Empty,
        Fault::Reset,
        Fault::Stall,
        Fault::lost_answer(),
    ];
    for fault in faults {
        let what = format!("{fault:?}");
        let timeout = if fault == Fault::Stall { "500ms" } else { "5s" };
        let rule = wechat.sandbox.inject(fault);
        let gateway = with_fallback(&wechat, wechat.url(), timeout, &fallback).await;
        gateway.assert_no_credential().await;
        assert_eq!(calls(&fallback), [2, 2, 2], "{what}");
        wechat.sandbox.remove_fault(rule);
    }
}

#[tokio::test]
async fn calls_that_go_to_a_fallback_host_are_logged_once() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let unused_address = free_address();
    let builder = Gateway::builder()
        .set("wechat.api_base_url", format!("http://{unused_address}"))
        .set("wechat.fallback_base_urls", wechat.url());
    let gateway = GatewayProcess::start(&builder, &wechat).await;
    gateway.until_ready().await;
    let call = async || {
        let path = format!("/cgi-bin/get_api_domain_ip?access_token={}", gateway.good_token());
        let answer = gateway.internal_request("GET", &path).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    };
    for _ in 0..5 {
        call().await;
    }
    let left = || gateway.logged(&format!("no connection to WeChat at http://{unused_address}"));
    until("it is logged", || async { !left().is_empty() }).await;
    assert_eq!(left().len(), 1, "{:?}", gateway.log());
}
