//! Answers byte for byte, as a plain socket sees them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wxgate::sandbox::Upload;

use crate::{APP, Desk, JPEG, app};

/// Sends `request` and reads until the connection closes.
async fn exchange(desk: &Desk, request: &str) -> String {
    let mut stream = TcpStream::connect(desk.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The head's lines but for `Date`, and the body.
fn parts(answer: &str) -> (Vec<&str>, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let lines = head.split("\r\n").filter(|line| !line.starts_with("Date: "));
    (lines.collect(), body)
}

#[tokio::test]
async fn an_error_is_200_and_one_line_of_json() {
    let desk = Desk::new().await;
    let answer = exchange(&desk, "GET /cgi-bin/token?appid=wxnone HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let (head, body) = parts(&answer);
    assert_eq!(
        head,
        [
            "HTTP/1.1 200 OK",
            "Connection: keep-alive",
            "Content-Type: application/json; encoding=utf-8",
            &format!("Content-Length: {}", body.len()),
        ]
    );
    let (start, rid) = body.split_once(" rid: ").unwrap();
    assert_eq!(start, "{\"errcode\":40013,\"errmsg\":\"invalid appid");
    let groups: Vec<&str> = rid.trim_end_matches("\"}").split('-').collect();
    assert!(
        groups.len() == 3 && groups.iter().all(|group| group.len() == 8),
        "{rid}"
    );
    let time = u64::from_str_radix(groups[0], 16).unwrap();
    assert!(time.abs_diff(desk.sandbox.unix_time()) < 5);
}

#[tokio::test]
async fn a_ticket_answer_says_ok_first() {
    let desk = Desk::new().await;
    let token = desk.token().await;
    let path = format!("/cgi-bin/ticket/getticket?access_token={token}&type=jsapi");
    let body = desk.get(&path).await.text().await.unwrap();
    assert!(
        body.starts_with("{\"errcode\":0,\"errmsg\":\"ok\",\"ticket\":\""),
        "{body}"
    );
    assert!(body.ends_with("\",\"expires_in\":7200}"), "{body}");
}

#[tokio::test]
async fn a_file_has_the_documented_headers() {
    let desk = Desk::new().await;
    let token = desk.token().await;
    let id = desk.sandbox.upload_media(&app(APP), Upload::new(JPEG)).unwrap();
    let path = format!("/cgi-bin/media/get?access_token={token}&media_id={id}");
    let answer = exchange(&desk, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    let (head, _) = parts(&answer);
    assert_eq!(
        head,
        [
            "HTTP/1.1 200 OK",
            "Connection: close",
            "Content-Type: image/jpeg",
            &format!("Content-disposition: attachment; filename=\"{id}.jpg\""),
            "Cache-Control: no-cache, must-revalidate",
            &format!("Content-Length: {}", JPEG.len()),
        ]
    );
    let head_only = exchange(&desk, &format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert_eq!(parts(&head_only), (head, ""));
}

#[tokio::test]
async fn a_connection_serves_many_calls() {
    let desk = Desk::new().await;
    let token = desk.token().await;
    let mut stream = TcpStream::connect(desk.address).await.unwrap();
    let request = format!("GET /cgi-bin/getcallbackip?access_token={token} HTTP/1.1\r\nHost: x\r\n\r\n");
    for path in ["/sandbox/state", "/cgi-bin/token", "/sandbox/state"] {
        let control = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        for request in [request.as_str(), control.as_str()] {
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = [0; 8192];
            let mut read = 0;
            while !is_whole(&answer[..read]) {
                let more = stream.read(&mut answer[read..]).await.unwrap();
                assert!(more > 0, "closed after {request}");
                read += more;
            }
        }
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let (_, length) = head.split_once("content-length: ").unwrap();
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    answer.len() == end + 4 + length
}

#[tokio::test]
async fn a_body_must_not_be_too_large() {
    let desk = Desk::new().await;
    let large = vec![0; 21 * 1024 * 1024];
    let sent = desk
        .client
        .post(desk.url("/cgi-bin/media/upload"))
        .body(large)
        .send()
        .await;
    // A client that is still sending may see the connection close before it sees the answer.
    assert!(sent.is_err() || sent.is_ok_and(|answer| answer.status() == 413));
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it() {
    let desk = Desk::new().await;
    let mut stream = TcpStream::connect(desk.address).await.unwrap();
    let head = "POST /cgi-bin/stable_token HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    let mut answer = vec![0; go_on.len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, go_on.as_bytes());
    stream.write_all(b"{}").await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn body_in_chunks_is_412() {
    let desk = Desk::new().await;
    let token = desk.token().await;
    let path = format!("/cgi-bin/message/custom/send?access_token={token}");
    let post = |rest: &str| format!("POST {path} HTTP/1.1\r\nHost: x\r\n{rest}");
    for (request, status) in [
        (post("Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), "412"),
        (post("Content-Length: 2\r\n\r\n{}"), "200"),
        (post("\r\n"), "200"),
    ] {
        let answer = exchange(&desk, &request).await;
        assert_eq!(&answer[9..12], status, "{request}: {answer}");
    }
    let log = desk.sandbox.log();
    let outcomes: Vec<_> = log.iter().map(|record| record.outcome.as_str()).collect();
    assert!(outcomes.contains(&"status 412"), "{outcomes:?}");
}
