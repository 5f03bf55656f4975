//! One copy a site: which of its nodes ask for what over the uplink.
//!
//! Whoever reaches holders beyond the LAN says so to the members of its LAN that want the
//! same file; of those the first few, in an order that all of them compute alike, ask, and
//! tell which chunks they asked for. The others wait for these, and take their place when
//! they go or fall silent.

use weft_record::Hash;

use crate::{
    bounds,
    io::Path,
    message::{Control, Message, Payload, Peer},
    node::Node,
    plan::View,
};

/// What a peer of the LAN said that it fetches over the uplink.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim {
    /// It counts until then.
    pub(crate) until_us: u64,
    /// Chunks that it asked for.
    pub(crate) chunks: Vec<u32>,
}

/// This node reaches what nobody of its LAN has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnClaim {
    since_us: u64,
    told_us: u64,
    /// What it asks for has changed since it told.
    is_news: bool,
}

impl OwnClaim {
    pub(crate) fn renew_us(&self) -> u64 {
        self.told_us + bounds::CLAIM_RENEW_US
    }

    /// It asks for something else now.
    pub(crate) fn change(&mut self) {
        self.is_news = true;
    }
}

impl<P: Payload> Node<P> {
    /// Whether this node is one of those that ask over the uplink. It says that it can, or
    /// no longer can, to the others.
    pub(crate) fn may_ask_afar(&mut self, file: Hash, view: &View) -> bool {
        let now_us = self.now_us;
        let is_paused = self.fetches_nothing_by(Path::Wan)
            || view.reaches_afar && self.is_left_to_courier(&file);
        let Some(state) = self.files.get_mut(&file) else {
            return false;
        };
        if !view.reaches_afar || is_paused {
            // what it has just got is not known to the others yet
            if state.claim.is_some() && self.claimed(&file).is_empty() {
                self.withdraw_claim(file);
            }
            return false;
        }
        let since_us = if let Some(claim) = &state.claim {
            claim.since_us
        } else {
            state.claim = Some(OwnClaim {
                since_us: now_us,
                told_us: now_us,
                is_news: false,
            });
            self.tell_claim(file);
            self.due_us = self.due_us.min(now_us + bounds::CLAIM_SETTLE_US);
            now_us
        };
        // others may be about to say the same
        let settle_us = if self.has_company(&file) {
            bounds::CLAIM_SETTLE_US
        } else {
            0
        };
        let from_us = (since_us + settle_us).max(self.started_us + bounds::LAN_SETTLE_US);
        if now_us < from_us {
            self.due_us = self.due_us.min(from_us);
            return false;
        }
        view.rank < bounds::UPLINK_NODES
    }

    /// When this node may ask over the uplink for this file, if that is still to come.
    pub(crate) fn claim_due_us(&self) -> u64 {
        let files = self.files.values().filter_map(|file| file.claim.as_ref());
        let own = files.flat_map(|claim| {
            let settled_us = claim.since_us + bounds::CLAIM_SETTLE_US;
            let from_us = settled_us.max(self.started_us + bounds::LAN_SETTLE_US);
            let from_us = (from_us > self.now_us).then_some(from_us);
            [Some(claim.renew_us()), from_us].into_iter().flatten()
        });
        let peers = self.peers.values().flat_map(|peer| peer.files.values());
        let others = peers.filter_map(|file| file.claim.as_ref());
        let others = others.map(|claim| claim.until_us);
        own.chain(others).min().unwrap_or(u64::MAX)
    }

    /// Renews what this node claims, and forgets what others have not renewed.
    pub(crate) fn run_claim_timers(&mut self) {
        let now_us = self.now_us;
        for peer in self.peers.values_mut() {
            for file in peer.files.values_mut() {
                let claim = file.claim.take();
                file.claim = claim.filter(|claim| claim.until_us > now_us);
            }
            peer.drop_idle_files();
        }
        let files = self.files.iter();
        let due = files.filter(|(_, file)| {
            let claim = file.claim.as_ref();
            claim.is_some_and(|claim| claim.renew_us() <= now_us)
        });
        for file in due.map(|(file, _)| *file).collect::<Vec<_>>() {
            self.tell_claim(file);
        }
    }

