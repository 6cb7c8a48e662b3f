//! `/console/explain`: why WeChat answers `invalid signature`.

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::language::Language;
use super::page::explain::{self as page, ExplainAnswer, ExplainRequest};
use super::state::Console;
use super::text;
use crate::credentials::{AccountCredentials, Kind};
use crate::directory::Directory;
use crate::jssdk::explain::{self, CandidateTickets, Claim};
use crate::words::Words;

/// The largest form. A page's URL of 8 KiB may become three times as long when escaped, and the signing call contains it too.
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
        Ok(Form(asked)) => (asked.clone(), answers(asked, &console).await),
        Err(_) => (ExplainRequest::default(), Err(invalid(text::EXPLAIN_UNREADABLE))),
    };
    let found = found.unwrap_or_else(|refused| vec![refused]);
    let language = Language::of_headers(&headers);
    let page = page::page(&console.app_ids(), &asked, &found, language);
    let refused = found.iter().find_map(|found| match found {
        ExplainAnswer::Refused(status, _) => Some(*status),
        ExplainAnswer::Compared(_) | ExplainAnswer::Verdict(..) => None,
    });
    let status = refused.unwrap_or_default();
    let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some([(header::RETRY_AFTER, "1")]);
    (status, retry_after, console.answer(page, None)).into_response()
}

fn invalid(why: Words) -> ExplainAnswer {
    ExplainAnswer::Refused(StatusCode::BAD_REQUEST, why)
}

fn unavailable(why: Words) -> ExplainAnswer {
    ExplainAnswer::Refused(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// The answers about the signing call, if one was given, then about the signature.
async fn answers(asked: ExplainRequest, console: &Console) -> Result<Vec<ExplainAnswer>, ExplainAnswer> {
    let claim = if asked.has_claim() {
        let claim = Claim::new(&asked.url, &asked.nonce, &asked.timestamp, &asked.signature);
        let claim = claim.map_err(invalid)?;
        let tickets = tickets(&console.public.directory, &asked.app_id);
        Some((claim, tickets.ok_or_else(|| unavailable(text::EXPLAIN_NO_TICKET))?))
    } else {
        None
    };
    let turn = console.turn_to_explain().await;
    let turn = turn.ok_or_else(|| unavailable(text::EXPLAIN_BUSY))?;
    let found = tokio::task::spawn_blocking(move || {
        let has_request = !asked.request.trim().is_empty();
        let compared = has_request
            .then(|| explain::compare(&asked.request, &asked.url).map_or_else(invalid, ExplainAnswer::Compared));
        let explained = claim.map(|(claim, tickets)| {
            let verdict = explain::explain(&claim, &tickets);
            ExplainAnswer::Verdict(claim, verdict)
        });
        drop(turn);
        compared.into_iter().chain(explained).collect()
    });
    found.await.map_err(|_| invalid(text::EXPLAIN_UNREADABLE))
}

/// The current ticket of `app_id`, or of the default account, and every other value that may have been used instead.
fn tickets(directory: &Directory, app_id: &str) -> Option<CandidateTickets> {
    let asked = Some(app_id).filter(|app_id| !app_id.is_empty());
    let account = &directory.find(asked)?.credentials;
    let held = |account: &AccountCredentials, kind| account.status(kind).credential.map(|held| held.value.clone());
    let mut tickets = CandidateTickets {
        current: held(account, Kind::JsapiTicket)?,
        others: account.former(Kind::JsapiTicket),
        tokens: Vec::new(),
    };
    for other in directory.all().map(|account| &account.credentials) {
        let values = |kind| held(other, kind).into_iter().chain(other.former(kind));
        tickets.tokens.extend(values(Kind::AccessToken));
        if other.app_id() != account.app_id() {
            tickets.others.extend(values(Kind::JsapiTicket));
        }
    }
    Some(tickets)
}
