//! Accounts that sign no pages, and the ticket for cards.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use wxgate::account::AppId;
use wxgate::sandbox::{Api, SandboxConfig};

use crate::support::{
    Answer, Caller, Gateway, GatewayBuilder, OPERATOR_KEY, RedisServer, SandboxHost, account, always, ticket_key, until,
};

fn app_id(name: &str) -> AppId {
    account(name, "").app_id
}

/// Two accounts: `wxpages` signs pages, `wxmini` does not.
async fn two_accounts() -> (Arc<SandboxHost>, GatewayBuilder) {
    let accounts = vec![
        account("wxpages", "secret-of-wxpages"),
        account("wxmini", "secret-of-wxmini"),
    ];
    let wechat = SandboxHost::start(SandboxConfig::with_accounts(accounts)).await;
    let file = "[[accounts]]\napp_id = \"wxpages\"\napp_secret = \"secret-of-wxpages\"\n\
                [[accounts]]\napp_id = \"wxmini\"\napp_secret = \"secret-of-wxmini\"\njsapi = false\n";
    let builder = Gateway::builder().wechat(&wechat).file(file);
    (wechat, builder.set("internal.operator_key", OPERATOR_KEY))
}

#[tokio::test]
async fn account_that_signs_no_pages_keeps_no_ticket() {
    let (wechat, builder) = two_accounts().await;
    let gateway = builder.set("credentials.adopt_interval", "50ms").start().await;
    gateway.until_it_says("ready").await;
    let ready = gateway.get("/readyz").await.body;
    let components = ready["components"].as_array().unwrap().iter();
    let names: Vec<_> = components.filter_map(|one| one["name"].as_str()).collect();
    let names: Vec<_> = names.into_iter().filter(|name| name.starts_with("wx")).collect();
    assert_eq!(
        names,
        ["wxpages access_token", "wxpages jsapi_ticket", "wxmini access_token"]
    );

    let sign = async |query: &str| {
        gateway
            .get(&format!("/wechat/jsSDK?url=https%3A%2F%2Fa.cn%2Fp{query}"))
            .await
    };
    assert_eq!(sign("").await.code(), (200, 0));
    let refused = sign("&appId=wxmini").await;
    assert_eq!(refused.code(), (404, 1004), "{refused:?}");
    assert!(
        refused.body["message"]
            .as_str()
            .unwrap()
            .contains("does not sign pages"),
        "{refused:?}"
    );

    let page = gateway.internal_get("/console?lang=en").await.body;
    let page = page.as_str().unwrap();
    assert!(page.contains("All is well"));
    assert!(page.contains("credentials/wxmini/access_token/renew"));
    assert!(!page.contains("credentials/wxmini/jsapi_ticket/renew"));
    let renew = gateway.internal_request("POST", "/credentials/wxmini/jsapi_ticket/renew");
    assert_eq!(gateway.send(renew.bearer_auth(OPERATOR_KEY)).await.status, 404);

    // Clients that ask for its ticket nevertheless get WeChat's answer.
    let token = gateway.asks_for_token("wxmini", "secret-of-wxmini").await.body;
    let token = token["access_token"].as_str().unwrap();
    let calls = || wechat.sandbox.calls_for(&app_id("wxmini"), Api::GetTicket);
    always("the ticket is not asked for", Duration::from_millis(300), async || {
        calls() == 0
    })
    .await;
    let metrics = gateway.internal_get("/metrics").await.body;
    let of_ticket = "app_id=\"wxmini\",kind=\"jsapi_ticket\"";
    assert!(!metrics.as_str().unwrap().contains(of_ticket));
    for asked in 1..=2 {
        assert_eq!(gateway.asks_for_ticket(token).await.body["errcode"], 0);
        assert_eq!(calls(), asked);
    }
}

#[tokio::test]
async fn gateway_is_ready_if_its_only_account_signs_no_pages() {
    let builder = Gateway::builder().set("accounts.0.jsapi", false);
    let gateway = builder.start().await;
    gateway.until_it_says("ready").await;
    assert_eq!(gateway.sign("https://a.cn/p").await.code(), (404, 1004));
    assert!(gateway.upload_new_photo().await.code() == (200, 0));
    assert_eq!(gateway.wechat.sandbox.calls(Api::GetTicket), 0);
}

#[tokio::test]
async fn check_asks_for_no_ticket_of_an_account_that_signs_no_pages() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().set("accounts.0.jsapi", false);
    let ran = builder.run(&wechat, &["check"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        !ran.out.contains("js_domains") && !ran.out.contains("issues a ticket"),
        "{}",
        ran.out
    );
    assert_eq!(wechat.sandbox.calls(Api::GetTicket), 0);
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 1);
}

