//! Files that are not photos: what the page gets, what is logged, and that none is taken for an error of WeChat's.

use std::time::Duration;

use wxgate::sandbox::{Api, Fault, SandboxConfig, Upload};

use crate::support::{Answer, Caller, Gateway, GatewayProcess, SandboxHost, always, until};

/// A user's file that `media/get` answers; its media id.
fn file(wechat: &SandboxHost, bytes: &[u8], content_type: &str) -> String {
    let upload = Upload::new(bytes.to_vec()).content_type(content_type);
    wechat.sandbox.upload_media(&wechat.account().app_id, upload).unwrap()
}

/// Asserts that no token was renewed or doubted since the gateway started.
async fn assert_token_untouched(gateway: &Caller, probes: u64) {
    let calls = |api| gateway.wechat.sandbox.calls(api);
    assert_eq!(
        (calls(Api::StableToken), calls(Api::GetApiDomainIp)),
        (1, probes),
        "token calls and probes"
    );
    assert!(gateway.foreign_invalidations().await < 0.5);
    gateway.assert_signs().await;
    assert_eq!(gateway.upload_new_photo().await.code(), (200, 0));
}

const REFUSALS: [&str; 4] = [
    r#"{"errcode":40001}"#,
    r#"{"errcode":40001,"errmsg":"invalid credential, access_token is invalid or not latest rid: 1-2-3"}"#,
    r#"{"errcode":"42001","errmsg":"access_token expired"}"#,
    " \n{\"errmsg\":\"invalid access_token\",\"errcode\":40014}",
];

#[tokio::test]
async fn file_that_reads_like_a_refusal_leaves_the_token_alone() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let token = gateway.token().await;
    for text in REFUSALS {
        for content_type in ["text/plain", "application/json", "image/jpeg"] {
            let id = file(&gateway.wechat, text.as_bytes(), content_type);
            let answer = gateway.upload(&id).await;
            assert_eq!(answer.code(), (422, 2006), "{text}: {answer:?}");
            let path = format!("/cgi-bin/media/get?access_token={token}&media_id={id}");
            let passed = gateway.internal_get(&path).await;
            assert!(passed.status == 200 && !passed.body["errcode"].is_null(), "{passed:?}");
        }
    }
    assert_token_untouched(&gateway, 0).await;
}

fn plain_text() -> Fault {
    Fault::ContentType {
        value: Some("text/plain".to_owned()),
    }
}

/// It has no Content-disposition, as errors have none, and is not JSON by its type, as errors are.
#[tokio::test]
async fn answer_that_may_be_a_refusal_is_probed_before_the_token_is_dropped() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let doubtful = Fault::Body {
        body: REFUSALS[1].to_owned(),
        content_type: "text/plain".to_owned(),
    };
    let token = gateway.token().await;
    let rule = gateway.wechat.sandbox.inject(doubtful.on(Api::MediaGet));
    let answer = gateway.upload_new_photo().await;
    assert_eq!(answer.code(), (422, 2006), "{answer:?}");
    for _ in 0..3 {
        // No probe made after this answer says whether it is a rejection.
        let answer = gateway.upload_new_photo().await;
        assert_eq!(answer.code(), (503, 4001), "{answer:?}");
        let retry_after: u64 = answer.header("retry-after").parse().unwrap();
        assert!((5..=10).contains(&retry_after), "{answer:?}");
        let path = format!("/cgi-bin/media/get?access_token={token}&media_id=any");
        let passed = gateway.internal_get(&path).await;
        assert_eq!(passed.body["errcode"], 40001, "{passed:?}");
    }
    gateway.wechat.sandbox.remove_fault(rule);
    assert_token_untouched(&gateway, 1).await;

    // The same words, and the token is dead.
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let sandbox = &gateway.wechat.sandbox;
    sandbox.inject(plain_text().on(Api::MediaGet));
    gateway.wechat.kill_token();
    let answer = gateway.upload_new_photo().await;
    assert_eq!(answer.code(), (200, 0), "{answer:?}");
    assert_eq!(sandbox.calls(Api::GetApiDomainIp), 1);
    assert_eq!(sandbox.calls(Api::StableToken), 2);
}

