//! The phone's routes: the demo page, and what the WeChat app does for a page.

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::Json;
use axum::routing::{MethodRouter, get, post};
use serde_json::{Map, Value, json};
use tower_http::cors::CorsLayer;

use super::connection::MAX_BODY;
use super::handle::Sandbox;
use super::media::Upload;
use super::request::{content_type, form_parts, param};
use super::verify::ConfigResult;
use crate::account::AppId;

impl Sandbox {
    /// The demo page at `/` and the phone's routes `/sandbox/verify` and `/sandbox/upload`, open to pages of any origin,
    /// without the control API, for a gateway that runs against this sandbox.
    pub fn phone_router(&self) -> Router {
        Router::new()
            .route("/", file("text/html", include_str!("page/index.html")))
            .route(
                "/sandbox/demo.js",
                file("text/javascript", include_str!("page/demo.js")),
            )
            .route(
                "/sandbox/compare.js",
                file("text/javascript", include_str!("page/compare.js")),
            )
            .route("/sandbox/demo.css", file("text/css", include_str!("page/demo.css")))
            .route("/sandbox/verify", post(verify))
            .route("/sandbox/upload", post(upload).layer(DefaultBodyLimit::max(MAX_BODY)))
            .layer(CorsLayer::permissive())
            .with_state(self.clone())
    }
}

fn file(media_type: &str, text: &'static str) -> MethodRouter<Sandbox> {
    const CSP: &str =
        "default-src 'self'; connect-src *; img-src * data: blob:; frame-ancestors 'self'; base-uri 'none'";
    let headers = [
        (header::CONTENT_TYPE, format!("{media_type}; charset=utf-8")),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_SECURITY_POLICY, CSP.to_owned()),
    ];
    get((headers, text))
}

/// A request body. A too large or incomplete one counts as empty, because a phone has no error for that.
type AnyBody = Result<Bytes, BytesRejection>;

/// `wx.config`. A body that is not a JSON object counts as an object without parameters.
async fn verify(State(sandbox): State<Sandbox>, body: AnyBody) -> Json<ConfigResult> {
    let config: Map<String, Value> = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    Json(sandbox.verify(&config))
}

/// `wx.uploadImage`: the body is the picture, or a form whose first file is used.
async fn upload(
    State(sandbox): State<Sandbox>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: AnyBody,
) -> Json<Value> {
    let header = content_type(&headers);
    let body = body.unwrap_or_default();
    let form = form_parts(header.unwrap_or_default(), &body);
    let (bytes, content_type) = match form.into_iter().find(|part| part.filename.is_some()) {
        Some(part) => (part.bytes, part.content_type),
        None => (body, header.map(str::to_owned)),
    };
    let app_id = match param(query.as_deref(), "appId") {
        none if none.is_empty() => sandbox.config().accounts.first().map(|account| account.app_id.clone()),
        given => AppId::try_from(given.into_owned()).ok(),
    };
    let server_id = app_id.filter(|_| !bytes.is_empty()).and_then(|app_id| {
        let upload = Upload {
            content_type,
            ..Upload::new(bytes)
        };
        sandbox.upload_media(&app_id, upload).ok()
    });
    Json(match server_id {
        Some(id) => json!({ "errMsg": "uploadImage:ok", "serverId": id }),
        None => json!({ "errMsg": "uploadImage:fail" }),
    })
}
