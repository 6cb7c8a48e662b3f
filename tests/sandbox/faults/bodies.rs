//! Faults of bodies and of their lengths.

use serde_json::Value;
use wxgate::sandbox::{Api, End, Fault, Rule, Upload};

use super::limit;
use crate::{APP, Desk, JPEG, app};

#[tokio::test]
async fn a_body_can_end_too_early() {
    let desk = Desk::new().await;
    for end in [End::Close, End::Reset, End::Stall] {
        desk.sandbox.clear_faults();
        let rule = Rule::from(Fault::Cut { after: 10, end }).and(Fault::Drip { bytes: 4, millis: 1 });
        desk.sandbox.inject(rule);
        match (end, tokio::time::timeout(limit(end), desk.raw_token()).await) {
            (End::Close, Ok((answer, Ok(())))) => {
                let (head, body) = answer.split_once("\r\n\r\n").unwrap();
                assert_eq!(body, "{\"access_t");
                assert!(!head.contains("Content-Length: 10\r"), "{head}");
            }
            (End::Reset, Ok((_, Err(_)))) | (End::Stall, Err(_)) => {}
            (_, other) => panic!("{end:?}: {other:?}"),
        }
        let body = desk.try_token().await.unwrap().bytes();
        let body = tokio::time::timeout(limit(end), body).await;
        assert!(!matches!(body, Ok(Ok(_))), "{end:?}");
    }
}

#[tokio::test]
async fn a_length_can_be_wrong_both_ways() {
    let desk = Desk::new().await;
    for (off_by, whole) in [(5, false), (-5, true)] {
        desk.sandbox.clear_faults();
        desk.sandbox.inject(Fault::WrongLength { off_by });
        let (raw, end) = desk.raw_token().await;
        assert!(raw.ends_with('}') && end.is_ok(), "{raw}");
        let body = desk.try_token().await.unwrap().text().await;
        assert_eq!(body.is_ok(), whole, "{body:?}");
        assert!(body.is_err() || serde_json::from_str::<Value>(&body.unwrap()).is_err());
    }
}

#[tokio::test]
async fn a_length_need_not_be_announced() {
    let desk = Desk::new().await;
    for fault in [Fault::Chunked, Fault::NoLength] {
        desk.sandbox.clear_faults();
        desk.sandbox.inject(Rule::from(fault.clone()));
        for _ in 0..2 {
            let answer = desk.try_token().await.unwrap();
            assert_eq!(answer.headers().get("content-length"), None);
            assert_eq!(
                answer.headers().contains_key("transfer-encoding"),
                fault == Fault::Chunked
            );
            assert_eq!(answer.json::<Value>().await.unwrap()["expires_in"], 7200);
        }
    }
    desk.sandbox.clear_faults();
    desk.sandbox.inject(Rule::from(Fault::Chunked).and(Fault::cut(20)));
    assert!(desk.try_token().await.unwrap().bytes().await.is_err());
}

#[tokio::test]
async fn a_body_can_be_compressed() {
    let desk = Desk::new().await;
    desk.sandbox.inject(Fault::Gzip);
    let answer = desk.try_token().await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let body = answer.bytes().await.unwrap();
    let json: Value = serde_json::from_reader(flate2::read::GzDecoder::new(&body[..])).unwrap();
    assert_eq!(json["expires_in"], 7200);
}

#[tokio::test]
async fn a_large_file_can_drip() {
    let desk = Desk::new().await;
    let token = desk.token().await;
    let bytes: Vec<u8> = JPEG.iter().copied().cycle().take(100_000).collect();
    let id = desk
        .sandbox
        .upload_media(&app(APP), Upload::new(bytes.clone()))
        .unwrap();
    desk.sandbox.inject(
        Fault::Drip {
            bytes: 10_000,
            millis: 1,
        }
        .on(Api::MediaGet)
        .for_media(&id),
    );
    let path = format!("/cgi-bin/media/get?access_token={token}&media_id={id}");
    assert_eq!(desk.get(&path).await.bytes().await.unwrap(), bytes);
}
