//! The other end of the API: how a command on this machine talks to a running
//! node. Blocking and small.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use ureq::{Agent, Body, http};
use weft_record::Name;

use crate::{
    api_file::ApiFile,
    report::{
        Accepted, CapRequest, ErrorReport, EventsReport, ImportReport, ImportRequest, PeersReport,
        RecordsReport, StatusReport,
    },
};

/// Connecting to a loopback port takes microseconds or fails.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The loop answers at once, even under load; anything longer is a fault.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest JSON answer that is read: the records of a large mesh in hexadecimal.
const ANSWER_BYTES: u64 = 256 * 1024 * 1024;
/// Longest line of a stream of answers.
const LINE_BYTES: u64 = 1024 * 1024;

/// A running node, reached through its `api.json`.
#[derive(Debug, Clone)]
pub struct Client {
    directory: PathBuf,
    api: ApiFile,
    agent: Agent,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No node runs in this folder.
    #[error("no node runs in {}", .0.display())]
    NotRunning(PathBuf),
    /// `api.json` is there and cannot be read.
    #[error("{} cannot be read: {reason}", .path.display())]
    ApiFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The node did not answer in time, or the connection broke.
    #[error("the node at {address} did not answer: {reason}")]
    Transport {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// The node answered, and refused.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// A word for programs, such as `not_found` or `model_not_found`.
        code: String,
        /// What the node says.
        message: String,
    },
    /// The node's answer makes no sense to this version of weft.
    #[error("the node's answer cannot be read: {0}")]
    Answer(String),
}

/// One message of a conversation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// How an answer is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChatOptions {
    /// Most tokens to generate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// 0: always the likeliest token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Only the likeliest tokens up to this probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Makes sampling repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Texts that end the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

/// A whole answer.
#[derive(Clone, PartialEq, Eq)]
pub struct ChatAnswer {
    /// What the model said.
    pub text: String,
    /// `stop` or `length`.
    pub finish_reason: String,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub completion_tokens: u64,
}

impl Client {
    /// Finds the node that runs in this folder.
    pub fn connect(directory: &Path) -> Result<Self, ClientError> {
        let api = ApiFile::read(directory).map_err(|error| ClientError::ApiFile {
            path: ApiFile::path(directory),
            reason: error.to_string(),
        })?;
        let api = api
            .filter(ApiFile::is_alive)
            .ok_or_else(|| ClientError::NotRunning(directory.to_owned()))?;
        let config = Agent::config_builder()
            // a proxy of the environment must never see loopback calls
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .build();
        Ok(Self {
            directory: directory.to_owned(),
            api,
            agent: config.new_agent(),
        })
    }

    /// Where the node's API listens, its token and its process.
    pub fn api(&self) -> &ApiFile {
        &self.api
    }

    /// How the node is.
    pub fn status(&self) -> Result<StatusReport, ClientError> {
        self.get("/weft/v1/status")
    }

    /// To whom it is connected.
    pub fn peers(&self) -> Result<PeersReport, ClientError> {
        self.get("/weft/v1/peers")
    }

    /// All records that it admitted.
    pub fn records(&self) -> Result<RecordsReport, ClientError> {
        self.get("/weft/v1/records")
    }

    /// What happened after that number.
    pub fn events(&self, after: u64) -> Result<EventsReport, ClientError> {
        self.get(&format!("/weft/v1/events?after={after}"))
    }

    /// Changes the fetch cap; `None`: no cap.
    pub fn cap(&self, bytes_per_sec: Option<u64>) -> Result<(), ClientError> {
        let _: Accepted = self.post("/weft/v1/cap", &CapRequest { bytes_per_sec })?;
        Ok(())
    }

    /// Asks the node to end.
    pub fn stop(&self) -> Result<(), ClientError> {
        let _: Accepted = self.post("/weft/v1/stop", &serde_json::json!({}))?;
        Ok(())
    }

