//! What a site lacks of a release, by the list that it wrote of what it has.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use weft_node::report::WantsReport;
use weft_record::{
    ChunkMap, Delta, Envelope, FileEntry, Hash, Kind, MAX_RECORD_BYTES, Release, codec,
};

/// Chunk maps of one release at most: far more than any has, and a bound on memory.
const MAPS_BYTES: usize = 256 * 1024 * 1024;

/// Decides, once all records and chunk maps of a bundle have passed, which chunks of it a
/// site lacks. A file for which a delta from one that it has is shorter comes as that delta.
#[derive(Debug, Default)]
pub(crate) struct Lack {
    has: Has,
    releases: Vec<Release>,
    maps: BTreeMap<Hash, Vec<u8>>,
    maps_bytes: usize,
    lacking: BTreeSet<Hash>,
}

/// What a site has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Has {
    files: BTreeSet<Hash>,
    chunks: BTreeSet<Hash>,
}

impl Has {
    /// What this list names too.
    pub(crate) fn add(&mut self, list: WantsReport) {
        self.files.extend(list.files);
        self.chunks.extend(list.chunks);
    }
}

impl Lack {
    pub(crate) fn of(has: Has) -> Self {
        Self {
            has,
            ..Self::default()
        }
    }

    /// A record of the bundle.
    pub(crate) fn record(&mut self, bytes: &[u8]) {
        let envelope = Envelope::decode(bytes).ok();
        let release = envelope.filter(|one| one.kind == Kind::Release.number());
        let release = release.and_then(|one| codec::decode(&one.body, MAX_RECORD_BYTES).ok());
        self.releases.extend(release);
    }

    /// A chunk map of the bundle: kept until all are there.
    pub(crate) fn map(&mut self, hash: Hash, bytes: Vec<u8>) -> io::Result<()> {
        self.maps_bytes += bytes.len();
        self.maps.insert(hash, bytes);
        if self.maps_bytes > MAPS_BYTES {
            let text = format!("its chunk maps take more than {MAPS_BYTES} bytes");
            return Err(io::Error::other(text));
        }
        Ok(())
    }

    /// All maps are there: those that the site needs, in order. Without the map of a delta
    /// that is of no use there, it does not look for the rest of it.
    pub(crate) fn decide(&mut self) -> Vec<Vec<u8>> {
        let mut idle = BTreeSet::new();
        for release in std::mem::take(&mut self.releases) {
            let mut comes_as_delta = BTreeSet::new();
            for delta in &release.deltas {
                let file = release.files().find(|file| file.blake3 == delta.target);
                let best = file.is_some_and(|file| self.shortest(&release, file) == Some(delta));
                if best && let Some(chunks) = self.chunks(&delta.chunk_map, delta.length) {
                    comes_as_delta.insert(delta.target);
                    self.lacking
                        .extend(chunks.into_iter().map(|(hash, _)| hash));
                } else {
                    idle.insert(delta.chunk_map);
                }
            }
            for file in release.files() {
                if self.has.files.contains(&file.blake3) || comes_as_delta.contains(&file.blake3) {
                    continue;
                }
                let chunks = self.chunks(&file.chunk_map, file.length);
                let chunks = chunks.unwrap_or_default().into_iter();
                self.lacking.extend(chunks.map(|(hash, _)| hash));
            }
        }
        let maps = std::mem::take(&mut self.maps).into_iter();
        maps.filter(|(hash, _)| !idle.contains(hash))
            .map(|(_, bytes)| bytes)
            .collect()
    }

    /// Whether the site lacks this chunk.
    pub(crate) fn takes(&self, chunk: &Hash) -> bool {
        self.lacking.contains(chunk) && !self.has.chunks.contains(chunk)
    }

    /// The delta that a node there takes: from a file that it has, and less than what it lacks.
    fn shortest<'a>(&self, release: &'a Release, file: &FileEntry) -> Option<&'a Delta> {
        if self.has.files.contains(&file.blake3) {
            return None;
        }
        let chunks = self.chunks(&file.chunk_map, file.length)?;
        let lacked = chunks
            .iter()
            .filter(|(hash, _)| !self.has.chunks.contains(hash));
        let lacked_bytes: u64 = lacked.map(|(_, length)| u64::from(*length)).sum();
        let deltas = release.deltas.iter().filter(|delta| {
            delta.target == file.blake3
                && self.has.files.contains(&delta.base)
                && self.maps.contains_key(&delta.chunk_map)
        });
        let shortest = deltas.min_by_key(|delta| (delta.length, delta.base))?;
        (shortest.length < lacked_bytes).then_some(shortest)
    }

    fn chunks(&self, map: &Hash, length: u64) -> Option<Vec<(Hash, u32)>> {
        let map = ChunkMap::decode(self.maps.get(map)?, length).ok()?;
        let chunks = map.chunks.iter();
        Some(chunks.map(|chunk| (chunk.hash, chunk.length)).collect())
    }
}
