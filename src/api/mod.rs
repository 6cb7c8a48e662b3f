//! The public routes: one envelope, one table of codes, one edge around them all.

mod auth;
mod client_address;
mod code;
mod docs;
mod docs_page;
mod edge;
mod envelope;
mod health;
mod images;
mod jssdk;
mod metrics;
mod rate_limit;
mod request_id;
mod route;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::map_response;
use tokio_util::sync::CancellationToken;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use auth::Auth;
pub(crate) use auth::bearer;
#[cfg(any(test, doc, fuzzing))]
pub(crate) use client_address::client_address;
pub use code::Code;
pub use edge::{Client, Edge, SLOW};
pub use envelope::{ApiError, Envelope, X_REQUEST_ID};
pub use metrics::HttpMetrics;
pub use rate_limit::RateLimit;
pub use request_id::RequestId;
pub use route::Route;
#[cfg(any(test, doc, fuzzing))]
pub(crate) use upload::parse as parse_upload;

use crate::credentials::Unavailable;
use crate::directory::Directory;
use crate::image_store::LocalStore;
use crate::media::MediaRelay;
use crate::settings;
use crate::store::SharedStore;

/// What the handlers need. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<ApiParts>);

/// The parts of [`Api`].
pub struct ApiParts {
    /// The accounts.
    pub directory: Arc<Directory>,
    /// Carries photos into the store.
    pub relay: MediaRelay,
    /// What replicas share; asked for its health only.
    pub store: Arc<dyn SharedStore>,
    /// Who may upload.
    pub auth: Auth,
    /// Signatures per client.
    pub jssdk_limit: RateLimit,
    /// Uploads per client.
    pub upload_limit: RateLimit,
    /// Cancelled when the gateway begins to drain.
    pub stop: CancellationToken,
}

impl std::ops::Deref for Api {
    type Target = ApiParts;

    fn deref(&self) -> &ApiParts {
        &self.0
    }
}

impl Api {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: ApiParts) -> Self {
        Self(Arc::new(parts))
    }
}

/// The routes that every gateway has, with their documentation.
fn documented() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(docs::Document::openapi())
        .routes(routes!(jssdk::sign_page))
        .routes(routes!(upload::upload_photo))
        .routes(routes!(health::get_health))
        .routes(routes!(health::get_readiness))
}

/// The OpenAPI document.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut document = documented().into_openapi();
    document.merge(images::documented().into_openapi());
    document
}

/// The public listener's routes. `local` is the image store where the gateway serves it itself;
/// `more` are routes that only some gateways have (the sandbox's page).
pub fn router(api: Api, local: Option<Arc<LocalStore>>, docs: bool, more: Router) -> Router {
    let mut router = documented().with_state(api).split_for_parts().0.merge(more);
    if let Some(store) = local {
        router = router.merge(images::router(store));
    }
    if docs {
        router = router.merge(docs_page::router().layer(map_response(docs::with_policy)));
    }
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
}

/// `/healthz` and `/readyz` for the internal listener.
pub fn health_router(api: Api) -> Router {
    use axum::routing::get;
    let routes = Router::new().route("/healthz", get(health::get_health));
    routes
        .route("/readyz", get(health::get_detailed_readiness))
        .with_state(api)
}

/// The answer to bytes that are no request, so that no edge ever sees them.
#[must_use]
pub fn refuse(status: StatusCode) -> Response<Bytes> {
    let message = if status == StatusCode::BAD_REQUEST {
        "this is no well-formed HTTP request"
    } else {
        "the head of the request is too large: 48 KiB and 100 headers are read"
    };
    let id = RequestId::random();
    tracing::debug!(%id, %status, message);
    let mut response = ApiError::new(Code::ParamInvalid, message).bytes(id);
    response.headers_mut().insert(X_REQUEST_ID, id.header_value());
    response
}

async fn not_found() -> ApiError {
    ApiError::plain(Code::NotFound)
}

async fn method_not_allowed() -> ApiError {
    ApiError::plain(Code::MethodNotAllowed)
}

/// Which origins' pages may call; `None` where none was configured. It stands around the edge, so a
/// page can read failures too.
#[must_use]
pub fn cors(allowed: &[settings::values::Origin]) -> Option<CorsLayer> {
    let origins = if allowed.iter().any(settings::values::Origin::is_any) {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(
            allowed
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok()),
        )
    };
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION, X_REQUEST_ID, X_API_KEY])
        .expose_headers([X_REQUEST_ID, header::RETRY_AFTER])
        .max_age(PREFLIGHT_MAX_AGE);
    (!allowed.is_empty()).then_some(layer)
}

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// How long a browser may remember what a preflight request was answered.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_hours(1);

fn unknown_account() -> ApiError {
    ApiError::new(Code::AccountUnknown, "this gateway serves no account with this appId")
}

impl From<Unavailable> for ApiError {
    fn from(unavailable: Unavailable) -> Self {
        Self::plain(Code::CredentialUnavailable)
            .with_errcode(unavailable.errcode)
            .with_retry_after(unavailable.retry_after)
            .with_detail(unavailable.reason)
    }
}
