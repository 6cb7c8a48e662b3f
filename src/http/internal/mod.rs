//! The internal listener: for operators, and for the company's other services.

mod answer;
mod clients;
mod console;
mod metrics;
mod operator;
mod parameters;
mod pass_through;
mod spelling;
mod state;
mod ticket;
mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prometheus::TextEncoder;
use tokio::sync::Semaphore;
use tower::Layer;
use tower::util::MapRequestLayer;

use super::base_path::also_below;
use super::middleware::{Group, Kind, Listener, Stack};
use super::public::{Api, health};
use super::{ApiError, Code};
use crate::credentials::UnknownTokens;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::wechat::WeChatClient;
use clients::{Clients, HandedOut};
use metrics::InternalMetrics;
use pass_through::{Hosts, refuse_other_targets};
use spelling::{STABLE_TOKEN, TICKET, TOKEN};
use state::Internal;

pub use console::Console;

/// The parts that the internal listener's routes are built from.
pub struct Routes<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// What the public listener's handlers need.
    pub api: Arc<Api>,
    /// All metrics.
    pub metrics: Metrics,
    /// Passes calls through.
    pub wechat: Arc<WeChatClient>,
    /// The operator's page.
    pub console: Arc<Console>,
}

/// Time limit of a console page. What waits for WeChat has the limits of the calls to WeChat.
const CONSOLE_LIMIT: Duration = Duration::from_secs(30);

impl Routes<'_> {
    /// All routes, in the layers of `stack`.
    pub fn around(self, stack: &Stack) -> prometheus::Result<Router> {
        let stack = Stack {
            listener: Listener::Internal,
            failure: answer::failure,
            // Many responses are WeChat's own.
            headers: |_| {},
            cors: None,
            trusted_proxies: Arc::default(),
            ..stack.clone()
        };
        let state = Arc::new(Internal {
            counted: InternalMetrics::register(&self.metrics.registry)?,
            metrics: self.metrics,
            wechat: self.wechat,
            proxy: self.settings.internal.proxy,
            clients: Clients(Arc::clone(&self.api.settings)),
            handed_out: HandedOut::default(),
            tokens_put_in: HandedOut::default(),
            unknown_tokens: UnknownTokens::default(),
            proxy_buffer: proxy_buffer(self.settings.internal.proxy_buffer),
            api: self.api,
        });
        let targets = from_fn_with_state(Hosts::new(self.settings), refuse_other_targets);
        let around = |routes: Router<_>, group| stack.around(routes.layer(targets.clone()), group);
        let console = console::routes(&self.settings.internal, self.console);
        let pass_through = Router::new().fallback(pass_through::pass_through);
        let router = around(shared_credential(), Group::new(None, Kind::Waits, None))
            .merge(around(operator::actions(), Group::new(None, Kind::Waits, None)))
            .merge(around(probes(), Group::new(None, Kind::Probe, None)))
            .merge(around(console, Group::new(None, Kind::Probe, Some(CONSOLE_LIMIT))))
            .merge(around(
                pass_through,
                Group::new(Some("pass-through"), Kind::Waits, None),
            ));
        // Around the router, since inside of it the route has been chosen already.
        let straight = MapRequestLayer::new(spelling::straighten).layer(router.with_state(state));
        let straight = Router::new().fallback_service(straight);
        Ok(also_below(&self.settings.internal.base_path, Router::new(), straight))
    }
}

/// Room for the bodies of calls that are passed through.
fn proxy_buffer(bytes: u64) -> Arc<Semaphore> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)))
}

/// The token and the ticket, under WeChat's own paths.
fn shared_credential() -> Router<Arc<Internal>> {
    Router::new()
        .route(
            TOKEN,
            get(token::get_token)
                .post(token::get_token)
                .fallback(token::requires_get),
        )
        .route(
            STABLE_TOKEN,
            post(token::get_stable_token).fallback(token::requires_post),
        )
        .route(
            TICKET,
            get(ticket::get_ticket)
                .post(ticket::get_ticket)
                .fallback(token::requires_get),
        )
}

fn probes() -> Router<Arc<Internal>> {
    Router::new()
        .route("/metrics", get(get_metrics))
        .route("/healthz", get(health::get_health))
        .route(
            "/readyz",
            get(async |State(internal): State<Arc<Internal>>| health::detailed_readiness(&internal.api)),
        )
        .method_not_allowed_fallback(async || ApiError::plain(Code::MethodNotAllowed))
}

async fn get_metrics(State(internal): State<Arc<Internal>>) -> Response {
    if let Some(redis_up) = &internal.metrics.redis_up {
        redis_up.set(internal.api.store.health().error.is_none().into());
    }
    let text = TextEncoder::new().encode_to_string(&internal.metrics.registry.gather());
    let text = text.map_err(|error| ApiError::plain(Code::Internal).with_detail(error));
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response()
}
