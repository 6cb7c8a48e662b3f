//! `GET /images/…`: the local store's pictures.

mod conditional;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::conditional::{Wanted, wanted};
use super::docs::Pictures;
use crate::http::{ApiError, Code, envelope};
use crate::image_store::{CACHE_CONTROL, LocalStore};
use crate::settings::values::BasePath;

/// When to retry if the disk does not answer.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The route as documented, under the default `image_store.local.public_base_url`.
pub(super) fn documented() -> OpenApiRouter<Arc<LocalStore>> {
    OpenApiRouter::new().routes(routes!(get_image))
}

/// The route of the pictures of `store`: under the path of its public base URL, without `base_path`.
pub(super) fn router(store: Arc<LocalStore>, base_path: &BasePath) -> Router {
    let path = format!("{}/{{name}}", store.route(base_path));
    Router::new()
        .route(&path, axum::routing::get(get_image))
        .with_state(store)
}

/// A picture in the local store
///
/// Its name never changes and neither does its content, so it may be cached indefinitely.
#[utoipa::path(
    get,
    path = "/images/{name}",
    tag = "H5",
    params(("name" = String, Path, description = "The picture's name", example = "0f9de62fce790f9a083d5c99e95740ce.jpg")),
    responses(
        Pictures,
        (status = 304, description = "The caller has it already"),
        (status = 404, description = "No such picture", body = envelope::Failure<'_>),
        (status = 412, description = "Not the picture that `If-Match` names", body = envelope::Failure<'_>),
        (status = 416, description = "The picture ends before the range begins", body = envelope::Failure<'_>),
        (status = 503, description = "The disk does not respond", body = envelope::Failure<'_>)
    )
)]
pub(super) async fn get_image(
    State(store): State<Arc<LocalStore>>,
    method: Method,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let not_found = || ApiError::plain(Code::NotFound);
    let Path(name) = name.map_err(|_| not_found())?;
    let found = store.open_picture(&name).await;
    let picture = found.map_err(|error| unreadable(&name, &error))?;
    let picture = picture.ok_or_else(not_found)?;
    // The name is random, so it also works as the entity tag.
    let (etag, length) = (format!("\"{name}\""), picture.length);
    let of_range = |range: String| [(header::CONTENT_RANGE, format!("bytes {range}/{length}"))];
    let (status, content_range, part) = match wanted(&method, &headers, &etag, length) {
        Wanted::Whole => (StatusCode::OK, None, 0..length),
        Wanted::Part(part) => {
            let range = of_range(format!("{}-{}", part.start, part.end - 1));
            (StatusCode::PARTIAL_CONTENT, Some(range), part)
        }
        Wanted::Nothing => return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)], FOR_EVER).into_response()),
        Wanted::Changed => return Err(ApiError::plain(Code::PreconditionFailed)),
        Wanted::Beyond => {
            let error = ApiError::plain(Code::RangeNotSatisfiable);
            return Ok((of_range("*".to_owned()), error).into_response());
        }
    };
    let described = [
        (header::CONTENT_TYPE, picture.kind.media_type().to_owned()),
        (header::CONTENT_LENGTH, (part.end - part.start).to_string()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, etag),
    ];
    let body = Body::from_stream(picture.read(part));
    Ok((status, content_range, described, FOR_EVER, NO_PAGE, body).into_response())
}

const FOR_EVER: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, CACHE_CONTROL)];
/// A picture must not act as a page, even if a browser takes it for one.
const NO_PAGE: [(HeaderName, &str); 1] = [(header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox")];

fn unreadable(name: &str, error: &io::Error) -> ApiError {
    if error.kind() == io::ErrorKind::TimedOut {
        let message = "pictures can't be read at the moment; see Retry-After";
        let busy = ApiError::new(Code::Overloaded, message);
        return busy.with_retry_after(RETRY_AFTER).with_detail(error);
    }
    ApiError::plain(Code::Internal).with_detail(format!("the picture {name} can't be read: {error}"))
}
