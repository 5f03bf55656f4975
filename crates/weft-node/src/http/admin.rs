//! `/weft/v1`: the owner's routes.

use axum::{
    Json,
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::stream;
use serde::{Deserialize, de::DeserializeOwned};
use weft_core::Limits;

use super::{Shared, failure, whole_body};
use crate::{
    bundle::{ExportError, ImportError},
    control::Stopping,
    registrar::InviteError,
    report::{Accepted, ImportRequest, InviteRequest},
};

pub(super) async fn status(State(shared): State<Shared>) -> Response {
    reply(shared.control.status().await)
}

pub(super) async fn peers(State(shared): State<Shared>) -> Response {
    reply(shared.control.peers().await)
}

pub(super) async fn records(State(shared): State<Shared>) -> Response {
    reply(shared.control.records().await)
}

pub(super) async fn enrolments(State(shared): State<Shared>) -> Response {
    reply(shared.control.enrolments().await)
}

pub(super) async fn invite(State(shared): State<Shared>, body: Body) -> Response {
    let request: InviteRequest = match json(body).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    match shared.control.invite(request).await {
        Ok(Ok(report)) => Json(report).into_response(),
        Ok(Err(error)) => {
            let (status, code) = match error {
                InviteError::NoRegistrar => (StatusCode::CONFLICT, "no_registrar"),
                InviteError::Asked(_) => (StatusCode::BAD_REQUEST, "bad_request"),
                InviteError::Invitations(_) | InviteError::Machine(_) => {
                    (StatusCode::INTERNAL_SERVER_ERROR, "failed")
                }
            };
            failure(status, code, error.to_string())
        }
        Err(Stopping) => stopping(),
    }
}

#[derive(Deserialize)]
pub(super) struct EventsQuery {
    #[serde(default)]
    after: u64,
}

pub(super) async fn events(
    State(shared): State<Shared>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Response {
    match query {
        Ok(Query(query)) => reply(shared.control.events(query.after).await),
        Err(error) => bad_request(error.body_text()),
    }
}

pub(super) async fn limit(State(shared): State<Shared>, body: Body) -> Response {
    let limits: Limits = match json(body).await {
        Ok(limits) => limits,
        Err(response) => return response,
    };
    if let Err(error) = limits.check() {
        return bad_request(error.to_string());
    }
    let limited = shared.control.limit(limits).await;
    reply(limited.map(|()| Accepted { ok: true }))
}

pub(super) async fn import(State(shared): State<Shared>, body: Body) -> Response {
    let request: ImportRequest = match json(body).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    if !request.path.is_absolute() {
        return bad_request("`path` must be absolute: the node has a folder of its own");
    }
    match shared.control.import(request.path).await {
        Ok(Ok(report)) => Json(report).into_response(),
        Ok(Err(error)) => {
            let (status, code) = match error {
                ImportError::Open { .. } => (StatusCode::NOT_FOUND, "not_found"),
                ImportError::Bundle { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "bad_bundle"),
                ImportError::OtherMesh { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "other_mesh"),
                ImportError::LetGo(_) => (StatusCode::UNPROCESSABLE_ENTITY, "let_go"),
                ImportError::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "busy"),
                _ => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
            };
            failure(status, code, error.to_string())
        }
        Err(Stopping) => stopping(),
    }
}

#[derive(Deserialize)]
pub(super) struct ExportQuery {
    channel: String,
}

pub(super) async fn export(
    State(shared): State<Shared>,
    query: Result<Query<ExportQuery>, QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(error) => return bad_request(error.body_text()),
    };
    let Ok(channel) = query.channel.parse() else {
        return bad_request(format!("`{}` is not the name of a channel", query.channel));
    };
    match shared.control.export(channel).await {
        Ok(Ok(chunks)) => {
            let chunks = stream::unfold(chunks, |mut chunks| async move {
                chunks.recv().await.map(|chunk| (chunk, chunks))
            });
            (
                [(header::CONTENT_TYPE, "application/octet-stream")],
                Body::from_stream(chunks),
            )
                .into_response()
        }
        Ok(Err(error @ ExportError::NothingToExport { .. })) => {
            failure(StatusCode::NOT_FOUND, "not_found", error.to_string())
        }
        Ok(Err(error)) => failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed",
            error.to_string(),
        ),
        Err(Stopping) => stopping(),
    }
}

pub(super) async fn stop(State(shared): State<Shared>) -> Response {
    reply(shared.control.stop().await.map(|()| Accepted { ok: true }))
}

fn reply<T: serde::Serialize>(answer: Result<T, Stopping>) -> Response {
    match answer {
        Ok(report) => Json(report).into_response(),
        Err(Stopping) => stopping(),
    }
}

async fn json<T: DeserializeOwned>(body: Body) -> Result<T, Response> {
    let bytes = whole_body(body)
        .await
        .map_err(|reason| failure(StatusCode::PAYLOAD_TOO_LARGE, "too_large", reason))?;
    serde_json::from_slice(&bytes).map_err(|error| bad_request(format!("the body: {error}")))
}

fn bad_request(reason: impl Into<String>) -> Response {
    failure(StatusCode::BAD_REQUEST, "bad_request", reason)
}

fn stopping() -> Response {
    failure(
        StatusCode::SERVICE_UNAVAILABLE,
        "stopping",
        Stopping.to_string(),
    )
}
