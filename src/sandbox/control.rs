//! The control API: lets tests in other programs control a sandbox over HTTP.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Json;
use axum::routing::{delete, get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::active_rules::RuleState;
use super::fault::Rules;
use super::handle::{Sandbox, UnknownAccount};
use super::state::CallRecord;
use super::tokens::Kill;
use crate::account::AppId;

const HELP: &str = include_str!("help.txt");

/// The routes under `/sandbox`, which the help text lists.
pub(super) fn router(sandbox: Sandbox) -> Router {
    Router::new()
        .route("/sandbox", get(HELP))
        .route("/sandbox/", get(HELP))
        .route("/sandbox/state", get(state))
        .route("/sandbox/calls", get(calls))
        .route("/sandbox/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/sandbox/faults/{id}", delete(remove_fault))
        .route("/sandbox/advance", post(advance))
        .route("/sandbox/reset", post(reset))
        .route("/sandbox/accounts/{app_id}/foreign_token", post(foreign_token))
        .route("/sandbox/accounts/{app_id}/kill_token", post(kill_token))
        .route("/sandbox/accounts/{app_id}/kill_tickets", post(kill_tickets))
        .fallback(async || refusal(StatusCode::NOT_FOUND, "no such route; GET /sandbox lists them"))
        .with_state(sandbox)
}

/// Why a control call was refused.
type Refusal = (StatusCode, Json<Value>);

fn refusal(status: StatusCode, message: &str) -> Refusal {
    (status, Json(json!({ "error": message })))
}

fn unknown(error: UnknownAccount) -> Refusal {
    refusal(StatusCode::NOT_FOUND, &error.to_string())
}

async fn state(State(sandbox): State<Sandbox>) -> Json<Value> {
    Json(sandbox.state().view())
}

async fn calls(State(sandbox): State<Sandbox>) -> Json<Vec<CallRecord>> {
    Json(sandbox.log())
}

async fn faults(State(sandbox): State<Sandbox>) -> Json<Vec<RuleState>> {
    Json(sandbox.state().rules.states())
}

async fn add_faults(State(sandbox): State<Sandbox>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let Rules(rules) = parse(&body)?;
    let ids: Vec<u64> = rules.into_iter().map(|rule| sandbox.inject(rule)).collect();
    Ok(Json(json!({ "ids": ids })))
}

async fn clear_faults(State(sandbox): State<Sandbox>) -> Json<Value> {
    sandbox.clear_faults();
    done()
}

async fn remove_fault(State(sandbox): State<Sandbox>, Path(id): Path<u64>) -> Result<Json<Value>, Refusal> {
    if sandbox.remove_fault(id) {
        return Ok(done());
    }
    Err(refusal(
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

async fn advance(State(sandbox): State<Sandbox>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let Advance { seconds } = parse(&body)?;
    sandbox.advance(Duration::from_secs(seconds));
    Ok(Json(json!({ "unix": sandbox.unix_time() })))
}

async fn reset(State(sandbox): State<Sandbox>) -> Json<Value> {
    sandbox.reset();
    done()
}

async fn foreign_token(State(sandbox): State<Sandbox>, Path(app_id): Path<AppId>) -> Result<Json<Value>, Refusal> {
    let token = sandbox.foreign_token(&app_id).map_err(unknown)?;
    Ok(Json(json!({ "fingerprint": token.fingerprint() })))
}

async fn kill_token(
    State(sandbox): State<Sandbox>,
    Path(app_id): Path<AppId>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let kill = if body.is_empty() {
        Kill::default()
    } else {
        parse(&body)?
    };
    sandbox.kill_token(&app_id, kill).map_err(unknown)?;
    Ok(done())
}

async fn kill_tickets(State(sandbox): State<Sandbox>, Path(app_id): Path<AppId>) -> Result<Json<Value>, Refusal> {
    sandbox.kill_tickets(&app_id).map_err(unknown)?;
    Ok(done())
}

fn done() -> Json<Value> {
    Json(json!({ "ok": true }))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| refusal(StatusCode::BAD_REQUEST, &error.to_string()))
}
