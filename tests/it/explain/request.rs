//! The signing call, compared with its page.

use wxgate::jssdk::sign;
use wxgate::sandbox::SandboxConfig;

use super::{NONCE, PAGE, SIGNED, TIMESTAMP, arguments, ask, explain, text};
use crate::support::{Gateway, SandboxHost};

/// The signing call of a page that sends `url`.
fn signing_call(url: &str) -> String {
    let url = crate::support::encode_uri_component(url);
    format!("https://gw.example.com/wechat/jsSDK?url={url}&_=1")
}

#[tokio::test]
async fn signing_call_is_compared_with_the_page() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let compare = async |request: &str, more: &[&str]| {
        let mut arguments = vec!["explain", "--url", PAGE, "--request", request];
        arguments.extend(more);
        Gateway::builder().run(&wechat, &arguments).await
    };
    let ran = compare(&signing_call(SIGNED), &[]).await;
    assert!(ran.code == 0 && ran.out.contains("byte for byte"), "{ran:?}");
    assert!(ran.out.contains("the exception is iOS"), "{ran:?}");
    // What a single-page app has to do on iOS, and mistakes elsewhere.
    for (url, may_be_right) in [
        ("https://h5.example.com/landing", true),
        ("https://h5.example.com/", true),
        ("https://m.example.com/p", false),
        (
            "https://h5.example.com/p?from=singlemessage&isappinstalled=0&x=1",
            false,
        ),
    ] {
        let ran = compare(&signing_call(url), &[]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(ran.out.contains("the exception is iOS"), may_be_right, "{ran:?}");
    }

    let ran = compare(&signing_call("https://h5.example.com/p?x=1"), &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines[0].contains("different query"), "{ran:?}");
    assert_eq!(lines[1], "asked for:  https://h5.example.com/p?x=1");
    assert_eq!(
        lines[4].trim_end(),
        format!("{:40}{}", "", "^".repeat(SIGNED.len() - 28)),
        "{ran:?}"
    );
    assert!(
        ran.out
            .contains("after 28 equal bytes, the call has nothing and the page has 26 66 72 6f 6d"),
        "{ran:?}"
    );
    assert!(
        ran.out.contains("Found: the parameters that WeChat appends on sharing"),
        "{ran:?}"
    );
    assert!(ran.out.contains("what to do: send encodeURIComponent"), "{ran:?}");

    // Copied on Windows: as curl for cmd.exe, and as fetch.
    let call = signing_call(SIGNED);
    let of_cmd = format!("curl ^\"{}^\" ^", call.replace('&', "^&").replace('%', "^%^"));
    for request in [of_cmd, format!("fetch(\"{call}\", {{ \"method\": \"GET\" }});")] {
        let ran = compare(&request, &[]).await;
        assert!(ran.code == 0 && ran.out.contains("byte for byte"), "{request}: {ran:?}");
    }

    let twice = signing_call(&crate::support::encode_uri_component(SIGNED));
    let ran = compare(&twice, &[]).await;
    assert!(ran.code == 0 && ran.out.contains("encoded twice"), "{ran:?}");
    let json = compare(&signing_call("https://m.example.com/other"), &["--json"])
        .await
        .json();
    assert_eq!(json["request"]["verdict"], "different");
    assert_eq!(json["request"]["at"], 8);
    assert_eq!(json["request"]["differs"][0], "different host or port");

    let ran = compare("https://gw.example.com/wechat/jsSDK", &[]).await;
    assert!(ran.code == 2 && ran.err.contains("network tab"), "{ran:?}");
    assert_eq!(
        compare(&twice, &["--nonce", NONCE]).await.code,
        2,
        "the three belong together"
    );
    assert!(wechat.sandbox.log().is_empty(), "nothing is asked for");
}

#[tokio::test]
async fn signing_call_and_signature_are_explained_together() {
    let other = "https://h5.example.com/elsewhere";
    let signature = sign("the-right-ticket", NONCE, TIMESTAMP, other);
    let request = signing_call(other);
    let ran = explain(&signature, &["--request", &request]).await;
    assert_eq!(
        ran.code, 0,
        "the signing call explains what the signature alone does not: {ran:?}"
    );
    assert!(
        ran.out.contains("different path") && ran.out.contains("Not found"),
        "{ran:?}"
    );
    let ran = explain(&signature, &["--request", &signing_call(SIGNED)]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("another host or path"), "{ran:?}");
}

#[tokio::test]
async fn url_that_no_browser_has_is_warned_about() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    for (url, words) in [
        ("https://h5.example.com/中文", "non-ASCII"),
        ("https://h5.example.com/a b", "a space"),
        ("https://例子.cn/", "xn--"),
    ] {
        let signature = sign("a-ticket", NONCE, TIMESTAMP, url);
        let mut arguments = arguments(&signature);
        arguments[2] = url;
        arguments.extend(["--ticket", "a-ticket"]);
        let ran = Gateway::builder().run(&wechat, &arguments).await;
        assert!(
            ran.code == 0 && ran.out.starts_with("The signature is right"),
            "{ran:?}"
        );
        assert!(ran.out.contains("warning: ") && ran.out.contains(words), "{ran:?}");
    }
}

#[tokio::test]
async fn console_compares_the_signing_call_with_the_page() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let with_request = |request: &str| vec![("url", PAGE.to_owned()), ("request", request.to_owned())];
    let ask_all = async |fields: Vec<(&'static str, String)>, language: &str| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        ask(&gateway, &fields, language).await
    };
    let other = signing_call("https://h5.example.com/P?x=1&from=singlemessage&isappinstalled=0");
    for (request, english, chinese) in [
        (signing_call(SIGNED), "the page's own URL, byte for byte", "逐字节一致"),
        (signing_call(SIGNED), "the exception is iOS", "iOS 例外"),
        (
            other.clone(),
            "<code>https://h5.example.com/<mark>P</mark>?x=1",
            "路径不同",
        ),
        (
            signing_call(&crate::support::encode_uri_component(SIGNED)),
            "twice or more",
            "编码了两次",
        ),
        (format!("/wechat/jsSDK?url={SIGNED}"), "<code>from</code>", "没有编码"),
    ] {
        for (language, words) in [("en", english), ("zh", chinese)] {
            let answer = ask_all(with_request(&request), language).await;
            let page = text(&answer).replace("&#39;", "'");
            assert!(answer.status == 200 && page.contains(words), "{words}: {page}");
            assert!(page.contains("name=\"request\" value="), "the form keeps its input");
        }
    }
    let answer = ask_all(with_request("https://gw.example.com/"), "en").await;
    assert!(
        answer.status == 400 && text(&answer).contains("network tab"),
        "{answer:?}"
    );

    // Both at once: two answers.
    let mut both = with_request(&other);
    let ticket = gateway
        .wechat
        .sandbox
        .current_ticket(&gateway.wechat.account().app_id)
        .unwrap();
    let signature = sign(ticket.expose(), NONCE, TIMESTAMP, SIGNED);
    both.extend(
        [("nonce", NONCE), ("timestamp", TIMESTAMP), ("signature", &*signature)]
            .map(|(name, value)| (name, value.to_owned())),
    );
    let answer = ask_all(both.clone(), "en").await;
    assert!(
        text(&answer).contains("different path") && text(&answer).contains("The signature is right"),
        "{answer:?}"
    );
    both.pop();
    assert_eq!(
        ask_all(both, "en").await.status,
        400,
        "a part of a signature is a mistake"
    );
}
