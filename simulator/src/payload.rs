//! What stands for bytes.

use std::sync::Arc;

use weft_core::Payload;
use weft_record::Hash;

/// A chunk or blob that is not there: its digest and its length. Blobs, which the
/// core reads, carry their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Virtual {
    /// What hashing it gives.
    pub digest: Hash,
    /// How long it is.
    pub length: u64,
    /// The bytes, of a blob.
    pub blob: Option<Arc<[u8]>>,
}

impl Virtual {
    /// A chunk.
    pub fn chunk(digest: Hash, length: u64) -> Self {
        Self {
            digest,
            length,
            blob: None,
        }
    }

    /// A blob with its bytes.
    pub fn blob(bytes: Vec<u8>) -> Self {
        Self {
            digest: Hash::of(&bytes),
            length: bytes.len() as u64,
            blob: Some(bytes.into()),
        }
    }

    /// The same length, other bytes.
    #[must_use]
    pub fn corrupted(&self) -> Self {
        Self {
            digest: Hash::of(b"corrupted"),
            length: self.length,
            blob: None,
        }
    }
}

impl Payload for Virtual {
    fn length(&self) -> u64 {
        self.length
    }

    fn blob_bytes(&self) -> &[u8] {
        self.blob.as_deref().unwrap_or_default()
    }
}
