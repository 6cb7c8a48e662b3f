//! The public listener's routes, whose answers are envelopes.

mod auth;
mod docs;
mod docs_page;
mod headers;
pub(super) mod health;
mod images;
mod rate_limit;
mod sign;
pub(super) mod upload;

use std::sync::Arc;

use axum::Router;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use auth::Auth;
pub(crate) use auth::{KeySet, bearer};
pub use headers::{add_security_headers, cors};
pub use rate_limit::RateLimit;

use super::base_path::also_below;
use super::middleware::{Group, RouteKind, Stack};
use super::{ApiError, Code};
use crate::directory::Directory;
use crate::image_store::LocalStore;
use crate::settings::CurrentSettings;
use crate::store::SharedStore;
use crate::upload::MediaRelay;

/// What the handlers need; they share one behind an [`Arc`].
pub struct PublicState {
    pub(crate) directory: Directory,
    /// Copies photos into the image store.
    pub relay: Arc<MediaRelay>,
    /// The shared store: for its health, and for what the console reads from it.
    pub store: Arc<dyn SharedStore>,
    /// The image store, if the gateway itself serves its pictures.
    pub local: Option<Arc<LocalStore>>,
    pub settings: CurrentSettings,
    pub auth: Auth,
    /// Limit on signatures per client.
    pub jssdk_limit: RateLimit,
    /// Limit on uploads per client.
    pub upload_limit: RateLimit,
    /// Cancelled when the gateway is told to stop: from then on it is not ready.
    pub stopping: CancellationToken,
}

/// The routes that need the state: for signing, for uploading, and for probes.
fn documented() -> [OpenApiRouter<Arc<PublicState>>; 3] {
    let probes = OpenApiRouter::new().routes(routes!(health::get_health));
    [
        OpenApiRouter::new().routes(routes!(sign::sign_page)),
        OpenApiRouter::new().routes(routes!(upload::upload_photo)),
        probes.routes(routes!(health::get_readiness)),
    ]
}

/// The OpenAPI document.
pub fn openapi() -> OpenApi {
    let mut document = docs::Document::openapi();
    for routes in documented() {
        document.merge(routes.into_openapi());
    }
    document.merge(images::documented().into_openapi());
    document
}

/// All routes, in the layers of `stack`; `sandbox` has the demo page's routes, if the gateway runs against the sandbox.
pub fn routes(state: &Arc<PublicState>, sandbox: Router, stack: &Stack) -> Router {
    let settings = &state.settings.load().server;
    let [signing, uploading, probes] = documented().map(|routes| Router::from(routes.with_state(Arc::clone(state))));
    let around = |routes: Router, group| {
        let routes = routes.method_not_allowed_fallback(async || ApiError::plain(Code::MethodNotAllowed));
        stack.around(routes, group)
    };
    let instant = Group::new(RouteKind::Instant).limited(settings.request_timeout);
    let waits = Group::new(RouteKind::Waits).limited(settings.request_timeout);
    let mut router = around(signing, instant)
        .merge(around(uploading, waits))
        .merge(around(probes, Group::new(RouteKind::Probe)))
        .merge(around(sandbox, waits.labelled("/sandbox")));
    if let Some(store) = &state.local {
        let images = images::router(Arc::clone(store), &settings.base_path);
        router = router.merge(around(images, waits.labelled("/images")));
    }
    if settings.docs {
        let page = docs_page::router(&settings.base_path);
        router = router.merge(around(page, waits.labelled("/docs")));
    }
    let unknown = Router::new().fallback(async || ApiError::plain(Code::NotFound));
    let unknown = stack.around(unknown, Group::new(RouteKind::Waits).labelled("other"));
    also_below(&settings.base_path, router, unknown)
}

fn unknown_account() -> ApiError {
    ApiError::new(Code::AccountUnknown, "this gateway serves no account with this appId")
}
