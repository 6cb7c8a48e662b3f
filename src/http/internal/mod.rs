//! The internal listener: for operators, and for the company's other services.

mod answer;
mod clients;
mod console;
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
use axum::routing::{MethodFilter, get, on, post};
use prometheus::TextEncoder;
use tower::Layer;
use tower::util::MapRequestLayer;

use super::base_path::{also_below, rewritten};
use super::middleware::{Group, Listener, RouteKind, Stack};
use super::public::{PublicState, health};
use super::{ApiError, Code};
use crate::metrics::Metrics;
use crate::wechat::WeChatClient;
use answer::Refusal;
use pass_through::refuse_other_targets;
use spelling::{STABLE_TOKEN, TICKET, TOKEN};
use state::Internal;

pub use console::Console;

/// Time limit of a console page. Routes that wait for WeChat have the limits of the calls to WeChat.
const CONSOLE_LIMIT: Duration = Duration::from_secs(30);

/// All routes, in the layers of `stack`.
pub fn routes(
    public: Arc<PublicState>,
    metrics: Metrics,
    wechat: Arc<WeChatClient>,
    console: Arc<Console>,
    stack: &Stack,
) -> prometheus::Result<Router> {
    let stack = Stack {
        listener: Listener::Internal,
        failure: answer::failure,
        // Many responses are WeChat's own.
        headers: |_| {},
        cors: None,
        trusted_proxies: Arc::default(),
        ..stack.clone()
    };
    let settings = public.settings.load_full();
    let targets = from_fn_with_state(Arc::clone(&settings), refuse_other_targets);
    let around = |routes: Router<_>, group| stack.around(routes.layer(targets.clone()), group);
    let console = console::routes(&settings.internal, console);
    let pass_through =
        Router::new().fallback(async |State(internal): State<Arc<Internal>>, request| internal.pass(request).await);
    let waits = Group::new(RouteKind::Waits);
    let probe = Group::new(RouteKind::Probe);
    let router = around(shared_credential(), waits)
        .merge(around(operator::actions(), waits))
        .merge(around(probes(), probe))
        .merge(around(console, probe.limited(CONSOLE_LIMIT)))
        .merge(around(pass_through, waits.labelled("pass-through")));
    let router = router.with_state(Arc::new(Internal::new(public, metrics, wechat)?));
    // Around the router, since inside it the route has already been chosen.
    let normalize = MapRequestLayer::new(|request| rewritten(request, spelling::normalized));
    let normalized = Router::new().fallback_service(normalize.layer(router));
    Ok(also_below(&settings.internal.base_path, Router::new(), normalized))
}

/// The token and the ticket, under WeChat's own paths, with WeChat's answers to other methods.
fn shared_credential() -> Router<Arc<Internal>> {
    let get_or_post = MethodFilter::GET.or(MethodFilter::POST);
    let requires_get = async || Refusal::new(43001, "require GET method");
    Router::new()
        .route(TOKEN, on(get_or_post, token::get_token).fallback(requires_get))
        .route(TICKET, on(get_or_post, ticket::get_ticket).fallback(requires_get))
        .route(
            STABLE_TOKEN,
            post(token::get_stable_token).fallback(async || Refusal::new(43002, "require POST method")),
        )
}

fn probes() -> Router<Arc<Internal>> {
    Router::new()
        .route("/metrics", get(get_metrics))
        .route("/healthz", get(health::get_health))
        .route(
            "/readyz",
            get(async |State(internal): State<Arc<Internal>>| health::detailed_readiness(&internal.public)),
        )
        .method_not_allowed_fallback(async || ApiError::plain(Code::MethodNotAllowed))
}

async fn get_metrics(State(internal): State<Arc<Internal>>) -> Response {
    if let Some(redis_up) = &internal.metrics.redis_up {
        redis_up.set(internal.public.store.health().error.is_none().into());
    }
    let text = TextEncoder::new().encode_to_string(&internal.metrics.registry.gather());
    let text = text.map_err(|error| ApiError::plain(Code::Internal).with_detail(error));
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response()
}
