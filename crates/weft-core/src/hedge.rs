//! The end of a file on the LAN: what one neighbour is slow to bring is asked of an idle one
//! too. Bytes on the LAN are cheap, and a site waits for its last chunk; over the uplink
//! nothing is ever asked for twice.

use weft_record::Hash;

use crate::{
    bounds,
    file::{FilePhase, FileState},
    io::{Output, Path},
    members::{PeerState, Standing},
    message::{ChunkRef, Message, Payload},
    node::Node,
    pace::{self, Moment},
};

/// A chunk that a neighbour is asked for although another one was asked already.
struct Hedge {
    place: usize,
    index: u32,
}

impl<P: Payload> Node<P> {
    /// Asks idle neighbours for what others of the LAN are slow to bring, when nothing else
    /// is left to ask for.
    pub(crate) fn hedge(&mut self, file: Hash) {
        let Some(state) = self.files.get(&file).filter(|state| is_at_its_end(state)) else {
            return;
        };
        self.due_us = self.due_us.min(self.hedge_due_us_of(&file));
        let now = Moment::at(self.now_us);
        for Hedge { place, index } in self.hedges(&file, state) {
            let length = self.files.get(&file).and_then(|s| s.chunk_length(index));
            if !self
                .buckets
                .take(Path::Lan, length.unwrap_or(0), self.now_us)
            {
                return;
            }
            let Some((peer, peer_state)) = self.peers.at_mut(place) else {
                continue;
            };
            peer_state.progress = now;
            peer_state.requests += 1;
            peer_state.file(file).requests.push((index, now));
            let get = Message::Get(ChunkRef { file, index });
            self.outputs.push_back(Output::Send(peer, get));
            self.due_us = self.due_us.min(now.us() + bounds::REQUEST_TIMEOUT_US);
        }
    }

    /// When the next neighbour has been slow for long enough.
    pub(crate) fn hedge_due_us(&self) -> u64 {
        let files = self.files.iter();
        let ending = files.filter(|(_, state)| is_at_its_end(state));
        let each = ending.map(|(file, _)| self.hedge_due_us_of(file));
        each.min().unwrap_or(u64::MAX)
    }

    /// Whether somebody, or somebody else than this peer, was asked for the chunk and is
    /// waited for.
    pub(crate) fn is_asked_beside(&self, peer: Option<usize>, file: &Hash, index: u32) -> bool {
        let others = self.peers.values().enumerate();
        let mut others = others.filter(|(place, _)| Some(*place) != peer);
        others.any(|(_, other)| asked_at(other, file, index).is_some())
    }

    fn hedge_due_us_of(&self, file: &Hash) -> u64 {
        let peers = self.peers.values().filter(|peer| peer.path == Path::Lan);
        let slow = peers.flat_map(|peer| {
            let requests = peer.files.get(file).map(|state| state.requests.iter());
            let requests = requests.into_iter().flatten();
            requests.map(|(_, asked)| pace::slow_us(*asked, peer.progress, peer.pause))
        });
        let later = slow.filter(|slow_us| *slow_us > self.now_us);
        later.min().unwrap_or(u64::MAX)
    }

    fn hedges(&self, file: &Hash, state: &FileState) -> Vec<Hedge> {
        let mut hedges: Vec<Hedge> = Vec::new();
        for (place, peer) in self.peers.values().enumerate() {
            if peer.path != Path::Lan || peer.standing == Standing::Bundle {
                continue;
            }
            let requests = peer.files.get(file).map(|state| state.requests.iter());
            for &(index, asked) in requests.into_iter().flatten() {
                let is_slow = pace::slow_us(asked, peer.progress, peer.pause) <= self.now_us;
                let is_lacking = state.pending.get(index as usize);
                if !is_slow || !is_lacking || self.is_asked_beside(Some(place), file, index) {
                    continue;
                }
                let idle = self.peers.values().enumerate().find(|(other, idle)| {
                    let is_near = idle.path == Path::Lan && idle.standing != Standing::Bundle;
                    let is_free = idle.requests == 0 && hedges.iter().all(|h| h.place != *other);
                    is_near
                        && is_free
                        && self.gives(idle.standing)
                        && state.offers.holds(*other, index)
                });
                hedges.extend(idle.map(|(place, _)| Hedge { place, index }));
            }
        }
        hedges
    }
}

/// Everything that is lacking was asked for.
fn is_at_its_end(state: &FileState) -> bool {
    let known = state.held.ones() + state.pending.ones();
    state.phase == FilePhase::Fetching
        && state.pending.ones() > 0
        && known >= state.map.chunks.len()
}

fn asked_at(peer: &PeerState, file: &Hash, index: u32) -> Option<Moment> {
    let requests = &peer.files.get(file)?.requests;
    let found = requests.iter().find(|(asked, _)| *asked == index);
    found.map(|(_, at)| *at)
}
