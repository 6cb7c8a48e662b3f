//! Which paths are passed through, and in which spelling.

use serde_json::json;
use wxgate::sandbox::Api;

use super::{Echo, sends};
use crate::support::Gateway;

#[tokio::test]
async fn other_paths_are_not_passed_through() {
    let gateway = Gateway::start().await;
    for path in [
        "/",
        "/credentials",
        "/console/x",
        "/Console/x",
        "/metrics/",
        "/wechat/jsSDK",
        "/p/active/weChatOa/upload",
    ] {
        let answer = gateway.internal_get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    assert_eq!(gateway.wechat.sandbox.calls(Api::Other), 0);

    let closed = Gateway::builder().set("internal.proxy", false).start().await;
    let token = closed.token().await;
    let answer = closed.calls_wechat(&token).await;
    assert_eq!(
        (answer.status, &answer.body["errcode"]),
        (404, &json!(40066)),
        "{answer:?}"
    );
    assert_eq!(closed.asks_for_ticket(&token).await.body["errcode"], 0);
}

/// Spellings that some servers treat as the token's paths.
const TOKEN_SPELLINGS: [&str; 34] = [
    "/cgi-bin/%74oken",
    "/cgi-bin/to%6ben",
    "/cgi%2dbin/token",
    "/%63gi-bin/token",
    "/cgi-bin/token%00",
    "/cgi-bin/token%20",
    "/cgi-bin/token%09",
    "/cgi-bin/token%2F",
    "/cgi-bin/token%3B",
    "/cgi-bin/token%3Fa=1",
    "/cgi-bin/token%23",
    "/cgi-bin/%2574oken",
    "/cgi-bin/token;a=1",
    "/cgi-bin;a=1/token",
    "/cgi-bin/token.",
    "/cgi-bin/token..",
    "/cgi-bin/.token",
    "/cgi-bin./token",
    "/cgi-bin/token,",
    "/cgi-bin/token+",
    "/cgi-bin/./token",
    "/cgi-bin/media/../token",
    "/cgi-bin/media/%2e%2E/token",
    "/cgi-bin/%2E/token",
    "/%2e./%2E%2e/cgi-bin/stable_token",
    "/cgi-bin\\token",
    "/cgi-bin\\stable_token?grant_type=client_credential",
    "/cgi-bin/media\\..\\token",
    "/cgi-bin%5Ctoken",
    "/cgi-bin%2ftoken",
    "/cgi-bin/./stable%5Ftoken",
    "/cgi-bin/stable%5ftoken",
    "/cgi-bin/tok%E2%80%8Ben",
    "/cgi-bin/%ef%bd%94oken",
];

#[tokio::test]
async fn token_path_in_another_spelling_never_reaches_wechat() {
    let (echo, gateway) = Echo::behind(Gateway::builder()).await;
    for path in TOKEN_SPELLINGS {
        for method in ["GET", "POST"] {
            let answer = sends(gateway.internal, &format!("{method} {path}")).await;
            assert_eq!(answer.status, 404, "{path}: {answer:?}");
            assert!(answer.body.contains("\"errcode\":40066"), "{path}: {answer:?}");
        }
    }
    // Without a slash in front it is not HTTP.
    assert_eq!(sends(gateway.internal, "GET \\cgi-bin/token").await.status, 400);
    // These may be answered by the gateway, but must not reach WeChat.
    for path in [
        "/cgi-bin/TOKEN",
        "/CGI-BIN/Stable_Token",
        "//cgi-bin//token",
        "/cgi-bin/token//",
    ] {
        for method in ["GET", "PUT"] {
            sends(gateway.internal, &format!("{method} {path}?appid=wx1")).await;
        }
    }
    assert!(echo.calls().is_empty(), "{:?}", echo.calls());
}

#[tokio::test]
async fn path_stays_below_the_base_url() {
    let (echo, url) = Echo::start().await;
    let base = format!("{url}/wx");
    let gateway = Gateway::builder().set("wechat.api_base_url", base).start().await;
    for (asked, arrived) in [
        ("/wxa/a?b=c", "/wx/wxa/a?b=c"),
        // SDKs whose base URL ends in a slash write two.
        ("//wxa//a", "/wx/wxa/a"),
        ("/wxa/a_B-c.d~e/", "/wx/wxa/a_B-c.d~e"),
        ("/wxa/a?x=/../%2F'%23", "/wx/wxa/a?x=/../%2F%27%23"),
    ] {
        let answer = sends(gateway.internal, &format!("GET {asked}")).await;
        assert_eq!(answer.status, 200, "{asked}");
        assert_eq!(echo.last().uri, arrived);
    }
    for asked in [
        "/../cgi-bin/menu/get",
        "/%2e%2E/cgi-bin/menu/get",
        "/x\\..\\..\\menu",
        "/x/..",
        "/wxa\\a",
        "/wxa/a%2Fb",
        "/wxa/{y}",
        "/wxa/%2F%3F%23?x='%23",
    ] {
        let answer = sends(gateway.internal, &format!("GET {asked}")).await;
        assert_eq!(answer.status, 404, "{asked}");
    }
}
