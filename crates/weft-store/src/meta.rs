//! The seam between the store and its metadata store.

use crate::vfs::SyncPoint;

/// Longest value handed to a [`Meta`]: sled puts pages of about seventeen values
/// into files of its own, which it does not sync, when they pass 128 KiB.
pub(crate) const MAX_VALUE_BYTES: usize = 4 << 10;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Changes that take effect together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Key and new value; `None` removes. A key occurs at most once.
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    pub(crate) fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        debug_assert!(
            value.len() <= MAX_VALUE_BYTES,
            "longer values go into blobs"
        );
        self.changes.push((key, Some(value)));
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.changes.push((key, None));
    }
}

/// Why the metadata store failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetaError {
    /// No space left; it works again when there is.
    #[error("no space left for metadata: {0}")]
    Full(String),
    /// Anything else.
    #[error("metadata: {0}")]
    Broken(String),
}

/// An ordered map of short byte strings.
pub trait Meta: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, MetaError>;
    /// All pairs whose key begins so, in order of the key.
    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, MetaError>;
    /// Applies a batch; visible at once, durable only after [`Meta::flush`].
    fn apply(&self, batch: &Batch) -> Result<(), MetaError>;
    /// Makes everything applied so far durable. After a failure the batches since
    /// the last flush may or may not be there; the caller applies them again.
    fn flush(&self, point: SyncPoint) -> Result<(), MetaError>;
}
