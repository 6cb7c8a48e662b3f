//! `/console/explain`: why WeChat answers `invalid signature`.

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::language::Language;
use super::page::explain::{self as page, ExplainAnswer, ExplainRequest};
use super::state::{Console, ExplainQueue};
use crate::credentials::Kind;
use crate::directory::Directory;
use crate::jssdk::explain::{self, CandidateTickets, Claim};
use crate::secret::Secret;

/// The largest form. A page's URL of 8 KiB may be three times as long when escaped, and the signing call contains it
/// too.
pub(super) const MAX_FORM: usize = 64 * 1024;

pub(super) async fn get_form(
    State(console): State<Arc<Console>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let chosen = Language::chosen(query.as_deref());
    let language = chosen.unwrap_or_else(|| Language::of_headers(&headers));
    let page = page::page(&console.app_ids(), &ExplainRequest::default(), &[], language);
    console.answer(page, chosen)
}

pub(super) async fn post_form(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    asked: Result<Form<ExplainRequest>, FormRejection>,
) -> Response {
    let (asked, found) = match asked {
        Ok(Form(asked)) => {
            let found = answers(&asked, &console.public.directory, &console.explain_queue).await;
            (asked, found)
        }
        Err(_) => (ExplainRequest::default(), vec![ExplainAnswer::Unreadable]),
    };
    let language = Language::of_headers(&headers);
    let page = page::page(&console.app_ids(), &asked, &found, language);
    let status = found.iter().map(ExplainAnswer::status).max().unwrap_or_default();
    let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some([(header::RETRY_AFTER, "1")]);
    (status, retry_after, console.answer(page, None)).into_response()
}

/// The answers about the signing call, if there is one, then about the signature.
async fn answers(asked: &ExplainRequest, directory: &Directory, queue: &ExplainQueue) -> Vec<ExplainAnswer> {
    let mut work: Vec<Box<dyn FnOnce() -> ExplainAnswer + Send>> = Vec::new();
    if !asked.request.trim().is_empty() {
        let (request, url) = (asked.request.clone(), asked.url.clone());
        work.push(Box::new(move || {
            explain::compare(&request, &url).map_or_else(ExplainAnswer::Problem, ExplainAnswer::Compared)
        }));
    }
    if asked.has_claim() {
        let claim = match Claim::new(&asked.url, &asked.nonce, &asked.timestamp, &asked.signature) {
            Ok(claim) => claim,
            Err(problem) => return vec![ExplainAnswer::Problem(problem)],
        };
        let Some(tickets) = tickets(directory, &asked.app_id) else {
            return vec![ExplainAnswer::NoTicket];
        };
        work.push(Box::new(move || {
            let verdict = explain::explain(&claim, &tickets);
            ExplainAnswer::Verdict(claim, verdict)
        }));
    }
    let Some(permits) = queue.wait().await else {
        return vec![ExplainAnswer::Busy];
    };
    let found = tokio::task::spawn_blocking(move || {
        let found = work.into_iter().map(|job| job()).collect();
        drop(permits);
        found
    });
    found.await.unwrap_or_else(|_| vec![ExplainAnswer::Unreadable])
}

/// The current ticket of `app_id`, or of the default account, and every other value that may have been used in
/// its place.
fn tickets(directory: &Directory, app_id: &str) -> Option<CandidateTickets> {
    let asked = Some(app_id).filter(|app_id| !app_id.is_empty());
    let account = &directory.find(asked)?.credentials;
    let held = |kind| account.status(kind).credential.map(|held| held.value.clone());
    let mut tickets = CandidateTickets {
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
