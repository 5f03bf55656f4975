//! Whether others can dial this node, and what follows: a node that can be dialled carries what
//! others say to each other, one that cannot holds a place at such a relay. Reads no clock and
//! opens no socket.

use std::{collections::BTreeSet, time::Instant};

use libp2p::{Multiaddr, PeerId, core::transport::ListenerId, multiaddr::Protocol};

use crate::bounds;

/// How others from beyond the LAN get to a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reachability {
    /// Nobody from beyond the LAN has tried yet.
    #[default]
    Unknown,
    /// They dial it.
    Direct,
    /// Through a member that carries it.
    Relayed,
    /// Not at all; it dials them.
    DialOut,
}

/// Whether a node carries what others say to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Relaying {
    /// If it can be dialled.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// What is known, and which places at relays are held.
pub(crate) struct Reach {
    relaying: Relaying,
    /// Addresses to which somebody from afar got through when asked to try.
    confirmed: BTreeSet<Multiaddr>,
    /// Somebody tried and got nowhere.
    failed: bool,
    /// Whether somebody got through without being asked to try.
    reached: bool,
    /// At most [`bounds::RELAYS_KEPT`].
    places: Vec<Place>,
    look_at: Instant,
}

struct Place {
    listener: ListenerId,
    relay: PeerId,
    /// Others reach this node there.
    stands: bool,
}

impl Reach {
    pub(crate) fn new(relaying: Relaying, now: Instant) -> Self {
        Self {
            relaying,
            confirmed: BTreeSet::new(),
            failed: false,
            reached: false,
            places: Vec::new(),
            look_at: now,
        }
    }

    /// A member from beyond the LAN tried to dial this address.
    pub(crate) fn probed(&mut self, address: Multiaddr, got_through: bool) {
        let address = without_peer(address);
        if got_through {
            // as many as are told
            if self.confirmed.len() < bounds::ADDRESSES_TOLD {
                self.confirmed.insert(address);
            }
        } else {
            self.confirmed.remove(&address);
            self.failed = true;
        }
    }

    /// Whether members from beyond the LAN have dialled it by themselves.
    pub(crate) fn reached(&mut self, reached: bool) {
        self.reached = reached;
    }

    /// This machine is on other networks than before.
    pub(crate) fn moved(&mut self) {
        self.confirmed.clear();
    }

    /// Where somebody got through.
    pub(crate) fn confirmed(&self) -> &BTreeSet<Multiaddr> {
        &self.confirmed
    }

    pub(crate) fn state(&self) -> Reachability {
        if self.reached || !self.confirmed.is_empty() {
            Reachability::Direct
        } else if self.places.iter().any(|place| place.stands) {
            Reachability::Relayed
        } else if self.failed {
            Reachability::DialOut
        } else {
            Reachability::Unknown
        }
    }

    /// Whether it carries what others say, if its uplink takes that.
    pub(crate) fn relays(&self) -> bool {
        match self.relaying {
            Relaying::On => true,
            Relaying::Off => false,
            Relaying::Auto => self.state() == Reachability::Direct,
        }
    }

    /// A place is asked for.
    pub(crate) fn asked(&mut self, listener: ListenerId, relay: PeerId) {
        self.places.push(Place {
            listener,
            relay,
            stands: false,
        });
    }

    /// It was given.
    pub(crate) fn given(&mut self, listener: ListenerId) {
        for place in &mut self.places {
            place.stands |= place.listener == listener;
        }
    }

    /// It is not held any more, or was never given.
    pub(crate) fn lost(&mut self, listener: ListenerId) {
        self.places.retain(|place| place.listener != listener);
    }

    /// When [`Reach::next`] is worth calling, while places are lacking.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lacks_places().then_some(self.look_at)
    }

    /// The relay to ask for a place now, of these.
    pub(crate) fn next(
        &mut self,
        relays: impl FnOnce() -> Vec<(PeerId, Multiaddr)>,
        now: Instant,
    ) -> Option<(PeerId, Multiaddr)> {
        if !self.lacks_places() || now < self.look_at {
            return None;
        }
        self.look_at = now + bounds::RELAYS_LOOK;
        let held = |relay: &PeerId| self.places.iter().any(|place| place.relay == *relay);
        let relay = relays().into_iter().find(|(relay, _)| !held(relay))?;
        Some(relay)
    }

    /// Places that are of no use to a node that can be dialled.
    pub(crate) fn needless(&self) -> Vec<ListenerId> {
        match self.state() {
            Reachability::Direct => self.places.iter().map(|place| place.listener).collect(),
            _ => Vec::new(),
        }
    }

    fn lacks_places(&self) -> bool {
        let cannot_be_dialled =
            matches!(self.state(), Reachability::DialOut | Reachability::Relayed);
        cannot_be_dialled && self.places.len() < bounds::RELAYS_KEPT
    }
}

fn without_peer(mut address: Multiaddr) -> Multiaddr {
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    fn reach() -> (Reach, Instant) {
        let now = Instant::now();
        (Reach::new(Relaying::Auto, now), now)
    }

    #[test]
    fn one_address_that_works_is_enough() {
        let (mut reach, _) = reach();
        assert_eq!(reach.state(), Reachability::Unknown);
        reach.probed(address("/ip4/10.0.0.1/tcp/1"), false);
        assert_eq!(reach.state(), Reachability::DialOut);
        assert!(!reach.relays());
        reach.probed(address("/ip4/203.0.113.1/tcp/1"), true);
        assert_eq!(reach.state(), Reachability::Direct);
        assert!(reach.relays());
        reach.moved();
        assert_eq!(reach.state(), Reachability::DialOut);
        reach.reached(true);
        assert_eq!(reach.state(), Reachability::Direct);
    }

    #[test]
    fn who_cannot_be_dialled_holds_a_place_at_two_relays() {
        let (mut reach, mut now) = reach();
        let relays: Vec<(PeerId, Multiaddr)> = (0..3)
            .map(|_| (PeerId::random(), address("/ip4/203.0.113.1/tcp/1")))
            .collect();
        assert_eq!(reach.deadline(), None);
        assert_eq!(reach.next(|| relays.clone(), now), None);
        reach.probed(address("/ip4/10.0.0.1/tcp/1"), false);
        let mut held = Vec::new();
        while let Some(at) = reach.deadline() {
            now = at;
            let (relay, _) = reach.next(|| relays.clone(), now).expect("a relay");
            let listener = ListenerId::next();
            reach.asked(listener, relay);
            assert_eq!(reach.next(|| relays.clone(), now), None);
            reach.given(listener);
            assert_eq!(reach.state(), Reachability::Relayed);
            held.push((listener, relay));
        }
        assert_eq!(held.len(), bounds::RELAYS_KEPT);
        assert_ne!(held[0].1, held[1].1);
        reach.lost(held[0].0);
        assert!(reach.deadline().is_some());
        assert!(reach.needless().is_empty());
        reach.reached(true);
        assert_eq!(reach.needless(), [held[1].0]);
    }

    #[test]
    fn the_owner_decides_who_relays() {
        let now = Instant::now();
        let mut off = Reach::new(Relaying::Off, now);
        off.reached(true);
        assert!(!off.relays());
        assert!(Reach::new(Relaying::On, now).relays());
    }
}
