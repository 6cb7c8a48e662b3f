//! Every fault, as a client sees it.

mod bodies;

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wxgate::sandbox::{Api, End, Fault, Rule, TokenKind, Upload};

use crate::{APP, Desk, JPEG, OTHER_APP, app, errcode, text, token_path};

/// Long enough to see that nothing comes.
const SOON: Duration = Duration::from_millis(200);
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

fn limit(end: End) -> Duration {
    if end == End::Stall { SOON } else { LONG }
}

impl Desk {
    async fn try_token(&self) -> reqwest::Result<Response> {
        self.client.get(self.url(&token_path(APP))).timeout(LONG).send().await
    }

    /// What a plain socket gets for a token call: all bytes, and how the connection ended.
    async fn raw_token(&self) -> (String, std::io::Result<()>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            token_path(APP)
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        let end = loop {
            match stream.read(&mut buffer).await {
                Ok(0) => break Ok(()),
                Ok(read) => answer.extend_from_slice(&buffer[..read]),
                Err(error) => break Err(error),
            }
        };
        (String::from_utf8_lossy(&answer).into_owned(), end)
    }

    /// Makes a token call that gets no answer after `has_arrived`.
    async fn gets_no_answer_once(&self, has_arrived: impl Fn() -> bool) {
        let answer = self.raw_token();
        tokio::pin!(answer);
        tokio::select! {
            _ = &mut answer => panic!("it was answered"),
            () = until(has_arrived) => {}
        }
        assert!(tokio::time::timeout(SOON, answer).await.is_err());
    }

    fn has_token(&self) -> bool {
        self.sandbox.current_token(&app(APP), TokenKind::Classic).is_some()
    }
}

#[tokio::test]
async fn errcodes_come_with_wechats_texts_or_with_given_ones() {
    let desk = Desk::new().await;
    desk.sandbox.inject(Fault::errcode(40164).on(Api::Token).once());
    let answer = desk.classic().await;
    assert!(
        text(&answer, "errmsg").starts_with("invalid ip 127.0.0.1 ipv6 "),
        "{answer}"
    );
    desk.sandbox.inject(Fault::Errcode {
        code: -1,
        message: Some("busy".to_owned()),
    });
    assert_eq!(desk.classic().await, json!({"errcode": -1, "errmsg": "busy"}));
    assert!(!desk.has_token());
    desk.sandbox.clear_faults();
    assert_eq!(errcode(&desk.classic().await), 0);
}

#[tokio::test]
async fn rule_applies_to_the_given_number_of_calls() {
    let desk = Desk::new().await;
    desk.sandbox.inject(Fault::errcode(-1).on(Api::Token).times(2).after(1));
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(errcode(&desk.classic().await));
    }
    assert_eq!(codes, [0, -1, -1, 0]);
    desk.sandbox
        .inject(Rule::from(Fault::errcode(50002)).for_account(app(OTHER_APP)));
    assert_eq!(errcode(&desk.classic().await), 0);
    assert_eq!(errcode(&desk.get_json(&token_path(OTHER_APP)).await), 50002);
    let other = desk.sandbox.log().pop().unwrap();
    assert_eq!(
        (other.outcome.as_str(), other.faults),
        ("errcode 50002", vec!["errcode".to_owned()])
    );
}

#[tokio::test]
async fn rule_for_an_account_applies_to_its_tokens() {
    let desk = Desk::new().await;
    let token = desk.token().await;
    desk.sandbox
        .inject(Fault::errcode(48001).on(Api::GetTicket).for_account(app(OTHER_APP)));
    assert_eq!(desk.errcode_of(&token).await, 0);
    let other = desk.get_json(&token_path(OTHER_APP)).await;
    assert_eq!(desk.errcode_of(text(&other, "access_token")).await, 48001);
}

#[tokio::test]
async fn fault_can_answer_as_a_proxy() {
    let desk = Desk::new().await;
    let board = &desk.sandbox;
    board.inject(Rule::from(Fault::status(502)).once());
    board.inject(Rule::from(Fault::Empty).once());
    let html = Fault::Body {
        body: "<html>".to_owned(),
        content_type: "text/html".to_owned(),
    };
    board.inject(Rule::from(html).once());
    let redirect = Fault::Redirect {
        location: "http://127.0.0.1:9/".to_owned(),
        status: 302,
    };
    board.inject(Rule::from(redirect).once());
    let mut seen = Vec::new();
    for _ in 0..4 {
        let answer = desk.try_token().await.unwrap();
        let header = |name| {
            answer
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let (kind, location) = (header("content-type"), header("location"));
        seen.push((answer.status().as_u16(), kind, location, answer.text().await.unwrap()));
    }
    let html = || Some("text/html".to_owned());
    assert_eq!(
        seen,
        [
            (502, html(), None, "<html><body><h1>502</h1></body></html>".to_owned()),
            (200, None, None, String::new()),
            (200, html(), None, "<html>".to_owned()),
            (302, None, Some("http://127.0.0.1:9/".to_owned()), String::new()),
        ]
    );
    assert!(!desk.has_token());
}

#[tokio::test]
async fn raw_bytes_go_out_as_they_are() {
    let desk = Desk::new().await;
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}".to_vec();
    desk.sandbox.inject(Fault::Raw { bytes });
    assert_eq!(
        desk.raw_token().await.0,
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}"
    );
    assert!(desk.try_token().await.is_err());
}