#[tokio::test]
async fn probe_from_before_a_rejection_does_not_turn_it_into_a_file() {
    let gateway = Gateway::start().await;
    let token = gateway.token().await;
    // A client that asks again suspects the token; the probe finds it good.
    assert_eq!(gateway.token().await, token);
    let sandbox = &gateway.wechat.sandbox;
    assert_eq!(sandbox.calls(Api::GetApiDomainIp), 1);
    sandbox.inject(plain_text().on(Api::MediaGet));
    for tokens in 2..4 {
        gateway.wechat.kill_token();
        let answer = gateway.upload_new_photo().await;
        assert_eq!(answer.code(), (200, 0), "{answer:?}");
        assert_eq!(sandbox.calls(Api::StableToken), tokens);
    }
}

#[tokio::test]
async fn probe_that_runs_at_a_rejection_does_not_turn_it_into_a_file() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let sandbox = &gateway.wechat.sandbox;
    let file = Fault::Body {
        body: REFUSALS[1].to_owned(),
        content_type: "text/plain".to_owned(),
    };
    sandbox.inject(file.on(Api::MediaGet).once());
    sandbox.inject(Fault::delay(Duration::from_secs(3)).on(Api::GetApiDomainIp).once());
    let rejection = async {
        until("the probe runs", || async { sandbox.calls(Api::GetApiDomainIp) == 1 }).await;
        gateway.wechat.kill_token();
        sandbox.inject(plain_text().on(Api::MediaGet));
        gateway.upload_new_photo().await
    };
    let (file, rejection) = tokio::join!(gateway.upload_new_photo(), rejection);
    assert_eq!(file.code(), (422, 2006), "{file:?}");
    assert_eq!(rejection.code(), (503, 4001), "{rejection:?}");
}

#[tokio::test]
async fn late_rejections_of_a_replaced_token_cost_no_probe() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let sandbox = &gateway.wechat.sandbox;
    sandbox.inject(plain_text().on(Api::MediaGet));
    for late in 1..4 {
        sandbox.inject(Fault::delay(late * Duration::from_millis(300)).on(Api::MediaGet).once());
    }
    gateway.wechat.kill_token();
    let uploads = (0..4).map(|_| gateway.upload_new_photo());
    for answer in futures_util::future::join_all(uploads).await {
        assert_eq!(answer.code(), (200, 0), "{answer:?}");
    }
    assert_eq!(sandbox.calls(Api::GetApiDomainIp), 1);
    assert_eq!(sandbox.calls(Api::StableToken), 2);
}

#[tokio::test]
async fn answer_that_may_be_a_refusal_is_temporary_if_the_probe_fails() {
    for fault in [Fault::errcode(-1), Fault::errcode(45009), Fault::status(502)] {
        let wechat = SandboxHost::start(SandboxConfig::default()).await;
        let gateway = GatewayProcess::start(&Gateway::builder(), &wechat).await;
        gateway.until_ready().await;
        wechat.sandbox.inject(plain_text().on(Api::MediaGet));
        wechat.kill_token();
        wechat.sandbox.inject(fault.on(Api::GetApiDomainIp));
        for _ in 0..3 {
            let answer = gateway.upload_new_photo().await;
            assert_eq!(answer.code(), (503, 4001), "{answer:?}");
            let retry_after: u64 = answer.header("retry-after").parse().unwrap();
            assert!((5..=10).contains(&retry_after), "{answer:?}");
        }
        assert_eq!(wechat.sandbox.calls(Api::GetApiDomainIp), 1);
        let logged = || gateway.logged("upload failed: WeChat's answer may be a rejection of the access_token");
        until("each is logged", || async { logged().len() == 3 }).await;
        assert!(logged().iter().all(|line| line.contains("40001")), "{:?}", logged());
    }
}

#[tokio::test]
async fn refusal_behind_a_byte_order_mark_or_a_control_character_is_one() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    for before in ["\u{feff}", "\u{1}", "\u{feff}\u{0}\n "] {
        let fault = Fault::Body {
            body: format!("{before}{}", r#"{"errcode":40007,"errmsg":"invalid media_id"}"#),
            content_type: "application/json".to_owned(),
        };
        gateway.wechat.sandbox.inject(fault.on(Api::MediaGet).once());
        let answer = gateway.upload_new_photo().await;
        assert_eq!(answer.code(), (404, 2005), "{before:?}: {answer:?}");
    }
}

