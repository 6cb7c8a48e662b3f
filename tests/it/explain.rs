//! `wxgate explain`, and the same as a form on the console.

mod request;

use wxgate::jssdk::sign;
use wxgate::sandbox::{Api, SandboxConfig, TokenKind};

use crate::support::{Answer, Gateway, Ran, RedisServer, SandboxHost, account};

const PAGE: &str = "https://h5.example.com/p?x=1&from=singlemessage&isappinstalled=0#/orders";
const SIGNED: &str = "https://h5.example.com/p?x=1&from=singlemessage&isappinstalled=0";
const NONCE: &str = "Wm3WZYTPz0wzccnW";
const TIMESTAMP: &str = "1414587457";

fn arguments(signature: &str) -> Vec<&str> {
    vec![
        "explain",
        "--url",
        PAGE,
        "--nonce",
        NONCE,
        "--timestamp",
        TIMESTAMP,
        "--signature",
        signature,
    ]
}

/// Runs it with a ticket given, so that nothing is fetched.
async fn explain(signature: &str, more: &[&str]) -> Ran {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let mut arguments = arguments(signature);
    arguments.extend(["--ticket", "the-right-ticket", "--ticket", "an-older-ticket"]);
    arguments.extend(more);
    let ran = Gateway::builder().run(&wechat, &arguments).await;
    for ticket in ["the-right-ticket", "an-older-ticket"] {
        assert!(!ran.out.contains(ticket) && !ran.err.contains(ticket), "{ran:?}");
    }
    assert!(wechat.sandbox.log().is_empty());
    ran
}

#[tokio::test]
async fn right_signature_is_recognised() {
    let ran = explain(&sign("the-right-ticket", NONCE, TIMESTAMP, SIGNED), &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.starts_with(&format!("The signature is right for {SIGNED}\n")),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("landing URL") && ran.out.contains("invalid url domain"),
        "{}",
        ran.out
    );
}

#[tokio::test]
async fn mistake_is_named_with_advice() {
    let ran = explain(&sign("the-right-ticket", NONCE, TIMESTAMP, PAGE), &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in [
        "Found: the fragment",
        "&url=https://h5.example.com/p?x=1&from=singlemessage&isappinstalled=0#/orders\n",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(
        ran.out
            .contains("what to do: send encodeURIComponent(location.href.split('#')[0])"),
        "{}",
        ran.out
    );
    let both = sign(
        "an-older-ticket",
        NONCE,
        TIMESTAMP,
        "http://h5.example.com/p?x=1&from=singlemessage&isappinstalled=0",
    );
    let json = explain(&both, &["--json"]).await.json();
    assert_eq!(json["verdict"], "explained");
    let names: Vec<_> = json["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["other_scheme", "other_ticket"]);
}

#[tokio::test]
async fn unexplained_signature_exits_with_1_and_bad_input_with_2() {
    let ran = explain(&"0".repeat(40), &[]).await;
    assert!(
        ran.code == 1 && ran.out.contains("Tried") && ran.out.contains("www."),
        "{ran:?}"
    );
    let ran = explain("0123", &[]).await;
    assert!(
        ran.code == 2 && ran.err.contains("40 hex digits") && ran.out.is_empty(),
        "{ran:?}"
    );
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    assert_eq!(
        Gateway::builder().run(&wechat, &["explain", "--url", PAGE]).await.code,
        2
    );
    let signature = "0".repeat(40);
    let without_account = Gateway::builder()
        .variable("WXGATE_APP_ID", "")
        .variable("WXGATE_APP_SECRET", "");
    let ran = without_account.run(&wechat, &arguments(&signature)).await;
    assert!(ran.code == 2 && ran.err.contains("--ticket"), "{ran:?}");
    let mut unknown = arguments(&signature);
    unknown.extend(["--app-id", "wx-unknown"]);
    let ran = Gateway::builder().run(&wechat, &unknown).await;
    let app_id = wechat.account().app_id;
    assert!(ran.code == 2 && ran.err.contains(app_id.as_str()), "{ran:?}");
}

#[tokio::test]
async fn ticket_comes_from_the_cluster_of_the_settings() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = || Gateway::builder().redis(&redis).classic();
    let gateway = builder().wechat(&wechat).start().await;
    gateway.until_ready().await;
    let data = gateway.sign(SIGNED).await.body["data"].clone();
    let text = |field: &str| data[field].as_str().unwrap();
    let calls = wechat.sandbox.log().len();
    let arguments = |url: &'static str| {
        [
            "explain",
            "--url",
            url,
            "--nonce",
            text("nonceStr"),
            "--timestamp",
            text("timestamp"),
            "--signature",
            text("signature"),
        ]
    };
    let ran = builder().run(&wechat, &arguments(PAGE)).await;
    assert!(
        ran.code == 0 && ran.out.starts_with("The signature is right"),
        "{ran:?}"
    );
    let ran = builder()
        .run(
            &wechat,
            &arguments("http://h5.example.com/p?x=1&from=singlemessage&isappinstalled=0"),
        )
        .await;
    assert!(
        ran.code == 0 && ran.out.contains("http was signed for https"),
        "{ran:?}"
    );
    assert_eq!(wechat.sandbox.log().len(), calls, "Redis has it all");

    // The token itself, used as a ticket.
    let app_id = wechat.account().app_id;
    let token = redis.value(&crate::support::token_key(&app_id)).await.unwrap();
    let signature = sign(&token, NONCE, TIMESTAMP, SIGNED);
    let ran = builder().run(&wechat, &self::arguments(&signature)).await;
    assert!(ran.code == 0 && ran.out.contains("an access_token was used"), "{ran:?}");
    assert!(!ran.out.contains(&token), "{ran:?}");
}

#[tokio::test]
async fn ticket_is_fetched_harmlessly_without_redis() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let signature = "0".repeat(40);
    let ran = Gateway::builder().run(&wechat, &arguments(&signature)).await;
    assert!(ran.code == 1 && ran.out.contains("Not found"), "{ran:?}");
    assert_eq!(wechat.sandbox.calls(Api::GetTicket), 1);
    let ran = Gateway::builder().classic().run(&wechat, &arguments(&signature)).await;
    assert!(
        ran.code == 1 && ran.err.contains("would invalidate the token in use"),
        "{ran:?}"
    );
    assert_eq!(wechat.sandbox.calls(Api::Token), 0);
}

