//! Pages as responses, and the cookie that remembers the reader's language.

use std::time::Duration;

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use maud::Markup;

use super::language::{self, Language};
use super::state::Console;

/// A page as a response, with the cookie for the language if the reader has just chosen one.
pub(super) fn localized(console: &Console, page: Markup, chosen: Option<Language>) -> Response {
    let page = Html(page.into_string());
    match chosen {
        None => page.into_response(),
        Some(language) => ([(header::SET_COOKIE, remember(console, language))], page).into_response(),
    }
}

fn remember(console: &Console, language: Language) -> String {
    let base_path = console.0.base_path.as_str();
    let (code, year) = (language.code(), Duration::from_hours(8760).as_secs());
    format!(
        "{}={code}; Path={base_path}/console; Max-Age={year}; SameSite=Lax; HttpOnly",
        language::COOKIE
    )
}
