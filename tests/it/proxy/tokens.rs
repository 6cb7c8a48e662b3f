//! The tokens of passed calls: rejected ones of ours are replaced, others are not.

use std::time::Duration;

use serde_json::json;
use wxgate::sandbox::{Api, Fault, Kill, SandboxConfig};

use super::form;
use crate::support::{Answer, Gateway, RedisServer, SandboxHost, TINY_PHOTO};

#[tokio::test]
async fn call_with_a_dead_shared_token_is_repeated_once() {
    let gateway = Gateway::start().await;
    let app_id = gateway.wechat.account().app_id;
    for (turn, expired) in [(1, false), (2, true)] {
        let dead = gateway.token().await;
        let kill = Kill {
            expired,
            ..Kill::default()
        };
        gateway.wechat.sandbox.kill_token(&app_id, kill).unwrap();
        let calls = futures_util::future::join_all((0..20).map(|_| gateway.calls_wechat(&dead))).await;
        for answer in calls {
            assert!(answer.body["ip_list"].is_array(), "{answer:?}");
        }
        assert_eq!(gateway.wechat.sandbox.calls(Api::StableToken), turn + 1);
        assert_ne!(gateway.token().await, dead);
        // Calls with the old token still succeed, and no token is fetched for them.
        assert!(gateway.calls_wechat(&dead).await.body["ip_list"].is_array());
        let message = gateway
            .internal_request(
                "POST",
                &format!("/cgi-bin/message/custom/send?a=1&access_token={dead}&b=2"),
            )
            .json(&json!({ "touser": "o1" }));
        assert_eq!(gateway.send(message).await.body["errcode"], 0);
        assert_eq!(gateway.wechat.sandbox.calls(Api::StableToken), turn + 1);
    }
}

/// The answer to a customer message that is sent with `token`.
async fn sends_message(gateway: &Gateway, token: &str) -> Answer {
    let path = format!("/cgi-bin/message/custom/send?access_token={token}");
    let message = gateway.internal_request("POST", &path).json(&json!({ "touser": "o1" }));
    gateway.send(message).await
}

#[tokio::test]
async fn path_that_rejects_good_tokens_costs_neither_the_token_nor_calls_for_another() {
    let gateway = Gateway::start().await;
    let token = gateway.token().await;
    let sandbox = &gateway.wechat.sandbox;
    for api in [Api::CustomSend, Api::MediaUpload] {
        sandbox.inject(Fault::errcode(40001).on(api));
    }
    for _ in 0..5 {
        assert_eq!(sends_message(&gateway, &token).await.body["errcode"], 40001);
        let path = format!("/cgi-bin/media/upload?access_token={token}&type=image");
        let upload = gateway.internal_request("POST", &path).multipart(form(TINY_PHOTO));
        assert_eq!(gateway.send(upload).await.body["errcode"], 40001);
        assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
    }
    assert_eq!(sandbox.calls(Api::StableToken), 1);
    assert_eq!(sandbox.calls(Api::GetApiDomainIp), 2, "one for each path");
    assert!(gateway.foreign_invalidations().await < 0.1);
    assert_eq!(gateway.good_token(), token);
    // Asking for the token again so soon reports it as dead, but the probes have just shown that it is good.
    assert_eq!(gateway.token().await, token);
    assert_eq!(sandbox.calls(Api::GetApiDomainIp), 2);

    // A token that dies is still replaced by the first call that meets it on another path.
    gateway.wechat.kill_token();
    assert!(gateway.calls_wechat(&token).await.body["ip_list"].is_array());
    assert_eq!(sandbox.calls(Api::StableToken), 2);
}

#[tokio::test]
async fn many_calls_that_one_path_rejects_at_once_count_as_one_path() {
    let gateway = Gateway::start().await;
    let token = gateway.token().await;
    let sandbox = &gateway.wechat.sandbox;
    sandbox.inject(Fault::errcode(40001).on(Api::CustomSend));
    // They all wait for one probe.
    sandbox.inject(Fault::delay(Duration::from_millis(500)).on(Api::GetApiDomainIp).once());
    let calls = (0..40).map(|_| sends_message(&gateway, &token));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.body["errcode"], 40001);
    }
    gateway.wechat.kill_token();
    assert!(gateway.calls_wechat(&token).await.body["ip_list"].is_array());
    assert_eq!(sandbox.calls(Api::StableToken), 2);
}

