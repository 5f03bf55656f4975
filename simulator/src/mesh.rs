//! An admin with keys, and releases whose bytes are not there.

use std::sync::Arc;

use weft_keys::SecretKey;
use weft_record::{ChunkEntry, ChunkMap, Hash, MeshId, Name, RecordId, Trust};

/// Signs everything of a virtual mesh; its key comes from a seed.
pub struct Admin {
    key: SecretKey,
    trust: Trust,
    mesh_id: MeshId,
    root: Vec<u8>,
    memo: weft_record::Memo,
}

/// A release of one file.
#[derive(Clone, Debug)]
pub struct VirtualRelease {
    /// Its display version.
    pub version: String,
    /// BLAKE3 that stands for the whole file.
    pub file: Hash,
    /// Length of the file.
    pub length: u64,
    /// Its chunks.
    pub map: Arc<ChunkMap>,
}

impl VirtualRelease {
    /// A file of `chunks` chunks of `chunk_bytes` each; the first `shared` of them are
    /// the same in every version of this size.
    pub fn new(version: &str, chunks: u32, chunk_bytes: u32, shared: u32) -> Self {
        let entries = (0..chunks).map(|index| {
            let version = if index < shared { "shared" } else { version };
            let hash = Hash::of(format!("{version} {index} {chunk_bytes}").as_bytes());
            ChunkEntry { length: chunk_bytes, hash }
        });
        let map = ChunkMap { chunks: entries.collect() };
        let file = Hash::of(format!("file of {}", map.hash()).as_bytes());
        let length = u64::from(chunks) * u64::from(chunk_bytes);
        Self { version: version.to_owned(), file, length, map: Arc::new(map) }
    }

    /// The name of its chunk map.
    pub fn chunk_map_hash(&self) -> Hash {
        Hash::of(&self.map.encode())
    }
}
