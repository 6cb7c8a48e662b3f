//! C3, C11, C13: credentials that are renewed before they expire, and tickets that are fetched again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use wxgate::sandbox::{Api, Fault, SandboxConfig, TokenKind};

use crate::support::{
    Gateway, OPERATOR_KEY, RedisServer, SandboxHost, Traffic, no_overlap, ticket_key, token_key, until,
};

/// Renews several times under traffic; no request may fail.
async fn assert_renewals_without_a_failure(token_api: &str, api: Api) {
    // A quarter of it is left for a renewal on a busy machine.
    const LIFETIME: Duration = Duration::from_secs(6);
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig {
        token_ttl: LIFETIME,
        ticket_ttl: LIFETIME,
        ..SandboxConfig::default()
    })
    .await;
    let app_id = wechat.account().app_id;
    let builder = || {
        let builder = Gateway::builder().wechat(&wechat).redis(&redis);
        builder
            .set("accounts.0.token_api", token_api)
            .set("credentials.adopt_interval", "100ms")
    };
    let (one, two) = tokio::join!(builder().start(), builder().start());
    one.until_it_says("ready").await;
    two.until_it_says("ready").await;
    let signing = Traffic::signing([&*one, &*two]);
    let uploading = Traffic::uploading([&*one, &*two]);
    let began = Instant::now();
    let (tokens, tickets) = (RefCell::new(BTreeSet::new()), RefCell::new(BTreeSet::new()));
    until("tokens and tickets have come and gone", || async {
        let token = redis.value(&token_key(&app_id)).await;
        tokens.borrow_mut().extend(token);
        let ticket = redis.value(&ticket_key(&app_id)).await;
        tickets.borrow_mut().extend(ticket);
        tokens.borrow().len() >= 3 && tickets.borrow().len() >= 3
    })
    .await;
    signing.end().await.assert_flawless();
    uploading.end().await.assert_flawless();
    // One renewal per life for the whole cluster. Near its end, WeChat may answer the same stable token once more.
    let lives = began.elapsed().div_duration_f64(LIFETIME * 3 / 4);
    let (calls, asked) = (wechat.sandbox.calls(api), wechat.sandbox.calls(Api::GetTicket));
    #[expect(clippy::cast_precision_loss, reason = "a handful of calls")]
    let per_lifetime = |calls: u64| (calls - 1) as f64 / lives;
    assert!(per_lifetime(calls) < 2.1, "{calls} token calls in {lives} lives");
    assert!(per_lifetime(asked) < 2.1, "{asked} ticket calls in {lives} lives");
    assert_eq!(redis.journaled(&app_id, "foreign_invalidation").await, 0);
    assert_eq!(redis.journaled(&app_id, "renewal_failed").await, 0);
    // No request had to wait: after the first token and ticket there was always one.
    for kind in ["access_token", "jsapi_ticket"] {
        let labels = format!("app_id=\"{app_id}\",kind=\"{kind}\",outcome=\"ok\",trigger=\"missing\"");
        let series = format!("wxgate_credential_refreshes_total{{{labels}}}");
        let missing = one.metric(&series).await + two.metric(&series).await;
        assert!((1.0..=2.0).contains(&missing), "{kind}: {missing}");
    }
}

#[tokio::test]
async fn stable_tokens_are_renewed_under_traffic_without_a_failed_request() {
    assert_renewals_without_a_failure("stable", Api::StableToken).await;
}

#[tokio::test]
async fn classic_tokens_are_renewed_under_traffic_without_a_failed_request() {
    assert_renewals_without_a_failure("classic", Api::Token).await;
}

/// Calls in four seconds of signing if everything that WeChat issues has this `expires_in`.
async fn calls_in_4s(expires_in: serde_json::Value) -> (u64, u64) {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    wechat.sandbox.inject(Fault::ExpiresIn { value: expires_in });
    let gateway = Gateway::builder().wechat(&wechat).start().await;
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        let answer = gateway.sign("https://a.cn/p").await;
        assert!(matches!(answer.code(), (200, 0) | (503, 4001)), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let sandbox = &wechat.sandbox;
    (sandbox.calls(Api::StableToken), sandbox.calls(Api::GetTicket))
}

#[tokio::test]
async fn shortened_lives_cause_no_renewal_loop() {
    // Calls are three quarters of a life apart. A busy machine may delay or skip some.
    let (one, five, text) = tokio::join!(calls_in_4s(1.into()), calls_in_4s(5.into()), calls_in_4s("3".into()));
    assert!((1..=8).contains(&one.0) && (1..=8).contains(&one.1), "{one:?}");
    assert!((1..=3).contains(&five.0) && (1..=3).contains(&five.1), "{five:?}");
    assert!((1..=4).contains(&text.0) && (1..=4).contains(&text.1), "{text:?}");
    // An answer with a life of zero can't be used.
    let none = serde_json::Value::Null;
    let (zero, negative, none) = tokio::join!(calls_in_4s(0.into()), calls_in_4s((-1).into()), calls_in_4s(none));
    for (tokens, tickets) in [zero, negative, none] {
        assert!((1..=10).contains(&tokens) && tickets == 0, "{tokens} {tickets}");
    }
}

#[tokio::test]
async fn ticket_that_comes_back_is_as_old_as_before() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let key = ticket_key(&wechat.account().app_id);
    let builder = Gateway::builder().wechat(&wechat).redis(&redis);
    let gateway = builder.set("internal.operator_key", OPERATOR_KEY).start().await;
    gateway.until_it_says("ready").await;
    let (first, began) = (redis.value(&key).await, Instant::now());
    let another = Fault::Body {
        body: json!({ "errcode": 0, "errmsg": "ok", "ticket": "another", "expires_in": 7200 }).to_string(),
        content_type: "application/json".to_owned(),
    };
    wechat.sandbox.inject(another.on(Api::GetTicket).once());
    for expected in [Some("another"), first.as_deref()] {
        // The first renewal may not quite have ended, and is joined then.
        until("the ticket is fetched again", || async {
            gateway.operator_renews("jsapi_ticket", OPERATOR_KEY).await;
            redis.value(&key).await.as_deref() == expected
        })
        .await;
    }
    let elapsed = began.elapsed();
    let left = redis.life(&key).await;
    assert!(left + elapsed < Duration::from_hours(2), "{left:?}");
}

