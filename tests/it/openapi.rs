//! The OpenAPI document is complete, and the gateway serves it.

use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use wxgate::http::{Code, openapi};
use wxgate::picture::PictureKind;

use crate::support::Gateway;
use crate::support::packages::{python_with, run};

#[test]
fn every_route_parameter_and_code_is_in_the_document() {
    let document: Value = serde_json::to_value(openapi()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = &document["paths"];
    for (method, path) in [
        ("get", "/wechat/jsSDK"),
        ("post", "/p/active/weChatOa/upload"),
        ("get", "/images/{name}"),
        ("get", "/healthz"),
        ("get", "/readyz"),
    ] {
        let operation = &paths[path][method];
        assert!(
            operation["summary"].is_string() && operation["operationId"].is_string(),
            "{path}"
        );
    }
    let parameters: Vec<_> = paths["/wechat/jsSDK"]["get"]["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parameter| {
            (
                parameter["name"].as_str().unwrap(),
                parameter["required"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(parameters, [("url", true), ("appId", false)]);
    let properties = &document["components"]["schemas"]["UploadRequest"]["properties"];
    assert!(properties["mediaId"]["example"].is_string() && properties["appId"]["example"].is_string());

    let responses = &paths["/wechat/jsSDK"]["get"]["responses"];
    assert!(responses["431"].is_object() && responses["414"].is_null());
    for status in ["200", "206"] {
        let content = paths["/images/{name}"]["get"]["responses"][status]["content"].as_object();
        let kinds = PictureKind::ALL.iter();
        assert!(
            kinds.map(|kind| kind.media_type()).eq(content.unwrap().keys()),
            "{content:?}"
        );
    }

    // Each code that a route may answer is there, with an example if it is one of a business route.
    let routes = [
        &paths["/wechat/jsSDK"]["get"],
        &paths["/p/active/weChatOa/upload"]["post"],
    ];
    let of_pictures = [Code::PreconditionFailed, Code::RangeNotSatisfiable];
    for code in of_pictures {
        let is_answered = |route: &Value| route["responses"][code.status().as_str()].is_object();
        assert!(is_answered(&paths["/images/{name}"]["get"]), "{code:?}");
        assert!(!routes.iter().any(|route| is_answered(route)), "{code:?}");
    }
    let is_of_routes = |code: &Code| *code != Code::NotFound && !of_pictures.contains(code);
    for code in Code::ALL.into_iter().filter(is_of_routes) {
        let example = routes.iter().find_map(|route| {
            route["responses"][code.status().as_str()]["content"]["application/json"]["examples"].get(code.name())
        });
        let example = example.unwrap_or_else(|| panic!("{code:?} has no example"));
        assert_eq!(example["value"]["code"], code.number());
    }
}

#[tokio::test]
async fn openapi_document_is_served_unless_turned_off() {
    let gateway = Gateway::start().await;
    let served = gateway.get("/openapi.json").await;
    assert_eq!(served.body, serde_json::to_value(openapi()).unwrap());
    let gateway = Gateway::builder().set("server.docs", false).start().await;
    for path in ["/openapi.json", "/docs/"] {
        assert_eq!(gateway.get(path).await.code(), (404, 1009), "{path}");
    }
}

/// schemathesis generates requests that the document allows and others that it forbids: each answer has a documented
/// status and shape, none is a 5xx, and forbidden requests are refused.
#[tokio::test(flavor = "multi_thread")]
async fn responses_match_the_openapi_document() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let scratch = tempfile::tempdir().unwrap();
    // With 431, hyper refuses a URL that is longer than any route would read.
    let refusals = "[checks.negative_data_rejection]\nexpected-statuses = [400, 404, 405, 415, 431]\n";
    std::fs::write(scratch.path().join("schemathesis.toml"), refusals).unwrap();
    let mut schemathesis = Command::new(python_with("schemathesis").await);
    schemathesis
        .args(["-m", "schemathesis.cli", "run", &gateway.url("/openapi.json")])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "50"])
        // A fixed seed: a failure comes from a change, not from chance.
        .args(["--generation-deterministic"])
        .args(["--warnings", "off", "--no-color"])
        .current_dir(scratch.path())
        .env("NO_PROXY", "127.0.0.1");
    let said = run(
        Duration::from_mins(2),
        "the gateway does not keep to the document",
        &mut schemathesis,
    )
    .await;
    assert!(said.contains("5 selected / 5 total"), "{said}");
}
