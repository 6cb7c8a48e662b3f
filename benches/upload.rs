//! The upload route against a bare pipe: how much of what reqwest-to-reqwest streaming can move does
//! wxgate move, with sniffing, limits, single flight, metrics and the log on?
//!
//! `cargo bench --bench upload` runs both in one process against the same sandbox WeChat and the same
//! image store, round by round in turn, so that the ratio holds on a noisy machine.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use futures_util::StreamExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wxgate::app::App;
use wxgate::sandbox::{Sandbox, SandboxConfig, TokenKind, Upload};
use wxgate::settings::{Settings, Sources};

const ROUNDS: usize = 7;
const ROUND_BYTES: usize = 512 * 1024 * 1024;

#[tokio::main]
async fn main() {
    println!("| picture | at once | bare pipe MB/s | wxgate MB/s | ratio | best ratio of a round |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, size) in [("200 KB", 200_000), ("2 MB", 2_000_000), ("8 MB", 8_000_000)] {
        for at_once in [8, 32] {
            compare(name, size, at_once).await;
        }
    }
}

async fn compare(name: &str, size: usize, at_once: usize) {
    let stage = Stage::set(size, at_once).await;
    let (mut bare, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // The first round of each warms up connections and caches, and checks the answers.
    stage.round(&stage.bare).await;
    stage.round(&stage.ours).await;
    for _ in 0..ROUNDS {
        bare.push(stage.round(&stage.bare).await);
        ours.push(stage.round(&stage.ours).await);
        ratios.push(ours.last().unwrap() / bare.last().unwrap());
    }
    let best = ratios.iter().copied().fold(0.0, f64::max);
    let (bare, ours, ratio) = (median(bare), median(ours), median(ratios));
    println!("| {name} | {at_once} | {bare:.0} | {ours:.0} | {ratio:.2} | {best:.2} |");
    stage.stop.cancel();
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Everything on loopback: WeChat, the image store, the bare pipe, the gateway.
struct Stage {
    ids: Vec<String>,
    size: usize,
    bare: String,
    ours: String,
    client: reqwest::Client,
    stop: CancellationToken,
}

impl Stage {
    async fn set(size: usize, at_once: usize) -> Self {
        let stop = CancellationToken::new();
        let sandbox = Sandbox::new(SandboxConfig {
            media_closes_connection: false,
            daily_calls: [(wxgate::sandbox::Api::MediaGet, u64::MAX)].into(),
            ..SandboxConfig::default()
        });
        let account = sandbox.config().accounts[0].clone();
        let mut photo = vec![0; size];
        photo[..4].copy_from_slice(b"\xFF\xD8\xFF\xE0");
        let upload = Upload::new(photo);
        let ids = (0..at_once)
            .map(|_| sandbox.upload_media(&account.app_id, upload.clone()).unwrap())
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wechat = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(sandbox.clone().serve(listener, stop.clone()));
        let store = serve(Router::new().route("/upload", post(drain)), &stop).await;
        let settings = settings(&wechat, store, &account);
        let app = App::build(settings, Router::new()).await.unwrap();
        let ours = format!("http://{}/p/active/weChatOa/upload", app.public_address().unwrap());
        tokio::spawn(app.run(stop.clone()));
        while sandbox.current_token(&account.app_id, TokenKind::Stable).is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let token = sandbox.current_token(&account.app_id, TokenKind::Stable).unwrap();
        let pipe = Arc::new(BarePipe {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            source: format!("{wechat}/cgi-bin/media/get?access_token={}&media_id=", token.expose()),
            sink: format!("http://{store}/upload"),
        });
        let bare = serve(
            Router::new().route("/pipe/{id}", get(bare_pipe)).with_state(pipe),
            &stop,
        )
        .await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            ids,
            size,
            bare: format!("http://{bare}/pipe/"),
            ours,
            client,
            stop,
        }
    }

    /// Moves [`ROUND_BYTES`] through `target`; answers MB/s.
    async fn round(&self, target: &str) -> f64 {
        let each = (ROUND_BYTES / self.size / self.ids.len()).max(2);
        let started = Instant::now();
        let workers = self.ids.iter().map(|id| async move {
            for _ in 0..each {
                let request = if target == self.bare {
                    self.client.get(format!("{target}{id}"))
                } else {
                    self.client.post(target).json(&serde_json::json!({ "mediaId": id }))
                };
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), StatusCode::OK);
                assert!(answer.text().await.unwrap().contains("picture.jpg"));
            }
        });
        futures_util::future::join_all(workers).await;
        let bytes = each * self.ids.len() * self.size;
        #[expect(clippy::cast_precision_loss, reason = "megabytes")]
        let megabytes = bytes as f64 / 1e6;
        megabytes / started.elapsed().as_secs_f64()
    }
}

fn settings(wechat: &str, store: SocketAddr, account: &wxgate::sandbox::SandboxAccount) -> Settings {
    let env = [
        ("WXGATE_APP_ID", account.app_id.to_string()),
        ("WXGATE_APP_SECRET", account.secret.expose().to_owned()),
        ("WXGATE__SERVER__LISTEN", "127.0.0.1:0".to_owned()),
        ("WXGATE__INTERNAL__LISTEN", "127.0.0.1:0".to_owned()),
        ("WXGATE__WECHAT__API_BASE_URL", wechat.to_owned()),
        ("WXGATE__IMAGE_STORE__BACKEND", "http".to_owned()),
        ("WXGATE__IMAGE_STORE__HTTP__URL", format!("http://{store}/upload")),
        // Every request is to move its picture.
        ("WXGATE__MEDIA__REMEMBER_FOR", "0s".to_owned()),
    ];
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Settings::load(&Sources { file: None, env }).unwrap_or_else(|problems| panic!("{problems}"))
}

async fn serve(router: Router, stop: &CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(wxgate::server::serve(
        listener,
        router,
        stop.clone(),
        Duration::from_secs(1),
    ));
    address
}

/// The image store: takes anything, keeps nothing.
async fn drain(body: Body) -> &'static str {
    let mut body = body.into_data_stream();
    while let Some(piece) = body.next().await {
        piece.unwrap();
    }
    r#"{"code":0,"data":"http://images.example.com/picture.jpg"}"#
}

struct BarePipe {
    client: reqwest::Client,
    source: String,
    sink: String,
}

/// The least that anybody could do: one request's body is the other's.
async fn bare_pipe(State(pipe): State<Arc<BarePipe>>, Path(id): Path<String>) -> String {
    let picture = pipe.client.get(format!("{}{id}", pipe.source)).send().await.unwrap();
    let length = picture.content_length().unwrap();
    let body = reqwest::Body::wrap_stream(picture.bytes_stream());
    let request = pipe.client.post(&pipe.sink).header("content-length", length).body(body);
    request.send().await.unwrap().text().await.unwrap()
}
