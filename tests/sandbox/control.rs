//! The control API.

use serde_json::{Value, json};
use wxgate::sandbox::{Api, Fault};

use crate::{APP, Desk, app, errcode, text, token_path};

#[tokio::test]
async fn faults_are_set_listed_and_cleared() {
    let desk = Desk::new().await;
    let rules = json!([
        {"api": "token", "fault": {"kind": "errcode", "code": -1}, "times": 1},
        {"faults": [{"kind": "errcode", "code": 45009}, {"kind": "numbers_as_strings"}], "skip": 1},
    ]);
    assert_eq!(desk.post_json("/sandbox/faults", rules).await, json!({"ids": [1, 2]}));
    assert_eq!(errcode(&desk.classic().await), -1);
    assert_eq!(errcode(&desk.classic().await), 0);
    assert_eq!(desk.classic().await["errcode"], "45009");
    let listed = desk.get_json("/sandbox/faults").await;
    assert_eq!(
        listed[0],
        json!({"id": 1, "api": "token", "faults": [{"kind": "errcode", "code": -1}], "times": 1, "skip": 0, "hits": 1})
    );
    let delete = async |path: &str| {
        desk.client
            .delete(desk.url(path))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(delete("/sandbox/faults/2").await, 200);
    assert_eq!(delete("/sandbox/faults/2").await, 404);
    assert_eq!(delete("/sandbox/faults").await, 200);
    assert_eq!(desk.get_json("/sandbox/faults").await, json!([]));
}

#[tokio::test]
async fn bad_control_call_is_explained() {
    let desk = Desk::new().await;
    for (body, said) in [
        (json!({"fault": {"kind": "errcode"}}), "missing field `code`"),
        (json!({"fault": {"kind": "nonsense"}}), "unknown variant `nonsense`"),
        (json!({"fault": {"kind": "reset"}, "time": 1}), "unknown field `time`"),
        (
            json!({"fault": {"kind": "cut", "after": 1, "bytes": 1}}),
            "unknown field `bytes`",
        ),
        (
            json!({"api": "tokens", "fault": {"kind": "reset"}}),
            "unknown variant `tokens`",
        ),
        (json!({}), "missing field `faults`"),
        (json!(1), "invalid type"),
    ] {
        let answer = desk.post("/sandbox/faults", body.clone()).await;
        assert_eq!(answer.status(), 400);
        let answer: Value = answer.json().await.unwrap();
        assert!(text(&answer, "error").contains(said), "{body} {answer}");
    }
    let answer = desk.post("/sandbox/accounts/wxnone/kill_token", json!({})).await;
    assert_eq!(answer.status(), 404);
    assert!(text(&answer.json().await.unwrap(), "error").contains("no such account"));
    assert_eq!(desk.get("/sandbox/nowhere").await.status(), 404);
    assert_eq!(desk.get("/sandbox/reset").await.status(), 405);
}

#[tokio::test]
async fn the_state_shows_fingerprints_and_no_secret() {
    let desk = Desk::new().await;
    let classic = desk.classic().await;
    let token = desk.token().await;
    let ticket = desk.ticket(&token, "jsapi").await;
    let response = desk.client.get(desk.url(&token_path("wxnone")));
    response
        .header("traceparent", "00-1")
        .bearer_auth("hush")
        .send()
        .await
        .unwrap();

    let state = desk.get_json("/sandbox/state").await;
    let account = &state["accounts"][0];
    assert_eq!(account["app_id"], APP);
    let shown = &account["stable_token"];
    assert_eq!(shown["fingerprint"], wxgate::secret::Secret::new(&*token).fingerprint());
    assert!(shown["seconds_left"].as_u64().unwrap() > 7190);
    assert!(account["jsapi_tickets"][0]["seconds_left"].as_u64().unwrap() > 14390);
    assert_eq!(
        account["calls"],
        json!({"token": 1, "stable_token": 1, "get_ticket": 1})
    );
    assert_eq!(state["calls"]["token"], 2);

    let calls = desk.get_json("/sandbox/calls").await;
    assert_eq!(calls.as_array().unwrap().len(), 4);
    assert_eq!(calls[3]["headers"]["traceparent"], "00-1");
    assert_eq!(calls[3]["path"], "/cgi-bin/token");
    let all = format!("{state}{calls}");
    for secret in [
        text(&classic, "access_token"),
        &token,
        text(&ticket, "ticket"),
        crate::SECRET,
        "hush",
    ] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test]
async fn tokens_are_killed_and_time_moves_on_order() {
    let desk = Desk::new().await;
    let token = desk.token().await;
    let path = |what: &str| format!("/sandbox/accounts/{APP}/{what}");
    let kill = json!({"kind": "classic"});
    desk.post_json(&path("kill_token"), kill).await;
    assert_eq!(desk.errcode_of(&token).await, 0);
    let nothing = desk.client.post(desk.url(&path("kill_token"))).send().await.unwrap();
    assert_eq!(nothing.status(), 200);
    assert_eq!(desk.errcode_of(&token).await, 40001);

    let ours = text(&desk.classic().await, "access_token").to_owned();
    let theirs = desk.post_json(&path("foreign_token"), json!({})).await;
    assert_eq!(text(&theirs, "fingerprint").len(), 8);
    assert_eq!(desk.errcode_of(&ours).await, 0);
    let before = desk.sandbox.unix_time();
    let advanced = desk.post_json("/sandbox/advance", json!({"seconds": 300})).await;
    assert!(advanced["unix"].as_u64().unwrap() >= before + 300);
    assert_eq!(desk.errcode_of(&ours).await, 40001);

    let ticket = desk.sandbox.current_ticket(&app(APP));
    assert!(ticket.is_some());
    desk.post_json(&path("kill_tickets"), json!({})).await;
    assert_eq!(desk.sandbox.current_ticket(&app(APP)), None);
}

#[tokio::test]
async fn reset_forgets_everything() {
    let desk = Desk::new().await;
    let token = desk.token().await;
    desk.sandbox.inject(Fault::Reset.on(Api::Token));
    desk.post_json("/sandbox/reset", json!({})).await;
    assert_eq!(desk.sandbox.calls(Api::StableToken), 0);
    assert_eq!(desk.errcode_of(&token).await, 40001);
    assert_eq!(errcode(&desk.classic().await), 0);
    assert_eq!(desk.get_json("/sandbox/calls").await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_help_lists_every_fault_with_an_example_that_works() {
    let desk = Desk::new().await;
    let help = desk.get("/sandbox").await.text().await.unwrap();
    let examples: Vec<&str> = help
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("{\"kind\""))
        .collect();
    let mut kinds = Vec::new();
    for example in examples {
        let json = &example[..=example.rfind('}').unwrap()];
        let fault: Fault = serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"));
        kinds.push(fault.kind());
    }
    // serde's error for an unknown kind lists all kinds.
    let unknown = serde_json::from_str::<Fault>(r#"{"kind":"?"}"#)
        .unwrap_err()
        .to_string();
    for kind in unknown.split('`').skip(3).step_by(2) {
        assert!(kinds.iter().any(|listed| listed == kind), "{kind} is not explained");
    }
    assert!(kinds.len() > 20);
}