    /// A peer says what it fetches over the uplink.
    pub(crate) fn claim_told(&mut self, peer: Peer, file: Hash, reaches: bool, chunks: Vec<u32>) {
        let Some(state) = self.files.get(&file).filter(|file| file.phase.is_open()) else {
            return;
        };
        let count = state.map.chunks.len();
        if chunks.len() > bounds::CHUNKS_CLAIMED
            || chunks.iter().any(|index| *index as usize >= count)
        {
            let text = "it claims chunks that the file has not";
            self.fault(peer, bounds::FAULT_POINTS, text);
            return;
        }
        let until_us = self.now_us + bounds::CLAIM_US;
        let Some(peer_state) = self.peers.get_mut(&peer) else {
            return;
        };
        // what somebody beyond the LAN fetches spares this site nothing
        if peer_state.path != Path::Lan {
            return;
        }
        if reaches {
            peer_state.file(file).claim = Some(Box::new(Claim { until_us, chunks }));
            self.due_us = self.due_us.min(until_us);
        } else if let Some(peer_file) = peer_state.files.get_mut(&file) {
            // somebody else's turn
            self.asks_more |= peer_file.claim.take().is_some();
            peer_state.drop_idle_files();
        }
    }

    /// Tells the LAN what is asked over the uplink, if that has changed.
    pub(crate) fn tell_claim_news(&mut self, file: Hash) {
        let state = self.files.get(&file);
        let claim = state.and_then(|state| state.claim.as_ref());
        if claim.is_some_and(|claim| claim.is_news) {
            self.tell_claim(file);
        }
    }

    /// A peer wants the file from now on: it has to know what is claimed.
    pub(crate) fn tell_claim_to(&mut self, peer: Peer, file: Hash) {
        let state = self.files.get(&file);
        let claims = state.is_some_and(|state| state.claim.is_some());
        let is_near = self.path_of(&peer) == Some(Path::Lan);
        if claims && is_near {
            let chunks = self.claimed(&file);
            let claim = Control::Claim {
                file,
                reaches: true,
                chunks,
            };
            self.send(peer, Message::Control(claim));
        }
    }

    pub(crate) fn withdraw_claim(&mut self, file: Hash) {
        let state = self.files.get_mut(&file);
        if state.is_some_and(|state| state.claim.take().is_some()) {
            self.tell_company(file, false, Vec::new());
        }
    }

    fn tell_claim(&mut self, file: Hash) {
        let chunks = self.claimed(&file);
        let now_us = self.now_us;
        let state = self.files.get_mut(&file);
        if let Some(claim) = state.and_then(|state| state.claim.as_mut()) {
            claim.told_us = now_us;
            claim.is_news = false;
            self.due_us = self.due_us.min(claim.renew_us());
            self.tell_company(file, true, chunks);
        }
    }

    fn tell_company(&mut self, file: Hash, reaches: bool, chunks: Vec<u32>) {
        for peer in self.wanting(&file) {
            if self.path_of(&peer) == Some(Path::Lan) {
                let chunks = chunks.clone();
                let claim = Control::Claim {
                    file,
                    reaches,
                    chunks,
                };
                self.send(peer, Message::Control(claim));
            }
        }
    }

    /// Whether others of the LAN may claim the same file.
    fn has_company(&self, file: &Hash) -> bool {
        self.peers.values().any(|peer| {
            let wants = peer.files.get(file).is_some_and(|file| file.wanted);
            wants && peer.path == Path::Lan && peer.standing.is_member()
        })
    }

    /// What others need not fetch: what was asked for, and what came and was not told yet.
    fn claimed(&self, file: &Hash) -> Vec<u32> {
        let state = self.files.get(file);
        let claimed = state.map(|state| state.pending.iter().chain(state.untold.iter().copied()));
        claimed.into_iter().flatten().collect()
    }
}
