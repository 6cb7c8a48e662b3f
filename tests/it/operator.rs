//! An operator's renewals with the operator key.

use serde_json::json;
use wxgate::sandbox::{Api, Fault, SandboxConfig};
use wxgate::secret::Secret;

use crate::support::{Gateway, OPERATOR_KEY, SandboxHost};

#[tokio::test]
async fn operator_can_renew_by_hand() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder()
        .wechat(&wechat)
        .classic()
        .set("internal.operator_key", OPERATOR_KEY);
    let gateway = builder.start().await;
    let before = gateway.token().await;
    let answer = gateway.operator_renews("access_token", OPERATOR_KEY).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let after = gateway.token().await;
    assert_ne!(after, before);
    assert_eq!(answer.body["fingerprint"], Secret::new(after).fingerprint());
    assert_eq!(answer.body["changed"], true);
    assert!((7000..=7200).contains(&answer.body["expires_in"].as_i64().unwrap()));
    let ticket = gateway.operator_renews("jsapi_ticket", OPERATOR_KEY).await;
    assert_eq!(
        (ticket.status, &ticket.body["kind"]),
        (200, &json!("jsapi_ticket")),
        "{ticket:?}"
    );

    assert_eq!(gateway.operator_renews("access_token", "wrong").await.status, 401);
    let unknown_account = gateway
        .internal_request("POST", "/credentials/wxunknown/access_token/renew")
        .bearer_auth(OPERATOR_KEY);
    assert_eq!(gateway.send(unknown_account).await.status, 404);
    let slip = gateway
        .internal_request("POST", "/credentials/x/accesstoken/renew")
        .bearer_auth(OPERATOR_KEY);
    assert_eq!(gateway.send(slip).await.status, 404);

    wechat.sandbox.inject(Fault::errcode(40164).on(Api::Token));
    let refused = gateway.operator_renews("access_token", OPERATOR_KEY).await;
    assert_eq!(
        (refused.status, refused.body["errcode"].as_i64()),
        (503, Some(40164)),
        "{refused:?}"
    );
    assert!(refused.retry_after() >= 1 && refused.body["message"].is_string());
}

#[tokio::test]
async fn operator_actions_are_closed_without_a_key() {
    let gateway = Gateway::start().await;
    for key in ["", "anything"] {
        let answer = gateway.operator_renews("access_token", key).await;
        assert_eq!(answer.status, 403);
        assert!(
            answer.body["message"]
                .as_str()
                .unwrap()
                .contains("internal.operator_key")
        );
    }
}
