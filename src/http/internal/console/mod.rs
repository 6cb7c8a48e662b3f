//! `/console`: the operator's page. Written on the server, in Chinese or English, from nothing but
//! its own files; a little script keeps it fresh and presses the operator's buttons.
//!
//! `view` gathers plain data, `page` writes it down in the words of `text`.

mod explain;
mod language;
mod page;
mod text;
mod time;
mod timeline;
mod traffic;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::Markup;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::public::Api;
use crate::metrics::Metrics;
use crate::settings::{ImageStoreBackend, Settings, TokenApi};
use language::Language;
use traffic::Traffic;
use view::View;

/// What the page is made from. Cheap to clone.
#[derive(Clone)]
pub struct Console(Arc<Parts>);

struct Parts {
    api: Arc<Api>,
    metrics: Metrics,
    traffic: Traffic,
    /// This process's name, as in the journal.
    replica: String,
    started: Instant,
    actions_open: bool,
    image_store: ImageStoreBackend,
    daily_token_calls: u64,
    token_apis: HashMap<String, TokenApi>,
}

/// What a console is made from.
pub struct ConsoleParts<'a> {
    /// The settings of the gateway that it shows.
    pub settings: &'a Settings,
    /// What the public listener's handlers need.
    pub api: Arc<Api>,
    /// What it shows of the last hour.
    pub metrics: Metrics,
    /// This process's name, as in the journal.
    pub replica: String,
}

impl Console {
    /// A console that samples its metrics in a task on `tasks` until `stop` is cancelled.
    #[must_use]
    pub fn start(parts: ConsoleParts<'_>, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let settings = parts.settings;
        let accounts = settings.accounts.iter();
        let console = Self(Arc::new(Parts {
            api: parts.api,
            metrics: parts.metrics,
            traffic: Traffic::default(),
            replica: parts.replica,
            started: Instant::now(),
            actions_open: !settings.internal.operator_key.is_blank(),
            image_store: settings.image_store.backend,
            daily_token_calls: settings.credentials.daily_token_calls.into(),
            token_apis: accounts
                .map(|account| (account.app_id.to_string(), account.token_api))
                .collect(),
        }));
        let recording = Arc::clone(&console.0);
        tasks.spawn(async move { recording.traffic.record_all(recording.metrics.clone(), stop).await });
        console
    }

    /// The accounts, the default one first.
    fn app_ids(&self) -> Vec<String> {
        let accounts = self.0.api.directory.all();
        accounts.map(|account| account.app_id().to_string()).collect()
    }
}

/// The page and its files.
pub(super) fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    Console: FromRef<S>,
{
    let file = |kind, content| get(async move || ([(header::CONTENT_TYPE, kind)], content));
    Router::new()
        .route("/console", get(get_console))
        .route(
            "/console/explain",
            get(explain::get_form)
                .post(explain::post_form)
                .layer(DefaultBodyLimit::max(explain::MAX_FORM)),
        )
        .route("/console/", get(async || Redirect::permanent("/console")))
        .route(
            "/console/console.css",
            file("text/css; charset=utf-8", include_str!("console.css")),
        )
        .route(
            "/console/console.js",
            file("text/javascript; charset=utf-8", include_str!("console.js")),
        )
        .route("/console/icon.svg", file("image/svg+xml", include_str!("icon.svg")))
        // Not WeChat's, so nothing to pass through.
        .route("/console/{*path}", get(async || StatusCode::NOT_FOUND))
        .layer(map_response(with_security_headers))
}

async fn get_console(State(console): State<Console>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let chosen = Language::chosen(query.as_deref());
    let language = chosen.unwrap_or_else(|| Language::of_headers(&headers));
    let view = View::gather(&console.0).await;
    written(page::page(&view, language), chosen)
}

/// A page, and the reader's choice of a language, where it was made just now.
fn written(page: Markup, chosen: Option<Language>) -> Response {
    let page = Html(page.into_string());
    match chosen {
        None => page.into_response(),
        Some(language) => ([(header::SET_COOKIE, remember(language))], page).into_response(),
    }
}

fn remember(language: Language) -> String {
    let (code, year) = (language.code(), Duration::from_hours(8760).as_secs());
    format!(
        "{}={code}; Path=/console; Max-Age={year}; SameSite=Lax; HttpOnly",
        language::COOKIE
    )
}

/// Nothing from elsewhere, nothing inline, in nobody's frame, in nobody's cache.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

async fn with_security_headers(response: Response) -> impl IntoResponse {
    (SECURITY_HEADERS, response)
}
