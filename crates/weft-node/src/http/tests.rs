//! The shapes of the API, with a stand-in for the models.

#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use axum::http::{Request as HttpRequest, header};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::ServiceExt as _;
use weft_record::RecordId;

use super::*;
use crate::{
    answer::{Answer, AskError, Finish, ModelEntry, Piece, Prompt, Question, Usage},
    control::Request as LoopRequest,
    registrar::InviteError,
    report::{EventsReport, RecordsReport},
};

const TOKEN: &str = "secret-token";

/// Answers "one two" to everything, and remembers what it was asked.
#[derive(Default)]
struct Echo {
    asked: Mutex<Vec<Question>>,
}

impl Answerer for Echo {
    fn models(&self) -> Vec<ModelEntry> {
        vec![ModelEntry {
            model: "incident".to_owned(),
            version: "1.0.0".to_owned(),
            channel: "stable".parse().unwrap(),
            release: RecordId([7; 32]),
            loaded_at_s: 1_700_000_000,
        }]
    }

    fn ask(&self, question: Question) -> Result<Answer, AskError> {
        let pieces = match question.model.as_str() {
            "incident" => vec![
                Piece::Started,
                Piece::Text("one ".to_owned()),
                Piece::Text("two".to_owned()),
                Piece::Done(
                    Usage {
                        prompt_tokens: 5,
                        completion_tokens: 2,
                    },
                    Finish::Length,
                ),
            ],
            "breaks" => vec![Piece::Started, Piece::Failed("the file is gone".to_owned())],
            "small" => vec![Piece::Refused("the prompt has 9 tokens, 8 fit".to_owned())],
            "busy" => return Err(AskError::Busy(16)),
            _ => return Err(AskError::NotFound(question.model)),
        };
        self.asked.lock().unwrap().push(question);
        let (sender, receiver) = mpsc::channel(8);
        for piece in pieces {
            sender.try_send(piece).ok().unwrap();
        }
        Ok(Answer {
            model: "incident".to_owned(),
            pieces: receiver,
        })
    }
}

struct Api {
    router: Router,
    echo: Arc<Echo>,
}

/// The routes over a stand-in for the loop.
fn api() -> Api {
    let (control, mut requests) = Control::new();
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            match request {
                LoopRequest::Records(reply) => {
                    let records = vec!["00ff".to_owned()];
                    let _ = reply.send(RecordsReport { schema: 1, records });
                }
                LoopRequest::Events { after, reply } => {
                    let _ = reply.send(EventsReport {
                        lost: after,
                        events: Vec::new(),
                    });
                }
                LoopRequest::Limit { reply, .. } => {
                    let _ = reply.send(());
                }
                LoopRequest::Invite { reply, .. } => {
                    let _ = reply.send(Err(InviteError::NoRegistrar));
                }
                // as if the loop ended while it was asked
                _ => {}
            }
        }
    });
    let echo = Arc::new(Echo::default());
    let shared = Shared {
        answerer: echo.clone(),
        control,
        token: TOKEN.into(),
    };
    Api {
        router: router(shared),
        echo,
    }
}

impl Api {
    async fn call(&self, request: HttpRequest<Body>) -> (StatusCode, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn json(&self, request: HttpRequest<Body>) -> (StatusCode, Value) {
        let (status, body) = self.call(request).await;
        (status, serde_json::from_str(&body).unwrap())
    }
}

fn get_request(path: &str) -> HttpRequest<Body> {
    HttpRequest::get(path)
        .header(header::HOST, "127.0.0.1:4680")
        .body(Body::empty())
        .unwrap()
}

fn admin_get(path: &str) -> HttpRequest<Body> {
    let mut request = get_request(path);
    let value = format!("Bearer {TOKEN}").parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, value);
    request
}

fn post_json(path: &str, body: &Value) -> HttpRequest<Body> {
    HttpRequest::post(path)
        .header(header::HOST, "localhost:4680")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
        .body(Body::from(body.to_string()))
        .unwrap()
}