/// Sends the console's form.
async fn ask(gateway: &Gateway, fields: &[(&str, &str)], language: &str) -> Answer {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("http://{}/console/explain", gateway.internal));
    // As a browser writes a form.
    let pairs = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", crate::support::encode_uri_component(value)));
    let form = pairs.collect::<Vec<_>>().join("&");
    let request = request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    gateway.send(request.header("accept-language", language)).await
}

fn text(answer: &Answer) -> &str {
    answer.body.as_str().unwrap()
}

/// The form's fields.
fn filled<'a>(url: &'a str, signature: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("url", url),
        ("nonce", NONCE),
        ("timestamp", TIMESTAMP),
        ("signature", signature),
    ]
}

#[tokio::test]
async fn console_form_works_without_javascript() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    // Relative, since a proxy may publish the console below a path.
    for (path, action) in [("/console", "console/explain"), ("/console/explain", "explain")] {
        let page = gateway.internal_get(path).await;
        assert_eq!(page.status, 200);
        assert!(
            page.header("content-security-policy").contains("form-action 'self'"),
            "{page:?}"
        );
        assert!(
            text(&page).contains(&format!("action=\"{action}\" method=\"post\"")),
            "{page:?}"
        );
        for field in ["url", "nonce", "timestamp", "signature"] {
            let (label, input) = (
                format!("<label for=\"explain-{field}\">"),
                format!("id=\"explain-{field}\" name=\"{field}\""),
            );
            assert!(text(&page).contains(&label) && text(&page).contains(&input), "{field}");
        }
    }
    let chinese = gateway.internal_get("/console/explain?lang=zh").await;
    assert!(text(&chinese).contains("查找原因") && chinese.header("set-cookie").starts_with("wxgate_lang=zh"));

    let ticket = gateway
        .wechat
        .sandbox
        .current_ticket(&gateway.wechat.account().app_id)
        .unwrap();
    let right = sign(ticket.expose(), NONCE, TIMESTAMP, SIGNED);
    let with_fragment = sign(ticket.expose(), NONCE, TIMESTAMP, PAGE);
    let nothing = "0".repeat(40);
    for (signature, english, chinese) in [
        (&right, "The signature is right for this URL", "签名是正确的"),
        (
            &with_fragment,
            "the fragment (# and what follows) was signed too",
            "把 # 及其后的部分也签了",
        ),
        (&nothing, "No known mistake produces this signature", "没有已知的错误"),
    ] {
        for (language, words) in [("en", english), ("zh", chinese)] {
            let answer = ask(&gateway, &filled(PAGE, signature), language).await;
            assert!(answer.status == 200 && text(&answer).contains(words), "{answer:?}");
            assert!(!text(&answer).contains(ticket.expose()));
            assert!(
                text(&answer).contains(&format!("value=\"{signature}\"")),
                "the form keeps its input"
            );
        }
    }
    let other_types = gateway.request("POST", "/").body("");
    assert_eq!(
        gateway.send(other_types).await.status,
        404,
        "the public listener has none of it"
    );
}

