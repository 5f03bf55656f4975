//! One file of a release: what is held of it, what is on its way, who has the rest.

use std::sync::Arc;

use weft_record::ChunkMap;

use crate::{bits::Bits, bounds, config::RestoredFile, message::Peer, table::Table};

/// A file of a release, complete or not.
#[derive(Debug)]
pub(crate) struct FileState {
    pub(crate) length: u64,
    pub(crate) map: Arc<ChunkMap>,
    pub(crate) phase: FilePhase,
    /// Verified and written.
    pub(crate) held: Bits,
    /// Asked for, or arrived and being hashed or written.
    pub(crate) pending: Bits,
    /// How many members hold each chunk, while it is fetched.
    holders: Vec<u8>,
    /// Chunks that came and of which nobody was told yet.
    pub(crate) untold: Vec<u32>,
    /// When that is told.
    pub(crate) tell_due_us: Option<u64>,
    pub(crate) fetching_since_us: u64,
    /// Not before this is the next told.
    pub(crate) tell_after_us: u64,
    /// Written since the last sync.
    pub(crate) unsynced_bytes: u64,
    pub(crate) sync_due_us: Option<u64>,
    pub(crate) syncing: bool,
    /// The disk refused: nothing is asked for before this.
    pub(crate) retry_us: Option<u64>,
    /// The whole differed once and every chunk was hashed again.
    pub(crate) looked_again: bool,
    pub(crate) figures: FileFigures,
}

/// Counted since the node started.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileFigures {
    pub(crate) bytes_held: u64,
    pub(crate) bytes_resumed: u64,
    pub(crate) bytes_reused: u64,
    pub(crate) bytes_fetched: u64,
    pub(crate) bytes_duplicate: u64,
    pub(crate) by_peer: Table<Peer, u64>,
}

/// Where a file stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilePhase {
    /// Known from an earlier run, not wanted by any channel now.
    Dormant,
    /// The disk looks for what is already here.
    Opening,
    /// Chunks are missing.
    Fetching,
    /// All chunks are here: the whole is hashed.
    Hashing,
    /// Whole and verified.
    Complete,
    /// All chunks match the map, the whole does not match the release.
    Contradictory,
}

impl FilePhase {
    /// Whether it matters which chunks others hold.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Opening | Self::Fetching | Self::Hashing)
    }
}

impl FileState {
    pub(crate) fn restored(file: &RestoredFile) -> Self {
        let mut state = Self::new(file.length, Arc::clone(&file.map), FilePhase::Dormant);
        if file.complete {
            state.held = Bits::full(file.map.chunks.len());
            state.phase = FilePhase::Complete;
            state.figures.bytes_held = file.length;
        }
        state
    }

    pub(crate) fn holds(&self, index: u32) -> bool {
        self.held.get(index as usize)
    }

    pub(crate) fn chunks_held(&self) -> u64 {
        self.held.ones() as u64
    }

    /// The bits to tell, if there is anything to tell.
    pub(crate) fn shared_bits(&self) -> Option<Vec<u8>> {
        (self.held.ones() > 0).then(|| self.held.encode())
    }

    pub(crate) fn new(length: u64, map: Arc<ChunkMap>, phase: FilePhase) -> Self {
        let chunks = map.chunks.len();
        Self {
            length,
            map,
            phase,
            held: Bits::new(chunks),
            pending: Bits::new(chunks),
            holders: Vec::new(),
            untold: Vec::new(),
            tell_due_us: None,
            fetching_since_us: 0,
            tell_after_us: 0,
            unsynced_bytes: 0,
            sync_due_us: None,
            syncing: false,
            retry_us: None,
            looked_again: false,
            figures: FileFigures::default(),
        }
    }

    pub(crate) fn chunk_length(&self, index: u32) -> Option<u64> {
        self.map
            .chunks
            .get(index as usize)
            .map(|chunk| u64::from(chunk.length))
    }

    /// Whether anything that `bits` has is missing here and not on its way.
    pub(crate) fn lacks_of(&self, bits: &Bits) -> bool {
        bits.has_beside(&self.held, &self.pending)
    }

    /// Those missing chunks that fewest members hold, of those that `bits` has, at most
    /// `count`; ties fall to the first at or after `start`, so that nodes do not all take
    /// the same.
    pub(crate) fn rarest(&self, bits: &Bits, start: usize, count: usize) -> Vec<u32> {
        let mut found: Vec<(u8, u32)> = Vec::with_capacity(count + 1);
        let open = bits.without(&self.held, &self.pending, start);
        for index in open.take(bounds::CHUNKS_LOOKED_AT) {
            let holders = self.holders.get(index as usize).copied().unwrap_or(0);
            if found.len() == count && found.last().is_some_and(|last| last.0 <= holders) {
                continue;
            }
            let place = found.partition_point(|one| one.0 <= holders);
            found.insert(place, (holders, index));
            found.truncate(count);
        }
        found.into_iter().map(|(_, index)| index).collect()
    }

    pub(crate) fn count_holder(&mut self, bits: &Bits, more: bool) {
        for index in bits.iter() {
            self.count_one(index, more);
        }
    }

    pub(crate) fn count_one(&mut self, index: usize, more: bool) {
        if self.holders.is_empty() {
            self.holders = vec![0; self.map.chunks.len()];
        }
        if let Some(holders) = self.holders.get_mut(index) {
            *holders = if more {
                holders.saturating_add(1)
            } else {
                holders.saturating_sub(1)
            };
        }
    }

    /// Nothing more is fetched of it: what was counted for that is not needed.
    pub(crate) fn forget_holders(&mut self) {
        self.holders = Vec::new();
    }
}
