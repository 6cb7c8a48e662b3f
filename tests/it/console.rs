//! The console of a running gateway.

use wxgate::sandbox::{Fault, SandboxConfig, TokenKind};

use crate::support::{Answer, Caller, Gateway, GatewayProcess, RedisServer, SandboxHost, account, photo, until};

const CONSOLE: &str = "/console";

/// The page, in the language that a browser asks for.
async fn page(gateway: &Gateway, language: &str) -> Answer {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}{CONSOLE}", gateway.internal);
    gateway.send(client.get(url).header("accept-language", language)).await
}

fn text(answer: &Answer) -> &str {
    assert_eq!(answer.status, 200);
    answer.body.as_str().unwrap()
}

#[tokio::test]
async fn console_is_in_chinese_and_english() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let chinese = page(&gateway, "zh-CN,zh;q=0.9,en;q=0.5").await;
    let english = page(&gateway, "en").await;
    assert!(text(&chinese).contains("<html lang=\"zh-CN\"") && text(&chinese).contains("一切正常"));
    assert!(text(&english).contains("<html lang=\"en\"") && text(&english).contains("All is well"));
    assert_eq!(english.header("set-cookie"), "");

    let chosen = gateway.internal_get("/console?lang=zh").await;
    assert!(text(&chosen).contains("一切正常"));
    assert!(
        chosen
            .header("set-cookie")
            .starts_with("wxgate_lang=zh; Path=/console;")
    );
}

#[tokio::test]
async fn console_forbids_foreign_content() {
    let gateway = Gateway::start().await;
    for path in ["", "/console.css", "/console.js", "/icon.svg", "/nothing"] {
        let answer = gateway.internal_get(&format!("{CONSOLE}{path}")).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.status, if path == "/nothing" { 404 } else { 200 }, "{path}");
    }
    let page = page(&gateway, "en").await;
    for attribute in ["src=\"", "href=\""] {
        for target in text(&page).split(attribute).skip(1) {
            let ours = ["console/", "?lang=", "#"]
                .iter()
                .any(|start| target.starts_with(start));
            assert!(ours && !target.contains("//"), "{target}");
        }
    }
    assert_eq!(gateway.get(CONSOLE).await.status, 404, "not on the public listener");
}

#[tokio::test]
async fn foreign_invalidation_is_highlighted_on_the_console() {
    let redis = RedisServer::start().await;
    let in_memory = Gateway::builder();
    let in_redis = Gateway::builder().set("credentials.backend", "redis");
    let in_redis = in_redis.set("redis.url", redis.url());
    for (builder, store) in [(in_memory, "Memory store"), (in_redis, "Redis")] {
        let gateway = builder.start().await;
        gateway.until_ready().await;
        assert!(!text(&page(&gateway, "en").await).contains("Another system invalidates your token"));

        let app_id = gateway.wechat.account().app_id;
        gateway.wechat.kill_token();
        let media_id = gateway.wechat.takes_photo(&photo("portrait.jpg"));
        assert_eq!(gateway.upload(&media_id).await.code(), (200, 0));
        until("the console shows it", || async {
            text(&page(&gateway, "en").await).contains("Another system invalidates your token")
        })
        .await;
        let english = page(&gateway, "en").await;
        let expected = [
            "Serving, but something needs attention",
            "reset the AppSecret",
            "rejected by WeChat",
            store,
        ];
        for expected in expected {
            assert!(text(&english).contains(expected), "{expected}: {}", text(&english));
        }
        assert!(text(&page(&gateway, "zh").await).contains("token 被其他系统作废"));

        // Fingerprints only, no token or ticket.
        let sandbox = &gateway.wechat.sandbox;
        let token = sandbox.current_token(&app_id, TokenKind::Stable).unwrap();
        let ticket = sandbox.current_ticket(&app_id).unwrap();
        assert!(text(&english).contains(&token.fingerprint()) && text(&english).contains(&ticket.fingerprint()));
        for secret in [
            token.expose(),
            ticket.expose(),
            gateway.wechat.account().secret.expose(),
        ] {
            assert!(!text(&english).contains(secret));
        }
    }
}

