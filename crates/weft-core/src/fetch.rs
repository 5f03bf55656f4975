//! A file on its way: opened with what is here already, synced, hashed whole,
//! marked complete; and the timers of all that.

use std::sync::Arc;

use weft_record::Hash;

use crate::{
    bits::Bits,
    bounds,
    file::FilePhase,
    io::{ChunkSource, Disk, FoundChunk, Outcome, Path},
    members::PeerState,
    message::{ChunkRef, Control, Message, Payload, Peer},
    node::Node,
    pace::{self, Moment},
    pending::Pending,
};

impl<P: Payload> Node<P> {
    pub(crate) fn open_file(&mut self, file: Hash) {
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
                ChunkSource::Made => state.figures.bytes_made += length,
            }
            // copied or found chunks may not have been synced yet
            state.unsynced_bytes += length;
        }
        if state.unsynced_bytes > 0 {
            state.sync_due_us = Some(self.now_us + bounds::SYNC_INTERVAL_US);
        }
        if !self.defer_to_delta(file) {
            self.fetch_rest(file);
        }
    }

    /// Asks for the chunks that are lacking.
    pub(crate) fn fetch_rest(&mut self, file: Hash) {
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        state.phase = FilePhase::Fetching;
        state.fetching_since_us = self.now_us;
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

    pub(crate) fn unwant(&mut self, file: Hash) {
        for peer in self.sources().collect::<Vec<_>>() {
            self.send(peer, Message::Control(Control::Unwant(file)));
        }
        for state in self.peers.values_mut() {
            if let Some(peer_file) = state.files.get_mut(&file) {
                (peer_file.want_due_us, peer_file.claim) = (None, None);
                state.drop_idle_files();
            }
        }
        if let Some(state) = self.files.get_mut(&file) {
            state.forget_offers();
        }
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
        let used_s = self.used_now_s();
        if let Some(state) = self.files.get_mut(&file) {
            state.phase = FilePhase::Complete;
            state.used_s = used_s;
            state.sync_due_us = None;
        }
        self.unwant(file);
        self.delta_came(file);
        self.advance_all();
    }

    pub(crate) fn forget_requests(&mut self, peer: &Peer, state: &PeerState) {
        for (file, peer_file) in state.files.iter() {
            let Some(file) = self.files.get_mut(file) else {
                continue;
            };
            for (index, _) in &peer_file.requests {
                file.pending.clear(*index as usize);
            }
        }
        for blob in self.blobs.values_mut() {
            if blob.asked.is_some_and(|(asked, _)| asked == *peer) {
                blob.asked = None;
            }
            blob.refused.remove(peer);
            blob.hinted.remove(peer);
        }
    }

    pub(crate) fn fetch_due_us(&self) -> u64 {
        let peers = self.peers.values().flat_map(|peer| {
            peer.files.iter().flat_map(|(file, peer_file)| {
                let requests = peer_file.requests.iter();
                let late = requests.map(|request| self.late_us(file, peer, *request));
                late.chain(peer_file.want_due_us)
            })
        });
        let blobs = self.blobs.values().filter_map(|blob| match blob.asked {
            Some((_, due_us)) => Some(due_us),
            None => blob.retry_us.filter(|due_us| *due_us > self.now_us),
        });
        let files = self.files.values().flat_map(|file| {
            let sync_us = file.sync_due_us.filter(|_| !file.syncing);
            [
                sync_us,
                file.retry_us,
                file.tell_due_us,
                file.delta_due_us(),
            ]
            .into_iter()
            .flatten()
        });
        let fetching = self
            .files
            .values()
            .any(|file| file.phase == FilePhase::Fetching);
        let claim_us = self.claim_due_us();
        let cap = fetching.then(|| self.buckets.next_us(self.now_us));
        peers
            .chain(blobs)
            .chain(files)
            .chain(cap)
            .chain([claim_us])
            .min()
            .unwrap_or(u64::MAX)
    }

    fn late_us(&self, file: &Hash, peer: &PeerState, request: (u32, Moment)) -> u64 {
        let (index, asked) = request;
        let state = self.files.get(file);
        let length = state.and_then(|state| state.chunk_length(index));
        let pause = match peer.path {
            Path::Lan => peer.pause,
            Path::Wan | Path::Relayed => peer.pause.max(self.pause_afar),
        };
        pace::late_us(asked, peer.progress, pause, length.unwrap_or(0))
    }

    pub(crate) fn run_fetch_timers(&mut self) {
        let now_us = self.now_us;
        let mut late = Vec::new();
        for (peer, state) in self.peers.iter() {
            for (file, peer_file) in state.files.iter() {
                for request in &peer_file.requests {
                    if self.late_us(file, state, *request) <= now_us {
                        let (file, index) = (*file, request.0);
                        late.push((*peer, ChunkRef { file, index }));
                    }
                }
            }
        }
        for (peer, chunk) in late {
            let Some(state) = self.peers.get_mut(&peer) else {
                continue;
            };
            // it may be at work on it: so long again nothing else is asked of it
            let waited = state.overdue(&chunk.file, chunk.index, Moment::at(now_us));
            self.give_up_on(peer, chunk, waited);
        }
        for peer in self.peers.values_mut() {
            peer.forget_overdue(now_us.saturating_sub(bounds::OVERDUE_US));
        }
        self.want_again();
        self.run_claim_timers();
        self.run_delta_timers();
        for blob in self.blobs.values_mut() {
            if let Some((peer, _)) = blob.asked.filter(|(_, due_us)| *due_us <= now_us) {
                blob.asked = None;
                blob.refused.insert(peer);
            }
        }
        let (mut to_sync, mut to_retry, mut to_tell) = (Vec::new(), Vec::new(), Vec::new());
        for (hash, file) in self.files.iter_mut() {
            if file.tell_due_us.is_some_and(|due_us| due_us <= now_us) {
                to_tell.push(*hash);
            }
            if !file.syncing && file.sync_due_us.is_some_and(|due_us| due_us <= now_us) {
                to_sync.push(*hash);
            }
            if file.retry_us.is_some_and(|due_us| due_us <= now_us) {
                file.retry_us = None;
                to_retry.push((*hash, file.phase));
            }
        }
        for file in to_tell {
            self.tell_gained(file);
        }
        for file in to_sync {
            self.sync_file(file);
        }
        for (file, phase) in to_retry {
            if phase == FilePhase::Opening {
                // a newer release may have taken its place, and need the room
                if self.is_wanted_file(&file) {
                    self.open_file(file);
                } else {
                    self.rest(file);
                }
            }
        }
    }

    pub(crate) fn sync_file(&mut self, file: Hash) {
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

    pub(crate) fn finish_if_whole(&mut self, file: Hash) {
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
    pub(crate) fn whole_differs(&mut self, file: Hash) {
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
    pub(crate) fn retry_open(&mut self, file: Hash, outcome: &Outcome<P>) {
        if let Some(state) = self.files.get_mut(&file) {
            state.held = Bits::new(state.map.chunks.len());
            state.figures.bytes_held = 0;
            state.phase = FilePhase::Opening;
            state.retry_us = Some(self.now_us + bounds::DISK_RETRY_US);
        }
        self.trouble(outcome);
    }
}