#[tokio::test]
async fn path_that_rejects_good_tokens_costs_no_token_if_the_probe_is_refused_for_another_reason() {
    let gateway = Gateway::start().await;
    let token = gateway.token().await;
    let sandbox = &gateway.wechat.sandbox;
    sandbox.inject(Fault::errcode(40001).on(Api::CustomSend));
    sandbox.inject(Fault::errcode(45009).on(Api::GetApiDomainIp));
    assert_eq!(sends_message(&gateway, &token).await.body["errcode"], 40001);
    assert_eq!(gateway.good_token(), token);
    assert_eq!(sandbox.calls(Api::StableToken), 1);
}

#[tokio::test]
async fn large_body_is_not_repeated_but_the_token_is_renewed() {
    let gateway = Gateway::start().await;
    let dead = gateway.token().await;
    gateway.wechat.kill_token();
    let mut bytes = TINY_PHOTO.to_vec();
    bytes.resize(300_000, 7);
    let upload = async |token: &str| {
        let path = format!("/cgi-bin/media/upload?access_token={token}&type=image");
        gateway
            .send(gateway.internal_request("POST", &path).multipart(form(&bytes)))
            .await
    };
    assert_eq!(upload(&dead).await.body["errcode"], 40001);
    assert_eq!(gateway.wechat.sandbox.calls(Api::MediaUpload), 1);
    let good = gateway.token().await;
    assert_ne!(good, dead);
    assert!(upload(&good).await.body["media_id"].is_string());
}

#[tokio::test]
async fn unknown_token_is_passed_through_to_wechat() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let answer = gateway.calls_wechat("a-foreign-token").await;
    assert_eq!(answer.body["errcode"], 40001);
    assert_eq!(gateway.wechat.sandbox.calls(Api::GetCallbackIp), 1);
    assert_eq!(gateway.wechat.sandbox.calls(Api::StableToken), 1);
    let foreign = gateway
        .wechat
        .sandbox
        .foreign_token(&gateway.wechat.account().app_id)
        .unwrap();
    assert!(gateway.calls_wechat(foreign.expose()).await.body["ip_list"].is_array());
}

/// A rejection counts only if the rejected token is the one that was sent.
#[tokio::test]
async fn valid_token_is_not_renewed_for_anothers_error() {
    let gateway = Gateway::start().await;
    let dead = gateway.token().await;
    gateway.wechat.kill_token();
    let ask = async |query: &str| {
        let path = format!("/cgi-bin/getcallbackip?{query}");
        gateway.internal_get(&path).await.body
    };
    // However the parameter's name is escaped, the token is replaced.
    assert!(ask(&format!("access%5Ftoken={dead}")).await["ip_list"].is_array());
    let good = gateway.token().await;
    assert!(ask(&format!("access%5Ftoken={dead}")).await["ip_list"].is_array());
    // Of two tokens it is not known which one WeChat uses.
    ask(&format!("access_token={dead}&access_token={good}")).await;
    ask(&format!("access_token={good}&access_token={dead}")).await;
    // A user's token is not the gateway's.
    let rule = gateway.wechat.sandbox.inject(Fault::errcode(40001).on(Api::Other));
    let user = gateway
        .internal_get(&format!("/sns/userinfo?access_token={good}&openid=o"))
        .await;
    assert_eq!(user.body["errcode"], 40001);
    gateway.wechat.sandbox.remove_fault(rule);
    assert_eq!(gateway.token().await, good);
    assert_eq!(gateway.wechat.sandbox.calls(Api::StableToken), 2);
}

#[tokio::test]
async fn token_of_another_replica_is_renewed() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let start = || Gateway::builder().wechat(&wechat).redis(&redis).start();
    let one = start().await;
    let dead = one.token().await;
    wechat.kill_token();
    assert!(one.calls_wechat(&dead).await.body["ip_list"].is_array());
    // The second one has never seen the dead token.
    let two = start().await;
    assert!(two.calls_wechat(&dead).await.body["ip_list"].is_array());
    assert_eq!(wechat.sandbox.calls(Api::StableToken), 2);
}

#[tokio::test]
async fn ticket_of_another_type_is_passed_through() {
    let gateway = Gateway::start().await;
    let token = gateway.token().await;
    let calls = gateway.wechat.sandbox.calls(Api::GetTicket);
    let path = format!("/cgi-bin/ticket/getticket?access_token={token}&type=other");
    let answer = gateway.internal_get(&path).await;
    assert_eq!(answer.body["errcode"], 40097, "{answer:?}");
    assert!(gateway.wechat.sandbox.calls(Api::GetTicket) > calls);
}