#[tokio::test]
async fn connections_break_before_anything_is_carried_out() {
    let desk = Desk::new().await;
    desk.sandbox.inject(Rule::from(Fault::Reset).once());
    let (answer, end) = desk.raw_token().await;
    assert_eq!(
        (answer.as_str(), end.unwrap_err().kind()),
        ("", std::io::ErrorKind::ConnectionReset)
    );
    desk.sandbox.inject(Rule::from(Fault::Close).once());
    let (answer, end) = desk.raw_token().await;
    assert!(answer.is_empty() && end.is_ok());
    desk.sandbox.inject(Rule::from(Fault::Stall).once());
    desk.gets_no_answer_once(|| desk.sandbox.calls(Api::Token) == 3).await;
    assert!(!desk.has_token());
}

#[tokio::test]
async fn an_answer_can_be_lost_after_the_operation() {
    let desk = Desk::new().await;
    for end in [End::Reset, End::Close, End::Stall] {
        desk.sandbox.reset();
        desk.sandbox.inject(Fault::LostAnswer { end }.on(Api::Token));
        match end {
            End::Reset => assert!(desk.raw_token().await.1.is_err()),
            End::Close => assert_eq!(desk.raw_token().await.0, ""),
            End::Stall => desk.gets_no_answer_once(|| desk.has_token()).await,
        }
        assert!(desk.has_token(), "{end:?}");
    }
}

#[tokio::test]
async fn an_answer_can_come_late() {
    let desk = Desk::new().await;
    desk.sandbox.inject(Fault::delay(SOON).on(Api::Token).once());
    let start = Instant::now();
    let late = desk.try_token();
    tokio::pin!(late);
    tokio::select! {
        _ = &mut late => panic!("it came at once"),
        () = until(|| desk.has_token()) => {}
    }
    late.await.unwrap();
    assert!(start.elapsed() >= SOON);
}

#[tokio::test]
async fn an_answer_can_be_held_until_released() {
    let desk = Desk::new().await;
    for before_operation in [false, true] {
        desk.sandbox.reset();
        let rule = desk.sandbox.inject(Fault::Hold { before_operation }.on(Api::Token));
        let held = desk.try_token();
        tokio::pin!(held);
        let arrived = || desk.sandbox.calls(Api::Token) == 1 && desk.has_token() != before_operation;
        tokio::select! {
            _ = &mut held => panic!("it was not held"),
            () = until(arrived) => {}
        }
        assert!(desk.sandbox.remove_fault(rule));
        let answer: Value = held.await.unwrap().json().await.unwrap();
        assert_eq!(errcode(&answer), 0);
        assert!(desk.has_token());
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn json_can_be_other_than_promised() {
    let desk = Desk::new().await;
    let spoiled = async |fault: Fault| {
        desk.sandbox.clear_faults();
        desk.sandbox.inject(fault);
        desk.try_token().await.unwrap().text().await.unwrap()
    };
    for value in [json!(5), json!(0), json!(-1), json!("7200"), json!(1.5)] {
        let body = spoiled(Fault::ExpiresIn { value: value.clone() }).await;
        assert!(body.ends_with(&format!("\"expires_in\":{value}}}")), "{body}");
    }
    let body = spoiled(Fault::ExpiresIn { value: Value::Null }).await;
    assert!(
        body.starts_with("{\"access_token\":\"") && !body.contains("expires_in"),
        "{body}"
    );
    let set = json!({"access_token": null, "extra": [1]}).as_object().unwrap().clone();
    let body = spoiled(Fault::Fields { set }).await;
    assert_eq!(body, "{\"expires_in\":7200,\"extra\":[1]}");
    assert!(
        spoiled(Fault::NumbersAsStrings)
            .await
            .ends_with("\"expires_in\":\"7200\"}")
    );
    let body = spoiled(Fault::ControlCharacters).await;
    assert!(
        body.ends_with("\"expires_in\":7200,\"remark\":\"\u{1}\t\u{1f}\"}"),
        "{body:?}"
    );
}

#[tokio::test]
async fn faults_can_be_combined() {
    let desk = Desk::new().await;
    let rule = Fault::errcode(40001)
        .on(Api::Token)
        .and(Fault::NumbersAsStrings)
        .and(Fault::ControlCharacters)
        .and(Fault::ContentType {
            value: Some("text/plain".to_owned()),
        })
        .and(Fault::Drip { bytes: 7, millis: 1 });
    desk.sandbox.inject(rule);
    let answer = desk.try_token().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain");
    let body = answer.text().await.unwrap();
    let start = "{\"errcode\":\"40001\",\"errmsg\":\"\u{1}\t\u{1f}invalid credential";
    assert!(
        body.starts_with(start) && body.contains(" by getStableAccessToken, "),
        "{body:?}"
    );
}

#[tokio::test]
async fn headers_can_be_anything() {
    let desk = Desk::new().await;
    let set = [
        ("content-type", "application/json"),
        ("X-Evil", "a\r\nSet-Cookie: stolen=1"),
    ];
    let set = set.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    desk.sandbox
        .inject(Rule::from(Fault::Headers { set }).and(Fault::ContentType { value: None }));
    let (answer, _) = desk.raw_token().await;
    assert!(answer.contains("\r\nX-Evil: a\r\nSet-Cookie: stolen=1\r\n"), "{answer}");
    assert!(!answer.to_lowercase().contains("content-type"), "{answer}");
}

#[tokio::test]
async fn a_file_can_have_an_evil_name() {
    let desk = Desk::new().await;
    let token = desk.token().await;
    let upload = Upload::new(JPEG).content_type("text/html").filename("../../etc/passwd");
    let id = desk.sandbox.upload_media(&app(APP), upload).unwrap();
    let file = desk
        .get(&format!("/cgi-bin/media/get?access_token={token}&media_id={id}"))
        .await;
    assert_eq!(file.headers()["content-type"], "text/html");
    assert_eq!(
        file.headers()["content-disposition"],
        "attachment; filename=\"../../etc/passwd\""
    );
}
