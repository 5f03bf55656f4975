//! Asking a model: what goes in and what streams out. These types hold what
//! users write and read, so none of them implements `Debug` or `Serialize`:
//! they can be neither logged nor sent to a peer.

use tokio::sync::mpsc;
use weft_record::{Name, RecordId};

/// One request for an answer.
pub(crate) struct Question {
    /// The model as the client named it.
    pub(crate) model: String,
    pub(crate) prompt: Prompt,
    /// Most tokens to generate; `None`: as many as the context holds.
    pub(crate) max_tokens: Option<u32>,
    pub(crate) temperature: f32,
    pub(crate) top_p: f32,
    pub(crate) seed: Option<u64>,
    /// Generation ends before any of these.
    pub(crate) stop: Vec<String>,
}

pub(crate) enum Prompt {
    /// Goes through the model's chat template.
    Chat(Vec<ChatTurn>),
    /// Goes in as it is.
    Text(String),
}

pub(crate) struct ChatTurn {
    pub(crate) role: String,
    pub(crate) content: String,
}

/// What streams out: `Started` or `Refused` first, and nothing after `Refused`,
/// `Done` or `Failed`.
pub(crate) enum Piece {
    /// The prompt fits; the model reads it now.
    Started,
    /// The prompt cannot be answered, and why: the client's to mend.
    Refused(String),
    Text(String),
    Done(Usage, Finish),
    Failed(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
}

/// The answer as it comes. Dropping it stops the decoding.
pub(crate) struct Answer {
    /// Which model answers, by its own name.
    pub(crate) model: String,
    pub(crate) pieces: mpsc::Receiver<Piece>,
}

/// Pieces in flight to one client: a client that reads slowly slows its own
/// answer, and costs no memory.
pub(crate) const PIECES: usize = 64;

/// A model that takes questions now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelEntry {
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) channel: Name,
    pub(crate) release: RecordId,
    pub(crate) loaded_at_s: u64,
}

/// Why a question was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    #[error("the model `{0}` is not active on this node")]
    NotFound(String),
    #[error("the model has {0} questions waiting; try again later")]
    Busy(usize),
}

/// Whatever answers: the engines, or a stand-in under test.
pub(crate) trait Answerer: Send + Sync + 'static {
    fn models(&self) -> Vec<ModelEntry>;
    fn ask(&self, question: Question) -> Result<Answer, AskError>;
}
