//! OpenAI's routes: what applications on this machine speak.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use serde_json::{Value, json};

use super::{
    Shared,
    parse::{self, Parsed, Refusal},
    whole_body,
};
use crate::answer::{Answer, AskError, Finish, ModelEntry, Piece, Usage};

/// `GET /v1/models`
pub(super) async fn models(State(shared): State<Shared>) -> Response {
    let models: Vec<Value> = shared.answerer.models().iter().map(entry).collect();
    Json(json!({ "object": "list", "data": models })).into_response()
}

/// `GET /v1/models/{model}`
pub(super) async fn model(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    match shared
        .answerer
        .models()
        .iter()
        .find(|model| model.model == name)
    {
        Some(model) => Json(entry(model)).into_response(),
        None => refused_question(&AskError::NotFound(name)),
    }
}

/// `POST /v1/chat/completions`
pub(super) async fn chat(State(shared): State<Shared>, body: Body) -> Response {
    answer(&shared, Shape::Chat, body).await
}

/// `POST /v1/completions`
pub(super) async fn completions(State(shared): State<Shared>, body: Body) -> Response {
    answer(&shared, Shape::Text, body).await
}

/// The two shapes of the same answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Chat,
    Text,
}

async fn answer(shared: &Shared, shape: Shape, body: Body) -> Response {
    let body = match whole_body(body).await {
        Ok(body) => body,
        Err(message) => return error(StatusCode::PAYLOAD_TOO_LARGE, None, None, &message),
    };
    let parsed = match shape {
        Shape::Chat => parse::chat(&body),
        Shape::Text => parse::completions(&body),
    };
    let Parsed {
        question,
        stream,
        include_usage,
    } = match parsed {
        Ok(parsed) => parsed,
        Err(Refusal { param, message }) => {
            return error(StatusCode::BAD_REQUEST, param.as_deref(), None, &message);
        }
    };
    let mut answer = match shared.answerer.ask(question) {
        Ok(answer) => answer,
        Err(refused) => return refused_question(&refused),
    };
    match answer.pieces.recv().await {
        Some(Piece::Started) => {}
        Some(Piece::Refused(message)) => {
            return error(StatusCode::BAD_REQUEST, None, None, &message);
        }
        Some(Piece::Failed(message)) => return failed(&message),
        _ => return failed("the model ended before it began"),
    }
    let head = Head::new(shape, &answer.model);
    if stream {
        streamed(head, answer, include_usage)
    } else {
        whole(&head, answer).await
    }
}

/// What all chunks of one answer share.
struct Head {
    shape: Shape,
    id: String,
    created: u64,
    model: String,
}

impl Head {
    fn new(shape: Shape, model: &str) -> Self {
        // Names the answer to its own client, so a count is enough.
        static ANSWERS: AtomicU64 = AtomicU64::new(0);
        let number = ANSWERS.fetch_add(1, Ordering::Relaxed);
        let created = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let prefix = match shape {
            Shape::Chat => "chatcmpl",
            Shape::Text => "cmpl",
        };
        Self {
            shape,
            id: format!("{prefix}-{created:x}-{number}"),
            created,
            model: model.to_owned(),
        }
    }

    fn object(&self, streamed: bool) -> &'static str {
        match (self.shape, streamed) {
            (Shape::Chat, true) => "chat.completion.chunk",
            (Shape::Chat, false) => "chat.completion",
            (Shape::Text, _) => "text_completion",
        }
    }

    fn envelope(&self, streamed: bool, choices: &Value) -> Value {
        json!({
            "id": self.id,
            "object": self.object(streamed),
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }

    /// One streamed chunk: a piece of text, or the end and its reason.
    fn chunk(&self, text: Option<&str>, first: bool, finish: Option<Finish>) -> Value {
        let finish = finish.map(reason);
        let choice = match self.shape {
            Shape::Chat => {
                let mut delta = json!({});
                if first {
                    delta["role"] = "assistant".into();
                }
                if let Some(text) = text {
                    delta["content"] = text.into();
                }
                json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish })
            }
            Shape::Text => {
                let text = text.unwrap_or_default();
                json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": finish })
            }
        };
        self.envelope(true, &json!([choice]))
    }
}

