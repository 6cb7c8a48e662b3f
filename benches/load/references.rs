//! What wxgate is measured against: the simplest servers with axum and reqwest.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use rand::RngExt;
use rand::distr::Alphanumeric;
use redis::aio::MultiplexedConnection;
use serde::Deserialize;
use sha1::{Digest, Sha1};
use tokio::sync::OnceCell;

use crate::world::{self, TICKET};

/// A handler that answers `body`, and nothing around it.
pub fn run_constant(body: &str) {
    let body: &'static str = body.to_owned().leak();
    let answer = move || async move { ([(CONTENT_TYPE, "application/json; charset=utf-8")], body) };
    world::serve(Router::new().route("/wechat/jsSDK", axum::routing::get(answer)));
}

/// A handler that signs, without any optimisation.
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

/// Passes one request's body on as another's, unchecked. `world` is the address of both ends.
pub fn run_pipe(world: &str) {
    serve_pipe(world, None);
}

/// The same, with what storing a picture once takes at the least: one command in Redis to take the upload,
/// and one to remember it. `addresses` are the world's and Redis's.
pub fn run_pipe_once(addresses: &str) {
    let (world, redis) = addresses.split_once(' ').unwrap();
    serve_pipe(world, Some(redis::Client::open(redis).unwrap()));
}

fn serve_pipe(world: &str, redis: Option<redis::Client>) {
    let pipe = Arc::new(Pipe {
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        source: format!("{world}/cgi-bin/media/get?access_token=x&media_id="),
        sink: format!("{world}/upload"),
        redis,
        connection: OnceCell::new(),
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
    redis: Option<redis::Client>,
    connection: OnceCell<MultiplexedConnection>,
}

impl Pipe {
    /// Keeps `value` for a minute, if there is a Redis.
    async fn keep(&self, key: String, value: &[u8]) {
        let Some(redis) = &self.redis else { return };
        let open = async || redis.get_multiplexed_async_connection().await.unwrap();
        let mut connection = self.connection.get_or_init(open).await.clone();
        let mut set = redis::cmd("SET");
        set.arg(key).arg(value).arg("NX").arg("PX").arg(60_000);
        let kept: Option<String> = set.query_async(&mut connection).await.unwrap();
        assert!(kept.is_some());
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Upload {
    media_id: String,
}

async fn relay(State(pipe): State<Arc<Pipe>>, axum::Json(upload): axum::Json<Upload>) -> Body {
    let media_id = upload.media_id;
    pipe.keep(format!("bench:lock:{media_id}"), b"taken").await;
    let picture = pipe
        .client
        .get(format!("{}{media_id}", pipe.source))
        .send()
        .await
        .unwrap();
    let length = picture.content_length().unwrap();
    let body = reqwest::Body::wrap_stream(picture.bytes_stream());
    let request = pipe.client.post(&pipe.sink).header("content-length", length).body(body);
    let answer = request.send().await.unwrap().bytes().await.unwrap();
    pipe.keep(format!("bench:stored:{media_id}"), &answer).await;
    Body::from(answer)
}
