//! The internal listener: for operators, and for the company's other services.

mod console;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::api::{self, Api};
use crate::metrics::Metrics;
use crate::store::SharedStore;

pub use console::Console;

#[derive(Clone)]
struct Internal {
    metrics: Metrics,
    store: Arc<dyn SharedStore>,
}

/// The internal listener's routes.
pub fn router(api: Api, metrics: Metrics, console: Console) -> Router {
    let internal = Internal {
        metrics,
        store: Arc::clone(&api.store),
    };
    Router::new()
        .route("/metrics", get(get_metrics))
        .with_state(internal)
        .merge(api::health_router(api))
        .merge(console::router(console))
}

async fn get_metrics(State(internal): State<Internal>) -> Response {
    let redis_up = internal.store.is_shared() && internal.store.health().error.is_none();
    internal.metrics.redis_up.set(redis_up.into());
    match internal.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics can't be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
