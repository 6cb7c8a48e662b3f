//! A transient failure of `media/get` is retried once; if it fails again, the answer has `Retry-After`.

use std::time::{Duration, Instant};

use wxgate::sandbox::{Api, End, Fault, Rule};

use crate::support::{Answer, Gateway, photo};

/// A warm gateway with a short time-out for WeChat.
async fn gateway() -> Gateway {
    let gateway = Gateway::builder().set("wechat.timeout", "2s").start().await;
    gateway.until_ready().await;
    gateway
}

/// Posts a new photo while `rule` applies; returns the answer and the number of calls for the photo.
async fn upload_during(gateway: &Gateway, rule: Rule) -> (Answer, u64) {
    let sandbox = &gateway.wechat.sandbox;
    let before = sandbox.calls(Api::MediaGet);
    let photo = gateway.wechat.takes_photo(&photo("portrait.jpg"));
    let rule = sandbox.inject(rule);
    let answer = gateway.upload(&photo).await;
    sandbox.remove_fault(rule);
    (answer, sandbox.calls(Api::MediaGet) - before)
}

/// Failures before the first byte of the photo, with what the page gets if they last.
fn passing() -> [(Rule, (u16, i64)); 9] {
    let plain_text = Fault::ContentType {
        value: Some("text/plain".to_owned()),
    };
    let reset = Fault::Cut {
        after: 0,
        end: End::Reset,
    };
    [
        (Fault::errcode(-1).on(Api::MediaGet), (502, 2004)),
        (Fault::errcode(-1).on(Api::MediaGet).and(plain_text), (502, 2004)),
        (Fault::Stall.on(Api::MediaGet), (504, 2001)),
        (Fault::Reset.on(Api::MediaGet), (502, 2001)),
        (Fault::Close.on(Api::MediaGet), (502, 2001)),
        (Fault::lost_answer().on(Api::MediaGet), (502, 2001)),
        (Fault::stall_after(0).on(Api::MediaGet), (504, 2001)),
        (Fault::cut(0).on(Api::MediaGet), (502, 2003)),
        (reset.on(Api::MediaGet), (502, 2003)),
    ]
}

#[tokio::test]
async fn media_call_is_repeated_after_one_passing_failure() {
    let gateway = gateway().await;
    for (rule, _) in passing() {
        let what = format!("{rule:?}");
        let (answer, calls) = upload_during(&gateway, rule.once()).await;
        assert_eq!((answer.code(), calls), ((200, 0), 2), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn media_call_that_keeps_failing_in_passing_has_retry_after() {
    let gateway = gateway().await;
    for (rule, code) in passing() {
        let what = format!("{rule:?}");
        let (answer, calls) = upload_during(&gateway, rule).await;
        assert_eq!((answer.code(), calls), (code, 2), "{what}: {answer:?}");
        assert!((1..=5).contains(&answer.retry_after()), "{what}: {answer:?}");
    }
    // The first bytes have come, or another call would be too soon.
    for (rule, code, retry_after) in [
        (Fault::stall_after(20_000), (504, 2001), 1..=5),
        (Fault::cut(20_000), (502, 2003), 1..=5),
        (Fault::status(503), (502, 2002), 1..=5),
        (Fault::errcode(45011), (502, 2004), 60..=60),
    ] {
        let what = format!("{rule:?}");
        let (answer, calls) = upload_during(&gateway, rule.on(Api::MediaGet)).await;
        assert_eq!((answer.code(), calls), (code, 1), "{what}: {answer:?}");
        assert!(retry_after.contains(&answer.retry_after()), "{what}: {answer:?}");
    }
}

/// The next call gets another token.
#[tokio::test]
async fn photo_for_which_two_tokens_were_rejected_has_retry_after() {
    let gateway = gateway().await;
    let (answer, calls) = upload_during(&gateway, Fault::errcode(40001).on(Api::MediaGet)).await;
    assert_eq!((answer.code(), calls), ((502, 2004), 2), "{answer:?}");
    assert!((1..=5).contains(&answer.retry_after()), "{answer:?}");
}

#[tokio::test]
async fn lasting_failure_is_not_repeated_and_has_no_retry_after() {
    let gateway = gateway().await;
    for (fault, code) in [
        (Fault::errcode(45009), (502, 2004)),
        (Fault::errcode(48001), (502, 2004)),
        (Fault::errcode(40007), (404, 2005)),
        (Fault::status(404), (502, 2002)),
        (Fault::Empty, (502, 2003)),
    ] {
        let what = format!("{fault:?}");
        let (answer, calls) = upload_during(&gateway, fault.on(Api::MediaGet)).await;
        assert_eq!((answer.code(), calls), (code, 1), "{what}: {answer:?}");
        assert_eq!(answer.header("retry-after"), "", "{what}: {answer:?}");
    }
}

/// Each byte comes before the stall time-out, but the whole would take hours.
#[tokio::test]
async fn media_timeout_covers_the_first_bytes_and_json() {
    let gateway = Gateway::builder()
        .set("wechat.timeout", "2s")
        .set("wechat.media_timeout", "1500ms")
        .set("media.max_concurrent", 1)
        .start()
        .await;
    gateway.until_ready().await;
    let json = Fault::Body {
        body: format!("{{\"a\":\"{}", "x".repeat(5000)),
        content_type: "application/json".to_owned(),
    };
    let drip = || Fault::Drip { bytes: 1, millis: 200 };
    for rule in [json.on(Api::MediaGet).and(drip()), drip().on(Api::MediaGet)] {
        let what = format!("{:?}", rule.faults);
        let started = Instant::now();
        let (answer, calls) = upload_during(&gateway, rule).await;
        assert_eq!((answer.code(), calls), ((504, 2001), 1), "{what}: {answer:?}");
        assert!(
            started.elapsed() < Duration::from_secs(8),
            "{what}: {:?}",
            started.elapsed()
        );
        assert!(gateway.metric("wxgate_uploads_in_flight").await.abs() < 0.1);
        assert_eq!(
            gateway.upload_new_photo().await.code(),
            (200, 0),
            "the place for an upload is free"
        );
    }
}
