//! What wxgate is measured against: the least that axum and reqwest can do.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use rand::RngExt;
use rand::distr::Alphanumeric;
use serde::Deserialize;
use sha1::{Digest, Sha1};

use crate::world::{self, TICKET};

/// A handler that answers `body`, and nothing around it.
pub fn run_constant(body: &str) {
    let body: &'static str = body.to_owned().leak();
    let answer = move || async move { ([(CONTENT_TYPE, "application/json; charset=utf-8")], body) };
    world::serve(Router::new().route("/wechat/jsSDK", axum::routing::get(answer)));
}

/// A handler that signs, written as one writes it at the first try.
pub fn run_plain_signing(_: &str) {
    world::serve(Router::new().route("/wechat/jsSDK", axum::routing::get(sign)));
}

#[derive(Deserialize)]
struct Asked {
    url: String,
}

async fn sign(Query(asked): Query<Asked>) -> impl IntoResponse {
    let nonce: String = rand::rng().sample_iter(Alphanumeric).take(16).map(char::from).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let timestamp = now.unwrap().as_secs().to_string();
    let url = asked.url.split('#').next().unwrap();
    let string1 = format!("jsapi_ticket={TICKET}&noncestr={nonce}&timestamp={timestamp}&url={url}");
    let signature = hex::encode(Sha1::digest(string1));
    axum::Json(serde_json::json!({
        "code": 0,
        "message": "ok",
        "data": { "appId": world::APP_ID, "timestamp": timestamp, "nonceStr": nonce, "signature": signature },
        "traceId": format!("{:032x}", rand::random::<u128>()),
    }))
}

/// One request's body is the other's, and nothing looks at it. `world` is the address of both ends.
pub fn run_pipe(world: &str) {
    let pipe = Arc::new(Pipe {
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        source: format!("{world}/cgi-bin/media/get?access_token=x&media_id="),
        sink: format!("{world}/upload"),
    });
    world::serve(
        Router::new()
            .route("/p/active/weChatOa/upload", post(relay))
            .with_state(pipe),
    );
}

struct Pipe {
    client: reqwest::Client,
    source: String,
    sink: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Upload {
    media_id: String,
}

async fn relay(State(pipe): State<Arc<Pipe>>, axum::Json(upload): axum::Json<Upload>) -> Body {
    let source = format!("{}{}", pipe.source, upload.media_id);
    let picture = pipe.client.get(source).send().await.unwrap();
    let length = picture.content_length().unwrap();
    let body = reqwest::Body::wrap_stream(picture.bytes_stream());
    let request = pipe.client.post(&pipe.sink).header("content-length", length).body(body);
    Body::from(request.send().await.unwrap().bytes().await.unwrap())
}
