//! Chunks between members: who holds what, who is asked, what arrives. Rarest
//! first; each is verified before it is written, counted or served.

use weft_record::Hash;

use crate::{
    bits::Bits,
    bounds,
    file::FilePhase,
    io::{DisconnectReason, Disk, Event, Outcome, Output, Path},
    members::Standing,
    message::{ChunkRef, Control, Message, Payload, Peer},
    node::Node,
    pace::{self, Moment},
    pending::Pending,
    plan::Ask,
    target::Channel,
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
            self.has_map(&peer, &file);
            return;
        };
        let Some(bits) = Bits::decode(bytes, state.map.chunks.len()) else {
            let text = "its bits are not those of the file";
            self.fault(peer, bounds::FAULT_POINTS, text);
            return;
        };
        let Some(place) = self.peers.place_of(&peer) else {
            return;
        };
        if !state.phase.is_open() {
            return;
        }
        state.offers.tell(place, &bits);
        self.asks_more = true;
    }

    pub(crate) fn gained_arrived(&mut self, peer: Peer, file: Hash, indexes: &[u32]) {
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        let Some((place, peer_state)) = self.peers.place_and_mut(&peer) else {
            return;
        };
        if !state.phase.is_open() {
            return;
        }
        let chunks = state.map.chunks.len();
        if indexes.iter().any(|index| *index as usize >= chunks) {
            let text = "it holds more chunks than the file has";
            self.fault(peer, bounds::FAULT_POINTS, text);
            return;
        }
        // while it is asked as much as it may be, what more it has does not matter now
        let has_room = peer_state.room() >= peer_state.window.run()
            && state.pending.ones() + bounds::REQUESTS_AT_ONCE <= bounds::REQUESTS;
        for &index in indexes {
            let index = index as usize;
            if state.offers.gain(place, index) {
                self.asks_more |= has_room && !state.held.get(index) && !state.pending.get(index);
            }
        }
    }

    /// Whether a chunk is lacking, or may turn out to be: what a driver that holds it for a
    /// moment asks before it lets go of it.
    pub fn may_need(&self, chunk: &ChunkRef) -> bool {
        match self.files.get(&chunk.file) {
            Some(state) if state.phase.is_open() => !state.holds(chunk.index),
            Some(state) if state.phase != FilePhase::Dormant => false,
            _ => self.is_undecided(&chunk.file),
        }
    }

    /// Whether what is under way may bring up this file.
    fn is_undecided(&self, file: &Hash) -> bool {
        let is_saving = |pending: &Pending<P>| matches!(pending, Pending::SaveRecords(_));
        let is_busy = |channel: &Channel| channel.target.as_ref().is_some_and(|one| one.busy);
        self.blobs.values().any(|blob| blob.file == *file)
            || self.operations.all().any(is_saving)
            || self.channels.values().any(is_busy)
    }

    /// Gives out requests while the bounds and the cap allow.
    pub(crate) fn schedule(&mut self) {
        if !self.blobs.is_empty() {
            self.schedule_blobs();
        }
        let now_us = self.now_us;
        for place in 0..self.files.len() {
            let Some((file, state)) = self.files.at(place) else {
                break;
            };
            let rests = state.retry_us.is_some_and(|due_us| due_us > now_us);
            if state.phase != FilePhase::Fetching || state.held.is_full() || rests {
                continue;
            }
            let file = *file;
            while self.request_run(file) {}
            self.tell_claim_news(file);
        }
    }

    /// Asks one peer for chunks, see `plan`; true if a request went out.
    fn request_run(&mut self, file: Hash) -> bool {
        let under_way: usize = self.files.values().map(|state| state.pending.ones()).sum();
        let room = bounds::REQUESTS.saturating_sub(under_way);
        let Some(state) = self.files.get(&file) else {
            return false;
        };
        let known = state.held.ones() + state.pending.ones();
        let missing = state.map.chunks.len().saturating_sub(known);
        if room == 0 || missing == 0 || self.peers.is_empty() || !state.has_open() {
            return false;
        }
        let view = self.view(&file, state);
        // peers behind a bucket in debt are not asked until then
        self.due_us = self.due_us.min(self.buckets.next_us(self.now_us));
        let asks_afar = self.may_ask_afar(file, &view);
        // near the end one by one, so that no peer is left with all that is missing
        let fair = missing.div_ceil(2 * self.peers.len());
        let run = bounds::REQUESTS_AT_ONCE.min(room).min(fair);
        let draw = self.random.next() as usize;
        let Some(state) = self.files.get(&file) else {
            return false;
        };
        let ask = self.next_ask(state, &view, asks_afar, (draw, run));
        ask.is_some_and(|ask| self.ask_for(file, &ask))
    }

    fn ask_for(&mut self, file: Hash, ask: &Ask) -> bool {
        let Some(state) = self.files.get_mut(&file) else {
            return false;
        };
        let Some((peer, peer_state)) = self.peers.at_mut(ask.place) else {
            return false;
        };
        let now = Moment::at(self.now_us);
        if peer_state.requests == 0 {
            peer_state.progress = now;
        }
        let mut asked = 0;
        for &index in &ask.chunks {
            let length = state.chunk_length(index).unwrap_or(0);
            // what the owner attached crosses nothing that could be spared
            let capped = peer_state.standing != Standing::Bundle;
            if capped && !self.buckets.take(ask.path, length, self.now_us) {
                break;
            }
            state.pending.set(index as usize);
            peer_state.file(file).requests.push((index, now));
            peer_state.requests += 1;
            asked += 1;
            let get = Message::Get(ChunkRef { file, index });
            self.outputs.push_back(Output::Send(peer, get));
        }
        if let Some(claim) = state.claim.as_mut().filter(|_| ask.path != Path::Lan) {
            claim.change();
        }
        // no request is late before this; when it comes, it is looked closer
        self.due_us = self.due_us.min(now.us() + bounds::REQUEST_TIMEOUT_US);
        asked > 0
    }

    pub(crate) fn chunk_arrived(&mut self, peer: Peer, chunk: ChunkRef, payload: P) {
        let ChunkRef { file, index } = chunk;
        let peer_state = self.peers.get_mut(&peer);
        let now_us = self.now_us;
        let asked = peer_state.and_then(|state| {
            let asked = state.answered(&file, index)?;
            let took_us = now_us.saturating_sub(asked.at.us());
            state.window.answered_after(took_us);
            let now = Moment::at(now_us);
            state.pause = now.since(asked.at.max(state.progress));
            (state.progress, state.strikes) = (now, 0);
            if state.path != Path::Lan {
                self.pause_afar = state.pause;
            }
            Some(asked)
        });
        if self.path_of(&peer).is_some_and(|path| path != Path::Lan) {
            self.note_uplink(&file, payload.length());
        }
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        let Some(asked) = asked else {
            state.figures.bytes_duplicate += payload.length();
            return;
        };
        if state.chunk_length(index) != Some(payload.length()) {
            state.pending.clear(index as usize);
            self.corrupt(chunk, peer);
            return;
        }
        if state.holds(index) || !state.phase.is_open() {
            state.pending.clear(index as usize);
            state.figures.bytes_duplicate += payload.length();
            return;
        }
        if asked.was_overdue {
            // late, and still of use: nobody else need be asked now
            state.pending.set(index as usize);
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
        let asked = peer_state.answered(&chunk.file, chunk.index);
        // one that was late was given up on then, and may have been asked of another since
        if asked.is_some_and(|asked| !asked.was_overdue) {
            self.give_up_on(peer, chunk, Moment::default());
        }
    }

    /// The peer did not deliver: its bits are not believed until it tells them again, for
    /// which it is asked later: the later, the longer it was waited for in vain.
    pub(crate) fn give_up_on(&mut self, peer: Peer, chunk: ChunkRef, waited: Moment) {
        self.asks_more = true;
        let Some(state) = self.files.get_mut(&chunk.file) else {
            return;
        };
        state.pending.clear(chunk.index as usize);
        let Some((place, peer_state)) = self.peers.place_and_mut(&peer) else {
            return;
        };
        let due_us = self.now_us + pace::pause_us(peer_state.strikes, waited);
        if state.offers.forget(place) {
            peer_state.strikes = peer_state.strikes.saturating_add(1);
            peer_state.file(chunk.file).want_due_us = Some(due_us);
            self.due_us = self.due_us.min(due_us);
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
        let Some((place, state)) = self.peers.place_and_mut(&peer) else {
            return;
        };
        if now_us < state.untold_due_us {
            return;
        }
        state.untold_due_us = now_us + bounds::UNTOLD_PAUSE_US;
        // one that has nothing more to give may have gained since, and have told nobody: it
        // did not count this node as a member for a moment
        let is_untold = |file: &Hash| {
            let state = self.files.get(file);
            state.is_none_or(|state| !state.offers.beside(place, &state.held, &state.held))
        };
        let untold: Vec<Hash> = fetching.into_iter().filter(is_untold).collect();
        for file in untold {
            self.send(peer, Message::Control(Control::Want(file)));
        }
    }

    /// Asks those that did not deliver what they hold by now.
    pub(crate) fn want_again(&mut self) {
        let mut due = Vec::new();
        for (peer, state) in self.peers.iter_mut() {
            for (file, state) in state.files.iter_mut() {
                if state
                    .want_due_us
                    .is_some_and(|due_us| due_us <= self.now_us)
                {
                    state.want_due_us = None;
                    due.push((*peer, *file));
                }
            }
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
            state.pending.clear(chunk.index as usize);
            self.asks_more = true;
            self.corrupt(chunk, from);
            return;
        }
        let pending = Pending::WriteChunk { chunk, from };
        self.disk(pending, Disk::WriteChunk { chunk, payload });
    }

    pub(crate) fn chunk_written(&mut self, chunk: ChunkRef, from: Peer, outcome: Outcome<P>) {
        let ChunkRef { file, index } = chunk;
        let under_way: usize = self.files.values().map(|state| state.pending.ones()).sum();
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        state.pending.clear(index as usize);
        // in runs: not before there is room for one, with this peer and in all
        let peer = self.peers.get(&from);
        self.asks_more = under_way + bounds::REQUESTS_AT_ONCE <= bounds::REQUESTS
            && peer.is_none_or(|peer| peer.room() >= peer.window.run());
        if !matches!(outcome, Outcome::Written) {
            let retry_us = self.now_us + bounds::DISK_RETRY_US;
            state.retry_us = Some(retry_us);
            self.due_us = self.due_us.min(retry_us);
            self.trouble(&outcome);
            return;
        }
        self.trouble_over();
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        let length = state.chunk_length(index).unwrap_or(0);
        if state.holds(index) {
            // two that were asked delivered at once, one of them late
            state.figures.bytes_duplicate += length;
            return;
        }
        state.held.set(index as usize);
        state.figures.bytes_held += length;
        state.figures.bytes_fetched += length;
        *state.figures.by_peer.entry(&from) += 1;
        state.unsynced_bytes += length;
        let sync_us = state
            .sync_due_us
            .get_or_insert(self.now_us + bounds::SYNC_INTERVAL_US);
        self.due_us = self.due_us.min(*sync_us);
        let sync_now = state.unsynced_bytes >= bounds::SYNC_BYTES;
        state.untold.push(index);
        let tell_now = state.tell_after_us <= self.now_us
            || state.untold.len() >= bounds::GAINED_CHUNKS
            || state.held.is_full();
        if !tell_now {
            let tell_us = state.tell_after_us;
            state.tell_due_us = Some(tell_us);
            self.due_us = self.due_us.min(tell_us);
        }
        self.event(Event::ChunkStored {
            file,
            index,
            length: length as u32,
            from,
        });
        if tell_now {
            self.tell_gained(file);
        }
        if sync_now {
            self.sync_file(file);
        }
        self.finish_if_whole(file);
    }

    /// Tells those that want to know what came since they were told last; not what they
    /// hold themselves.
    pub(crate) fn tell_gained(&mut self, file: Hash) {
        // those beyond the LAN are told all of it when they may have it
        let is_paused = self.serves_nothing_by(Path::Wan);
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        state.tell_due_us = None;
        let taken_us = self.now_us.saturating_sub(state.fetching_since_us);
        let pause_us = (taken_us / bounds::GAINED_PAUSE_PART)
            .clamp(bounds::GAINED_PAUSE_US, bounds::GAINED_PAUSE_MOST_US);
        state.tell_after_us = self.now_us + pause_us;
        let gained = std::mem::take(&mut state.untold);
        for (place, (peer, peer_state)) in self.peers.iter().enumerate() {
            let peer_file = peer_state.files.get(&file);
            if !peer_file.is_some_and(|file| file.wanted) || !peer_state.standing.is_member() {
                continue;
            }
            if peer_state.path != Path::Lan && is_paused {
                continue;
            }
            let lacks = |index: &u32| !state.offers.holds(place, *index);
            let indexes: Vec<u32> = gained.iter().copied().filter(lacks).collect();
            if !indexes.is_empty() {
                let gained = Message::Control(Control::Gained { file, indexes });
                self.outputs.push_back(Output::Send(*peer, gained));
            }
        }
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
