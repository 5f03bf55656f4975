//! Getting files: chunk maps, then chunks from every member that holds some,
//! rarest first, each verified before it is written, counted or served.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use weft_record::{ChunkMap, Hash};

use crate::{
    bits::Bits,
    bounds,
    config::RestoredFile,
    io::{ChunkSource, DisconnectReason, Disk, Event, FoundChunk, Outcome},
    members::PeerState,
    message::{ChunkRef, Control, Message, Payload, Peer},
    node::{Node, Pending},
};

/// A blob (chunk map) on its way.
#[derive(Debug)]
pub(crate) struct BlobState {
    /// Length of the file whose chunk map it is.
    pub(crate) file_length: u64,
    /// The file whose chunk map it is.
    pub(crate) file: Hash,
    /// The member asked and its deadline; `None` while the disk is at work or nobody is asked.
    asked: Option<(Peer, u64)>,
    /// Bytes are being read, hashed or written.
    busy: bool,
    /// Members that do not have it, until the next round.
    refused: BTreeSet<Peer>,
    /// Nobody is asked before this.
    retry_us: u64,
}

/// A file of a release, complete or not.
#[derive(Debug)]
pub(crate) struct FileState {
    pub(crate) length: u64,
    pub(crate) map: Arc<ChunkMap>,
    pub(crate) phase: FilePhase,
    /// Verified and written.
    held: Bits,
    /// Asked for: from whom.
    asked: BTreeMap<u32, Peer>,
    /// Arrived, being hashed or written.
    arriving: BTreeSet<u32>,
    /// How many members hold each chunk.
    holders: Vec<u16>,
    /// Written since the last sync.
    unsynced_bytes: u64,
    sync_due_us: Option<u64>,
    syncing: bool,
    /// The disk refused: nothing is asked for before this.
    pub(crate) retry_us: Option<u64>,
    /// The whole differed once and every chunk was hashed again.
    looked_again: bool,
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

