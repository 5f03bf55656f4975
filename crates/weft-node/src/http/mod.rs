//! The HTTP API on loopback: OpenAI's shapes for applications, `/weft/v1` for
//! the owner.

mod admin;
mod guard;
mod openai;
mod parse;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::StatusCode,
    middleware,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use tokio::sync::Semaphore;

use crate::{answer::Answerer, control::Control, report::ErrorReport};

/// Largest request body: a long conversation fits; a file does not, and none is
/// ever sent this way.
const BODY_BYTES: usize = 1024 * 1024;
/// A body that takes longer to arrive is dropped: nobody types into a socket.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests handled at once; each waiting one costs memory.
const REQUESTS: usize = 128;

/// What every route can reach.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) answerer: Arc<dyn Answerer>,
    pub(crate) control: Control,
    pub(crate) token: Arc<str>,
}

/// All routes.
pub(crate) fn router(shared: Shared) -> Router {
    let admin = Router::new()
        .route("/status", get(admin::status))
        .route("/peers", get(admin::peers))
        .route("/records", get(admin::records))
        .route("/events", get(admin::events))
        .route("/enrolments", get(admin::enrolments))
        .route("/invite", post(admin::invite))
        .route("/import", post(admin::import))
        .route("/import/pipe", post(admin::import_pipe))
        .route("/export", get(admin::export))
        .route("/expect", post(admin::expect))
        .route("/wants", get(admin::wants))
        .route("/limit", post(admin::limit))
        .route("/gc", post(admin::collect))
        .route("/pin", post(admin::pin))
        .route("/stop", post(admin::stop))
        .layer(middleware::from_fn_with_state(
            shared.clone(),
            guard::with_token,
        ));
    let permits = Arc::new(Semaphore::new(REQUESTS));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/v1/models", get(openai::models))
        .route("/v1/models/{model}", get(openai::model))
        .route("/v1/chat/completions", post(openai::chat))
        .route("/v1/completions", post(openai::completions))
        .nest("/weft/v1", admin)
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(
            move |request: Request, next: middleware::Next| {
                let permits = permits.clone();
                async move {
                    match permits.try_acquire() {
                        Ok(_permit) => next.run(request).await,
                        Err(_) => failure(
                            StatusCode::SERVICE_UNAVAILABLE,
                            "busy",
                            format!("{REQUESTS} requests are being handled already"),
                        ),
                    }
                }
            },
        ))
        .layer(middleware::from_fn(guard::loopback_only))
        .with_state(shared)
}

/// Ready: the loop answers, and at least one model does too.
async fn ready(State(shared): State<Shared>) -> Response {
    match shared.control.status().await {
        Ok(status) if status.models.iter().any(|model| model.answering) => {
            "ready\n".into_response()
        }
        Ok(_) => failure(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_ready",
            "no model is active yet",
        ),
        Err(error) => failure(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_ready",
            error.to_string(),
        ),
    }
}

async fn no_route() -> Response {
    failure(StatusCode::NOT_FOUND, "not_found", "no such route")
}

async fn wrong_method() -> Response {
    failure(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this route wants another method",
    )
}

/// An error in the shape of the admin API.
fn failure(status: StatusCode, code: &str, error: impl Into<String>) -> Response {
    let report = ErrorReport {
        error: error.into(),
        code: code.to_owned(),
    };
    (status, Json(report)).into_response()
}

/// Reads a whole body inside its bounds; the error is for people.
async fn whole_body(body: Body) -> Result<Bytes, String> {
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(format!(
            "the body could not be read or is longer than {BODY_BYTES} bytes"
        )),
        Err(_) => Err(format!(
            "the body did not arrive within {} s",
            BODY_TIMEOUT.as_secs()
        )),
    }
}

#[cfg(test)]
mod tests;
