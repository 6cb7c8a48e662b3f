//! The pass-through: WeChat's whole API behind one address.

mod answers;
mod bearer;
mod bodies;
mod headers;
mod paths;
mod secrets;
mod targets;
mod tokens;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use crate::support::{Answer, Gateway, GatewayBuilder, Raw, RawAnswer};

/// A media file as SDKs upload it.
fn form(bytes: &[u8]) -> reqwest::multipart::Form {
    let part = reqwest::multipart::Part::bytes(bytes.to_vec()).file_name("photo.jpg");
    reqwest::multipart::Form::new().part("media", part)
}

/// A WeChat that answers with the body that it was sent. It has one token and one ticket.
#[derive(Clone, Default)]
struct Echo(Arc<Mutex<Vec<Call>>>);

/// A call that has arrived.
#[derive(Clone, Debug)]
struct Call {
    method: String,
    uri: String,
    headers: HeaderMap,
}

impl Call {
    /// The query's parameter of this name.
    fn param(&self, name: &str) -> Option<String> {
        let (_, query) = self.uri.split_once('?')?;
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl Echo {
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let echo = Self::default();
        let router = axum::Router::new().fallback(answer).with_state(echo.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (echo, url)
    }

    /// The same, with a gateway that uses it as WeChat.
    async fn behind(builder: GatewayBuilder) -> (Self, Gateway) {
        let (echo, url) = Self::start().await;
        let gateway = builder.set("wechat.api_base_url", &url).start().await;
        (echo, gateway)
    }

    /// The calls that arrived, except the gateway's own.
    fn calls(&self) -> Vec<Call> {
        self.0.lock().unwrap().clone()
    }

    fn last(&self) -> Call {
        self.calls().pop().unwrap()
    }
}

/// The gateway's own calls, and their answers.
const OWN: [(&str, &str); 2] = [
    (
        "/cgi-bin/stable_token",
        r#"{"access_token":"the-token/of-echo","expires_in":7200}"#,
    ),
    (
        "/cgi-bin/ticket/getticket?access_token=the-token%2Fof-echo&type=jsapi",
        r#"{"errcode":0,"errmsg":"ok","ticket":"the-ticket-of-echo","expires_in":7200}"#,
    ),
];

/// Streams the request's body back as it comes.
async fn answer(State(echo): State<Echo>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let uri = parts.uri.to_string();
    if let Some((_, own)) = OWN.iter().find(|(path, _)| uri.trim_start_matches("/wx") == *path) {
        return own.into_response();
    }
    echo.0.lock().unwrap().push(Call {
        method: parts.method.to_string(),
        uri,
        headers: parts.headers,
    });
    let headers = [
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=9"),
        ("x-end", "kept"),
    ];
    (headers, Body::from_stream(body.into_data_stream())).into_response()
}

/// Sends a request without a body whose first line begins with `line`, as it is.
async fn sends(address: SocketAddr, line: &str) -> RawAnswer {
    let mut client = Raw::connect(address).await;
    client.send(format!("{line} HTTP/1.1\r\nHost: wxgate\r\n\r\n")).await;
    client.answer().await
}

/// Status and `errcode` of a refusal in WeChat's format.
fn refusal(answer: &Answer) -> (u16, i64) {
    assert!(answer.body["errmsg"].is_string(), "{answer:?}");
    (answer.status, answer.body["errcode"].as_i64().unwrap())
}
