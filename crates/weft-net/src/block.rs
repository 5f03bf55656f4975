//! Peers that are kept away for a while, so that discovery and their own dials
//! do not bring them back at once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use crate::bounds;

/// Peers and when they may return.
#[derive(Debug, Default)]
pub(crate) struct BlockList {
    until: BTreeMap<PeerId, Instant>,
}

impl BlockList {
    /// Keeps a peer away from now on; a longer block that stands is kept.
    pub(crate) fn block(&mut self, peer: PeerId, now: Instant, duration: Duration) {
        self.until.retain(|_, until| *until > now);
        if self.until.len() >= bounds::BLOCKED && !self.until.contains_key(&peer) {
            let first = self
                .until
                .iter()
                .min_by_key(|(_, until)| **until)
                .map(|(peer, _)| *peer);
            if let Some(first) = first {
                self.until.remove(&first);
            }
        }
        let until = self.until.entry(peer).or_insert(now);
        *until = (*until).max(now + duration);
    }

    /// When this peer may return, if it is kept away now.
    pub(crate) fn until(&self, peer: &PeerId, now: Instant) -> Option<Instant> {
        self.until.get(peer).copied().filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_ends_by_itself() {
        let (mut list, peer, now) = (BlockList::default(), PeerId::random(), Instant::now());
        list.block(peer, now, Duration::from_secs(10));
        list.block(peer, now, Duration::from_secs(1));
        assert_eq!(list.until(&peer, now), Some(now + Duration::from_secs(10)));
        assert_eq!(list.until(&peer, now + Duration::from_secs(10)), None);
        assert_eq!(list.until(&PeerId::random(), now), None);
    }

    #[test]
    fn a_full_list_lets_the_one_go_that_would_return_first() {
        let (mut list, now) = (BlockList::default(), Instant::now());
        let first = PeerId::random();
        list.block(first, now, Duration::from_secs(5));
        for _ in 1..bounds::BLOCKED {
            list.block(PeerId::random(), now, Duration::from_secs(10));
        }
        let last = PeerId::random();
        list.block(last, now, Duration::from_secs(10));
        assert_eq!(list.until.len(), bounds::BLOCKED);
        assert_eq!(list.until(&first, now), None);
        assert!(list.until(&last, now).is_some());
    }
}
