//! One file of a release: what is held of it, what is on its way, who has the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_record::ChunkMap;

use crate::{bits::Bits, config::RestoredFile, message::Peer};

/// A file of a release, complete or not.
#[derive(Debug)]
pub(crate) struct FileState {
    pub(crate) length: u64,
    pub(crate) map: Arc<ChunkMap>,
    pub(crate) phase: FilePhase,
    /// Verified and written.
    pub(crate) held: Bits,
    /// Asked for: from whom.
    pub(crate) asked: BTreeMap<u32, Peer>,
    /// Arrived, being hashed or written.
    pub(crate) arriving: BTreeSet<u32>,
    /// How many members hold each chunk.
    pub(crate) holders: Vec<u16>,
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
    pub(crate) by_peer: BTreeMap<Peer, u64>,
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
            asked: BTreeMap::new(),
            arriving: BTreeSet::new(),
            holders: vec![0; chunks],
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

    /// The missing chunk that fewest members hold, of those that `bits` has; ties
    /// fall to the first at or after `start`, so that nodes do not all take the same.
    pub(crate) fn rarest(&self, bits: &Bits, start: usize) -> Option<u32> {
        let chunks = self.map.chunks.len();
        (0..chunks)
            .map(|step| (start + step) % chunks)
            .filter(|&index| {
                bits.get(index)
                    && !self.held.get(index)
                    && !self.asked.contains_key(&(index as u32))
                    && !self.arriving.contains(&(index as u32))
            })
            .min_by_key(|&index| self.holders[index])
            .map(|index| index as u32)
    }

    pub(crate) fn count_holder(&mut self, bits: &Bits, sign: i32) {
        for index in 0..self.holders.len() {
            if bits.get(index) {
                self.holders[index] = self.holders[index].saturating_add_signed(sign as i16);
            }
        }
    }
}
