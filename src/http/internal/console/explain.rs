//! The form that says why WeChat answers `invalid signature`, and its answer.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::language::Language;
use super::{Console, page, written};
use crate::credentials::Kind;
use crate::directory::Directory;
use crate::jssdk::explain::{self, Claim, ClaimProblem, Comparison, Tickets, Verdict};
use crate::secret::Secret;

/// The largest form: a page's URL of 8 KiB may be three times as long when it is escaped, and so it stands in the signing
/// call too.
pub(super) const MAX_FORM: usize = 64 * 1024;

/// Whose turn it is to sign thousands of strings.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// What was typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) url: String,
    pub(super) request: String,
    pub(super) nonce: String,
    pub(super) timestamp: String,
    pub(super) signature: String,
    pub(super) app_id: String,
}

/// What is answered.
pub(super) enum Found {
    /// The form can't be read.
    Unreadable,
    /// What was typed can't be right.
    Problem(ClaimProblem),
    /// There is no ticket now to compare with.
    NoTicket,
    /// The signing call was compared with the page.
    Compared(Comparison),
    /// The signature was looked into.
    Verdict(Claim, Verdict),
}

impl Found {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unreadable | Self::Problem(_) => StatusCode::BAD_REQUEST,
            Self::NoTicket => StatusCode::SERVICE_UNAVAILABLE,
            Self::Compared(_) | Self::Verdict(..) => StatusCode::OK,
        }
    }
}

pub(super) async fn get_form(
    State(console): State<Console>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let chosen = Language::chosen(query.as_deref());
    let language = chosen.unwrap_or_else(|| Language::of_headers(&headers));
    let page = page::explain_page(&console.app_ids(), &Asked::default(), &[], language);
    written(page, chosen)
}

pub(super) async fn post_form(
    State(console): State<Console>,
    headers: HeaderMap,
    asked: Result<Form<Asked>, FormRejection>,
) -> Response {
    let (asked, found) = match asked {
        Ok(Form(asked)) => {
            let found = look_into(&asked, &console.0.api.directory).await;
            (asked, found)
        }
        Err(_) => (Asked::default(), vec![Found::Unreadable]),
    };
    let language = Language::of_headers(&headers);
    let page = page::explain_page(&console.app_ids(), &asked, &found, language);
    let status = found.iter().map(Found::status).max().unwrap_or_default();
    (status, written(page, None)).into_response()
}

impl Asked {
    /// Whether there is a signature to look into. A signing call alone is fine too.
    fn has_claim(&self) -> bool {
        let claim = [&self.nonce, &self.timestamp, &self.signature];
        self.request.trim().is_empty() || claim.iter().any(|value| !value.trim().is_empty())
    }
}

/// What came out: of the signing call, if there is one, then of the signature.
async fn look_into(asked: &Asked, directory: &Directory) -> Vec<Found> {
    let mut work: Vec<Box<dyn FnOnce() -> Found + Send>> = Vec::new();
    if !asked.request.trim().is_empty() {
        let (request, url) = (asked.request.clone(), asked.url.clone());
        work.push(Box::new(move || {
            explain::compare(&request, &url).map_or_else(Found::Problem, Found::Compared)
        }));
    }
    if asked.has_claim() {
        let claim = match Claim::new(&asked.url, &asked.nonce, &asked.timestamp, &asked.signature) {
            Ok(claim) => claim,
            Err(problem) => return vec![Found::Problem(problem)],
        };
        let Some(tickets) = tickets(directory, &asked.app_id) else {
            return vec![Found::NoTicket];
        };
        work.push(Box::new(move || {
            let verdict = explain::explain(&claim, &tickets);
            Found::Verdict(claim, verdict)
        }));
    }
    // Thousands of strings are signed: nothing that a thread with requests should wait for, and one at a
    // time, since names are looked up and pictures written by the same few threads.
    let Ok(turn) = ONE_AT_A_TIME.acquire().await else {
        return vec![Found::Unreadable];
    };
    let found = tokio::task::spawn_blocking(move || {
        let found = work.into_iter().map(|look| look()).collect();
        drop(turn);
        found
    });
    found.await.unwrap_or_else(|_| vec![Found::Unreadable])
}

/// The ticket in use of `app_id`, or of the default account, and all that may have been taken for it.
fn tickets(directory: &Directory, app_id: &str) -> Option<Tickets> {
    let asked = Some(app_id).filter(|app_id| !app_id.is_empty());
    let account = &directory.find(asked)?.credentials;
    let held = |kind| account.status(kind).credential.map(|held| held.value.clone());
    let mut tickets = Tickets {
        current: held(Kind::JsapiTicket)?,
        others: account.former(Kind::JsapiTicket),
        tokens: Vec::new(),
    };
    for other in directory.all().map(|account| &account.credentials) {
        let values = |kind| -> Vec<Secret> {
            let held = other.status(kind).credential.map(|held| held.value.clone());
            held.into_iter().chain(other.former(kind)).collect()
        };
        tickets.tokens.extend(values(Kind::AccessToken));
        if other.app_id() != account.app_id() {
            tickets.others.extend(values(Kind::JsapiTicket));
        }
    }
    Some(tickets)
}
