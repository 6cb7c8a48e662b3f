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
use crate::jssdk::explain::{self, Claim, ClaimProblem, Tickets, Verdict};
use crate::secret::Secret;

/// The largest form: a page's URL of 8 KiB may be three times as long when it is escaped.
pub(super) const MAX_FORM: usize = 32 * 1024;

/// Whose turn it is to sign thousands of strings.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// What was typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) url: String,
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
    /// It was looked into.
    Verdict(Claim, Verdict),
}

impl Found {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unreadable | Self::Problem(_) => StatusCode::BAD_REQUEST,
            Self::NoTicket => StatusCode::SERVICE_UNAVAILABLE,
            Self::Verdict(..) => StatusCode::OK,
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
    let page = page::explain_page(&console.app_ids(), &Asked::default(), None, language);
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
        Err(_) => (Asked::default(), Found::Unreadable),
    };
    let language = Language::of_headers(&headers);
    let page = page::explain_page(&console.app_ids(), &asked, Some(&found), language);
    (found.status(), written(page, None)).into_response()
}

async fn look_into(asked: &Asked, directory: &Directory) -> Found {
    let claim = match Claim::new(&asked.url, &asked.nonce, &asked.timestamp, &asked.signature) {
        Ok(claim) => claim,
        Err(problem) => return Found::Problem(problem),
    };
    let Some(tickets) = tickets(directory, &asked.app_id) else {
        return Found::NoTicket;
    };
    // Thousands of strings are signed: nothing that a thread with requests should wait for, and one at a
    // time, since names are looked up and pictures written by the same few threads.
    let Ok(turn) = ONE_AT_A_TIME.acquire().await else {
        return Found::Unreadable;
    };
    let explained = tokio::task::spawn_blocking(move || {
        let verdict = explain::explain(&claim, &tickets);
        drop(turn);
        (claim, verdict)
    });
    match explained.await {
        Ok((claim, verdict)) => Found::Verdict(claim, verdict),
        Err(_) => Found::Unreadable,
    }
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