    fn new(length: u64, map: Arc<ChunkMap>, phase: FilePhase) -> Self {
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

    fn chunk_length(&self, index: u32) -> Option<u64> {
        self.map
            .chunks
            .get(index as usize)
            .map(|chunk| u64::from(chunk.length))
    }

    /// The missing chunk that fewest members hold, of those that `bits` has; ties
    /// fall to the first at or after `start`, so that nodes do not all take the same.
    fn rarest(&self, bits: &Bits, start: usize) -> Option<u32> {
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

    fn count_holder(&mut self, bits: &Bits, sign: i32) {
        for index in 0..self.holders.len() {
            if bits.get(index) {
                self.holders[index] = self.holders[index].saturating_add_signed(sign as i16);
            }
        }
    }
}

// ---- chunk maps -----------------------------------------------------------

impl<P: Payload> Node<P> {
    /// Makes sure that this file is on its way. The release that names it is verified.
    pub(crate) fn require_file(&mut self, file: Hash, length: u64, chunk_map: Hash) {
        if let Some(state) = self.files.get_mut(&file) {
            if state.phase == FilePhase::Dormant {
                state.phase = FilePhase::Opening;
                self.open_file(file);
            }
            return;
        }
        if let Entry::Vacant(blob) = self.blobs.entry(chunk_map) {
            let state = BlobState {
                file_length: length,
                file,
                asked: None,
                busy: true,
                refused: BTreeSet::new(),
                retry_us: 0,
            };
            blob.insert(state);
            self.disk(Pending::ReadBlob(chunk_map), Disk::ReadBlob(chunk_map));
        }
    }

    pub(crate) fn blob_read(&mut self, hash: Hash, outcome: Outcome<P>) {
        if let Outcome::Blob(Some(payload)) = outcome {
            let pending = Pending::VerifyBlob {
                hash,
                payload: payload.clone(),
                from: None,
            };
            self.hash(pending, payload);
        } else if let Some(blob) = self.blobs.get_mut(&hash) {
            blob.busy = false;
        }
    }

    pub(crate) fn blob_arrived(&mut self, peer: Peer, hash: Hash, payload: P) {
        let Some(blob) = self.blobs.get_mut(&hash) else {
            return;
        };
        if blob.asked.is_none_or(|(asked, _)| asked != peer) {
            return;
        }
        blob.asked = None;
        if payload.length() > bounds::BLOB_BYTES as u64 {
            self.disconnect(peer, DisconnectReason::Misbehaved);
            return;
        }
        blob.busy = true;
        let pending = Pending::VerifyBlob {
            hash,
            payload: payload.clone(),
            from: Some(peer),
        };
        self.hash(pending, payload);
    }

    pub(crate) fn blob_absent(&mut self, peer: Peer, hash: Hash) {
        if let Some(blob) = self.blobs.get_mut(&hash)
            && blob.asked.is_some_and(|(asked, _)| asked == peer)
        {
            blob.asked = None;
            blob.refused.insert(peer);
        }
    }

    pub(crate) fn blob_hashed(
        &mut self,
        hash: Hash,
        payload: P,
        from: Option<Peer>,
        outcome: Outcome<P>,
    ) {
        let Some(blob) = self.blobs.get_mut(&hash) else {
            return;
        };
        blob.busy = false;
        let matches = matches!(outcome, Outcome::Digest(digest) if digest == hash);
        if !matches {
            // from disk: it rotted, fetch it again; from a peer: it lies
            if let Some(peer) = from {
                self.counters.chunks_corrupt += 1;
                self.disconnect(peer, DisconnectReason::CorruptData);
            }
            return;
        }
        let (file, length) = (blob.file, blob.file_length);
        let Ok(map) = ChunkMap::decode(payload.blob_bytes(), length) else {
            // signed by the release and yet no map of that file: the release is at fault
            self.blobs.remove(&hash);
            self.contradictory(file);
            return;
        };
        self.blobs.remove(&hash);
        if from.is_some() {
            self.disk(Pending::WriteBlob(hash), Disk::WriteBlob(hash, payload));
        }
        let map = Arc::new(map);
        self.files
            .insert(file, FileState::new(length, map, FilePhase::Opening));
        self.open_file(file);
    }

    pub(crate) fn blob_written(&mut self, _hash: Hash, outcome: Outcome<P>) {
        // a map that could not be kept is only fetched again after a restart
        if !matches!(outcome, Outcome::Written) {
            self.trouble(&outcome);
        }
    }

    fn schedule_blobs(&mut self) {
        let members: Vec<Peer> = self.members().collect();
        let now_us = self.now_us;
        let mut asks = Vec::new();
        for (hash, blob) in &mut self.blobs {
            if blob.asked.is_some() || blob.busy || blob.retry_us > now_us {
                continue;
            }
            let candidates: Vec<Peer> = members
                .iter()
                .filter(|peer| !blob.refused.contains(peer))
                .copied()
                .collect();
            if candidates.is_empty() {
                // everybody was asked: a new round a little later
                if !blob.refused.is_empty() {
                    blob.refused.clear();
                    blob.retry_us = now_us + bounds::BLOB_RETRY_US;
                }
                continue;
            }
            let index = self.random.below(candidates.len() as u64) as usize;
            let peer = candidates[index];
            blob.asked = Some((peer, now_us + bounds::REQUEST_TIMEOUT_US));
            asks.push((peer, *hash));
        }
        for (peer, hash) in asks {
            self.send(peer, Message::GetBlob(hash));
        }
    }
}

// ---- files ----------------------------------------------------------------

impl<P: Payload> Node<P> {
    fn open_file(&mut self, file: Hash) {
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        state.phase = FilePhase::Opening;
        let disk = Disk::OpenFile {
            file,
            length: state.length,
            map: Arc::clone(&state.map),
        };
        self.disk(Pending::OpenFile(file), disk);
    }

    pub(crate) fn file_opened(&mut self, file: Hash, outcome: Outcome<P>) {
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        let Outcome::Opened(found) = outcome else {
            state.retry_us = Some(self.now_us + bounds::DISK_RETRY_US);
            self.trouble(&outcome);
            return;
        };
        state.phase = FilePhase::Fetching;
        for FoundChunk {
            index,
            digest,
            source,
        } in found
        {
            let Some(chunk) = state.map.chunks.get(index as usize) else {
                continue;
            };
            if chunk.hash != digest || !state.held.set(index as usize) {
                continue;
            }
            let length = u64::from(chunk.length);
            state.figures.bytes_held += length;
            match source {
                ChunkSource::Resumed => state.figures.bytes_resumed += length,
                ChunkSource::Reused => state.figures.bytes_reused += length,
            }
            // copied or found chunks may not have been synced yet
            state.unsynced_bytes += length;
        }
        if state.unsynced_bytes > 0 {
            state.sync_due_us = Some(self.now_us + bounds::SYNC_INTERVAL_US);
        }
        self.fetch_started(&file);
        self.want(file);
        for peer in self.wanting(&file) {
            self.tell_bits(peer, file);
        }
        self.finish_if_whole(file);
    }

    /// Stops asking for a file; what is held stays.
    pub(crate) fn rest(&mut self, file: Hash) {
        if let Some(state) = self.files.get_mut(&file) {
            state.phase = FilePhase::Dormant;
        }
        self.unwant(file);
    }

    fn unwant(&mut self, file: Hash) {
        for peer in self.members().collect::<Vec<_>>() {
            self.send(peer, Message::Control(Control::Unwant(file)));
        }
        let mut forgotten = Vec::new();
        for state in self.peers.values_mut() {
            forgotten.extend(state.holds.remove(&file));
        }
        if let Some(state) = self.files.get_mut(&file) {
            for bits in forgotten {
                state.count_holder(&bits, -1);
            }
        }
    }

    /// Asks every member to tell which chunks it holds.
    fn want(&mut self, file: Hash) {
        if self
            .files
            .get(&file)
            .is_some_and(|state| state.phase == FilePhase::Fetching)
        {
            for peer in self.members().collect::<Vec<_>>() {
                self.send(peer, Message::Control(Control::Want(file)));
            }
        }
    }

    /// Asks a new member about every file that is being fetched.
    pub(crate) fn want_from(&mut self, peer: Peer) {
        let fetching = self
            .files
            .iter()
            .filter(|(_, state)| state.phase == FilePhase::Fetching);
        for file in fetching.map(|(file, _)| *file).collect::<Vec<_>>() {
            self.send(peer, Message::Control(Control::Want(file)));
        }
    }

    pub(crate) fn bits_arrived(&mut self, peer: Peer, file: Hash, bytes: &[u8]) {
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        let Some(bits) = Bits::decode(bytes, state.map.chunks.len()) else {
            self.disconnect(peer, DisconnectReason::Misbehaved);
            return;
        };
        let Some(peer_state) = self.peers.get_mut(&peer) else {
            return;
        };
        state.count_holder(&bits, 1);
        if let Some(old) = peer_state.holds.insert(file, bits) {
            state.count_holder(&old, -1);
        }
    }

    pub(crate) fn gained_arrived(&mut self, peer: Peer, file: Hash, indexes: &[u32]) {
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        let Some(peer_state) = self.peers.get_mut(&peer) else {
            return;
        };
        let chunks = state.map.chunks.len();
        let bits = peer_state
            .holds
            .entry(file)
            .or_insert_with(|| Bits::new(chunks));
        for &index in indexes {
            if bits.set(index as usize) {
                state.holders[index as usize] = state.holders[index as usize].saturating_add(1);
            }
        }
    }

    /// Gives out requests while the bounds and the cap allow.
    pub(crate) fn schedule(&mut self) {
        self.schedule_blobs();
        let now_us = self.now_us;
        let fetching: Vec<Hash> = self
            .files
            .iter()
            .filter(|(_, state)| {
                state.phase == FilePhase::Fetching
                    && !state.held.is_full()
                    && state.retry_us.is_none_or(|due_us| due_us <= now_us)
            })
            .map(|(file, _)| *file)
            .collect();
        for file in fetching {
            while self.request_one(file) {}
        }
    }

    /// True if a request went out.
    fn request_one(&mut self, file: Hash) -> bool {
        let outstanding: usize = self.peers.values().map(|state| state.requests.len()).sum();
        let Some(state) = self.files.get_mut(&file) else {
            return false;
        };
        if outstanding + state.arriving.len() >= bounds::REQUESTS {
            return false;
        }
        // least busy member that holds something missing
        let start = self.random.below(state.map.chunks.len().max(1) as u64) as usize;
        let mut candidates: Vec<(usize, Peer)> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.member && peer.requests.len() < bounds::REQUESTS_PER_PEER)
            .filter(|(_, peer)| peer.holds.contains_key(&file))
            .map(|(key, peer)| (peer.requests.len(), *key))
            .collect();
        candidates.sort_unstable();
        let choice = candidates.into_iter().find_map(|(_, peer)| {
            let bits = &self.peers[&peer].holds[&file];
            state.rarest(bits, start).map(|index| (peer, index))
        });
        let Some((peer, index)) = choice else {
            return false;
        };
        let length = state.chunk_length(index).unwrap_or(0);
        if !self.bucket.take(length, self.now_us) {
            return false;
        }
        state.asked.insert(index, peer);
        let chunk = ChunkRef { file, index };
        if let Some(peer_state) = self.peers.get_mut(&peer) {
            peer_state
                .requests
                .insert(chunk, self.now_us + bounds::REQUEST_TIMEOUT_US);
        }
        self.send(peer, Message::Get(chunk));
        true
    }

    pub(crate) fn chunk_arrived(&mut self, peer: Peer, chunk: ChunkRef, payload: P) {
        let asked = self
            .peers
            .get_mut(&peer)
            .is_some_and(|state| state.requests.remove(&chunk).is_some());
        let Some(state) = self.files.get_mut(&chunk.file) else {
            return;
        };
        if !asked {
            // a late answer to a request that went to another peer meanwhile
            state.figures.bytes_duplicate += payload.length();
            return;
        }
        state.asked.remove(&chunk.index);
        if state.chunk_length(chunk.index) != Some(payload.length()) {
            self.corrupt(chunk, peer);
            return;
        }
        if state.holds(chunk.index) || !state.arriving.insert(chunk.index) {
            state.figures.bytes_duplicate += payload.length();
            return;
        }
        let pending = Pending::VerifyChunk {
            chunk,
            payload: payload.clone(),
            from: peer,
        };
        self.hash(pending, payload);
    }

    pub(crate) fn chunk_absent(&mut self, peer: Peer, chunk: ChunkRef) {
        let Some(peer_state) = self.peers.get_mut(&peer) else {
            return;
        };
        if peer_state.requests.remove(&chunk).is_some() {
            self.give_up_on(peer, chunk);
        }
    }

    /// The peer did not deliver: its bits are not believed until it tells them again.
    fn give_up_on(&mut self, peer: Peer, chunk: ChunkRef) {
        let Some(state) = self.files.get_mut(&chunk.file) else {
            return;
        };
        state.asked.remove(&chunk.index);
        let holds = self
            .peers
            .get_mut(&peer)
            .and_then(|peer| peer.holds.remove(&chunk.file));
        if let Some(bits) = holds {
            state.count_holder(&bits, -1);
            self.send(peer, Message::Control(Control::Want(chunk.file)));
        }
    }

    pub(crate) fn chunk_hashed(
        &mut self,
        chunk: ChunkRef,
        payload: P,
        from: Peer,
        outcome: Outcome<P>,
    ) {
        let Some(state) = self.files.get_mut(&chunk.file) else {
            return;
        };
        let expected = state
            .map
            .chunks
            .get(chunk.index as usize)
            .map(|entry| entry.hash);
        if !matches!(outcome, Outcome::Digest(digest) if Some(digest) == expected) {
            state.arriving.remove(&chunk.index);
            self.corrupt(chunk, from);
            return;
        }
        let pending = Pending::WriteChunk { chunk, from };
        self.disk(pending, Disk::WriteChunk { chunk, payload });
    }

    pub(crate) fn chunk_written(&mut self, chunk: ChunkRef, from: Peer, outcome: Outcome<P>) {
        let ChunkRef { file, index } = chunk;
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        state.arriving.remove(&index);
        if !matches!(outcome, Outcome::Written) {
            state.retry_us = Some(self.now_us + bounds::DISK_RETRY_US);
            self.trouble(&outcome);
            return;
        }
        let length = state.chunk_length(index).unwrap_or(0);
        state.held.set(index as usize);
        state.figures.bytes_held += length;
        state.figures.bytes_fetched += length;
        *state.figures.by_peer.entry(from).or_default() += 1;
        state.unsynced_bytes += length;
        state
            .sync_due_us
            .get_or_insert(self.now_us + bounds::SYNC_INTERVAL_US);
        let sync_now = state.unsynced_bytes >= bounds::SYNC_BYTES;
        self.event(Event::ChunkStored {
            file,
            index,
            length: length as u32,
            from,
        });
        for peer in self.wanting(&file) {
            let gained = Control::Gained {
                file,
                indexes: vec![index],
            };
            self.send(peer, Message::Control(gained));
        }
        if sync_now {
            self.sync_file(file);
        }
        self.finish_if_whole(file);
    }

    pub(crate) fn file_synced(&mut self, file: Hash, outcome: Outcome<P>) {
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        state.syncing = false;
        if !matches!(outcome, Outcome::Synced) {
            state.sync_due_us = Some(self.now_us + bounds::DISK_RETRY_US);
            self.trouble(&outcome);
        }
    }

    pub(crate) fn file_hashed(&mut self, file: Hash, outcome: Outcome<P>) {
        match outcome {
            Outcome::Digest(digest) if digest == file => {
                self.disk(Pending::CompleteFile(file), Disk::CompleteFile(file));
            }
            Outcome::Digest(_) => self.whole_differs(file),
            outcome => self.retry_open(file, &outcome),
        }
    }

    pub(crate) fn file_completed(&mut self, file: Hash, outcome: Outcome<P>) {
        if !matches!(outcome, Outcome::Synced) {
            self.retry_open(file, &outcome);
            return;
        }
        if let Some(state) = self.files.get_mut(&file) {
            state.phase = FilePhase::Complete;
            state.sync_due_us = None;
        }
        self.unwant(file);
        self.advance_all();
    }

    pub(crate) fn forget_requests(&mut self, peer: &Peer, state: &PeerState) {
        for chunk in state.requests.keys() {
            if let Some(file) = self.files.get_mut(&chunk.file) {
                file.asked.remove(&chunk.index);
            }
        }
        for (file, bits) in &state.holds {
            if let Some(file) = self.files.get_mut(file) {
                file.count_holder(bits, -1);
            }
        }
        for blob in self.blobs.values_mut() {
            if blob.asked.is_some_and(|(asked, _)| asked == *peer) {
                blob.asked = None;
            }
            blob.refused.remove(peer);
        }
    }

    pub(crate) fn fetch_due_us(&self) -> u64 {
        let requests = self
            .peers
            .values()
            .flat_map(|peer| peer.requests.values().copied());
        let blobs = self.blobs.values().filter_map(|blob| match blob.asked {
            Some((_, due_us)) => Some(due_us),
            None => (blob.retry_us > self.now_us).then_some(blob.retry_us),
        });
        let files = self.files.values().flat_map(|file| {
            let sync_us = file.sync_due_us.filter(|_| !file.syncing);
            [sync_us, file.retry_us].into_iter().flatten()
        });
        let fetching = self
            .files
            .values()
            .any(|file| file.phase == FilePhase::Fetching);
        let bucket_us = self.bucket.ready_us();
        let cap = (fetching && bucket_us > self.now_us).then_some(bucket_us);
        requests
            .chain(blobs)
            .chain(files)
            .chain(cap)
            .min()
            .unwrap_or(u64::MAX)
    }

    pub(crate) fn run_fetch_timers(&mut self) {
        let now_us = self.now_us;
        let mut late = Vec::new();
        for (peer, state) in &mut self.peers {
            let before = state.requests.len();
            state.requests.retain(|chunk, due_us| {
                let keep = *due_us > now_us;
                if !keep {
                    late.push((*peer, *chunk));
                }
                keep
            });
            debug_assert!(state.requests.len() <= before);
        }
        for (peer, chunk) in late {
            // a stalled peer must not be the least busy one again at once
            self.give_up_on(peer, chunk);
        }
        for blob in self.blobs.values_mut() {
            if let Some((peer, _)) = blob.asked.filter(|(_, due_us)| *due_us <= now_us) {
                blob.asked = None;
                blob.refused.insert(peer);
            }
        }
        let (mut to_sync, mut to_retry) = (Vec::new(), Vec::new());
        for (hash, file) in &mut self.files {
            if !file.syncing && file.sync_due_us.is_some_and(|due_us| due_us <= now_us) {
                to_sync.push(*hash);
            }
            if file.retry_us.is_some_and(|due_us| due_us <= now_us) {
                file.retry_us = None;
                to_retry.push((*hash, file.phase));
            }
        }
        for file in to_sync {
            self.sync_file(file);
        }
        for (file, phase) in to_retry {
            if phase == FilePhase::Opening {
                self.open_file(file);
            }
        }
    }

    fn sync_file(&mut self, file: Hash) {
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        if state.syncing {
            return;
        }
        state.syncing = true;
        state.unsynced_bytes = 0;
        state.sync_due_us = None;
        self.disk(Pending::SyncFile(file), Disk::SyncFile(file));
    }

    fn finish_if_whole(&mut self, file: Hash) {
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        if state.phase == FilePhase::Fetching && state.held.is_full() {
            state.phase = FilePhase::Hashing;
            self.disk(Pending::HashFile(file), Disk::HashFile(file));
        }
    }

    /// All chunks were right when they were written, the whole is not: a chunk rotted
    /// since, or the release contradicts itself. Looking at every chunk again tells.
    fn whole_differs(&mut self, file: Hash) {
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        if std::mem::replace(&mut state.looked_again, true) {
            self.contradictory(file);
            return;
        }
        state.held = Bits::new(state.map.chunks.len());
        state.figures.bytes_held = 0;
        self.open_file(file);
    }

    /// The disk failed under a whole file: look again at what is there, later.
    fn retry_open(&mut self, file: Hash, outcome: &Outcome<P>) {
        if let Some(state) = self.files.get_mut(&file) {
            state.held = Bits::new(state.map.chunks.len());
            state.figures.bytes_held = 0;
            state.phase = FilePhase::Opening;
            state.retry_us = Some(self.now_us + bounds::DISK_RETRY_US);
        }
        self.trouble(outcome);
    }

    fn corrupt(&mut self, chunk: ChunkRef, from: Peer) {
        self.counters.chunks_corrupt += 1;
        self.event(Event::ChunkCorrupt {
            file: chunk.file,
            index: chunk.index,
            from,
        });
        self.disconnect(from, DisconnectReason::CorruptData);
    }
}