#[tokio::test]
async fn bad_input_is_refused_with_clear_messages() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let answer = ask(&gateway, &filled("<script>alert(1)</script>", "x"), "en").await;
    assert!(
        answer.status == 400 && text(&answer).contains("role=\"alert\""),
        "{answer:?}"
    );
    assert!(text(&answer).contains("the page&#39;s full address") || text(&answer).contains("the page's full address"));
    assert!(!text(&answer).contains("<script>alert"), "{answer:?}");
    let answer = ask(&gateway, &filled(PAGE, "0123"), "zh").await;
    assert!(
        answer.status == 400 && text(&answer).contains("40 位十六进制"),
        "{answer:?}"
    );
    let answer = ask(&gateway, &[], "en").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let long = "a".repeat(64 * 1024);
    let answer = ask(&gateway, &filled(&long, "x"), "en").await;
    assert!(
        answer.status == 400 && text(&answer).contains("could not be read"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn older_tickets_and_other_accounts_are_tried() {
    let config = SandboxConfig::with_accounts(vec![account("wx1", "secret-of-1"), account("wx2", "secret-of-2")]);
    let wechat = SandboxHost::start(config).await;
    let accounts = "[[accounts]]\napp_id = \"wx1\"\napp_secret = \"secret-of-1\"\n[[accounts]]\napp_id = \"wx2\"\napp_secret = \"secret-of-2\"\n";
    let gateway = Gateway::builder()
        .wechat(&wechat)
        .file(accounts)
        .set("internal.operator_key", "an-operator-s-key-of-some-length")
        .start()
        .await;
    gateway.until_ready().await;
    let [first, second] = ["wx1", "wx2"].map(|app_id| account(app_id, "x").app_id);
    let ticket_of = |app_id| wechat.sandbox.current_ticket(app_id).unwrap();
    let older = ticket_of(&first);
    wechat.sandbox.kill_tickets(&first).unwrap();
    let renew = reqwest::Client::new()
        .post(format!(
            "http://{}/credentials/wx1/jsapi_ticket/renew",
            gateway.internal
        ))
        .bearer_auth("an-operator-s-key-of-some-length");
    assert_eq!(gateway.send(renew).await.body["changed"], true);
    let another = ticket_of(&second);
    let token = wechat.sandbox.current_token(&second, TokenKind::Stable).unwrap();
    for (wrong, words) in [
        (&older, "a different ticket was used"),
        (&another, "a different ticket was used"),
        (&token, "an access_token was used"),
    ] {
        let signature = sign(wrong.expose(), NONCE, TIMESTAMP, SIGNED);
        let answer = ask(&gateway, &filled(SIGNED, &signature), "en").await;
        assert!(text(&answer).contains(words), "{answer:?}");
    }
    let signature = sign(another.expose(), NONCE, TIMESTAMP, SIGNED);
    let mut chosen = filled(SIGNED, &signature).to_vec();
    chosen.push(("app_id", "wx2"));
    let answer = ask(&gateway, &chosen, "en").await;
    assert!(
        text(&answer).contains("The signature is right") && text(&answer).contains("value=\"wx2\" selected"),
        "{answer:?}"
    );
    chosen[4].1 = "wx3";
    assert_eq!(ask(&gateway, &chosen, "en").await.status, 503);
}
