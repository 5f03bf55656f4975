//! What can go wrong, with the path and the system's own words.

use std::{
    io,
    path::{Path, PathBuf},
};

use weft_core::{Failure, FailureKind};

use crate::meta::MetaError;

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process works on it.
    #[error("{} is in use by {}", .path.display(), holder(*.pid))]
    Locked {
        /// The store's folder.
        path: PathBuf,
        /// The other process, if it left its id.
        pid: Option<u32>,
    },
    /// It was written by a newer weft.
    #[error("{} has store format {found}; this weft knows up to {known}", .path.display())]
    Newer {
        /// The store's folder.
        path: PathBuf,
        /// What it says.
        found: u32,
        /// What is known here.
        known: u32,
    },
    /// Something else lies there.
    #[error("{} is no weft store: {reason}", .path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The disk or the metadata failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

/// Why the store could not do something. What was durable still is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No space left, or a quota reached.
    #[error("no space left to {action} {}: {reason}", .path.display())]
    Full {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// How much is missing, or what the system said.
        reason: String,
        /// How much is missing, where that is known.
        lacking_bytes: Option<u64>,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The metadata failed.
    #[error("{}: {source}", .path.display())]
    Meta {
        /// Its folder.
        path: PathBuf,
        /// Why.
        source: MetaError,
    },
    /// What was asked for does not fit what the store holds.
    #[error("{0}")]
    Refused(String),
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if is_full(&source) {
            return Self::Full {
                action,
                path,
                reason: source.to_string(),
                lacking_bytes: None,
            };
        }
        Self::Io {
            action,
            path,
            source,
        }
    }

    /// As the core is told.
    pub(crate) fn failure(&self) -> Failure {
        let full = matches!(
            self,
            Self::Full { .. }
                | Self::Meta {
                    source: MetaError::Full(_),
                    ..
                }
        );
        let kind = if full {
            FailureKind::DiskFull
        } else {
            FailureKind::Disk
        };
        let lacking_bytes = match self {
            Self::Full { lacking_bytes, .. } => *lacking_bytes,
            _ => None,
        };
        Failure {
            kind,
            lacking_bytes,
            text: self.to_string(),
        }
    }
}

/// Whether the disk, or this user's share of it, is used up.
pub(crate) fn is_full(error: &io::Error) -> bool {
    if matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) {
        return true;
    }
    // sled keeps an error's text but not always its kind
    let text = error.to_string();
    text.contains("StorageFull") || text.contains("QuotaExceeded") || text.contains("No space left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        for code in [28, 122] {
            let error = StoreError::io(
                "write",
                Path::new("/s/f"),
                io::Error::from_raw_os_error(code),
            );
            let failure = error.failure();
            assert_eq!(failure.kind, FailureKind::DiskFull);
            assert!(
                failure.text.contains("/s/f") && failure.text.contains(&code.to_string()),
                "{failure:?}"
            );
        }
        let other = StoreError::io("write", Path::new("/s/f"), io::Error::from_raw_os_error(5));
        assert_eq!(other.failure().kind, FailureKind::Disk);
    }
}
