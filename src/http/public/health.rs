//! `/healthz` and `/readyz`, on both listeners.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::PublicState;
use crate::credentials::Kind;
use crate::directory::Account;

/// Whether the gateway should get requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Readiness {
    /// Everything works.
    Ready,
    /// Requests are served, but something needs attention.
    Degraded,
    /// Requests can't be served.
    Unready,
}

/// The state of one thing that the gateway depends on.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Component {
    /// Component name: `redis`, `memory`, `image_store` (a folder), or an account's credential.
    #[schema(example = "wx0123456789abcdef access_token")]
    name: String,
    /// `up` or `down`.
    #[schema(example = "up")]
    status: &'static str,
    /// Seconds in this state, or since the credential was obtained.
    #[schema(example = 120)]
    age_seconds: u64,
    /// Seconds until the credential expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 6900)]
    expires_in_seconds: Option<u64>,
    /// WeChat's own code, if it refuses to issue the credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 40164)]
    errcode: Option<i64>,
    /// What is wrong; on the internal listener only.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// What `/readyz` answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadinessReport {
    status: Readiness,
    components: Vec<Component>,
}

/// Liveness check
///
/// Always 200, as long as the process can answer at all.
#[utoipa::path(get, path = "/healthz", tag = "Operations", responses((status = 200, description = "The process is alive", body = String, content_type = "text/plain", example = "ok")))]
pub(in crate::http) async fn get_health() -> &'static str {
    "ok"
}

/// Readiness check
///
/// 503 if no account can serve its pages (it has no usable ticket; or no usable token, if it signs no pages), and from the
/// moment that the gateway is told to stop.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "Operations",
    responses(
        (status = 200, description = "Ready, or degraded: requests are served, but something needs attention", body = ReadinessReport),
        (status = 503, description = "Unready: requests can't be served", body = ReadinessReport)
    )
)]
pub(super) async fn get_readiness(State(state): State<Arc<PublicState>>) -> Response {
    let mut report = report(&state);
    for component in &mut report.components {
        component.problem = None;
    }
    answer(report)
}

/// The report with the `problem` of each component, for the internal listener.
pub(in crate::http) fn detailed_readiness(state: &PublicState) -> Response {
    answer(report(state))
}

fn answer(report: ReadinessReport) -> Response {
    let status = if report.status == Readiness::Unready {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, [("cache-control", "no-store")], Json(report)).into_response()
}

fn report(state: &PublicState) -> ReadinessReport {
    let health = state.store.health();
    let name = if state.store.is_shared() { "redis" } else { "memory" };
    let problem = health.error.map(|error| error.message);
    let mut components = vec![dependency(name, problem, health.since)];
    components.extend(state.local.as_ref().map(|local| {
        let health = local.health();
        dependency("image_store", health.problem, health.since)
    }));
    let mut accounts_up = 0;
    for account in state.directory.all() {
        let kinds = account.credentials.kinds().iter();
        components.extend(kinds.map(|kind| credential(account, *kind)));
        // The ticket, if there is one: pages are signed without the token, so a rejected token does not make a replica unready.
        accounts_up += usize::from(components.last().is_some_and(|one| one.status == "up"));
    }
    let all_well = components.iter().all(|one| one.status == "up" && one.problem.is_none());
    let status = if accounts_up == 0 || state.stopping.is_cancelled() {
        Readiness::Unready
    } else if all_well {
        Readiness::Ready
    } else {
        Readiness::Degraded
    };
    ReadinessReport { status, components }
}

fn up_or_down(is_up: bool) -> &'static str {
    if is_up { "up" } else { "down" }
}

/// A dependency other than a credential.
fn dependency(name: &str, problem: Option<String>, since: Instant) -> Component {
    Component {
        name: name.to_owned(),
        status: up_or_down(problem.is_none()),
        age_seconds: since.elapsed().as_secs(),
        problem,
        ..Component::default()
    }
}

fn credential(account: &Account, kind: Kind) -> Component {
    let status = account.credentials.status(kind);
    let held = status.credential.as_ref();
    Component {
        name: format!("{} {}", account.app_id(), kind.label()),
        status: up_or_down(held.is_some()),
        age_seconds: held.map_or(Duration::ZERO, |held| held.held_since.elapsed()).as_secs(),
        expires_in_seconds: held.map(|held| held.remaining().as_secs()),
        errcode: status.failing.as_ref().and_then(|failing| Some(failing.errcode?.0)),
        problem: (status.foreign_entry.map(|why| why.to_string())).or(status.failing.map(|failing| failing.reason)),
    }
}
