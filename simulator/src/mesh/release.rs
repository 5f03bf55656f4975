//! Releases whose bytes are not there.

use std::sync::Arc;

use weft_record::{
    ChunkEntry, ChunkMap, FileEntry, Hash, Lineage, Probe, ProbeLimits, ProbeSet, Release,
    Requires, Variant,
};

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
    /// What a machine needs to run it.
    pub requires: Requires,
}

impl VirtualRelease {
    /// A file of `chunks` chunks of `chunk_bytes` each; the first `shared` of them are
    /// the same in every version of this size.
    pub fn new(version: &str, chunks: u32, chunk_bytes: u32, shared: u32) -> Self {
        let entries = (0..chunks).map(|index| {
            let version = if index < shared { "shared" } else { version };
            let hash = Hash::of(format!("{version} {index} {chunk_bytes}").as_bytes());
            ChunkEntry {
                length: chunk_bytes,
                hash,
            }
        });
        let map = ChunkMap {
            chunks: entries.collect(),
        };
        let file = Hash::of(format!("file of {}", map.hash()).as_bytes());
        let length = u64::from(chunks) * u64::from(chunk_bytes);
        Self {
            version: version.to_owned(),
            file,
            length,
            map: Arc::new(map),
            requires: Requires::default(),
        }
    }

    /// A file whose first `shared` chunks are those of this one, where both have them.
    #[must_use]
    pub fn followed_by(&self, version: &str, length: u64, chunk_bytes: u32, shared: u32) -> Self {
        let own = Self::of_length(version, length, chunk_bytes);
        let common = self.map.chunks.iter().zip(&own.map.chunks);
        let common = common
            .take(shared as usize)
            .take_while(|(old, new)| old.length == new.length)
            .map(|(old, _)| *old);
        let mut chunks: Vec<ChunkEntry> = common.collect();
        chunks.extend_from_slice(&own.map.chunks[chunks.len()..]);
        Self::of_chunks(version, ChunkMap { chunks })
    }

    /// A file of this length, in chunks of `chunk_bytes`; the last may be shorter.
    pub fn of_length(version: &str, length: u64, chunk_bytes: u32) -> Self {
        let count = length.div_ceil(u64::from(chunk_bytes));
        let chunks = (0..count).map(|index| {
            let left = length - index * u64::from(chunk_bytes);
            let hash = Hash::of(format!("{version} {index} {chunk_bytes}").as_bytes());
            ChunkEntry {
                length: left.min(u64::from(chunk_bytes)) as u32,
                hash,
            }
        });
        let chunks = chunks.collect();
        Self::of_chunks(version, ChunkMap { chunks })
    }

    fn of_chunks(version: &str, map: ChunkMap) -> Self {
        let lengths = map.chunks.iter().map(|chunk| u64::from(chunk.length));
        Self {
            version: version.to_owned(),
            file: Hash::of(format!("file of {}", map.hash()).as_bytes()),
            length: lengths.sum(),
            map: Arc::new(map),
            requires: Requires::default(),
        }
    }

    /// The name of its chunk map.
    pub fn chunk_map_hash(&self) -> Hash {
        Hash::of(&self.map.encode())
    }
}

impl VirtualRelease {
    pub(super) fn record(&self, counter: u64) -> Release {
        let file = FileEntry {
            path: "model.gguf".to_owned(),
            length: self.length,
            blake3: self.file,
            chunk_map: self.chunk_map_hash(),
        };
        let variant = Variant {
            quantization: "q8_0".parse().expect("a valid name"),
            files: vec![file],
            requires: self.requires.clone(),
        };
        let probe = Probe {
            prompt: "P-101 temp 99C>85".to_owned(),
            max_tokens: 8,
            expected: vec![vec![1, 2, 3]],
        };
        Release {
            model: "virtual".parse().expect("a valid name"),
            version: self.version.clone(),
            counter,
            variants: vec![variant],
            tokenizer: None,
            template: None,
            base: None,
            probe_set: ProbeSet {
                probes: vec![probe],
                limits: ProbeLimits {
                    min_match_bp: 10_000,
                    ..ProbeLimits::default()
                },
            },
            lineage: Lineage::default(),
            notes: String::new(),
            licence: "Apache-2.0".to_owned(),
        }
    }
}
