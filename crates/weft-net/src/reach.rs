//! Whether others can dial this node, and what follows: a node that can be dialled carries what
//! others say to each other, one that cannot holds a place at such a relay. Reads no clock and
//! opens no socket.

use std::time::Instant;

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
    /// How it went when somebody from afar was asked to try.
    probed: Probed,
    /// Whether somebody got through without being asked to try.
    reached: bool,
    /// At most [`bounds::RELAYS_KEPT`].
    places: Vec<Place>,
    look_at: Instant,
}

enum Probed {
    Never,
    /// They got through to this address.
    Open(Multiaddr),
    Shut,
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
            probed: Probed::Never,
            reached: false,
            places: Vec::new(),
            look_at: now,
        }
    }

    /// A member from beyond the LAN that was asked to got through to this address.
    pub(crate) fn is_open(&mut self, address: Multiaddr) {
        self.probed = Probed::Open(without_peer(address));
    }

    /// One that was asked to got nowhere, and no other did of late.
    pub(crate) fn is_shut(&mut self) {
        self.probed = Probed::Shut;
    }

    /// Whether members from beyond the LAN have dialled it by themselves.
    pub(crate) fn reached(&mut self, reached: bool) {
        self.reached = reached;
    }

    /// This machine is on other networks than before.
    pub(crate) fn moved(&mut self) {
        self.probed = Probed::Never;
    }

    /// Where somebody got through.
    pub(crate) fn confirmed(&self) -> Option<&Multiaddr> {
        match &self.probed {
            Probed::Open(address) => Some(address),
            Probed::Never | Probed::Shut => None,
        }
    }

    /// Whether it is worth asking somebody to try: who dialled by themselves tell as much.
    pub(crate) fn asks(&self) -> bool {
        !self.reached
    }

    pub(crate) fn state(&self) -> Reachability {
        let is_held = self.places.iter().any(|place| place.stands);
        match self.probed {
            _ if self.reached => Reachability::Direct,
            Probed::Open(_) => Reachability::Direct,
            _ if is_held => Reachability::Relayed,
            Probed::Shut => Reachability::DialOut,
            Probed::Never => Reachability::Unknown,
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
    fn what_was_found_last_counts_and_who_dials_by_themselves_more() {
        let (mut reach, _) = reach();
        assert_eq!(reach.state(), Reachability::Unknown);
        reach.is_shut();
        assert_eq!(reach.state(), Reachability::DialOut);
        assert!(!reach.relays());
        reach.is_open(address("/ip4/203.0.113.1/tcp/1"));
        assert_eq!(reach.state(), Reachability::Direct);
        assert!(reach.relays());
        reach.moved();
        assert_eq!(reach.state(), Reachability::Unknown);
        assert!(reach.asks());
        reach.reached(true);
        assert_eq!(reach.state(), Reachability::Direct);
        assert!(!reach.asks());
        // who was there by itself is gone, and since then somebody tried in vain
        reach.is_shut();
        reach.reached(false);
        assert_eq!(reach.state(), Reachability::DialOut);
    }

    #[test]
    fn who_cannot_be_dialled_holds_a_place_at_two_relays() {
        let (mut reach, mut now) = reach();
        let relays: Vec<(PeerId, Multiaddr)> = (0..3)
            .map(|_| (PeerId::random(), address("/ip4/203.0.113.1/tcp/1")))
            .collect();
        assert_eq!(reach.deadline(), None);
        assert_eq!(reach.next(|| relays.clone(), now), None);
        reach.is_shut();
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
