//! What stands for bytes.

use std::sync::{Arc, OnceLock};

use weft_core::Payload;
use weft_record::{ChunkMap, ChunkMapError, Hash};

/// A chunk or blob that is not there: its digest and its length. Blobs, which the
/// core reads, carry their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Virtual {
    /// What hashing it gives.
    pub digest: Hash,
    /// How long it is.
    pub length: u64,
    /// The bytes, of a blob.
    blob: Option<Arc<Blob>>,
}

/// The bytes of a blob, and what they encode, once for all who hold it.
#[derive(Debug)]
struct Blob {
    bytes: Box<[u8]>,
    /// The length of the file whose map it is, and the map.
    map: OnceLock<(u64, Arc<ChunkMap>)>,
}

impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Blob {}

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
            blob: Some(Arc::new(Blob {
                bytes: bytes.into(),
                map: OnceLock::new(),
            })),
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

    /// Whether it is a blob.
    pub fn is_blob(&self) -> bool {
        self.blob.is_some()
    }
}

impl Payload for Virtual {
    fn length(&self) -> u64 {
        self.length
    }

    fn blob_bytes(&self) -> &[u8] {
        self.blob.as_ref().map_or(&[], |blob| &blob.bytes)
    }

    fn chunk_map(&self, file_length: u64) -> Result<Arc<ChunkMap>, ChunkMapError> {
        let known = self.blob.as_ref().and_then(|blob| blob.map.get());
        if let Some((length, map)) = known
            && *length == file_length
        {
            return Ok(Arc::clone(map));
        }
        let map = ChunkMap::decode(self.blob_bytes(), file_length).map(Arc::new)?;
        if let Some(blob) = &self.blob {
            // the first that was asked for stays
            let _ = blob.map.set((file_length, Arc::clone(&map)));
        }
        Ok(map)
    }
}
