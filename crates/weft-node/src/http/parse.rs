//! Reads the bodies of OpenAI's requests. A field that weft does not support is
//! refused by name, unless its value asks for nothing.

use serde_json::{Map, Value};

use crate::answer::{ChatTurn, Prompt, Question};

/// Turns of one conversation; the context ends far earlier.
const MESSAGES: usize = 1024;
/// As OpenAI's own limit.
const STOPS: usize = 4;
/// A stop text is compared at every token.
const STOP_BYTES: usize = 256;
/// What `/v1/completions` generates unless told: OpenAI's own default.
const COMPLETION_TOKENS: u32 = 16;

/// A request that can be answered.
pub(super) struct Parsed {
    pub(super) question: Question,
    pub(super) stream: bool,
    /// Whether the stream ends with a chunk that carries the usage.
    pub(super) include_usage: bool,
}

/// Why a body was refused: the field, and what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) param: Option<String>,
    pub(super) message: String,
}

impl Refusal {
    fn new(param: &str, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.to_owned()),
            message: message.into(),
        }
    }
}

/// Reads the body of `/v1/chat/completions`.
pub(super) fn chat(body: &[u8]) -> Result<Parsed, Refusal> {
    let mut fields = Fields::read(body)?;
    let prompt = Prompt::Chat(messages(fields.take("messages"))?);
    let newer = fields.count("max_completion_tokens")?;
    let max_tokens = fields.count("max_tokens")?.or(newer);
    fields.finish(prompt, max_tokens)
}

/// Reads the body of `/v1/completions`.
pub(super) fn completions(body: &[u8]) -> Result<Parsed, Refusal> {
    let mut fields = Fields::read(body)?;
    let prompt = match fields.take("prompt") {
        Value::String(text) => Prompt::Text(text),
        Value::Null => return Err(Refusal::new("prompt", "`prompt` is missing")),
        _ => {
            return Err(Refusal::new(
                "prompt",
                "`prompt` must be one text; an array of texts or tokens is not supported",
            ));
        }
    };
    let max_tokens = fields.count("max_tokens")?.or(Some(COMPLETION_TOKENS));
    fields.finish(prompt, max_tokens)
}

/// The fields that nobody has read yet.
struct Fields(Map<String, Value>);

impl Fields {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Refusal {
                param: None,
                message: "the body must be a JSON object".to_owned(),
            }),
            // serde_json's message names a line and a column, never the content
            Err(error) => Err(Refusal {
                param: None,
                message: format!(
                    "the body is not JSON: {:?} at line {}",
                    error.classify(),
                    error.line()
                ),
            }),
        }
    }

    fn take(&mut self, key: &str) -> Value {
        self.0.remove(key).unwrap_or(Value::Null)
    }

    fn count(&mut self, key: &str) -> Result<Option<u32>, Refusal> {
        match self.take(key) {
            Value::Null => Ok(None),
            value => match value.as_u64().map(u32::try_from) {
                Some(Ok(count)) if count > 0 => Ok(Some(count)),
                _ => Err(Refusal::new(
                    key,
                    format!("`{key}` must be a number from 1 to 4294967295"),
                )),
            },
        }
    }

    fn number(&mut self, key: &str, default: f32, least: f32, most: f32) -> Result<f32, Refusal> {
        match self.take(key) {
            Value::Null => Ok(default),
            value => value
                .as_f64()
                .map(|number| number as f32)
                .filter(|number| (least..=most).contains(number))
                .ok_or_else(|| {
                    Refusal::new(
                        key,
                        format!("`{key}` must be a number from {least} to {most}"),
                    )
                }),
        }
    }

    fn flag(&mut self, key: &str) -> Result<bool, Refusal> {
        match self.take(key) {
            Value::Null => Ok(false),
            Value::Bool(flag) => Ok(flag),
            _ => Err(Refusal::new(key, format!("`{key}` must be true or false"))),
        }
    }

    fn finish(mut self, prompt: Prompt, max_tokens: Option<u32>) -> Result<Parsed, Refusal> {
        let Value::String(model) = self.take("model") else {
            return Err(Refusal::new(
                "model",
                "`model` must name a model; see /v1/models",
            ));
        };
        let temperature = self.number("temperature", 1.0, 0.0, 2.0)?;
        let top_p = self.number("top_p", 1.0, 0.0, 1.0)?;
        let seed = match self.take("seed") {
            Value::Null => None,
            value => Some(
                value
                    .as_u64()
                    .or_else(|| value.as_i64().map(i64::cast_unsigned))
                    .ok_or_else(|| Refusal::new("seed", "`seed` must be a whole number"))?,
            ),
        };
        let stop = stops(self.take("stop"))?;
        let stream = self.flag("stream")?;
        let include_usage = match self.take("stream_options") {
            Value::Null => false,
            Value::Object(options) if stream => {
                let mut options = Self(options);
                let include_usage = options.flag("include_usage")?;
                if let Some(key) = options.0.keys().next() {
                    return Err(unsupported(&format!("stream_options.{key}")));
                }
                include_usage
            }
            _ => {
                return Err(Refusal::new(
                    "stream_options",
                    "`stream_options` must be an object and goes with `stream: true`",
                ));
            }
        };
        for (key, value) in self.0 {
            if !asks_for_nothing(&key, &value) {
                return Err(unsupported(&key));
            }
        }
        Ok(Parsed {
            question: Question {
                model,
                prompt,
                max_tokens,
                temperature,
                top_p,
                seed,
                stop,
            },
            stream,
            include_usage,
        })
    }
}

