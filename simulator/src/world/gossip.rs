//! Announcements: each node passes on what it sees for the first time to those neighbours
//! whom it lets take part, as gossipsub does.

use std::sync::Arc;

use weft_core::Input;
use weft_record::Hash;

use super::{Happening, World};
use crate::{
    fast::{Table, prefix},
    network::Way,
};

/// An announcement that was seen is not passed on again for this long, as gossipsub's
/// cache of duplicates has it.
const SEEN_US: u64 = 120_000_000;
/// What frames an announcement: topic, sender, sequence number and signature.
const FRAME_BYTES: u64 = 150;

/// All announcements of a world.
#[derive(Default)]
pub(super) struct Gossip {
    topics: Vec<Topic>,
    by_hash: Table<u64, u32>,
}

/// One announcement.
struct Topic {
    envelope: Arc<[u8]>,
    begun_us: u64,
    /// One bit a node.
    seen: Vec<u64>,
}

impl Topic {
    /// True if the node had not seen it.
    fn see(&mut self, node: usize) -> bool {
        if self.seen.len() <= node / 64 {
            self.seen.resize(node / 64 + 1, 0);
        }
        let (word, bit) = (&mut self.seen[node / 64], 1 << (node % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

impl World {
    /// A node announces something.
    pub(super) fn broadcast(&mut self, index: usize, envelope: Vec<u8>) {
        if !self.gossip_works {
            return;
        }
        let now_us = self.now_us;
        let gossip = &mut self.gossip;
        let place = prefix(&Hash::of(&envelope).0);
        let number = *gossip.by_hash.entry(place).or_insert_with(|| {
            gossip.topics.push(Topic {
                envelope: envelope.into(),
                begun_us: now_us,
                seen: Vec::new(),
            });
            (gossip.topics.len() - 1) as u32
        });
        let topic = &mut gossip.topics[number as usize];
        if now_us - topic.begun_us > SEEN_US {
            topic.begun_us = now_us;
            topic.seen.clear();
        }
        if topic.see(index) {
            self.pass_on(index, number);
        }
    }

    pub(super) fn gossip_arrives(&mut self, node: u32, life: u32, number: u32) {
        if !self.lives(node, life) {
            return;
        }
        let index = node as usize;
        let topic = &mut self.gossip.topics[number as usize];
        if topic.see(index) {
            let envelope = topic.envelope.to_vec();
            self.pass_on(index, number);
            self.give(index, Input::Gossip(envelope));
        }
    }

    fn pass_on(&mut self, index: usize, number: u32) {
        let bytes = self.gossip.topics[number as usize].envelope.len() as u64 + FRAME_BYTES;
        for place in 0..self.neighbours[index].len() {
            let neighbour = self.neighbours[index][place];
            let other = neighbour.other as usize;
            if !neighbour.admitted || !self.seats[other].is_there {
                continue;
            }
            let way = Way {
                from: index as u32,
                to: neighbour.other,
            };
            let at_us = self.network.control_us(self.now_us, way, bytes);
            self.push_to(at_us, other, |node, life| Happening::Gossip {
                node,
                life,
                topic: number,
            });
        }
    }
}