fn message(answer: &Answer) -> &str {
    answer.body["message"].as_str().unwrap()
}

#[tokio::test]
async fn log_says_what_came_in_place_of_a_picture() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let builder = Gateway::builder().set("media.allowed_types", "image/jpeg");
    let process = GatewayProcess::start(&builder, &wechat).await;
    process.until_ready().await;
    let mp4 = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41";
    let cases: [(&[u8], &str, &str); 18] = [
        (b"#!AMR\n<\x91\x17\x16\xbe\x66", "audio/amr", "AMR"),
        (b"#!AMR-WB\n", "application/octet-stream", "AMR-WB"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "image/jpeg", "WAV"),
        (b"\x36\x9d\x1b\x9a\x20\x00\x01", "voice/speex", "speex"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "image/avif", "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic", "HEIC"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png", "PNG"),
        (b"<!DOCTYPE html><html>", "text/html", "HTML"),
        (b"\xef\xbb\xbf <!DOCTYPE HTML>", "text/plain", "HTML"),
        (b"<svg xmlns=", "image/svg+xml", "SVG"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "image/jpeg", "gzip"),
        (b"a text of a user's", "text/plain", "text"),
        (b"\xc4\xe3\xba\xc3", "text/plain", "text"),
        (b"{\"a\":1}", "text/plain", "JSON"),
        (mp4, "image/jpeg", "MP4"),
        (b"\0\0\0\x14ftypqt  ", "image/jpeg", "QuickTime"),
        (b"%PDF-1.7\n", "audio/amr", "PDF"),
        (b"\0\x01\x02\x03", "image/jpeg", "unknown"),
    ];
    for (bytes, content_type, found) in cases {
        let id = file(&wechat, bytes, content_type);
        let answer = process.upload(&id).await;
        assert_eq!(answer.code(), (422, 2006), "{found}: {answer:?}");
        assert_eq!(answer.header("retry-after"), "");
        let is_voice = matches!(found, "AMR" | "AMR-WB" | "WAV" | "speex");
        assert_eq!(message(&answer).contains("voice recording"), is_voice, "{answer:?}");
        let line = || process.logged(&id[..12]).pop();
        until(&format!("{found} is logged"), || async { line().is_some() }).await;
        let line: serde_json::Value = serde_json::from_str(&line().unwrap()).unwrap();
        assert!(line["found"].as_str().unwrap().contains(found), "{line}");
        assert_eq!(line["bytes"], bytes.len(), "{line}");
        assert_eq!(line["app_id"], wechat.account().app_id.as_str(), "{line}");
        assert!(!line.to_string().contains(&id), "{line}");
    }
    let video = process.upload(&file(&wechat, mp4, "video/mp4")).await;
    assert!(
        video.code() == (422, 2006) && message(&video).contains("video"),
        "{video:?}"
    );
}

#[tokio::test]
async fn page_in_place_of_a_photo_is_not_the_photos_fault() {
    let wechat = SandboxHost::start(SandboxConfig::default()).await;
    let process = GatewayProcess::start(&Gateway::builder(), &wechat).await;
    process.until_ready().await;
    for (body, content_type) in [
        ("<!DOCTYPE html>\n<html><body>Log in</body></html>", "text/html"),
        ("\n<HTML><head><title>502</title>", "text/plain"),
        ("<script>location='/login'</script>", "text/html; charset=utf-8"),
        ("<!-- a gateway's --><div>Log in</div>", "text/html"),
        ("<?xml version=\"1.0\"?><!DOCTYPE html><html/>", "text/html"),
    ] {
        let page = Fault::Body {
            body: body.to_owned(),
            content_type: content_type.to_owned(),
        };
        let rule = wechat.sandbox.inject(page.on(Api::MediaGet));
        let answer = process.upload_new_photo().await;
        assert_eq!(answer.code(), (502, 2003), "{body}: {answer:?}");
        wechat.sandbox.remove_fault(rule);
    }
    until("it is logged", || async { process.logged("HTML").len() >= 5 }).await;
    always("the token is left alone", Duration::from_millis(100), || async {
        wechat.sandbox.calls(Api::StableToken) == 1
    })
    .await;
}
