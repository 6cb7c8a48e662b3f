//! The internal listener: for operators, and for the company's other services.

mod answer;
mod clients;
mod console;
mod edge;
mod hop_headers;
mod lead;
mod metrics;
mod operator;
mod proxy;
mod ticket;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::api::{self, Api};
use crate::metrics::Metrics;
use crate::secret::Secret;
use crate::settings::Settings;
use crate::wechat::WeChatClient;
use clients::{Clients, HandedOut};

pub use console::Console;
pub use edge::for_peer;
use metrics::InternalMetrics;

/// What the handlers need. Cheap to clone.
#[derive(Clone)]
struct Internal(Arc<Parts>);

struct Parts {
    api: Api,
    metrics: Metrics,
    /// What is counted on this listener.
    counted: InternalMetrics,
    /// Passes calls through.
    wechat: Arc<WeChatClient>,
    /// Whether it does.
    proxy: bool,
    /// Who may ask for the token.
    clients: Clients,
    /// Which one they were given.
    handed_out: HandedOut,
    /// Opens the operator's actions; empty leaves them closed.
    operator_key: Secret,
}

impl std::ops::Deref for Internal {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The internal listener's routes.
pub fn router(
    settings: &Settings,
    api: Api,
    metrics: Metrics,
    wechat: Arc<WeChatClient>,
    console: Console,
) -> prometheus::Result<Router> {
    let internal = Internal(Arc::new(Parts {
        api: api.clone(),
        counted: InternalMetrics::register(metrics.registry())?,
        metrics,
        wechat,
        proxy: settings.internal.proxy,
        clients: Clients::new(settings),
        handed_out: HandedOut::default(),
        operator_key: settings.internal.operator_key.clone(),
    }));
    let router = Router::new()
        .route("/metrics", get(get_metrics))
        .merge(shared_credential())
        .merge(operators_actions())
        .fallback(proxy::pass_through)
        .with_state(internal)
        .merge(api::health_router(api))
        .merge(console::router(console))
        .layer(from_fn(edge::observe));
    Ok(router)
}

/// The token and the ticket, where WeChat has them.
fn shared_credential() -> Router<Internal> {
    Router::new()
        .route("/cgi-bin/token", get(token::get_token).fallback(token::requires_get))
        .route(
            "/cgi-bin/stable_token",
            post(token::get_stable_token).fallback(token::requires_post),
        )
        .route(
            "/cgi-bin/ticket/getticket",
            get(ticket::get_ticket).fallback(token::requires_get),
        )
}

/// Nested, so that nothing below this path gets on to the pass-through.
fn operators_actions() -> Router<Internal> {
    let actions = Router::new()
        .route("/{app_id}/access_token/renew", post(operator::renew_token))
        .route("/{app_id}/jsapi_ticket/renew", post(operator::renew_ticket))
        .method_not_allowed_fallback(operator::requires_post)
        .fallback(operator::no_such_action);
    Router::new().nest("/credentials", actions)
}

async fn get_metrics(State(internal): State<Internal>) -> Response {
    let store = &internal.api.store;
    let redis_up = store.is_shared() && store.health().error.is_none();
    internal.metrics.redis_up.set(redis_up.into());
    match internal.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics can't be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
