//! What is kept for those who look: events, figures, what checkers compare.

use weft_core::Event;
use weft_record::Name;

use super::World;

/// Which events [`World::events`] keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Every one.
    #[default]
    All,
    /// All but those about single chunks and peers, of which a large fleet tells millions.
    Milestones,
    /// None: only [`World::figures`] count, and [`World::activated_us`].
    Nothing,
}

/// What was counted since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Events that were due, or will be.
    pub events: u64,
    /// Inputs that cores handled.
    pub handle_calls: u64,
    /// Of these, ahead of their turn.
    pub calls_ahead: u64,
    /// Chunks that arrived, right ones.
    pub chunks_delivered: u64,
    /// Chunks that were verified and stored.
    pub chunks_stored: u64,
    /// Chunks that were thrown away.
    pub chunks_corrupt: u64,
    /// Releases that became active.
    pub activations: u64,
    /// Releases that were taken back.
    pub went_back: u64,
}

impl World {
    /// Which events are kept from now on.
    pub fn keep(&mut self, keep: Keep) {
        self.keep = keep;
    }

    /// What was counted so far.
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// When the node last activated something.
    pub fn activated_us(&self, index: usize) -> Option<u64> {
        let at_us = self.hosts[index].activated_us;
        (at_us != u64::MAX).then_some(at_us)
    }

    /// Memory of hosts, disks, links, network and queue, without that of the core: bytes.
    pub fn heap_bytes(&self) -> usize {
        let disks = self.disks.iter();
        let neighbours = self.neighbours.iter();
        self.hosts.heap_bytes()
            + self.seats.capacity() * size_of::<super::Seat>()
            + self.keys.capacity() * size_of::<weft_core::Peer>()
            + self.by_key.capacity() * size_of::<(u64, u32)>()
            + self.disks.heap_bytes()
            + disks
                .map(crate::disk::VirtualDisk::heap_bytes)
                .sum::<usize>()
            + neighbours
                .map(|list| list.capacity() * size_of::<super::Neighbour>())
                .sum::<usize>()
            + self.neighbours.capacity() * size_of::<Vec<super::Neighbour>>()
            + self.parcels.heap_bytes()
            + self.outcomes.heap_bytes()
            + self.network.heap_bytes()
            + self.queue.heap_bytes()
    }

    /// Nodes whose floor fell since it was looked at last, though no reset took it back.
    pub fn fallen_floors(&mut self, channel: &Name) -> Vec<String> {
        let mut fallen = Vec::new();
        for (index, host) in self.hosts.iter().enumerate() {
            let Some(node) = &host.node else { continue };
            let trust = node.trust();
            let now = (trust.epoch(channel), trust.floor(channel));
            let before = self.floors.insert((index, channel.clone()), now);
            let kept = !self.forgetful.contains(&index);
            if let Some(before) = before.filter(|before| kept && *before > now) {
                fallen.push(format!("node {index}: floor {now:?} after {before:?}"));
            }
        }
        fallen
    }

    /// When the node first had a root that resets a channel.
    pub fn epoch_begun_us(&self, index: usize) -> Option<u64> {
        self.resets.get(&index).copied()
    }

    /// Remembers when a node first has a root that resets a channel.
    pub(super) fn note_reset(&mut self, index: usize) {
        let node = self.hosts[index].node.as_ref();
        let root = node.and_then(|node| node.trust().root());
        if root.is_some_and(|root| !root.resets.is_empty()) {
            self.resets.entry(index).or_insert(self.now_us);
        }
    }

    /// Counts and keeps what a node told.
    pub(super) fn watch(&mut self, index: usize, event: Event) {
        let figures = &mut self.figures;
        let is_milestone = match &event {
            Event::ChunkStored { .. } => {
                figures.chunks_stored += 1;
                false
            }
            Event::ChunkCorrupt { .. } => {
                figures.chunks_corrupt += 1;
                true
            }
            Event::PeerJoined { .. } | Event::PeerLeft { .. } => false,
            Event::Activated { .. } => {
                figures.activations += 1;
                self.hosts[index].activated_us = self.now_us;
                true
            }
            Event::WentBack { .. } => {
                figures.went_back += 1;
                true
            }
            _ => true,
        };
        let is_kept = match self.keep {
            Keep::All => true,
            Keep::Milestones => is_milestone,
            Keep::Nothing => false,
        };
        if is_kept {
            self.events.push((self.now_us, index, event));
        }
    }
}
