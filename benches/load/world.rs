//! WeChat and the image store, as cheap as possible, since they are not measured.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

/// The account.
pub const APP_ID: &str = "wx5a4db0c0ffee0001";
/// Its ticket, of the length that real ones have.
pub const TICKET: &str = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg";

/// The largest picture there is, in bytes.
pub const LARGEST: usize = 8_000_000;

/// Serves both ends.
pub fn run(_: &str) {
    let mut picture = vec![0x55; LARGEST];
    picture[..4].copy_from_slice(b"\xFF\xD8\xFF\xE0");
    let token = || async { axum::Json(json!({"access_token": "bench-token", "expires_in": 7200})) };
    let ticket = || async { axum::Json(json!({"errcode": 0, "ticket": TICKET, "expires_in": 7200})) };
    serve(
        Router::new()
            .route("/cgi-bin/stable_token", post(token))
            .route("/cgi-bin/ticket/getticket", get(ticket))
            .route("/cgi-bin/media/get", get(send_picture))
            .route("/upload", post(take_picture))
            .with_state(Bytes::from(picture)),
    );
}

#[derive(Deserialize)]
struct Media {
    media_id: String,
}

/// The picture that `<bytes>-<anything>` names.
async fn send_picture(State(picture): State<Bytes>, Query(media): Query<Media>) -> impl IntoResponse {
    let size: usize = media.media_id.split('-').next().unwrap().parse().unwrap();
    ([(CONTENT_TYPE, "image/jpeg")], picture.slice(..size))
}

/// Accepts any body, discards it, and answers its length.
async fn take_picture(body: Body) -> impl IntoResponse {
    let mut body = body.into_data_stream();
    let mut bytes = 0;
    while let Some(piece) = body.next().await {
        // At the end of a round the client may hang up.
        let Ok(piece) = piece else { break };
        bytes += piece.len();
    }
    axum::Json(json!({"code": 0, "data": format!("http://images.example.com/{bytes}.jpg")}))
}

/// Serves `routes` on a free port, which it prints, until the process is killed.
pub fn serve(routes: Router) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("http://{}", listener.local_addr().unwrap());
        axum::serve(listener, routes).await.unwrap();
    });
}
