//! The sandbox's own routes: the phone's, with the demo page and what the WeChat app does for a page, and the control API, with
//! which tests in other programs control a sandbox.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{delete, get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tower_http::cors::CorsLayer;

use super::connection::LARGEST_BODY;
use super::fault::Rules;
use super::handle::{Sandbox, UnknownAccount};
use super::media::Upload;
use super::request::{form_parts, param};
use super::state::{CallRecord, SandboxState};
use super::switchboard::{RuleId, RuleState};
use super::tokens::Kill;
use super::verify::ConfigResult;
use crate::account::AppId;

/// The routes under `/sandbox`, which the help text lists.
pub(super) fn control(sandbox: Sandbox) -> Router {
    Router::new()
        .route("/sandbox", get(help))
        .route("/sandbox/", get(help))
        .route("/sandbox/state", get(state))
        .route("/sandbox/calls", get(calls))
        .route("/sandbox/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/sandbox/faults/{id}", delete(remove_fault))
        .route("/sandbox/advance", post(advance))
        .route("/sandbox/reset", post(reset))
        .route("/sandbox/accounts/{app_id}/foreign_token", post(foreign_token))
        .route("/sandbox/accounts/{app_id}/kill_token", post(kill_token))
        .route("/sandbox/accounts/{app_id}/kill_tickets", post(kill_tickets))
        .fallback(async || Failure::new(StatusCode::NOT_FOUND, "no such route; GET /sandbox lists them"))
        .with_state(sandbox)
}

/// Why a control call was refused.
struct Failure(StatusCode, String);

impl Failure {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self(status, message.into())
    }
}

impl From<UnknownAccount> for Failure {
    fn from(error: UnknownAccount) -> Self {
        Self::new(StatusCode::NOT_FOUND, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

async fn help() -> &'static str {
    include_str!("help.txt")
}

async fn state(State(sandbox): State<Sandbox>) -> Json<SandboxState> {
    Json(sandbox.snapshot())
}

async fn calls(State(sandbox): State<Sandbox>) -> Json<Vec<CallRecord>> {
    Json(sandbox.log())
}

async fn faults(State(sandbox): State<Sandbox>) -> Json<Vec<RuleState>> {
    Json(sandbox.snapshot().faults)
}

async fn add_faults(State(sandbox): State<Sandbox>, body: Bytes) -> Result<Json<Value>, Failure> {
    let Rules(rules) = parse(&body)?;
    let ids: Vec<RuleId> = rules.into_iter().map(|rule| sandbox.inject(rule)).collect();
    Ok(Json(json!({ "ids": ids })))
}

async fn clear_faults(State(sandbox): State<Sandbox>) -> Json<Value> {
    sandbox.clear_faults();
    done()
}

async fn remove_fault(State(sandbox): State<Sandbox>, Path(id): Path<RuleId>) -> Result<Json<Value>, Failure> {
    if sandbox.remove_fault(id) {
        return Ok(done());
    }
    Err(Failure::new(
        StatusCode::NOT_FOUND,
        "no such rule; GET /sandbox/faults lists them",
    ))
}

/// How far the sandbox's clock moves forward.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: u64,
}

async fn advance(State(sandbox): State<Sandbox>, body: Bytes) -> Result<Json<Value>, Failure> {
    let Advance { seconds } = parse(&body)?;
    sandbox.advance(Duration::from_secs(seconds));
    Ok(Json(json!({ "unix": sandbox.unix_time() })))
}

async fn reset(State(sandbox): State<Sandbox>) -> Json<Value> {
    sandbox.reset();
    done()
}

async fn foreign_token(State(sandbox): State<Sandbox>, Path(app_id): Path<AppId>) -> Result<Json<Value>, Failure> {
    let token = sandbox.foreign_token(&app_id)?;
    Ok(Json(json!({ "fingerprint": token.fingerprint() })))
}

async fn kill_token(
    State(sandbox): State<Sandbox>,
    Path(app_id): Path<AppId>,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let kill = if body.is_empty() {
        Kill::default()
    } else {
        parse(&body)?
    };
    sandbox.kill_token(&app_id, kill)?;
    Ok(done())
}

async fn kill_tickets(State(sandbox): State<Sandbox>, Path(app_id): Path<AppId>) -> Result<Json<Value>, Failure> {
    sandbox.kill_tickets(&app_id)?;
    Ok(done())
}

fn done() -> Json<Value> {
    Json(json!({ "ok": true }))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::new(StatusCode::BAD_REQUEST, error.to_string()))
}

/// The demo page and the phone's routes. Pages of any origin may use them.
pub(super) fn phone(sandbox: Sandbox) -> Router {
    let file = |content_type: &'static str, text: &'static str| get(async move || static_file(content_type, text));
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("page/index.html")))
        .route(
            "/sandbox/demo.js",
            file("text/javascript; charset=utf-8", include_str!("page/demo.js")),
        )
        .route(
            "/sandbox/compare.js",
            file("text/javascript; charset=utf-8", include_str!("page/compare.js")),
        )
        .route(
            "/sandbox/demo.css",
            file("text/css; charset=utf-8", include_str!("page/demo.css")),
        )
        .route("/sandbox/verify", post(verify))
        .route(
            "/sandbox/upload",
            post(upload).layer(DefaultBodyLimit::max(LARGEST_BODY)),
        )
        .layer(CorsLayer::permissive())
        .with_state(sandbox)
}

fn static_file(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; connect-src *; img-src * data: blob:; frame-ancestors 'self'; base-uri 'none'",
        ),
    ];
    (headers, text).into_response()
}

/// A body. If it is too large or incomplete, it counts as empty, because a phone has no error for that.
type AnyBody = Result<Bytes, BytesRejection>;

/// `wx.config`. A body that is not a JSON object counts as one without parameters.
async fn verify(State(sandbox): State<Sandbox>, body: AnyBody) -> Json<ConfigResult> {
    let config: Map<String, Value> = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    Json(sandbox.verify(&config))
}

/// The result of `wx.uploadImage`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Uploaded {
    err_msg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_id: Option<String>,
}

/// `wx.uploadImage`: the picture as it is, or the first file of a form.
async fn upload(
    State(sandbox): State<Sandbox>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: AnyBody,
) -> Json<Uploaded> {
    let header = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let body = body.unwrap_or_default();
    let form = form_parts(header.unwrap_or_default(), &body);
    let (bytes, content_type) = match form.into_iter().find(|part| part.filename.is_some()) {
        Some(part) => (part.bytes, part.content_type),
        None => (body, header.map(str::to_owned)),
    };
    let app_id = match param(query.as_deref().unwrap_or_default(), "appId") {
        none if none.is_empty() => sandbox.config().accounts.first().map(|account| account.app_id.clone()),
        given => AppId::try_from(given.into_owned()).ok(),
    };
    let server_id = app_id.filter(|_| !bytes.is_empty()).and_then(|app_id| {
        let upload = Upload::new(bytes);
        let upload = match content_type {
            Some(content_type) => upload.content_type(content_type),
            None => upload,
        };
        sandbox.upload_media(&app_id, upload).ok()
    });
    let err_msg = if server_id.is_some() {
        "uploadImage:ok"
    } else {
        "uploadImage:fail"
    };
    Json(Uploaded { err_msg, server_id })
}
