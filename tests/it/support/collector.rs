//! A collector of traces: takes OTLP over HTTP, keeps every span.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use wxgate::http::serve::Server;

use super::until;

/// The collector; it ends with the test.
pub struct Collector {
    address: SocketAddr,
    got: Arc<Mutex<Got>>,
    _end: DropGuard,
}

#[derive(Default)]
struct Got {
    spans: Vec<Span>,
    messages: Vec<Bytes>,
    /// Those of the last message.
    headers: HeaderMap,
    /// Answers 503, and keeps nothing.
    refuses: bool,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (got, end) = (Arc::<Mutex<Got>>::default(), CancellationToken::new());
        let router = Router::new()
            .route("/v1/traces", post(take))
            .route("/otlp/v1/traces", post(take))
            .with_state(Arc::clone(&got));
        tokio::spawn(Server::default().serve(listener, router, end.clone(), Duration::ZERO));
        Self {
            address,
            got,
            _end: end.drop_guard(),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn refuse(&self, refuses: bool) {
        self.got.lock().unwrap().refuses = refuses;
    }

    /// How many messages have come, accepted or refused.
    pub fn messages(&self) -> usize {
        self.got.lock().unwrap().messages.len()
    }

    /// All that was ever sent, as it came.
    pub fn everything(&self) -> String {
        String::from_utf8_lossy(&self.got.lock().unwrap().messages.concat()).into_owned()
    }

    /// The headers of the last message.
    pub fn headers(&self) -> HeaderMap {
        self.got.lock().unwrap().headers.clone()
    }

    /// The spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.got.lock().unwrap().spans.clone()
    }

    /// Waits for a span of this name, in `trace` if one is given.
    pub async fn span(&self, name: &str, trace: Option<&str>) -> Span {
        let find = || {
            let in_trace = |span: &Span| trace.is_none_or(|trace| hex::encode(&span.trace_id) == trace);
            self.spans()
                .into_iter()
                .find(|span| span.name == name && in_trace(span))
        };
        until(&format!("there is a span {name}"), || async { find().is_some() }).await;
        find().unwrap()
    }
}

async fn take(State(got): State<Arc<Mutex<Got>>>, headers: HeaderMap, message: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let mut got = got.lock().unwrap();
    let message = if headers
        .get("content-encoding")
        .is_some_and(|encoding| encoding == "gzip")
    {
        gunzip(&message)
    } else {
        message
    };
    got.headers = headers;
    got.messages.push(message.clone());
    if got.refuses {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let request = ExportTraceServiceRequest::decode(message).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|resource| {
        let attributes = resource.resource.unwrap().attributes;
        assert!(attributes.iter().any(|pair| pair.key == "service.name"));
        resource.scope_spans
    });
    got.spans.extend(scopes.flat_map(|scope| scope.spans));
    StatusCode::OK
}

fn gunzip(message: &Bytes) -> Bytes {
    let mut unzipped = Vec::new();
    GzDecoder::new(&message[..]).read_to_end(&mut unzipped).unwrap();
    unzipped.into()
}

/// An attribute of a span, as text; empty if the span has none of that name.
pub fn attribute(span: &Span, key: &str) -> String {
    let pair = span.attributes.iter().find(|pair| pair.key == key);
    match pair.and_then(|pair| pair.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}
