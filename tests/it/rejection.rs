//! C4, C5, C10, C12: tokens that WeChat rejects before they expire, and systems that invalidate each other's tokens.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use wxgate::sandbox::{Api, Fault, SandboxConfig, TokenKind};

use crate::support::{
    Gateway, GatewayProcess, HELD, OPERATOR_KEY, RedisServer, SandboxHost, TINY_PHOTO, no_overlap, token_key, until,
};

#[tokio::test]
async fn foreign_takeover_during_a_hundred_uploads_costs_one_renewal() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(no_overlap()).await;
    let app_id = wechat.account().app_id;
    let builder = Gateway::builder()
        .redis(&redis)
        .classic()
        .set("wechat.timeout", "20s")
        .set("credentials.lock_ttl", "60s");
    let processes = GatewayProcess::start_many(&builder, &wechat, 2).await;
    for process in &processes {
        process.until_it_says("ready").await;
    }
    // All hundred calls carry a token that is good when they are sent and dead when WeChat handles them.
    let held = wechat
        .sandbox
        .inject(Fault::Hold { before_operation: true }.on(Api::MediaGet).times(100));
    let uploads = (0..100).map(|turn| {
        let process = &processes[turn % 2];
        let photo = wechat.takes_photo(TINY_PHOTO);
        async move { process.upload(&photo).await }
    });
    let (answers, ()) = tokio::join!(futures_util::future::join_all(uploads), async {
        until("all uploads have reached WeChat", || async {
            wechat.sandbox.calls(Api::MediaGet) == 100
        })
        .await;
        wechat.sandbox.foreign_token(&app_id).unwrap();
        wechat.sandbox.remove_fault(held);
    });
    for answer in answers {
        assert_eq!(answer.code(), (200, 0), "{answer:?}");
    }
    assert_eq!(wechat.sandbox.calls(Api::Token), 2, "the first token, and one renewal");
    assert_eq!(
        wechat.sandbox.calls(Api::MediaGet),
        200,
        "each upload is tried once more"
    );

    until("it is in the journal", || async {
        redis.journaled(&app_id, "foreign_invalidation").await == 1
    })
    .await;
    let reported = || processes.iter().any(|process| !process.logged("foreign").is_empty());
    until("it is in the log", || async { reported() }).await;
    let mut counted = 0.0;
    let mut logged = 0;
    for process in &processes {
        counted += process.foreign_invalidations().await;
        logged += process.logged("foreign").len();
    }
    assert!((counted - 1.0).abs() < 0.1, "{counted}");
    assert_eq!(logged, 1);
    assert_eq!(redis.journaled(&app_id, "foreign_invalidation").await, 1);
    let line = processes.iter().find_map(|process| process.logged("foreign").pop());
    assert!(
        line.as_ref()
            .is_some_and(|line| line.contains("ERROR") && line.contains("AppSecret")),
        "{line:?}"
    );
}

#[tokio::test]
async fn foreign_takeover_is_counted_once_by_the_cluster_even_if_the_next_token_calls_fail() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(no_overlap()).await;
    let app_id = wechat.account().app_id;
    let start = || Gateway::builder().wechat(&wechat).redis(&redis).classic().start();
    let (one, other) = tokio::join!(start(), start());
    let replicas = [&one, &other];
    for replica in replicas {
        replica.until_it_says("ready").await;
    }
    wechat.sandbox.foreign_token(&app_id).unwrap();
    let busy = wechat.sandbox.inject(Fault::errcode(-1).on(Api::Token));
    for replica in replicas {
        assert_eq!(replica.upload_new_photo().await.code(), (503, 4001));
    }
    wechat.sandbox.remove_fault(busy);
    for replica in replicas {
        replica.until_it_says("ready").await;
    }
    until("it is in the journal", || async {
        redis.journaled(&app_id, "foreign_invalidation").await > 0
    })
    .await;
    let counted = one.foreign_invalidations().await + other.foreign_invalidations().await;
    assert!((counted - 1.0).abs() < 0.1, "{counted}");
    assert_eq!(redis.journaled(&app_id, "foreign_invalidation").await, 1);
}