#[tokio::test]
async fn wechat_texts_are_escaped_and_come_with_advice() {
    let wechat = crate::support::SandboxHost::start(SandboxConfig::default()).await;
    wechat.sandbox.inject(Fault::Errcode {
        code: 40164,
        message: Some("invalid ip <script>alert(1)</script>".to_owned()),
    });
    let gateway = Gateway::builder().wechat(&wechat).start().await;
    until("the refusal is shown", || async {
        text(&page(&gateway, "en").await).contains("40164")
    })
    .await;
    let page = page(&gateway, "en").await;
    assert!(
        text(&page).contains("invalid ip &lt;script&gt;alert(1)"),
        "{}",
        text(&page)
    );
    assert!(!text(&page).contains("<script>"));
    assert!(text(&page).contains("Out of service") && text(&page).contains("IP白名单"));
}

#[tokio::test]
async fn operator_buttons_need_a_configured_key() {
    let closed = Gateway::start().await;
    let page_of_closed = page(&closed, "en").await;
    assert!(!text(&page_of_closed).contains("data-action"));
    assert!(text(&page_of_closed).contains("internal.operator_key"));
    let key = "an-operator-s-key-of-some-length";
    let open = Gateway::builder().set("internal.operator_key", key).start().await;
    let page = page(&open, "en").await;
    let action = format!("credentials/{}/access_token/renew", open.wechat.account().app_id);
    assert!(text(&page).contains(&format!("data-action=\"{action}\"")));
    assert!(!text(&page).contains(key));
}

#[tokio::test]
async fn signatures_and_uploads_are_counted() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    for _ in 0..3 {
        gateway.sign("https://a.cn/p").await;
    }
    let media_id = gateway.wechat.takes_photo(&photo("portrait.jpg"));
    gateway.upload(&media_id).await;
    gateway.upload("no-such-photo").await;
    gateway.sign("not-a-url").await;
    gateway.wechat.sandbox.inject(Fault::Reset);
    assert_eq!(gateway.upload("another").await.status, 502);
    // WeChat's own failure, passed on.
    assert_eq!(gateway.internal_get("/cgi-bin/getcallbackip").await.status, 502);
    let page = page(&gateway, "en").await;
    for expected in [
        // A probe that got 503 "unready" is not counted as an error either.
        "Server errors per minute over the last hour: 1 at most, 1 in all",
        "Signatures per minute over the last hour: 3 at most, 3 in all",
        "1 refused (4xx)",
        "Upload outcomes: serverId invalid or expired 1, stored 1, WeChat failed 1",
    ] {
        assert!(text(&page).contains(expected), "{expected}: {}", text(&page));
    }
}

#[tokio::test]
async fn console_reports_that_redis_is_down() {
    let redis = RedisServer::start().await;
    let builder = Gateway::builder().set("credentials.backend", "redis");
    let gateway = builder.set("redis.url", redis.url()).start().await;
    gateway.until_ready().await;
    drop(redis);
    until("the page shows it", || async {
        let page = page(&gateway, "en").await;
        [
            "Redis is down",
            "The journal is in Redis",
            "The other replicas can't be listed now",
            "unknown; in use here since",
        ]
        .iter()
        .all(|expected| text(&page).contains(expected))
    })
    .await;
}

const IN_ENGLISH: [&str; 11] = [
    "And 3 more problems.",
    "wx01: over 80 % of today's token calls are used up.",
    "450 of 500",
    "Point it at wxgate",
    "1 h 30 min before its end",
    "for 2 h",
    "WeChat answered errcode 40001",
    "to AppSecret",
    "with the AppSecret, from 203.0.113.7",
    "<span class=\"reason\" lang=\"en\">invalid-credential</span>",
    "<span class=\"reason\" lang=\"en\">operator</span>",
];

const IN_CHINESE: [&str; 11] = [
    "另有 3 个问题。",
    "wx01：今天获取 token 的次数已超过上限的八成。",
    "450 / 500",
    "让它改用本网关",
    "距到期还有 1 小时 30 分",
    "有效 2 小时",
    "微信返回 errcode 40001",
    "给 AppSecret",
    "使用 AppSecret 获取，来自 203.0.113.7",
    "<span class=\"reason\" lang=\"en\">invalid-credential</span>",
    "<span class=\"reason\" lang=\"en\">operator</span>",
];

