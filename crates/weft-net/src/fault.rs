//! Why a link to a peer ended.

use libp2p::StreamProtocol;
use weft_core::DisconnectReason;

use crate::{book::ToldError, frame::FrameError};

/// The reason, for logs and for what follows from it.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum LinkFault {
    #[error("the connection closed")]
    Closed,
    #[error("the connection failed: {0}")]
    Stream(String),
    #[error("no byte passed for {0} s")]
    Stalled(u64),
    #[error("the peer reads slower than is written to it")]
    Overflow,
    #[error("the peer does not speak {0}")]
    Refused(StreamProtocol),
    #[error("no control stream came to stand within {0} s")]
    NotOpened(u64),
    #[error("the peer sent a message of {length} bytes where at most {limit} are allowed")]
    MessageLength { length: usize, limit: usize },
    #[error("the peer sent a message that does not decode: {0}")]
    Malformed(String),
    #[error("the peer sent {0}")]
    Frame(#[from] FrameError),
    #[error("the peer {0}")]
    Told(#[from] ToldError),
    #[error("the peer sent a reply that nobody asked for")]
    Unasked,
    #[error("the peer began a new session")]
    Replaced,
    #[error("it no longer takes part")]
    Outside,
    #[error("let go: {}", name(*.0))]
    LetGo(DisconnectReason),
    #[error("chunks that were under way may not pass any more")]
    Paused,
    #[error("this node shuts down")]
    Shutdown,
}

/// How long a peer stays away after its link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// It may return at once.
    None,
    /// It does not belong here, or not yet.
    Stranger,
    /// It does harm, or speaks another protocol.
    Banned,
    /// It broke a rule, or there is no room for it.
    Fault,
}

impl LinkFault {
    pub(crate) fn absence(&self) -> Absence {
        match self {
            Self::LetGo(DisconnectReason::Stranger) => Absence::Stranger,
            Self::Refused(_) | Self::LetGo(DisconnectReason::Misbehaved) => Absence::Banned,
            Self::MessageLength { .. }
            | Self::Malformed(_)
            | Self::Frame(_)
            | Self::Told(_)
            | Self::Unasked
            | Self::LetGo(_) => Absence::Fault,
            Self::Closed
            | Self::Stream(_)
            | Self::Stalled(_)
            | Self::Overflow
            | Self::NotOpened(_)
            | Self::Replaced
            | Self::Outside
            | Self::Paused
            | Self::Shutdown => Absence::None,
        }
    }
}

fn name(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::Stranger => "a stranger to this mesh",
        DisconnectReason::CorruptData => "it sent corrupt data",
        DisconnectReason::Misbehaved => "it misbehaved",
        DisconnectReason::Full => "this node keeps no more peers",
    }
}