#[tokio::test]
async fn token_that_dies_during_our_own_renewal_is_not_reported_as_foreign() {
    let wechat = SandboxHost::start(no_overlap()).await;
    let gateway = Gateway::builder().wechat(&wechat).classic();
    let gateway = gateway.set("internal.operator_key", OPERATOR_KEY).start().await;
    gateway.until_it_says("ready").await;
    let app_id = wechat.account().app_id;
    let current = || wechat.sandbox.current_token(&app_id, TokenKind::Classic);
    let before = current();
    let expiry = gateway.token_expiry().await;
    // WeChat has replaced the token, and its answer is on the way when an upload uses the old one.
    let held = wechat.sandbox.inject(HELD.on(Api::Token).once());
    let (renewed, uploaded, ()) = tokio::join!(
        gateway.operator_renews("access_token", OPERATOR_KEY),
        async {
            until("the token is replaced", || async { current() != before }).await;
            gateway.upload_new_photo().await
        },
        async {
            // A rejection ends the expiry in the metric.
            let is_rejected = || async { gateway.token_expiry().await < expiry - 60.0 };
            until("the old token is rejected", is_rejected).await;
            wechat.sandbox.remove_fault(held);
        },
    );
    assert_eq!((renewed.status, uploaded.code()), (200, (200, 0)), "{uploaded:?}");
    // The next renewal reports the foreign invalidations that are known by then.
    let next = gateway.operator_renews("access_token", OPERATOR_KEY).await;
    assert_eq!(next.status, 200, "{next:?}");
    assert!(gateway.foreign_invalidations().await < 0.5);
}

#[tokio::test]
async fn replica_that_adopted_the_new_token_does_not_report_the_old_one() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(no_overlap()).await;
    let app_id = wechat.account().app_id;
    let start = || {
        let builder = Gateway::builder().wechat(&wechat).redis(&redis).classic();
        builder.set("internal.operator_key", OPERATOR_KEY).start()
    };
    let (one, other) = tokio::join!(start(), start());
    one.until_it_says("ready").await;
    other.until_it_says("ready").await;
    // The first one renews the token and reports it.
    wechat.sandbox.foreign_token(&app_id).unwrap();
    assert_eq!(one.upload_new_photo().await.code(), (200, 0));
    // The other one meets the same dead token and adopts the new one. The next renewal reports the foreign invalidations
    // that are known by then.
    assert_eq!(other.upload_new_photo().await.code(), (200, 0));
    assert_eq!(wechat.sandbox.calls(Api::Token), 2);
    assert_eq!(other.operator_renews("access_token", OPERATOR_KEY).await.status, 200);
    assert_eq!(wechat.sandbox.calls(Api::Token), 3);
    until("the renewal is journaled", || async {
        redis.journaled(&app_id, "renewed").await + redis.journaled(&app_id, "issued").await == 4
    })
    .await;
    assert_eq!(redis.journaled(&app_id, "foreign_invalidation").await, 1);
    assert!(other.foreign_invalidations().await < 0.5);
}

