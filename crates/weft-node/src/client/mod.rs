//! The other end of the API: how a command on this machine talks to a running
//! node. Blocking and small.

mod chat;

use std::{
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use ureq::{Agent, Body, SendBody, http};
use weft_core::Limits;
use weft_record::Name;

use crate::{
    api_file::ApiFile,
    report::{
        Accepted, CollectReport, CollectRequest, EnrolmentsReport, ErrorReport, EventsReport,
        ExpectRequest, ImportReport, ImportRequest, InviteReport, InviteRequest, PeersReport,
        PinRequest, PinsReport, RecordsReport, StatusReport, WantsReport,
    },
};

pub use chat::{ChatAnswer, ChatMessage, ChatOptions, ChatPart, ChatStream};

/// Connecting to a loopback port takes microseconds or fails.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The loop answers at once, even under load; anything longer is a fault.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);
/// What was queued for the disk before comes first, and a slow one takes seconds for each of
/// many large files.
const COLLECT_TIMEOUT: Duration = Duration::from_mins(10);
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

    /// The enrolments that it knows.
    pub fn enrolments(&self) -> Result<EnrolmentsReport, ClientError> {
        self.get("/weft/v1/enrolments")
    }

    /// Has it make an invitation.
    pub fn invite(&self, request: &InviteRequest) -> Result<InviteReport, ClientError> {
        self.post("/weft/v1/invite", request)
    }

    /// What happened after that number.
    pub fn events(&self, after: u64) -> Result<EventsReport, ClientError> {
        self.get(&format!("/weft/v1/events?after={after}"))
    }

    /// Lets its transfers take this from now on.
    pub fn limit(&self, limits: &Limits) -> Result<(), ClientError> {
        let _: Accepted = self.post("/weft/v1/limit", limits)?;
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

    /// The same of what comes through a pipe, handed on as it comes.
    pub fn import_pipe(&self, mut source: impl Read) -> Result<ImportReport, ClientError> {
        let request = self.request(http::Method::POST, "/weft/v1/import/pipe");
        let request = request
            .header(http::header::CONTENT_TYPE, "application/octet-stream")
            .body(SendBody::from_reader(&mut source))
            .map_err(|error| unreadable(&error))?;
        let response = self
            .agent
            .run(request)
            .map_err(|error| self.transport(&error))?;
        self.json(response)
    }

    /// A courier comes, or none is expected any more.
    pub fn expect(&self, request: &ExpectRequest) -> Result<(), ClientError> {
        let _: Accepted = self.post("/weft/v1/expect", request)?;
        Ok(())
    }

    /// What the node has or, with a version, what a site that runs it has.
    pub fn wants(&self, version: Option<&str>) -> Result<WantsReport, ClientError> {
        let query = version.map(|version| format!("?version={}", percent(version)));
        self.get(&format!("/weft/v1/wants{}", query.unwrap_or_default()))
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

    /// Has it delete what nothing needs, or only tell what that is; returns when that is done.
    pub fn collect(&self, request: &CollectRequest) -> Result<CollectReport, ClientError> {
        let post = self.request(http::Method::POST, "/weft/v1/gc");
        self.send_json(post, request, Some(COLLECT_TIMEOUT))
    }

    /// Has it pin a release, or no longer.
    pub fn pin(&self, request: &PinRequest) -> Result<PinsReport, ClientError> {
        self.post("/weft/v1/pin", request)
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

/// What may stand in a query, whatever it is.
fn percent(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    });
    escaped.collect()
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

// What a JSON error says holds no prompt: serde_json names places and types,
// and at most a word of the structure.
fn unreadable(error: &impl ToString) -> ClientError {
    ClientError::Answer(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