async fn whole(head: &Head, mut answer: Answer) -> Response {
    let mut text = String::new();
    while let Some(piece) = answer.pieces.recv().await {
        match piece {
            Piece::Text(piece) => text.push_str(&piece),
            Piece::Started => {}
            Piece::Failed(message) | Piece::Refused(message) => return failed(&message),
            Piece::Done(used, finish) => {
                let finish = reason(finish);
                let choice = match head.shape {
                    Shape::Chat => json!({
                        "index": 0,
                        "message": { "role": "assistant", "content": text, "refusal": null },
                        "logprobs": null,
                        "finish_reason": finish,
                    }),
                    Shape::Text => json!({
                        "index": 0, "text": text, "logprobs": null, "finish_reason": finish,
                    }),
                };
                let mut body = head.envelope(false, &json!([choice]));
                body["usage"] = usage(used);
                return Json(body).into_response();
            }
        }
    }
    failed("the model stopped without an end")
}

/// Where a stream stands.
enum Stage {
    First,
    Text,
    Usage(Usage),
    Close,
    Closed,
}

fn streamed(head: Head, answer: Answer, include_usage: bool) -> Response {
    let state = (head, answer, Stage::First);
    let events = stream::unfold(state, move |(head, mut answer, stage)| async move {
        let (value, stage) = match stage {
            Stage::First => (head.chunk(Some(""), true, None), Stage::Text),
            Stage::Text => match answer.pieces.recv().await {
                Some(Piece::Text(text)) => (head.chunk(Some(&text), false, None), Stage::Text),
                Some(Piece::Done(used, finish)) => {
                    let next = if include_usage {
                        Stage::Usage(used)
                    } else {
                        Stage::Close
                    };
                    (head.chunk(None, false, Some(finish)), next)
                }
                Some(Piece::Failed(message) | Piece::Refused(message)) => (
                    error_body(None, None, "server_error", &message),
                    Stage::Close,
                ),
                Some(Piece::Started) | None => {
                    let message = "the model stopped without an end";
                    (
                        error_body(None, None, "server_error", message),
                        Stage::Close,
                    )
                }
            },
            Stage::Usage(used) => {
                let mut value = head.envelope(true, &json!([]));
                value["usage"] = usage(used);
                (value, Stage::Close)
            }
            Stage::Close => {
                let event = Event::default().data("[DONE]");
                return Some((Ok::<_, Infallible>(event), (head, answer, Stage::Closed)));
            }
            Stage::Closed => return None,
        };
        let event = Event::default().data(value.to_string());
        Some((Ok(event), (head, answer, stage)))
    });
    // A comment now and then tells a client that waits for a long prompt that we live,
    // and tells us when it has hung up.
    Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response()
}

fn entry(model: &ModelEntry) -> Value {
    json!({
        "id": model.model,
        "object": "model",
        "created": model.loaded_at_s,
        "owned_by": "weft",
        "weft": {
            "version": model.version,
            "channel": model.channel.to_string(),
            "release": model.release.to_string(),
        },
    })
}

fn usage(used: Usage) -> Value {
    json!({
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
    })
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

fn refused_question(refused: &AskError) -> Response {
    match refused {
        AskError::NotFound(_) => error(
            StatusCode::NOT_FOUND,
            Some("model"),
            Some("model_not_found"),
            &refused.to_string(),
        ),
        AskError::Busy(_) => error(
            StatusCode::TOO_MANY_REQUESTS,
            None,
            Some("rate_limit_exceeded"),
            &refused.to_string(),
        ),
    }
}

fn failed(message: &str) -> Response {
    error(StatusCode::INTERNAL_SERVER_ERROR, None, None, message)
}

/// An error in OpenAI's shape.
fn error(status: StatusCode, param: Option<&str>, code: Option<&str>, message: &str) -> Response {
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    (status, Json(error_body(param, code, kind, message))).into_response()
}

fn error_body(param: Option<&str>, code: Option<&str>, kind: &str, message: &str) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
}
