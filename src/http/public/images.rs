//! `GET /images/…`: the local store's pictures.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::{ApiError, Code, envelope};
use crate::image_store::LocalStore;
use crate::settings::values::BasePath;

/// The route as it is documented, under the default `image_store.local.public_base_url`.
pub(super) fn documented() -> OpenApiRouter<Arc<LocalStore>> {
    OpenApiRouter::new().routes(routes!(get_image))
}

/// The route of the pictures of `store`: under the path of its public base URL, without `base_path`.
pub(super) fn router(store: Arc<LocalStore>, base_path: &BasePath) -> Router {
    let path = store.public_path();
    let path = base_path.rest_of(path).unwrap_or(path).trim_end_matches('/');
    let path = format!("{}/{{name}}", if path.is_empty() { "/images" } else { path });
    Router::new()
        .route(&path, axum::routing::get(get_image))
        .with_state(store)
}

/// A picture in the local store
///
/// Its name never changes and neither does its content, so it may be cached for ever.
#[utoipa::path(
    get,
    path = "/images/{name}",
    tag = "H5",
    params(("name" = String, Path, description = "The picture's name", example = "0f9de62fce790f9a083d5c99e95740ce.jpg")),
    responses(
        (status = 200, description = "The picture", content_type = "image/jpeg"),
        (status = 400, description = "A range or a condition that the picture can't meet", body = envelope::Failure),
        (status = 404, description = "No such picture", body = envelope::Failure)
    )
)]
pub(super) async fn get_image(
    State(store): State<Arc<LocalStore>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let found = name.ok().and_then(|Path(name)| store.locate(&name));
    let (path, kind) = found.ok_or_else(|| ApiError::plain(Code::NotFound))?;
    let mime = HeaderValue::from_static(kind.media_type());
    let response = ServeFile::new(&path).oneshot(request).await;
    let mut response = response.unwrap_or_else(|never| match never {}).into_response();
    let status = response.status();
    if status == StatusCode::NOT_FOUND {
        return Err(ApiError::plain(Code::NotFound));
    } else if status.is_client_error() {
        let message = format!("the picture is there, but not as Range or If-Unmodified-Since want it ({status})");
        return Err(ApiError::new(Code::ParamInvalid, message));
    } else if status.is_server_error() {
        let detail = format!("{} can't be read", path.display());
        return Err(ApiError::plain(Code::Internal).with_detail(detail));
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, mime);
    // A picture must not act as a page, even if a browser takes it for one.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    if status.is_success() {
        let for_ever = HeaderValue::from_static("public, max-age=31536000, immutable");
        response.headers_mut().insert(header::CACHE_CONTROL, for_ever);
    }
    Ok(response)
}
