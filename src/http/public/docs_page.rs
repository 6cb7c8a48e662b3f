//! `/docs`: the OpenAPI document as a page. The script that renders it is Swagger UI's; the page around it is ours, since
//! Swagger UI's own is unreadable on a phone.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use http::header;
use utoipa::openapi::Server;
use utoipa_swagger_ui::Config;

use crate::http::{ApiError, Code};
use crate::settings::values::BasePath;

/// The page may load its own files, images embedded in its style sheet, and styles that its script sets, and call this
/// gateway's routes.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

async fn with_policy(response: Response) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    (headers, response)
}

/// The page, the files that it loads, and the document.
pub(super) fn router(base_path: &BasePath) -> Router {
    let base = base_path.as_str();
    let mut document = super::openapi();
    if !base.is_empty() {
        document.servers = Some(vec![Server::new(base)]);
    }
    // A `Bytes` is shared by all readers; JSON would be serialised for each, and kept for slow ones.
    let document = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let document = ([(header::CONTENT_TYPE, "application/json")], document);
    let page = format!("{base}/docs/");
    Router::new()
        .route("/openapi.json", get(async move || document))
        .route("/docs", get(async move || Redirect::to(&page)))
        .route("/docs/", file("text/html", include_str!("docs_page/index.html")))
        .route("/docs/page.css", file("text/css", include_str!("docs_page/page.css")))
        .route(
            "/docs/page.js",
            file("text/javascript", include_str!("docs_page/page.js")),
        )
        .route("/docs/{*file}", get(swagger_ui))
        .layer(map_response(with_policy))
}

fn file(kind: &'static str, text: &'static str) -> MethodRouter {
    let headers = [(header::CONTENT_TYPE, format!("{kind}; charset=utf-8"))];
    get(async move || (headers, text))
}

/// One of Swagger UI's files.
async fn swagger_ui(name: Result<Path<String>, PathRejection>) -> Response {
    let file = |Path(name): Path<String>| utoipa_swagger_ui::serve(&name, Arc::new(Config::from("/openapi.json")));
    match name.map(file) {
        Ok(Ok(Some(file))) => ([(header::CONTENT_TYPE, file.content_type)], file.bytes).into_response(),
        _ => ApiError::plain(Code::NotFound).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::Request;
    use tower::ServiceExt;

    use super::*;

    /// However many clients read it, and however slowly.
    #[tokio::test]
    async fn document_is_one_shared_copy() {
        let router = router(&BasePath::default());
        let read = async || {
            let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            to_bytes(response.into_body(), usize::MAX).await.unwrap()
        };
        let (one, other) = (read().await, read().await);
        assert!(one.len() > 10_000);
        assert_eq!(one.as_ptr(), other.as_ptr());
    }
}