#[tokio::test]
async fn ticket_is_fetched_once_per_max_age_by_the_cluster() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    let start = || {
        let builder = Gateway::builder().wechat(&wechat).redis(&redis);
        builder
            .set("credentials.ticket_max_age", "1s")
            .set("credentials.adopt_interval", "200ms")
            .start()
    };
    let (one, two, three) = tokio::join!(start(), start(), start());
    let replicas = [&one, &two, &three];
    for replica in replicas {
        replica.until_it_says("ready").await;
    }
    let (asked, began) = (wechat.sandbox.calls(Api::GetTicket), Instant::now());
    let shortest_lifetime = RefCell::new(redis.life(&ticket_key(&app_id)).await);
    until("it was asked about three times more", || async {
        // WeChat says 7200 s each time, but the ticket has not become younger.
        let life = redis.life(&ticket_key(&app_id)).await;
        assert!(
            life <= *shortest_lifetime.borrow() + Duration::from_millis(50),
            "its remaining life has grown"
        );
        *shortest_lifetime.borrow_mut() = life;
        wechat.sandbox.calls(Api::GetTicket) >= asked + 3
    })
    .await;
    assert!(began.elapsed() > Duration::from_millis(1700), "{:?}", began.elapsed());

    // A new value is found at the next call, and adopted by the other replicas.
    wechat.sandbox.kill_tickets(&app_id).unwrap();
    let page = "https://a.cn/p";
    until("all replicas sign with the new ticket", || async {
        let answers = futures_util::future::join_all(replicas.map(|replica| replica.sign(page))).await;
        answers
            .iter()
            .zip(replicas)
            .all(|(answer, replica)| replica.wechat_accepts(answer, page))
    })
    .await;
    assert_eq!(
        redis.value(&ticket_key(&app_id)).await.as_deref(),
        Some(wechat.sandbox.current_ticket(&app_id).unwrap().expose())
    );
}

#[tokio::test]
async fn empty_ticket_is_never_used() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    for ticket in [serde_json::Value::Null, "".into(), " \n".into()] {
        let set = [("ticket".to_owned(), ticket.clone())].into_iter().collect();
        let empty = wechat.sandbox.inject(Fault::Fields { set }.on(Api::GetTicket));
        let gateway = Gateway::builder()
            .wechat(&wechat)
            .set("credentials.ticket_max_age", "500ms")
            .start()
            .await;
        gateway.assert_no_credential().await;
        wechat.sandbox.remove_fault(empty);
        gateway.until_ready().await;
        gateway.assert_signs().await;

        // An empty ticket does not replace a good one either.
        let set = [("ticket".to_owned(), ticket)].into_iter().collect();
        let empty = wechat.sandbox.inject(Fault::Fields { set }.on(Api::GetTicket));
        let asked = wechat.sandbox.calls(Api::GetTicket);
        until("it has been asked about", || async {
            wechat.sandbox.calls(Api::GetTicket) > asked
        })
        .await;
        gateway.until_it_says("degraded").await;
        gateway.assert_signs().await;
        wechat.sandbox.remove_fault(empty);
    }
}

#[tokio::test]
async fn token_of_an_older_service_is_adopted() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(no_overlap()).await;
    let app_id = wechat.account().app_id;
    let older_service_renews = async |seconds: u64| {
        let token = wechat.sandbox.foreign_token(&app_id).unwrap();
        let command = format!(
            "SET weChat_client_credential:access_token {} EX {seconds}",
            token.expose()
        );
        redis.command::<()>(&command).await;
    };
    older_service_renews(7000).await;
    let gateway = Gateway::builder()
        .wechat(&wechat)
        .redis(&redis)
        .classic()
        .set("credentials.token_key", "weChat_client_credential:access_token")
        .set("credentials.adopt_interval", "100ms")
        .start()
        .await;
    gateway.assert_signs().await;
    assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
    older_service_renews(7200).await;
    until("the new one is adopted", || async {
        redis.journaled(&app_id, "adopted").await == 2
    })
    .await;
    assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
    assert_eq!(wechat.sandbox.calls(Api::Token), 0);
    assert!(gateway.foreign_invalidations().await < 0.5);

    // If the old service has stopped, the gateway renews the token before it expires.
    let token = wechat.sandbox.current_token(&app_id, TokenKind::Classic).unwrap();
    let last_write = format!("SET weChat_client_credential:access_token {} EX 2", token.expose());
    drop(gateway);
    redis.command::<()>(&last_write).await;
    let heir = Gateway::builder()
        .wechat(&wechat)
        .redis(&redis)
        .classic()
        .set("credentials.token_key", "weChat_client_credential:access_token")
        .start()
        .await;
    let traffic = Traffic::uploading([&*heir]);
    until("the gateway has renewed it", || async {
        wechat.sandbox.calls(Api::Token) == 1
    })
    .await;
    traffic.goes_on(20).await;
    traffic.end().await.assert_flawless();
    assert_eq!(wechat.sandbox.calls(Api::Token), 1);
}