async fn asks_for_card_ticket(caller: &Caller, token: &str) -> Answer {
    let path = format!("/cgi-bin/ticket/getticket?access_token={token}&type=wx_card");
    caller.internal_get(&path).await
}

#[tokio::test]
async fn card_ticket_is_kept_for_the_cluster_after_the_first_request() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let start = || Gateway::builder().wechat(&wechat).redis(&redis).start();
    let (one, two) = (start().await, start().await);
    one.until_it_says("ready").await;
    two.until_it_says("ready").await;
    let token = one.token().await;
    assert_eq!(
        wechat.sandbox.calls(Api::GetTicket),
        1,
        "only the ticket for pages, none for cards"
    );

    let asked = futures_util::future::join_all((0..10).map(|_| asks_for_card_ticket(&one, &token))).await;
    let ticket = asked[0].body["ticket"].clone();
    assert!(ticket.is_string(), "{:?}", asked[0]);
    for answer in asked.iter().chain([&asks_for_card_ticket(&two, &token).await]) {
        assert_eq!(answer.body["ticket"], ticket, "{answer:?}");
        assert!((7000..=7200).contains(&answer.body["expires_in"].as_i64().unwrap()));
    }
    assert_eq!(wechat.sandbox.calls(Api::GetTicket), 2);
    let pages = one.asks_for_ticket(&token).await.body["ticket"].clone();
    assert!(pages.is_string() && pages != ticket);
    one.assert_signs().await;

    let key = format!("wxgate:card_ticket:{}", wechat.account().app_id);
    assert_eq!(redis.value(&key).await.map(Value::from), Some(ticket.clone()));
    assert!(redis.life(&key).await > Duration::from_secs(7000));
    // A replica that starts later takes it over too.
    let three = start().await;
    assert_eq!(asks_for_card_ticket(&three, &token).await.body["ticket"], ticket);
    assert_eq!(wechat.sandbox.calls(Api::GetTicket), 2);
    // WeChat answers for other systems' tokens.
    assert_eq!(
        asks_for_card_ticket(&one, "an-unknown-token").await.body["errcode"],
        40001
    );
}

#[tokio::test]
async fn card_ticket_is_renewed_ahead_of_its_end() {
    let redis = RedisServer::start().await;
    let config = SandboxConfig {
        ticket_ttl: Duration::from_secs(8),
        ..SandboxConfig::default()
    };
    let wechat = SandboxHost::start(config).await;
    let builder = Gateway::builder()
        .wechat(&wechat)
        .redis(&redis)
        .set("accounts.0.jsapi", false);
    let gateway = builder.set("credentials.adopt_interval", "100ms").start().await;
    let token = gateway.token().await;
    let first = asks_for_card_ticket(&gateway, &token).await.body["ticket"].clone();
    let asked = Instant::now();
    let key = format!("wxgate:card_ticket:{}", wechat.account().app_id);
    // No client asks any more, and the ticket is still kept.
    let renewed = async || {
        let now = redis.value(&key).await.map(Value::from);
        assert!(now.is_some(), "lost after {:?}", asked.elapsed());
        now != Some(first.clone())
    };
    until("it is renewed", renewed).await;
    let second = asks_for_card_ticket(&gateway, &token).await;
    assert_ne!(second.body["ticket"], first, "{second:?}");
    assert!(second.body["expires_in"].as_u64().unwrap() >= 1);
}

#[tokio::test]
async fn ticket_that_wechat_has_confirmed_to_one_replica_lasts_longer_for_all() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let app_id = wechat.account().app_id;
    let builder = Gateway::builder().wechat(&wechat).redis(&redis);
    let gateway = builder.set("credentials.adopt_interval", "200ms").start().await;
    gateway.until_it_says("ready").await;
    let series = format!("wxgate_credential_expiry_timestamp_seconds{{app_id=\"{app_id}\",kind=\"jsapi_ticket\"}}");
    let before = gateway.metric(&series).await;
    // As if another replica had published it again, with a later expiry.
    let later = format!("PEXPIRE {} 7500000", ticket_key(&app_id));
    assert_eq!(redis.command::<i64>(&later).await, 1);
    until("the later expiry is adopted", || async {
        gateway.metric(&series).await > before + 200.0
    })
    .await;
    assert_eq!(redis.journaled(&app_id, "adopted").await, 0);
}
