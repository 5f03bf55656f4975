//! Whom to ask for which chunks of a file.
//!
//! - What somebody of the LAN holds comes from there; over the uplink come only chunks
//!   that nobody of the LAN holds or has asked for ([`crate::claims`]).
//! - Where more nodes want a file than hold all of it, whoever holds it all sends each
//!   chunk once: each node asks it for chunks of its own part of the file that nobody else
//!   has yet, and takes the rest from those that got it.

use std::ops::Range;

use weft_record::Hash;

use crate::{
    bits::Bits,
    bounds,
    file::FileState,
    io::Path,
    members::{PeerState, Standing},
    message::{Payload, Peer},
    node::Node,
    offers::Way,
    table::Key,
};

/// A place in an order that all nodes compute alike, and that differs from file to file.
pub(crate) fn mark(peer: &Peer, file: &Hash) -> u64 {
    // the finalizer of splitmix64
    let mut mixed = peer.prefix() ^ file.prefix().rotate_left(32);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// Who holds, wants and claims what of one file, as far as it is known here.
#[derive(Debug)]
pub(crate) struct View {
    near: Side,
    far: Side,
    /// Peers of the LAN before this node among those that may ask over the uplink.
    pub(crate) rank: usize,
    /// The chunk with which this LAN begins: another site begins with another, so that sites
    /// have something for each other.
    site: usize,
    /// Somebody beyond the LAN has what nobody of the LAN has.
    pub(crate) reaches_afar: bool,
}

/// Those on the LAN, or those beyond it.
#[derive(Debug)]
struct Side {
    /// Chunks that are not asked for here.
    closed: Vec<u64>,
    /// Chunks that are not asked of those who hold all of the file.
    closed_at_seeds: Vec<u64>,
    /// Those who hold all of it.
    seeds: usize,
    /// Others that want it and lack some of it...
    leechers: usize,
    /// ...and of these those before this node.
    before: usize,
    /// Seeds have what nobody else has, and more want it than they are.
    is_crowded: bool,
}

/// The next chunks to ask a peer for.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The peer's, among the peers.
    pub(crate) place: usize,
    pub(crate) chunks: Vec<u32>,
    pub(crate) path: Path,
}

impl<P: Payload> Node<P> {
    pub(crate) fn view(&self, file: &Hash, state: &FileState) -> View {
        let taken = state.held.or(&state.pending);
        let (mut near, mut far) = (Side::new(&taken), Side::new(&taken));
        let (mut near_or_held, mut reaches_afar) = (state.held.words().to_vec(), false);
        let own_mark = mark(&self.config.key, file);
        let (mut rank, mut first_mark, mut others) = (0, own_mark, 0);
        for (place, (key, peer)) in self.peers.iter().enumerate() {
            if !self.gives(peer.standing) {
                continue;
            }
            let row = state.offers.row(place);
            let peer_file = peer.files.get(file);
            let is_before = || mark(key, file) < own_mark;
            let side = match peer.path {
                Path::Lan => &mut near,
                Path::Wan | Path::Relayed => &mut far,
            };
            if peer.standing == Standing::Bundle {
                // nobody else asks it
            } else if state.offers.is_full(place) {
                side.seeds += 1;
            } else {
                add(&mut side.closed_at_seeds, row);
                if peer_file.is_some_and(|file| file.wanted) {
                    side.leechers += 1;
                    side.before += usize::from(is_before());
                }
            }
            if peer.path == Path::Lan {
                add(&mut near_or_held, row);
                if let Some(claim) = peer_file.and_then(|file| file.claim.as_ref()) {
                    others += 1;
                    rank += usize::from(is_before());
                    first_mark = first_mark.min(mark(key, file));
                    for &index in &claim.chunks {
                        set(&mut far.closed, index as usize);
                    }
                }
            }
        }
        add(&mut far.closed, &near_or_held);
        let chunks = state.map.chunks.len();
        let site = first_mark as usize % chunks.max(1);
        let mut halved = far.closed.clone();
        if others > 0 {
            close_half(&mut halved, site, rank, chunks);
        }
        let mut has_half = false;
        for (place, (_, peer)) in self.peers.iter().enumerate() {
            let row = state.offers.row(place);
            if peer.path != Path::Lan && self.gives(peer.standing) {
                reaches_afar |= Bits::any_outside(row, &near_or_held);
                has_half |= Bits::any_outside(row, &halved);
            }
        }
        if has_half {
            far.closed = halved;
        }
        near.close_at_seeds(chunks);
        far.close_at_seeds(chunks);
        View {
            near,
            far,
            rank,
            site,
            reaches_afar,
        }
    }

    /// The least busy peer that may be asked for something, and at most `run` chunks. `draw`
    /// is random: not all nodes shall ask the same peer for the same chunks.
    pub(crate) fn next_ask(
        &self,
        state: &FileState,
        view: &View,
        asks_afar: bool,
        (draw, run): (usize, usize),
    ) -> Option<Ask> {
        let chunks = state.map.chunks.len();
        let mut best: Option<(usize, &PeerState)> = None;
        for step in 0..self.peers.len() {
            let place = (draw % self.peers.len() + step) % self.peers.len();
            let (_, peer) = self.peers.at(place)?;
            let busier = best.is_some_and(|(_, best)| best.requests <= peer.requests);
            let full = peer.room() < run.min(peer.window.run());
            let is_spent =
                self.buckets.ready_us(peer.path) > self.now_us && peer.standing != Standing::Bundle;
            let is_last = peer.path == Path::Relayed && self.has_direct_way(state, view);
            let barred = is_spent || is_last || (peer.path != Path::Lan && !asks_afar);
            if busier || full || barred || !self.gives(peer.standing) {
                continue;
            }
            if view.side(peer).gives_any(state, place, peer) {
                best = Some((place, peer));
            }
            if best.is_some_and(|(_, best)| best.requests == 0) {
                break;
            }
        }
        let (place, peer) = best?;
        let way = view.way(peer, draw, chunks);
        let run = run.min(peer.room());
        Some(Ask {
            place,
            chunks: view.side(peer).pick(state, place, peer, way, run),
            path: peer.path,
        })
    }
}

