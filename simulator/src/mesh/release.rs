//! Releases whose bytes are not there.

use std::sync::Arc;

use weft_record::{
    ChunkEntry, ChunkMap, Delta, FileEntry, Hash, Lineage, Probe, ProbeLimits, ProbeSet, Release,
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
    /// Its file as differences from those of earlier releases.
    pub deltas: Vec<VirtualDelta>,
}

/// A file as its difference from another.
#[derive(Clone, Debug)]
pub struct VirtualDelta {
    /// The file that it is taken from.
    pub base: Hash,
    /// The difference, as a file of its own.
    pub file: Hash,
    /// Its length.
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
            deltas: Vec::new(),
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
            deltas: Vec::new(),
        }
    }

    /// This release with a delta of so many bytes from an earlier one.
    #[must_use]
    pub fn with_delta(mut self, base: &Self, length: u64, chunk_bytes: u32) -> Self {
        let version = format!("delta from {} to {}", base.version, self.version);
        let delta = Self::of_length(&version, length, chunk_bytes);
        self.deltas.push(VirtualDelta {
            base: base.file,
            file: delta.file,
            length: delta.length,
            map: delta.map,
        });
        self
    }

    /// The deltas as files of their own.
    pub(crate) fn delta_files(&self) -> impl Iterator<Item = Self> {
        self.deltas.iter().map(|delta| Self {
            version: self.version.clone(),
            file: delta.file,
            length: delta.length,
            map: Arc::clone(&delta.map),
            requires: Requires::default(),
            deltas: Vec::new(),
        })
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
        let deltas = self.deltas.iter().map(|delta| Delta {
            target: self.file,
            base: delta.base,
            length: delta.length,
            blake3: delta.file,
            chunk_map: delta.map.hash(),
        });
        let mut deltas: Vec<Delta> = deltas.collect();
        deltas.sort_unstable_by_key(|delta| (delta.target, delta.base));
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
            deltas,
        }
    }
}