#[tokio::test]
async fn fight_over_a_classic_token_is_stopped_by_the_daily_limit() {
    let wechat = SandboxHost::start(no_overlap()).await;
    let builder = Gateway::builder().classic().set("credentials.daily_token_calls", 5);
    let processes = GatewayProcess::start_many(&builder, &wechat, 2).await;
    for process in &processes {
        process.until_it_says("ready").await;
    }
    let gave_up = |process: &GatewayProcess| !process.logged("daily_token_calls").is_empty();
    until("one of them gives up", || async {
        for process in &processes {
            process.upload_new_photo().await;
        }
        processes.iter().any(gave_up)
    })
    .await;
    let (loser, winner) = if gave_up(&processes[0]) { (0, 1) } else { (1, 0) };
    let (loser, winner) = (&processes[loser], &processes[winner]);
    let alarm = loser.logged("daily_token_calls").swap_remove(0);
    assert!(
        alarm.contains("ERROR") && alarm.contains("5 token calls today"),
        "{alarm}"
    );
    let calls = format!("wxgate_token_calls_today{{app_id=\"{}\"}}", wechat.account().app_id);
    assert!((loser.metric(&calls).await - 5.0).abs() < 0.1);

    until("the other one has the account to itself", || async {
        winner.upload_new_photo().await.code() == (200, 0)
    })
    .await;
    let calls = wechat.sandbox.calls(Api::Token);
    assert!(calls <= 10, "{calls}");
    for _ in 0..20 {
        assert_eq!(winner.upload_new_photo().await.code(), (200, 0));
        let refused = loser.upload_new_photo().await;
        assert_eq!(refused.code(), (503, 4001), "{refused:?}");
        assert!(refused.retry_after() >= 1, "{refused:?}");
        // A ticket stays valid when the token that it was obtained with dies.
        loser.assert_signs().await;
    }
    assert_eq!(wechat.sandbox.calls(Api::Token), calls, "no more tokens are asked for");
}

#[tokio::test]
async fn daily_limit_is_shared_by_the_cluster() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(no_overlap()).await;
    let app_id = wechat.account().app_id;
    let start = || {
        let builder = Gateway::builder().wechat(&wechat).redis(&redis).classic();
        builder.set("credentials.daily_token_calls", 3).start()
    };
    let (one, two) = tokio::join!(start(), start());
    one.until_it_says("ready").await;
    two.until_it_says("ready").await;
    for (first, second) in [(&one, &two), (&two, &one)] {
        wechat.sandbox.foreign_token(&app_id).unwrap();
        assert_eq!(first.upload_new_photo().await.code(), (200, 0));
        assert_eq!(second.upload_new_photo().await.code(), (200, 0));
    }
    wechat.sandbox.foreign_token(&app_id).unwrap();
    for gateway in [&one, &two] {
        let refused = gateway.upload_new_photo().await;
        assert_eq!(refused.code(), (503, 4001), "{refused:?}");
    }
    assert_eq!(wechat.sandbox.calls(Api::Token), 3);
}

#[tokio::test]
async fn force_refresh_needs_a_rejected_token_and_30_s_between() {
    let redis = RedisServer::start().await;
    // The sandbox would allow a forced refresh at any time.
    let wechat = SandboxHost::start(SandboxConfig {
        force_refresh_interval: Duration::ZERO,
        ..SandboxConfig::default()
    })
    .await;
    let app_id = wechat.account().app_id;
    let token = || wechat.sandbox.current_token(&app_id, TokenKind::Stable).unwrap();
    let gateway = || Gateway::builder().wechat(&wechat).redis(&redis).start();
    let (one, two) = tokio::join!(gateway(), gateway());
    one.until_it_says("ready").await;
    two.until_it_says("ready").await;
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);

    // The token died, and WeChat issues another one: an ordinary call is enough.
    let dead = token();
    wechat.kill_token();
    assert_eq!(one.upload_new_photo().await.code(), (200, 0));
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 2);
    assert_ne!(token(), dead);

    // WeChat rejects a token, and on an ordinary call gives the same one back.
    let rejected = token();
    wechat.sandbox.inject(Fault::errcode(40001).on(Api::MediaGet).once());
    assert_eq!(one.upload_new_photo().await.code(), (200, 0));
    assert_eq!(
        wechat.sandbox.calls(Api::StableToken),
        4,
        "an ordinary call, and a forced one"
    );
    assert_ne!(token(), rejected);

    // Again, on another replica, too soon for the cluster.
    two.until_it_says("ready").await;
    let rejected = token();
    until("the other one has adopted the token", || async {
        two.upload_new_photo().await.code() == (200, 0)
            && redis.value(&token_key(&app_id)).await.as_deref() == Some(rejected.expose())
    })
    .await;
    wechat.sandbox.inject(Fault::errcode(40001).on(Api::MediaGet).once());
    let refused = two.upload_new_photo().await;
    assert_eq!(refused.code(), (503, 4001), "{refused:?}");
    assert_eq!(token(), rejected, "nothing was forced");
    two.assert_signs().await;
}

