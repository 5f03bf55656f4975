//! One file of a release: what is held of it, what is on its way, who has the rest.

use std::sync::Arc;

use weft_record::ChunkMap;

use crate::{
    bits::Bits, claims::OwnClaim, config::RestoredFile, delta::DeltaUse, message::Peer,
    offers::Offers, table::Table,
};

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
    /// What peers hold of it, while it is fetched.
    pub(crate) offers: Offers,
    /// Others of the LAN know that this node reaches holders beyond it.
    pub(crate) claim: Option<OwnClaim>,
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
    /// When it came or was last in a slot: what was used longest ago makes room first.
    pub(crate) used_s: u64,
    /// Whether it is made from a delta.
    pub(crate) delta: DeltaUse,
    pub(crate) figures: FileFigures,
}

/// Counted since the node started.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileFigures {
    pub(crate) bytes_held: u64,
    pub(crate) bytes_resumed: u64,
    pub(crate) bytes_reused: u64,
    pub(crate) bytes_made: u64,
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
    /// Its delta is being fetched or applied.
    Deferred,
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
        matches!(
            self,
            Self::Opening | Self::Deferred | Self::Fetching | Self::Hashing
        )
    }
}

impl FileState {
    pub(crate) fn restored(file: &RestoredFile) -> Self {
        let mut state = Self::new(file.length, Arc::clone(&file.map), FilePhase::Dormant);
        state.used_s = file.used_s;
        if file.complete {
            state.held = Bits::full(file.map.chunks.len());
            state.phase = FilePhase::Complete;
            state.figures.bytes_held = file.length;
        }
        state
    }

    pub(crate) fn warm(&self) -> u64 {
        let near = [
            self.length,
            self.held.ones() as u64,
            self.pending.ones() as u64,
            self.tell_after_us,
            self.unsynced_bytes,
            self.figures.bytes_held,
            self.figures.by_peer.len() as u64,
            self.retry_us.unwrap_or(0),
            self.sync_due_us.unwrap_or(0),
        ];
        near.into_iter().fold(0, |sum, one| sum ^ one)
    }

    pub(crate) fn warm_bits(&self) -> u64 {
        self.held.warm() ^ self.pending.warm() ^ self.offers.warm()
    }

    pub(crate) fn warm_figures(&self, peer: Option<&Peer>) -> u64 {
        let untold = self.untold.first().copied().unwrap_or(0);
        let count = peer.and_then(|peer| self.figures.by_peer.get(peer));
        u64::from(untold) ^ count.copied().unwrap_or(0)
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
            offers: Offers::new(chunks),
            claim: None,
            untold: Vec::new(),
            tell_due_us: None,
            fetching_since_us: 0,
            tell_after_us: 0,
            unsynced_bytes: 0,
            sync_due_us: None,
            syncing: false,
            retry_us: None,
            looked_again: false,
            used_s: 0,
            delta: DeltaUse::default(),
            figures: FileFigures::default(),
        }
    }

    pub(crate) fn chunk_length(&self, index: u32) -> Option<u64> {
        self.map
            .chunks
            .get(index as usize)
            .map(|chunk| u64::from(chunk.length))
    }

    /// Whether anybody has what is missing here and not on its way.
    pub(crate) fn has_open(&self) -> bool {
        self.offers.any_beside(&self.held, &self.pending)
    }

    /// Nothing more is fetched of it: what others hold does not matter.
    pub(crate) fn forget_offers(&mut self) {
        self.offers = Offers::new(self.map.chunks.len());
        self.claim = None;
    }
}