    /// Has the node take a bundle in; returns when it has converged on it. There is
    /// no time limit: a large model takes as long as its bytes take.
    pub fn import(&self, path: &Path) -> Result<ImportReport, ClientError> {
        let path = std::path::absolute(path).map_err(|error| ClientError::ApiFile {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let request = self.request(http::Method::POST, "/weft/v1/import");
        self.send_json(request, &ImportRequest { path }, None)
    }

    /// The active release of a channel as a bundle, to be read to its end.
    pub fn export(&self, channel: &Name) -> Result<impl Read + use<>, ClientError> {
        let request = self.request(
            http::Method::GET,
            &format!("/weft/v1/export?channel={channel}"),
        );
        let response = self
            .agent
            .run(request.body(()).map_err(|error| unreadable(&error))?)
            .map_err(|error| self.transport(&error))?;
        let response = self.accepted(response)?;
        // a model has no upper bound here; its reader counts and verifies
        Ok(response
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader())
    }

    /// Asks the model and waits for the whole answer.
    pub fn chat(
        &self,
        model: &str,
        messages: &[ChatMessage],
        options: &ChatOptions,
    ) -> Result<ChatAnswer, ClientError> {
        #[derive(Deserialize)]
        struct Whole {
            choices: Vec<WholeChoice>,
            usage: WireUsage,
        }
        #[derive(Deserialize)]
        struct WholeChoice {
            message: ChatMessage,
            finish_reason: String,
        }
        let request = self.request(http::Method::POST, "/v1/chat/completions");
        let body = chat_body(model, messages, options, false);
        let whole: Whole = self.send_json(request, &body, None)?;
        let choice = whole
            .choices
            .into_iter()
            .next()
            .ok_or_else(|| ClientError::Answer("it holds no choice".to_owned()))?;
        Ok(ChatAnswer {
            text: choice.message.content,
            finish_reason: choice.finish_reason,
            prompt_tokens: whole.usage.prompt_tokens,
            completion_tokens: whole.usage.completion_tokens,
        })
    }

    /// Asks the model and reads the answer as it comes. Dropping the stream stops
    /// the decoding.
    pub fn chat_stream(
        &self,
        model: &str,
        messages: &[ChatMessage],
        options: &ChatOptions,
    ) -> Result<ChatStream, ClientError> {
        let request = self
            .request(http::Method::POST, "/v1/chat/completions")
            .header(http::header::CONTENT_TYPE, "application/json");
        let body = chat_body(model, messages, options, true);
        let bytes = serde_json::to_vec(&body).map_err(|error| unreadable(&error))?;
        let response = self
            .agent
            .run(request.body(bytes).map_err(|error| unreadable(&error))?)
            .map_err(|error| self.transport(&error))?;
        let response = self.accepted(response)?;
        let reader = response
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader();
        Ok(ChatStream {
            lines: BufReader::new(Box::new(reader)),
            address: self.api.address.to_string(),
            ended: false,
        })
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let request = self.request(http::Method::GET, path);
        let request = request.body(()).map_err(|error| unreadable(&error))?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(ADMIN_TIMEOUT))
            .build();
        let response = self
            .agent
            .run(request)
            .map_err(|error| self.transport(&error))?;
        self.json(response)
    }

    fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.send_json(
            self.request(http::Method::POST, path),
            body,
            Some(ADMIN_TIMEOUT),
        )
    }

    fn send_json<T: DeserializeOwned>(
        &self,
        request: http::request::Builder,
        body: &impl Serialize,
        timeout: Option<Duration>,
    ) -> Result<T, ClientError> {
        let bytes = serde_json::to_vec(body).map_err(|error| unreadable(&error))?;
        let request = request
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(bytes)
            .map_err(|error| unreadable(&error))?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(timeout)
            .build();
        let response = self
            .agent
            .run(request)
            .map_err(|error| self.transport(&error))?;
        self.json(response)
    }