/// Whoever can write to Redis can write anything into the journal.
#[tokio::test]
async fn journal_is_shown_in_both_languages_and_escaped() {
    let redis = RedisServer::start().await;
    let accounts: Vec<_> = (1..=12)
        .map(|number| account(&format!("wx{number:02}"), "secret"))
        .collect();
    let wechat = SandboxHost::start(SandboxConfig::with_accounts(accounts.clone())).await;
    let builder = Gateway::builder().wechat(&wechat).accounts(&accounts);
    let gateway = builder.redis(&redis).start().await;
    until("all is well", || async {
        text(&page(&gateway, "en").await).contains("All is well")
    })
    .await;

    let now = humantime::format_rfc3339_millis(std::time::SystemTime::now());
    let note = async |app_id: &str, facts: &str| {
        let entry = format!("XADD wxgate:journal:{app_id} * time {now} {facts}");
        redis.command::<String>(&entry).await;
    };
    for account in &accounts {
        note(account.app_id.as_str(), "event foreign_invalidation left_s 5400").await;
    }
    for facts in [
        "event renewed life_s 7200 reason operator",
        "event rejected errcode 40001 reason invalid-credential",
        "event handed_out client AppSecret address 203.0.113.7",
        // As version 0.1 wrote it: all facts in one sentence.
        "event renewal_failed reason WeChat-refused:-40164",
        "event <b>event kind <b>kind fingerprint <b>fingerprint replica <b>replica client <b>client reason <b>reason",
    ] {
        note("wx01", facts).await;
    }
    let counter = redis.keys().await.into_iter();
    let mut counter = counter.filter(|key| key.starts_with("wxgate:token_calls:wx01:"));
    redis
        .command::<()>(&format!("SET {} 450", counter.next().unwrap()))
        .await;

    for (language, texts) in [("en", IN_ENGLISH), ("zh", IN_CHINESE)] {
        let page = page(&gateway, language).await;
        let page = text(&page);
        for expected in texts {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        for field in ["event", "kind", "fingerprint", "replica", "client", "reason"] {
            assert!(page.contains(&format!("&lt;b&gt;{field}")), "{field}: {page}");
        }
        assert!(page.contains("lang=\"en\">WeChat-refused:-40164</span>"), "{page}");
        assert!(!page.contains("<b>") && !page.contains("style="), "{page}");
        let (banner, _) = page.split_once("class=\"columns\"").unwrap();
        assert!(banner.contains("wx09") && !banner.contains("wx10"), "{banner}");
    }
}

/// The English section on replicas.
async fn replicas(caller: &Caller) -> String {
    let page = caller.internal_get("/console?lang=en").await;
    let section = text(&page).split("id=\"replicas\"").nth(1).unwrap();
    section.split("</section>").next().unwrap().to_owned()
}

async fn until_shown(caller: &Caller, number: usize) {
    until(&format!("{number} replicas are shown"), || async {
        replicas(caller).await.matches("<li>").count() == number
    })
    .await;
}

#[tokio::test]
async fn console_shows_every_replica_that_lives() {
    let redis = RedisServer::start().await;
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().redis(&redis);
    let mut processes = GatewayProcess::start_many(&builder, &wechat, 3).await;
    let [one, two, three] = &mut processes[..] else {
        panic!()
    };
    for process in [&*one, &*two, &*three] {
        until_shown(process, 3).await;
        let section = replicas(process).await;
        let version = format!("wxgate {}", env!("CARGO_PKG_VERSION"));
        assert_eq!(section.matches(&version).count(), 3, "{section}");
        assert_eq!(section.matches("this one").count(), 1, "{section}");
    }
    let chinese = one.internal_get("/console?lang=zh").await;
    assert!(text(&chinese).contains("本副本"));
    let marks = async || {
        let keys = redis.keys().await.into_iter();
        keys.filter(|key| key.starts_with("wxgate:replica:")).count()
    };
    assert_eq!(marks().await, 3);

    // A clean exit removes the replica's key at once; after a crash it expires.
    two.signal("TERM");
    assert!(two.ended().await.success());
    assert_eq!(marks().await, 2);
    until_shown(one, 2).await;
    three.kill();
    until_shown(one, 1).await;
}

#[tokio::test]
async fn console_shows_the_one_process_without_redis() {
    let gateway = Gateway::start().await;
    until_shown(&gateway, 1).await;
    assert!(replicas(&gateway).await.contains("this one"));
}