/// How often a token is asked for in 20 s of `traffic`, over and over.
async fn token_calls_in_20s<F: Future<Output = ()>>(wechat: &SandboxHost, api: Api, traffic: impl Fn() -> F) -> u64 {
    let (before, end) = (wechat.sandbox.calls(api), Instant::now() + Duration::from_secs(20));
    while Instant::now() < end {
        traffic().await;
        sleep(Duration::from_millis(50)).await;
    }
    wechat.sandbox.calls(api) - before
}

/// At least four calls, so it keeps trying; more than eight would mean that the waits do not grow.
fn assert_waits_grow(calls: u64) {
    assert!((4..=8).contains(&calls), "{calls} token calls in 20 s");
}

/// A cluster of two whose token WeChat rejects in `api`, while it keeps issuing that token.
async fn cluster_with_a_rejected_token(api: Api) -> (RedisServer, std::sync::Arc<SandboxHost>, [Gateway; 2]) {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let start = || Gateway::builder().wechat(&wechat).redis(&redis).start();
    let (one, two) = tokio::join!(start(), start());
    one.until_it_says("ready").await;
    two.until_it_says("ready").await;
    wechat.sandbox.inject(Fault::errcode(40001).on(api));
    (redis, wechat, [one, two])
}

#[tokio::test]
async fn reissued_rejected_token_is_asked_for_at_growing_intervals() {
    let (_redis, wechat, [one, two]) = cluster_with_a_rejected_token(Api::MediaGet).await;
    let calls = token_calls_in_20s(&wechat, Api::StableToken, || async {
        for gateway in [&one, &two] {
            assert_ne!(gateway.upload_new_photo().await.status, 200);
        }
    })
    .await;
    assert_waits_grow(calls);
    let refused = one.upload_new_photo().await;
    assert_eq!(refused.code(), (503, 4001), "{refused:?}");
    // One replica has found it, and the other one waits too.
    let ready = async |gateway: &Gateway| gateway.internal_get("/readyz").await.body.to_string();
    let ready = ready(&one).await + &ready(&two).await;
    assert!(ready.contains("keeps issuing the token that it rejects"), "{ready}");
    // Signing needs the ticket, not the token.
    one.assert_signs().await;
}

#[tokio::test]
async fn probes_that_reject_every_token_do_not_burn_token_calls() {
    let (_redis, wechat, [one, two]) = cluster_with_a_rejected_token(Api::GetApiDomainIp).await;
    let calls = token_calls_in_20s(&wechat, Api::StableToken, || async {
        one.asks_for_stable_token(true).await;
        two.asks_for_stable_token(true).await;
    })
    .await;
    assert_waits_grow(calls);
}

#[tokio::test]
async fn ticket_calls_that_reject_every_token_do_not_burn_token_calls() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    wechat.sandbox.inject(Fault::errcode(40001).on(Api::GetTicket));
    let gateway = Gateway::builder().wechat(&wechat).start().await;
    let calls = token_calls_in_20s(&wechat, Api::StableToken, || async {
        gateway.assert_no_credential().await;
    })
    .await;
    assert_waits_grow(calls);
    let tickets = wechat.sandbox.calls(Api::GetTicket);
    assert!(tickets <= 10, "{tickets} ticket calls");
}

#[tokio::test]
async fn classic_fight_is_fought_at_growing_intervals() {
    let wechat = SandboxHost::start(no_overlap()).await;
    let app_id = wechat.account().app_id;
    let gateway = Gateway::builder().wechat(&wechat).classic().start().await;
    gateway.until_it_says("ready").await;
    let calls = token_calls_in_20s(&wechat, Api::Token, || async {
        wechat.sandbox.foreign_token(&app_id).unwrap();
        gateway.upload_new_photo().await;
    })
    .await;
    assert_waits_grow(calls);
    let ready = gateway.internal_get("/readyz").await.body.to_string();
    assert!(
        ready.contains("new access_tokens are rejected soon after they are issued"),
        "{ready}"
    );
}