fn unsupported(key: &str) -> Refusal {
    Refusal::new(key, format!("`{key}` is not supported"))
}

/// Values that mean what weft does anyway.
fn asks_for_nothing(key: &str, value: &Value) -> bool {
    // a null is as good as leaving the field out, but only for a field that exists
    if value.is_null() {
        return KNOWN_UNSUPPORTED.contains(&key);
    }
    match key {
        // it names who asks; weft keeps no such thing
        "user" => value.is_string(),
        "n" | "best_of" => value.as_u64() == Some(1),
        "presence_penalty" | "frequency_penalty" => value.as_f64() == Some(0.0),
        "logprobs" | "echo" | "store" => value.as_bool() == Some(false),
        "logit_bias" | "metadata" => value.as_object().is_some_and(Map::is_empty),
        "tools" => value.as_array().is_some_and(Vec::is_empty),
        "tool_choice" => value.as_str() == Some("none"),
        "response_format" => value.as_object().is_some_and(|format| {
            format.len() == 1 && format.get("type").and_then(Value::as_str) == Some("text")
        }),
        _ => false,
    }
}

/// Fields of OpenAI's that clients send as null.
const KNOWN_UNSUPPORTED: &[&str] = &[
    "audio",
    "best_of",
    "echo",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "metadata",
    "modalities",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "service_tier",
    "store",
    "suffix",
    "tool_choice",
    "tools",
    "top_logprobs",
    "user",
];

fn stops(value: Value) -> Result<Vec<String>, Refusal> {
    let refuse = || {
        Refusal::new(
            "stop",
            format!(
                "`stop` must be a text or at most {STOPS} texts, each of 1 to {STOP_BYTES} bytes"
            ),
        )
    };
    let stops: Vec<String> = match value {
        Value::Null => return Ok(Vec::new()),
        Value::String(stop) => vec![stop],
        Value::Array(stops) => stops
            .into_iter()
            .map(|stop| match stop {
                Value::String(stop) => Ok(stop),
                _ => Err(refuse()),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(refuse()),
    };
    let fits = |stop: &String| (1..=STOP_BYTES).contains(&stop.len());
    if stops.len() <= STOPS && stops.iter().all(fits) {
        Ok(stops)
    } else {
        Err(refuse())
    }
}

fn messages(value: Value) -> Result<Vec<ChatTurn>, Refusal> {
    let Value::Array(messages) = value else {
        return Err(Refusal::new("messages", "`messages` must be an array"));
    };
    if messages.is_empty() || messages.len() > MESSAGES {
        return Err(Refusal::new(
            "messages",
            format!("`messages` must hold 1 to {MESSAGES} messages"),
        ));
    }
    messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| turn(&format!("messages[{index}]"), message))
        .collect()
}

fn turn(place: &str, message: Value) -> Result<ChatTurn, Refusal> {
    let Value::Object(mut message) = message else {
        return Err(Refusal::new(place, format!("`{place}` must be an object")));
    };
    let role = match message.remove("role") {
        Some(Value::String(role))
            if ["system", "developer", "user", "assistant"].contains(&role.as_str()) =>
        {
            // OpenAI's newer word for the same thing; templates know the older one
            if role == "developer" {
                "system".to_owned()
            } else {
                role
            }
        }
        _ => {
            return Err(Refusal::new(
                &format!("{place}.role"),
                "`role` must be system, developer, user or assistant",
            ));
        }
    };
    let content = match message.remove("content") {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => texts(place, parts)?,
        _ => {
            return Err(Refusal::new(
                &format!("{place}.content"),
                "`content` must be a text or an array of text parts",
            ));
        }
    };
    if let Some((key, _)) = message.iter().find(|(_, value)| !value.is_null()) {
        return Err(unsupported(&format!("{place}.{key}")));
    }
    Ok(ChatTurn { role, content })
}

fn texts(place: &str, parts: Vec<Value>) -> Result<String, Refusal> {
    let mut text = String::new();
    for part in parts {
        match (part.get("type").and_then(Value::as_str), part.get("text")) {
            (Some("text"), Some(Value::String(piece))) => text.push_str(piece),
            _ => {
                return Err(Refusal::new(
                    &format!("{place}.content"),
                    "only parts of type `text` are supported",
                ));
            }
        }
    }
    Ok(text)
}
