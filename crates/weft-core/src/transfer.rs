//! Chunks between members: who holds what, who is asked, what arrives. Rarest
//! first; each is verified before it is written, counted or served.

use weft_record::Hash;

use crate::{
    bits::Bits,
    bounds,
    file::FilePhase,
    io::{DisconnectReason, Disk, Event, Outcome},
    members::Standing,
    message::{ChunkRef, Control, Message, Payload, Peer},
    node::{Node, Pending},
};

impl<P: Payload> Node<P> {
    /// Asks every member to tell which chunks it holds.
    pub(crate) fn want(&mut self, file: Hash) {
        if self
            .files
            .get(&file)
            .is_some_and(|state| state.phase == FilePhase::Fetching)
        {
            for peer in self.sources().collect::<Vec<_>>() {
                self.send(peer, Message::Control(Control::Want(file)));
            }
        }
    }

    /// Asks a new member about every file that is being fetched.
    pub(crate) fn want_from(&mut self, peer: Peer) {
        if !self.is_source(&peer) {
            return;
        }
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
            let text = "its bits are not those of the file";
            self.fault(peer, bounds::FAULT_POINTS, text);
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
    pub(crate) fn request_one(&mut self, file: Hash) -> bool {
        let outstanding: usize = self.peers.values().map(|state| state.requests.len()).sum();
        let Some(state) = self.files.get_mut(&file) else {
            return false;
        };
        if outstanding + state.arriving.len() >= bounds::REQUESTS {
            return false;
        }
        // least busy member that holds something missing
        let start = self.random.below(state.map.chunks.len().max(1) as u64) as usize;
        let belongs = self.own.is_member();
        let mut candidates: Vec<(usize, Peer)> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.requests.len() < bounds::REQUESTS_PER_PEER)
            .filter(|(_, peer)| belongs || peer.standing == Standing::Bundle)
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
    pub(crate) fn give_up_on(&mut self, peer: Peer, chunk: ChunkRef) {
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
            let due_us = self.now_us + bounds::WANT_PAUSE_US;
            if let Some(peer) = self.peers.get_mut(&peer) {
                peer.want_due_us.insert(chunk.file, due_us);
            }
        }
    }

    /// Asks a peer once more for what it told nothing of: it may not have known, when it
    /// was asked, that this node belongs.
    pub(crate) fn want_untold(&mut self, peer: Peer) {
        if !self.is_source(&peer) {
            return;
        }
        let files = self.files.iter();
        let fetching = files.filter(|(_, state)| state.phase == FilePhase::Fetching);
        let fetching: Vec<Hash> = fetching.map(|(file, _)| *file).collect();
        let now_us = self.now_us;
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if now_us < state.untold_due_us {
            return;
        }
        state.untold_due_us = now_us + bounds::UNTOLD_PAUSE_US;
        let holds = |file: &Hash| state.holds.contains_key(file);
        let untold: Vec<Hash> = fetching.into_iter().filter(|file| !holds(file)).collect();
        for file in untold {
            self.send(peer, Message::Control(Control::Want(file)));
        }
    }

    /// Asks those that did not deliver what they hold by now.
    pub(crate) fn want_again(&mut self) {
        let mut due = Vec::new();
        for (peer, state) in &mut self.peers {
            state.want_due_us.retain(|file, due_us| {
                let keep = *due_us > self.now_us;
                if !keep {
                    due.push((*peer, *file));
                }
                keep
            });
        }
        for (peer, file) in due {
            let file_state = self.files.get(&file);
            let fetching = file_state.is_some_and(|state| state.phase == FilePhase::Fetching);
            if fetching && self.is_source(&peer) {
                self.send(peer, Message::Control(Control::Want(file)));
            }
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
        self.trouble_over();
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
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

    pub(crate) fn corrupt(&mut self, chunk: ChunkRef, from: Peer) {
        self.counters.chunks_corrupt += 1;
        self.event(Event::ChunkCorrupt {
            file: chunk.file,
            index: chunk.index,
            from,
        });
        let text = "it sent another chunk than the one asked for";
        self.let_go(from, DisconnectReason::CorruptData, text);
    }
}