    fn request(&self, method: http::Method, path: &str) -> http::request::Builder {
        http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.api.address))
            .header(
                http::header::AUTHORIZATION,
                format!("Bearer {}", self.api.token),
            )
    }

    fn json<T: DeserializeOwned>(&self, response: http::Response<Body>) -> Result<T, ClientError> {
        let mut response = self.accepted(response)?;
        response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES)
            .read_json()
            .map_err(|error| match error {
                ureq::Error::Json(error) => unreadable(&error),
                error => self.transport(&error),
            })
    }

    /// Turns an error status into what the node says about it.
    fn accepted(
        &self,
        mut response: http::Response<Body>,
    ) -> Result<http::Response<Body>, ClientError> {
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let text = response
            .body_mut()
            .with_config()
            .limit(LINE_BYTES)
            .read_to_string()
            .map_err(|error| self.transport(&error))?;
        let (code, message) = refusal(&text).unwrap_or_else(|| {
            (
                "unknown".to_owned(),
                format!("the node answered with status {status}"),
            )
        });
        Err(ClientError::Refused {
            status,
            code,
            message,
        })
    }

    fn transport(&self, error: &ureq::Error) -> ClientError {
        match error {
            // The process id in api.json was reused by another program.
            ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning(self.directory.clone())
            }
            error => ClientError::Transport {
                address: self.api.address.to_string(),
                reason: error.to_string(),
            },
        }
    }
}

/// An answer as it comes.
pub struct ChatStream {
    lines: BufReader<Box<dyn Read>>,
    address: String,
    ended: bool,
}

/// One part of a streamed answer.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChatPart {
    /// More text.
    Text(String),
    /// The answer is whole, for this reason (`stop` or `length`).
    Finished(String),
    /// What it took; the last part.
    Usage {
        /// Tokens read.
        prompt_tokens: u64,
        /// Tokens generated.
        completion_tokens: u64,
    },
}

impl Iterator for ChatStream {
    type Item = Result<ChatPart, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.next_data() {
                Ok(Some(data)) => match part(&data) {
                    Ok(Some(part)) => return Some(Ok(part)),
                    Ok(None) => {}
                    Err(error) => {
                        self.ended = true;
                        return Some(Err(error));
                    }
                },
                Ok(None) => self.ended = true,
                Err(reason) => {
                    self.ended = true;
                    return Some(Err(ClientError::Transport {
                        address: self.address.clone(),
                        reason,
                    }));
                }
            }
        }
        None
    }
}

impl ChatStream {
    /// The data of the next event; `None` after the last one.
    fn next_data(&mut self) -> Result<Option<String>, String> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.lines)
                .take(LINE_BYTES)
                .read_until(b'\n', &mut line)
                .map_err(|error| error.to_string())?;
            if read == 0 {
                return Err("the stream ended before the answer did".to_owned());
            }
            let line = String::from_utf8(line).map_err(|_| "the stream is not UTF-8".to_owned())?;
            match line
                .trim_end_matches(['\r', '\n'])
                .strip_prefix("data:")
                .map(str::trim_start)
            {
                Some("[DONE]") => return Ok(None),
                Some(data) => return Ok(Some(data.to_owned())),
                // comments and empty lines keep the connection alive
                None => {}
            }
        }
    }
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

fn part(data: &str) -> Result<Option<ChatPart>, ClientError> {
    #[derive(Deserialize)]
    struct Chunk {
        #[serde(default)]
        choices: Vec<Choice>,
        usage: Option<WireUsage>,
    }
    #[derive(Deserialize)]
    struct Choice {
        delta: Delta,
        finish_reason: Option<String>,
    }
    #[derive(Deserialize)]
    struct Delta {
        content: Option<String>,
    }
    if let Some((code, message)) = refusal(data) {
        return Err(ClientError::Refused {
            status: 500,
            code,
            message,
        });
    }
    let chunk: Chunk = serde_json::from_str(data).map_err(|error| unreadable(&error))?;
    if let Some(usage) = chunk.usage {
        return Ok(Some(ChatPart::Usage {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
        }));
    }
    let Some(choice) = chunk.choices.into_iter().next() else {
        return Ok(None);
    };
    Ok(match (choice.finish_reason, choice.delta.content) {
        (Some(reason), _) => Some(ChatPart::Finished(reason)),
        (None, Some(text)) if !text.is_empty() => Some(ChatPart::Text(text)),
        _ => None,
    })
}

