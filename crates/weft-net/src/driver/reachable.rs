//! The part of the loop that finds out, tells and mends where this node is reached, and learns
//! where others are.

use std::{sync::atomic::Ordering, time::Instant};

use libp2p::{
    Multiaddr, PeerId,
    autonat::v1::{Event, InboundProbeEvent, NatStatus, OutboundProbeEvent},
    core::transport::ListenerId,
    multiaddr::Protocol,
    relay,
};
use weft_core::{Direction, Path};

use super::Driver;
use crate::{
    book::Learned, dialer, event::NetEvent, handle::lock, on_link, place, reach::Reachability,
};

impl Driver {
    pub(super) fn on_listening(&mut self, listener: ListenerId, address: Multiaddr) {
        if on_link::is_relayed(&address) {
            self.reach.given(listener);
            self.whereabouts.listens(dialer::split_peer(address).0);
            return;
        }
        self.whereabouts.listens(address.clone());
        let address = address.with(Protocol::P2p(*self.swarm.local_peer_id()));
        lock(&self.shared.listeners).push(address.clone());
        self.tell(NetEvent::Listening(address));
    }

    pub(super) fn on_listening_no_more(&mut self, address: Multiaddr) {
        let (address, _) = dialer::split_peer(address);
        self.whereabouts.listens_no_more(&address);
        if on_link::is_relayed(&address) {
            return;
        }
        self.reach.moved();
        let address = address.with(Protocol::P2p(*self.swarm.local_peer_id()));
        lock(&self.shared.listeners).retain(|known| *known != address);
    }

    /// This member has come from beyond the LAN.
    pub(super) fn may_ask(&mut self, peer: PeerId) {
        if self.afar.insert(peer) && self.asks {
            let members = &mut self.swarm.behaviour_mut().gate.members;
            members.probe.add_server(peer, None);
        }
    }

    pub(super) fn may_not_ask(&mut self, peer: &PeerId) {
        if self.afar.remove(peer) {
            let members = &mut self.swarm.behaviour_mut().gate.members;
            members.probe.remove_server(peer);
        }
    }

    /// Asks those from beyond the LAN to dial this node, or asks nobody any more.
    fn ask(&mut self, asks: bool) {
        if std::mem::replace(&mut self.asks, asks) == asks {
            return;
        }
        let members = &mut self.swarm.behaviour_mut().gate.members;
        for peer in &self.afar {
            if asks {
                members.probe.add_server(*peer, None);
            } else {
                members.probe.remove_server(peer);
            }
        }
    }

    pub(super) fn on_probe(&mut self, event: Event) {
        tracing::debug!(?event, "who can be dialled");
        match event {
            Event::OutboundProbe(OutboundProbeEvent::Response { address, .. }) => {
                self.reach.is_open(address);
            }
            Event::StatusChanged {
                new: NatStatus::Private,
                ..
            } => self.reach.is_shut(),
            Event::InboundProbe(InboundProbeEvent::Response { peer, address, .. }) => {
                return self.hang_up(peer, &address);
            }
            _ => return,
        }
        self.whereabouts.changed();
    }

    /// The member that asked can be dialled here: it has been told, and a second connection
    /// is of no use.
    fn hang_up(&mut self, peer: PeerId, address: &Multiaddr) {
        let (address, _) = dialer::split_peer(address.clone());
        let Some(neighbour) = self.peers.get(&peer) else {
            return;
        };
        let idle = neighbour.connections.iter().find(|connection| {
            connection.outbound && !connection.carries && connection.address == address
        });
        if let Some(id) = idle.map(|connection| connection.id) {
            self.swarm.close_connection(id);
        }
    }

    /// A member told of others; `is_here` if it is on this machine, whose loopback addresses
    /// lead somewhere only then.
    pub(super) fn on_learned(&mut self, learned: Vec<Learned>, is_here: bool) {
        let own = *self.swarm.local_peer_id();
        let mut learned: Vec<Learned> = learned.into_iter().filter(|one| one.peer != own).collect();
        if learned.is_empty() {
            return;
        }
        let site = on_link::Site::look(&self.lan);
        for mut one in learned.drain(..) {
            one.addresses
                .retain(|address| is_here || !place::is_loopback(address));
            let mut addresses = one.addresses.iter();
            let is_near = addresses.any(|address| site.path_to(address) == Path::Lan);
            tracing::debug!(peer = %one.peer, addresses = ?one.addresses, "told of");
            self.dialer.told(one, is_near, Instant::now());
        }
    }

    /// Signs where this node is reached, when that has changed.
    pub(super) fn tell_whereabouts(&mut self) {
        let now = Instant::now();
        if self.whereabouts.deadline() > now {
            return;
        }
        let mut reached_at = lock(&self.shared.book).reached_at();
        self.reach.reached(!reached_at.is_empty());
        reached_at.extend(self.reach.confirmed().cloned());
        let state = self.reach.state();
        let cannot_be_dialled = matches!(state, Reachability::DialOut | Reachability::Relayed);
        self.whereabouts.reachable(!cannot_be_dialled);
        let own = self.whereabouts.sign(&reached_at, now);
        if let Some(own) = own
            && lock(&self.shared.book).set_own(own)
        {
            self.shared.book_changed.send_replace(());
        }
    }

    /// Relays for others if this node can be dialled, and takes a place at a relay if not.
    pub(super) fn keep_reachable(&mut self) {
        let now = Instant::now();
        let state = self.reach.state();
        *lock(&self.shared.reachability) = state;
        for listener in self.reach.needless() {
            self.swarm.remove_listener(listener);
            self.reach.lost(listener);
        }
        let uplink = self.shared.pacer.bucket(Direction::Serve, Path::Wan);
        let is_paused = uplink.is_paused();
        self.ask(self.reach.asks() && !is_paused);
        let relays = self.reach.relays() && !is_paused;
        if self.shared.relays.swap(relays, Ordering::Relaxed) != relays {
            let status = if relays {
                relay::Status::Enable
            } else {
                relay::Status::Disable
            };
            let members = &mut self.swarm.behaviour_mut().gate.members;
            members.relay.set_status(Some(status));
            lock(&self.shared.book).set_relays(relays);
            self.shared.book_changed.send_replace(());
        }
        if relays {
            // whom it gives a place it tells where that is
            let known: Vec<Multiaddr> = self.swarm.external_addresses().cloned().collect();
            for address in self.whereabouts.everybody() {
                if !known.contains(address) {
                    self.swarm.add_external_address(address.clone());
                }
            }
        }
        let shared = self.shared.clone();
        let next = self.reach.next(|| lock(&shared.book).relays(), now);
        if let Some((relay, address)) = next {
            let address = address
                .with(Protocol::P2p(relay))
                .with(Protocol::P2pCircuit);
            match self.swarm.listen_on(address) {
                Ok(listener) => self.reach.asked(listener, relay),
                Err(error) => tracing::debug!(%error, "no place at a relay"),
            }
        }
    }
}