fn chat_request(extra: Value) -> HttpRequest<Body> {
    let mut body = json!({
        "model": "incident",
        "messages": [{ "role": "user", "content": "hello" }],
    });
    body.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    post_json("/v1/chat/completions", &body)
}

#[tokio::test]
async fn lists_models_as_openai_does() {
    let (status, body) = api().json(get_request("/v1/models")).await;
    assert_eq!(status, 200);
    assert_eq!(body["object"], "list");
    assert_eq!(body["data"][0]["id"], "incident");
    assert_eq!(body["data"][0]["object"], "model");
    let (status, body) = api().json(get_request("/v1/models/incident")).await;
    assert_eq!((status.as_u16(), &body["id"]), (200, &json!("incident")));
    let (status, body) = api().json(get_request("/v1/models/other")).await;
    assert_eq!(
        (status.as_u16(), &body["error"]["code"]),
        (404, &json!("model_not_found"))
    );
}

#[tokio::test]
async fn answers_a_chat_whole() {
    let api = api();
    let (status, body) = api
        .json(chat_request(json!({
            "temperature": 0, "top_p": 0.5, "seed": -1, "max_tokens": 7, "stop": ["x", "y"],
            "n": 1, "tools": null, "user": "somebody",
        })))
        .await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "incident");
    assert_eq!(
        body["choices"][0]["message"],
        json!({ "role": "assistant", "content": "one two", "refusal": null })
    );
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(
        body["usage"],
        json!({ "prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7 })
    );
    let asked = api.echo.asked.lock().unwrap();
    assert_eq!(asked[0].max_tokens, Some(7));
    assert_eq!(asked[0].seed, Some(u64::MAX));
    assert_eq!(asked[0].stop, ["x", "y"]);
    assert!((0.49..0.51).contains(&asked[0].top_p) && asked[0].temperature <= 0.0);
    assert!(matches!(&asked[0].prompt, Prompt::Chat(turns) if turns[0].content == "hello"));
}

#[tokio::test]
async fn streams_a_chat_and_says_done() {
    let request =
        chat_request(json!({ "stream": true, "stream_options": { "include_usage": true } }));
    let (status, body) = api().call(request).await;
    assert_eq!(status, 200);
    let events: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    assert_eq!(events.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> = events[..events.len() - 1]
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, "one two");
    let end = &chunks[chunks.len() - 2];
    assert_eq!(end["choices"][0]["finish_reason"], "length");
    let usage = &chunks[chunks.len() - 1];
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["total_tokens"], 7);
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["object"] == "chat.completion.chunk")
    );
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
}

#[tokio::test]
async fn answers_a_text_prompt_whole_and_streamed() {
    let api = api();
    let body = json!({ "model": "incident", "prompt": "once", "echo": false });
    let (status, whole) = api.json(post_json("/v1/completions", &body)).await;
    assert_eq!(status, 200, "{whole}");
    assert_eq!(whole["object"], "text_completion");
    assert_eq!(whole["choices"][0]["text"], "one two");
    assert_eq!(api.echo.asked.lock().unwrap()[0].max_tokens, Some(16));
    let body = json!({ "model": "incident", "prompt": ["once"], "stream": true });
    let (status, refused) = api.json(post_json("/v1/completions", &body)).await;
    assert_eq!(
        (status.as_u16(), &refused["error"]["param"]),
        (400, &json!("prompt"))
    );
    let body = json!({ "model": "incident", "prompt": "once", "stream": true });
    let (status, streamed) = api.call(post_json("/v1/completions", &body)).await;
    assert_eq!(status, 200);
    assert!(streamed.contains("\"text\":\"one \""), "{streamed}");
    assert!(streamed.ends_with("data: [DONE]\n\n"), "{streamed}");
}

