//! `/weft/v1`: the owner's routes.

use std::io;

use axum::{
    Json,
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::{StreamExt as _, stream};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::sync::mpsc;
use weft_core::Limits;

use super::{Shared, failure, whole_body};
use crate::{
    bundle::{ExportError, ImportError},
    control::Stopping,
    pins::PinError,
    registrar::InviteError,
    report::{
        Accepted, CollectRequest, ExpectRequest, ImportReport, ImportRequest, InviteRequest,
        PinRequest,
    },
};

/// For longer nobody is waited for: a release should not hang on one promise.
const EXPECTED_MOST_S: u64 = 30 * 86_400;
/// Pieces of a body that wait to be taken apart.
const PIECES: usize = 4;

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
    answered(shared.control.invite(request).await, |error| {
        let (status, code) = match error {
            InviteError::NoRegistrar => (StatusCode::CONFLICT, "no_registrar"),
            InviteError::Asked(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            InviteError::Invitations(_) | InviteError::Machine(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "failed")
            }
        };
        failure(status, code, error.to_string())
    })
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
    imported(shared.control.import(request.path).await)
}

/// Takes a bundle in that is the body, as it comes. It may be of any length, and come slowly.
pub(super) async fn import_pipe(State(shared): State<Shared>, body: Body) -> Response {
    let (sender, pieces) = mpsc::channel(PIECES);
    let forward = async {
        let mut data = body.into_data_stream();
        while let Some(piece) = data.next().await {
            let piece = piece.map_err(io::Error::other);
            let is_last = piece.is_err();
            if sender.send(piece).await.is_err() || is_last {
                break;
            }
        }
        drop(sender);
    };
    let (result, ()) = futures::join!(shared.control.import_pieces(pieces), forward);
    imported(result)
}

fn imported(result: Result<Result<ImportReport, ImportError>, Stopping>) -> Response {
    answered(result, |error| {
        let (status, code) = match error {
            ImportError::Open { .. } => (StatusCode::NOT_FOUND, "not_found"),
            ImportError::Bundle { .. } | ImportError::Pipe(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "bad_bundle")
            }
            ImportError::BrokeOff(_) => (StatusCode::REQUEST_TIMEOUT, "broke_off"),
            ImportError::OtherMesh { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "other_mesh"),
            ImportError::LetGo(_) => (StatusCode::UNPROCESSABLE_ENTITY, "let_go"),
            ImportError::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "busy"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
        };
        failure(status, code, error.to_string())
    })
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
        Ok(Err(error)) => export_failed(&error),
        Err(Stopping) => stopping(),
    }
}

fn export_failed(error: &ExportError) -> Response {
    let (status, code) = match error {
        ExportError::NothingToExport { .. } | ExportError::NoSuchRelease(_) => {
            (StatusCode::NOT_FOUND, "not_found")
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
    };
    failure(status, code, error.to_string())
}

pub(super) async fn expect(State(shared): State<Shared>, body: Body) -> Response {
    let request: ExpectRequest = match json(body).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    if request
        .in_s
        .is_some_and(|in_s| in_s == 0 || in_s > EXPECTED_MOST_S)
    {
        return bad_request(format!(
            "a courier comes in 1 s to {} days",
            EXPECTED_MOST_S / 86_400
        ));
    }
    let ExpectRequest { channel, in_s } = request;
    match shared.control.expect(channel.clone(), in_s).await {
        Ok(true) => Json(Accepted { ok: true }).into_response(),
        Ok(false) => failure(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("this node does not follow channel `{channel}`"),
        ),
        Err(Stopping) => stopping(),
    }
}

#[derive(Deserialize)]
pub(super) struct WantsQuery {
    version: Option<String>,
}

pub(super) async fn wants(
    State(shared): State<Shared>,
    query: Result<Query<WantsQuery>, QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(error) => return bad_request(error.body_text()),
    };
    answered(shared.control.wants(query.version).await, export_failed)
}

pub(super) async fn collect(State(shared): State<Shared>, body: Body) -> Response {
    let request: CollectRequest = match json(body).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    answered(shared.control.collect(request).await, |error| {
        failure(StatusCode::INTERNAL_SERVER_ERROR, "disk", error.to_string())
    })
}

pub(super) async fn pin(State(shared): State<Shared>, body: Body) -> Response {
    let request: PinRequest = match json(body).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    answered(shared.control.pin(request).await, |error| {
        let (status, code) = match error {
            PinError::Unknown(_) | PinError::NotPinned(_) => (StatusCode::NOT_FOUND, "not_found"),
            PinError::InSettings(_) => (StatusCode::CONFLICT, "in_settings"),
            PinError::TooMany => (StatusCode::CONFLICT, "too_many"),
            PinError::Kept(_) | PinError::Node(_) => (StatusCode::INTERNAL_SERVER_ERROR, "disk"),
        };
        failure(status, code, error.to_string())
    })
}

pub(super) async fn stop(State(shared): State<Shared>) -> Response {
    reply(shared.control.stop().await.map(|()| Accepted { ok: true }))
}

/// What the node reports, or why it would not.
fn answered<T: serde::Serialize, E>(
    answer: Result<Result<T, E>, Stopping>,
    refused: impl FnOnce(&E) -> Response,
) -> Response {
    match answer {
        Ok(Ok(report)) => Json(report).into_response(),
        Ok(Err(error)) => refused(&error),
        Err(Stopping) => stopping(),
    }
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