/// The code and message of an error in either API's shape.
fn refusal(text: &str) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct OpenAi {
        error: OpenAiError,
    }
    #[derive(Deserialize)]
    struct OpenAiError {
        message: String,
        code: Option<String>,
        #[serde(rename = "type")]
        kind: String,
    }
    if let Ok(report) = serde_json::from_str::<ErrorReport>(text) {
        return Some((report.code, report.error));
    }
    let report = serde_json::from_str::<OpenAi>(text).ok()?.error;
    Some((report.code.unwrap_or(report.kind), report.message))
}

fn chat_body(
    model: &str,
    messages: &[ChatMessage],
    options: &ChatOptions,
    stream: bool,
) -> impl Serialize {
    #[derive(Serialize)]
    struct Body {
        model: String,
        messages: Vec<ChatMessage>,
        #[serde(flatten)]
        options: ChatOptions,
        stream: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        stream_options: Option<StreamOptions>,
    }
    #[derive(Serialize)]
    struct StreamOptions {
        include_usage: bool,
    }
    Body {
        model: model.to_owned(),
        messages: messages.to_vec(),
        options: options.clone(),
        stream,
        stream_options: stream.then_some(StreamOptions {
            include_usage: true,
        }),
    }
}

// What a JSON error says holds no prompt: serde_json names places and types,
// and at most a word of the structure.
fn unreadable(error: &impl ToString) -> ClientError {
    ClientError::Answer(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parts(stream: &'static str) -> Vec<Result<ChatPart, ClientError>> {
        ChatStream {
            lines: BufReader::new(Box::new(stream.as_bytes())),
            address: String::new(),
            ended: false,
        }
        .collect()
    }

    #[test]
    fn a_stream_is_read_to_its_end() {
        let parts = parts(concat!(
            ": hello\n\n",
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"a b\"},\"finish_reason\":null}]}\r\n\r\n",
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
            "data: [DONE]\n\n",
        ));
        let parts: Vec<ChatPart> = parts.into_iter().map(Result::unwrap).collect();
        assert!(matches!(&parts[0], ChatPart::Text(text) if text == "a b"));
        assert!(matches!(&parts[1], ChatPart::Finished(reason) if reason == "stop"));
        assert!(matches!(
            parts[2],
            ChatPart::Usage {
                prompt_tokens: 3,
                completion_tokens: 2
            }
        ));
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn a_stream_that_breaks_off_is_an_error() {
        let parts = parts(
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n",
        );
        assert_eq!(parts.len(), 2);
        assert!(matches!(parts[1], Err(ClientError::Transport { .. })));
    }

    #[test]
    fn an_error_inside_a_stream_is_told() {
        let parts = parts(
            "data: {\"error\":{\"message\":\"broken\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n",
        );
        assert!(matches!(
            &parts[0],
            Err(ClientError::Refused { message, .. }) if message == "broken"
        ));
        assert_eq!(parts.len(), 1);
    }

    #[test]
    fn no_node_is_told_from_a_broken_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = Client::connect(folder.path()).unwrap_err();
        assert!(matches!(error, ClientError::NotRunning(_)), "{error}");
        std::fs::write(ApiFile::path(folder.path()), "{").unwrap();
        let error = Client::connect(folder.path()).unwrap_err();
        assert!(matches!(error, ClientError::ApiFile { .. }), "{error}");
        // a process that ended without tidying up, and one whose number was reused
        let mut stale = ApiFile::new("127.0.0.1:9".parse().unwrap()).unwrap();
        stale.write(folder.path()).unwrap();
        let client = Client::connect(folder.path()).unwrap();
        assert!(matches!(client.status(), Err(ClientError::NotRunning(_))));
        stale.pid = 0x7fff_fffe;
        stale.write(folder.path()).unwrap();
        assert!(matches!(
            Client::connect(folder.path()),
            Err(ClientError::NotRunning(_))
        ));
    }
}