#[tokio::test]
async fn a_field_that_asks_for_more_is_refused_by_name() {
    for (extra, param) in [
        (json!({ "n": 2 }), "n"),
        (json!({ "tools": [{}] }), "tools"),
        (json!({ "logprobs": true }), "logprobs"),
        (json!({ "presence_penalty": 0.5 }), "presence_penalty"),
        (
            json!({ "response_format": { "type": "json_object" } }),
            "response_format",
        ),
        (json!({ "frobnicate": null }), "frobnicate"),
        (json!({ "temperature": 2.5 }), "temperature"),
        (json!({ "temperature": "hot" }), "temperature"),
        (json!({ "top_p": -0.1 }), "top_p"),
        (json!({ "max_tokens": 0 }), "max_tokens"),
        (
            json!({ "max_completion_tokens": 5_000_000_000_u64 }),
            "max_completion_tokens",
        ),
        (json!({ "seed": 1.5 }), "seed"),
        (json!({ "stop": ["a", "b", "c", "d", "e"] }), "stop"),
        (json!({ "stop": [""] }), "stop"),
        (json!({ "stream": "yes" }), "stream"),
        (json!({ "stream_options": {} }), "stream_options"),
        (json!({ "model": null }), "model"),
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": "hello" }), "messages"),
        (
            json!({ "messages": [{ "role": "tool", "content": "x" }] }),
            "messages[0].role",
        ),
        (
            json!({ "messages": [{ "role": "user" }] }),
            "messages[0].content",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
            "messages[0].content",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": "x", "name": "y" }] }),
            "messages[0].name",
        ),
    ] {
        let api = api();
        let (status, body) = api.json(chat_request(extra.clone())).await;
        assert_eq!(status, 400, "{extra}");
        assert_eq!(body["error"]["param"], param, "{extra}: {body}");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert!(api.echo.asked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn text_parts_are_joined() {
    let api = api();
    let parts = json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]);
    let extra = json!({ "messages": [{ "role": "developer", "content": parts }] });
    let (status, _) = api.json(chat_request(extra)).await;
    assert_eq!(status, 200);
    let asked = api.echo.asked.lock().unwrap();
    let Prompt::Chat(turns) = &asked[0].prompt else {
        panic!("not a chat")
    };
    assert_eq!(
        (turns[0].role.as_str(), turns[0].content.as_str()),
        ("system", "ab")
    );
}

#[tokio::test]
async fn each_failure_has_its_status() {
    for (model, expected, code) in [
        ("other", 404, json!("model_not_found")),
        ("busy", 429, json!("rate_limit_exceeded")),
        ("breaks", 500, Value::Null),
        ("small", 400, Value::Null),
    ] {
        let (status, body) = api().json(chat_request(json!({ "model": model }))).await;
        assert_eq!(status, expected, "{model}");
        assert_eq!(body["error"]["code"], code, "{model}");
        assert!(body["error"]["message"].as_str().unwrap().len() > 5);
    }
    let (status, body) = api()
        .json(chat_request(json!({ "model": "small", "stream": true })))
        .await;
    assert_eq!(status, 400, "{body}");
    let (_, body) = api()
        .call(chat_request(json!({ "model": "breaks", "stream": true })))
        .await;
    assert!(
        body.contains("the file is gone") && body.ends_with("data: [DONE]\n\n"),
        "{body}"
    );
}

#[tokio::test]
async fn a_body_that_is_no_json_or_too_long_is_refused_without_repeating_it() {
    let request = HttpRequest::post("/v1/chat/completions")
        .header(header::HOST, "localhost")
        .body(Body::from("{\"canary\" oops"))
        .unwrap();
    let (status, body) = api().call(request).await;
    assert_eq!(status, 400);
    assert!(!body.contains("canary") && !body.contains("oops"), "{body}");
    let long = json!({ "messages": "x".repeat(BODY_BYTES) });
    let (status, body) = api().json(post_json("/v1/chat/completions", &long)).await;
    assert_eq!(
        (status.as_u16(), &body["error"]["type"]),
        (413, &json!("invalid_request_error"))
    );
}

#[tokio::test]
async fn strangers_are_refused_on_every_route() {
    for path in [
        "/healthz",
        "/readyz",
        "/v1/models",
        "/v1/chat/completions",
        "/weft/v1/status",
        "/none",
    ] {
        let mut rebound = admin_get(path);
        rebound
            .headers_mut()
            .insert(header::HOST, "evil.example".parse().unwrap());
        assert_eq!(api().call(rebound).await.0, 403, "{path}");
        let mut foreign = admin_get(path);
        foreign
            .headers_mut()
            .insert(header::ORIGIN, "http://evil.example".parse().unwrap());
        assert_eq!(api().call(foreign).await.0, 403, "{path}");
    }
    let response = api().router.oneshot(get_request("/healthz")).await.unwrap();
    assert!(
        !response
            .headers()
            .keys()
            .any(|name| name.as_str().starts_with("access-control"))
    );
}

#[tokio::test]
async fn admin_routes_want_the_token() {
    for path in ["status", "peers", "records", "events", "export?channel=a"] {
        let path = format!("/weft/v1/{path}");
        assert_eq!(api().call(get_request(&path)).await.0, 401, "{path}");
        let mut wrong = get_request(&path);
        wrong.headers_mut().insert(
            header::AUTHORIZATION,
            "Bearer secret-tokem".parse().unwrap(),
        );
        assert_eq!(api().call(wrong).await.0, 401, "{path}");
    }
    let (status, body) = api().json(admin_get("/weft/v1/records")).await;
    assert_eq!((status.as_u16(), &body["records"]), (200, &json!(["00ff"])));
    let (status, body) = api().json(admin_get("/weft/v1/events?after=9")).await;
    assert_eq!((status.as_u16(), &body["lost"]), (200, &json!(9)));
}

#[tokio::test]
async fn admin_requests_are_checked() {
    for (path, body) in [
        (
            "/weft/v1/limit",
            json!({ "caps": { "serve_bytes_per_sec": 0 } }),
        ),
        (
            "/weft/v1/limit",
            json!({ "caps": { "fetch_bytes_per_sec": "fast" } }),
        ),
        ("/weft/v1/limit", json!({ "bytes_per_sec": 1 })),
        ("/weft/v1/import", json!({ "path": "relative" })),
        ("/weft/v1/import", json!({})),
        ("/weft/v1/invite", json!({ "expires_in_s": 60 })),
        (
            "/weft/v1/invite",
            json!({ "site": "No Name", "expires_in_s": 60 }),
        ),
    ] {
        let (status, answer) = api().json(post_json(path, &body)).await;
        assert_eq!(
            (status.as_u16(), &answer["code"]),
            (400, &json!("bad_request")),
            "{body}"
        );
    }
    let invite = json!({ "site": "ward", "expires_in_s": 60 });
    let (status, answer) = api().json(post_json("/weft/v1/invite", &invite)).await;
    assert_eq!(
        (status.as_u16(), &answer["code"]),
        (409, &json!("no_registrar"))
    );
    let caps = json!({ "caps": { "fetch_bytes_per_sec": 1, "serve_bytes_per_sec": null } });
    assert_eq!(api().call(post_json("/weft/v1/limit", &caps)).await.0, 200);
    assert_eq!(
        api().call(admin_get("/weft/v1/events?after=x")).await.0,
        400
    );
    assert_eq!(
        api()
            .call(admin_get("/weft/v1/export?channel=A%20B"))
            .await
            .0,
        400
    );
    assert_eq!(api().call(admin_get("/weft/v1/limit")).await.0, 405);
    assert_eq!(api().call(admin_get("/nowhere")).await.0, 404);
}

#[tokio::test]
async fn a_stopping_loop_is_told_apart_from_a_fault() {
    let (status, body) = api().json(admin_get("/weft/v1/status")).await;
    assert_eq!((status.as_u16(), &body["code"]), (503, &json!("stopping")));
    assert_eq!(api().call(get_request("/healthz")).await.0, 200);
    assert_eq!(api().call(get_request("/readyz")).await.0, 503);
}
