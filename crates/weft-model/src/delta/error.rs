use std::path::PathBuf;

use crate::chunk::ChunkError;

/// Why a delta cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// The file system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// One of the two is called a model file but is none.
    #[error(transparent)]
    Model(#[from] ChunkError),
    /// The delta cannot be written.
    #[error("cannot write the delta: {0}")]
    Write(#[source] std::io::Error),
}

/// Why a delta cannot be applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The base cannot be read.
    #[error("cannot read the base: {0}")]
    Base(#[source] std::io::Error),
    /// The delta cannot be read.
    #[error("cannot read the delta: {0}")]
    Delta(#[source] std::io::Error),
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Write(#[source] std::io::Error),
    /// It is the difference of two other files.
    #[error(
        "the delta makes {target_found} bytes out of {base_found}, \
         asked for are {target_expected} out of {base_expected}"
    )]
    OtherFiles {
        /// Bytes of its base.
        base_found: u64,
        /// Bytes of the base at hand.
        base_expected: u64,
        /// Bytes that it makes.
        target_found: u64,
        /// Bytes that are asked for.
        target_expected: u64,
    },
    /// It is damaged.
    #[error("the delta is damaged: {0}")]
    Damaged(&'static str),
}
