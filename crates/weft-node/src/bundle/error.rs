//! Why a bundle could not be taken in or written.

use std::{io, path::PathBuf};

use weft_core::DisconnectReason;
use weft_record::{MeshId, Name};

use crate::run::RunError;

/// Why an import came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be opened.
    #[error("the bundle {} cannot be opened: {source}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no bundle, or a broken one.
    #[error("{} is not a bundle that weft can read: {reason}", .path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What comes through the pipe is no bundle, or a broken one.
    #[error("what came is not a bundle that weft can read: {0}")]
    Pipe(String),
    /// The pipe ended before the bundle's records did.
    #[error("{0}; nothing of it was taken")]
    BrokeOff(String),
    /// It belongs to another mesh.
    #[error("the bundle is of mesh {found}, this node belongs to mesh {expected}")]
    OtherMesh {
        /// The bundle's mesh.
        found: MeshId,
        /// The node's mesh.
        expected: MeshId,
    },
    /// The core let go of the bundle as it would of a peer.
    #[error("{}", let_go(*.0))]
    LetGo(DisconnectReason),
    /// Enough bundles are being read.
    #[error("{0} bundles are being taken in already; wait for one to end")]
    TooMany(usize),
    /// The node ended meanwhile; what was taken in stays.
    #[error("the node stopped while the bundle was taken in; what it took is kept")]
    Stopping,
    /// The machine refused something.
    #[error("the bundle could not be taken in: {0}")]
    Machine(io::Error),
    /// The node for an import without a network did not start.
    #[error(transparent)]
    Node(Box<RunError>),
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The channel has no release here.
    #[error("channel `{channel}` has no release on this node to export: {reason}")]
    NothingToExport {
        /// The channel.
        channel: Name,
        /// What is missing.
        reason: String,
    },
    /// No release has this version.
    #[error("no release {0} is known on this node")]
    NoSuchRelease(String),
    /// The store could not be read, or the bundle not be written.
    #[error("the bundle could not be written: {0}")]
    Io(#[from] io::Error),
    /// The node's folder cannot be used.
    #[error(transparent)]
    Node(Box<RunError>),
}

fn let_go(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::Stranger => {
            "the bundle proves no root chain that this node's mesh accepts"
        }
        DisconnectReason::CorruptData => {
            "the bundle holds bytes that do not match the signed digest; nothing of them was kept"
        }
        DisconnectReason::Misbehaved => "the bundle holds too many records that were refused",
        DisconnectReason::Full => "the node has as many peers as it can keep; try again later",
    }
}