impl<P: Payload> Node<P> {
    /// Whether somebody has what is lacking to whom nobody carries it, busy or not.
    fn has_direct_way(&self, state: &FileState, view: &View) -> bool {
        let mut peers = self.peers.iter().enumerate();
        peers.any(|(place, (_, peer))| {
            let is_direct = peer.path != Path::Relayed && self.gives(peer.standing);
            is_direct && view.side(peer).gives_any(state, place, peer)
        })
    }
}

impl View {
    fn side(&self, peer: &PeerState) -> &Side {
        match peer.path {
            Path::Lan => &self.near,
            Path::Wan | Path::Relayed => &self.far,
        }
    }

    /// From where on chunks that are equally rare are asked for. Over the uplink the two that
    /// ask go apart from one place, so that they meet only once.
    fn way(&self, peer: &PeerState, draw: usize, chunks: usize) -> Way {
        match (peer.path, self.rank % bounds::UPLINK_NODES) {
            (Path::Lan, _) => Way::On((draw >> 32) % chunks),
            (Path::Wan | Path::Relayed, 0) => Way::On(self.site),
            (Path::Wan | Path::Relayed, _) => Way::Back(self.site),
        }
    }
}

impl Side {
    fn new(taken: &[u64]) -> Self {
        Self {
            closed: taken.to_vec(),
            closed_at_seeds: taken.to_vec(),
            seeds: 0,
            leechers: 0,
            before: 0,
            is_crowded: false,
        }
    }

    /// Seeds give what nobody else has, while there is any and many want it.
    fn close_at_seeds(&mut self, chunks: usize) {
        add(&mut self.closed_at_seeds, &self.closed);
        let is_crowd = self.seeds > 0 && self.leechers >= self.seeds;
        self.is_crowded = is_crowd && !covers(&self.closed_at_seeds, chunks);
    }

    /// The part of the file that this node asks seeds for first.
    fn part(&self, chunks: usize) -> Range<usize> {
        let all = self.leechers + 1;
        self.before * chunks / all..(self.before + 1) * chunks / all
    }

    fn asks_by_parts(&self, state: &FileState, place: usize, peer: &PeerState) -> bool {
        let is_seed = peer.standing != Standing::Bundle && state.offers.is_full(place);
        self.is_crowded && is_seed
    }

    fn gives_any(&self, state: &FileState, place: usize, peer: &PeerState) -> bool {
        let row = state.offers.row(place);
        if !self.asks_by_parts(state, place, peer) {
            return Bits::any_outside(row, &self.closed);
        }
        if !Bits::any_outside(row, &self.closed_at_seeds) {
            return false;
        }
        usize::from(peer.requests) < aside(peer) || self.own(state, row).next().is_some()
    }

    fn pick(
        &self,
        state: &FileState,
        place: usize,
        peer: &PeerState,
        way: Way,
        run: usize,
    ) -> Vec<u32> {
        if !self.asks_by_parts(state, place, peer) {
            return state.offers.rarest(place, &self.closed, way, run);
        }
        let row = state.offers.row(place);
        let own: Vec<u32> = self.own(state, row).take(run).collect();
        if !own.is_empty() {
            return own;
        }
        // what others would ask for last
        let begin = self.part(state.map.chunks.len()).start;
        let run = run.min(aside(peer).saturating_sub(usize::from(peer.requests)));
        let back = Bits::back_outside(row, &self.closed_at_seeds, begin);
        back.take(run).collect()
    }

    /// What is open of this node's own part.
    fn own<'a>(&'a self, state: &FileState, row: &'a [u64]) -> impl Iterator<Item = u32> + 'a {
        let part = self.part(state.map.chunks.len());
        let open = Bits::outside(row, &self.closed_at_seeds, part.start);
        open.take_while(move |index| part.contains(&(*index as usize)))
    }
}

/// How many of others' chunks may be asked of a seed: many of one that answers quickly, since
/// then there is enough for all.
fn aside(peer: &PeerState) -> usize {
    match peer.path {
        Path::Lan => (usize::from(peer.window.0) / 4).max(1),
        // others of the site were told, and other sites take other parts
        Path::Wan | Path::Relayed => usize::from(peer.window.0),
    }
}

fn add(to: &mut [u64], row: &[u64]) {
    for (word, other) in to.iter_mut().zip(row) {
        *word |= other;
    }
}

fn set(to: &mut [u64], index: usize) {
    if let Some(word) = to.get_mut(index / Bits::WORD) {
        *word |= 1 << (index % Bits::WORD);
    }
}

/// Closes the half of the file that the other node which asks over the uplink begins with.
fn close_half(closed: &mut [u64], site: usize, rank: usize, chunks: usize) {
    let half = chunks / bounds::UPLINK_NODES;
    let others = match rank % bounds::UPLINK_NODES {
        0 => site + half..site + chunks,
        _ => site..site + half,
    };
    for index in others {
        set(closed, index % chunks);
    }
}

/// Whether all chunks are in it.
fn covers(words: &[u64], chunks: usize) -> bool {
    let full = words.iter().take(chunks / Bits::WORD);
    let past = chunks % Bits::WORD;
    let last = words.get(chunks / Bits::WORD).copied().unwrap_or(0);
    full.copied().all(|word| word == u64::MAX) && (past == 0 || last == (1 << past) - 1)
}
