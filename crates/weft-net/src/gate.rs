//! What is for members only: gossip, relaying, being told and asked where one is reached.
//! What a peer says on such streams waits here until the node has admitted it, and is
//! thrown away beyond a few messages.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
    },
};

use crate::{
    behaviour::{Members, MembersEvent},
    bounds,
    handle::lock,
};

/// Which peers the node has admitted; shared with the node's handle.
#[derive(Debug, Default)]
pub(crate) struct Admissions(Mutex<Admitted>);

#[derive(Debug, Default)]
struct Admitted {
    peers: HashSet<PeerId>,
    /// Of these, those whose first messages still wait.
    fresh: Vec<PeerId>,
    waker: Option<Waker>,
}

impl Admissions {
    pub(crate) fn admit(&self, peer: PeerId) {
        let mut admitted = lock(&self.0);
        if admitted.peers.insert(peer) {
            admitted.fresh.push(peer);
            if let Some(waker) = admitted.waker.take() {
                waker.wake();
            }
        }
    }

    /// The peer's session is over; the next one begins at the door.
    pub(crate) fn forget(&self, peer: &PeerId) {
        let mut admitted = lock(&self.0);
        admitted.peers.remove(peer);
        admitted.fresh.retain(|fresh| fresh != peer);
    }

    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        lock(&self.0).peers.contains(peer)
    }

    fn take_fresh(&self, context: &mut Context<'_>) -> Vec<PeerId> {
        let mut admitted = lock(&self.0);
        admitted.waker = Some(context.waker().clone());
        std::mem::take(&mut admitted.fresh)
    }
}

/// Behaviours behind a door. A peer whose subscriptions gossipsub has not seen is sent
/// no announcement, and one whose messages it has not seen spreads none; whose requests
/// a relay has not seen is not relayed for.
pub(crate) struct Gate {
    pub(crate) members: Members,
    admissions: Arc<Admissions>,
    held: HashMap<PeerId, Vec<Held>>,
}

/// What a connection to a peer that is not admitted has brought.
type Held = (ConnectionId, THandlerOutEvent<Members>);

impl Gate {
    pub(crate) fn new(members: Members, admissions: Arc<Admissions>) -> Self {
        Self {
            members,
            admissions,
            held: HashMap::new(),
        }
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = THandler<Members>;
    type ToSwarm = MembersEvent;

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.members
            .handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.members
            .handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.members
            .handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        if let FromSwarm::ConnectionClosed(closed) = &event {
            if closed.remaining_established == 0 {
                self.held.remove(&closed.peer_id);
            } else if let Some(held) = self.held.get_mut(&closed.peer_id) {
                held.retain(|(connection, _)| *connection != closed.connection_id);
            }
        }
        self.members.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        if self.admissions.contains(&peer) && !self.held.contains_key(&peer) {
            self.members
                .on_connection_handler_event(peer, connection, event);
            return;
        }
        // The first ones tell which topics it is on, and are all that is needed.
        let held = self.held.entry(peer).or_default();
        if held.len() < bounds::HELD_AT_GATE {
            held.push((connection, event));
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        for peer in self.admissions.take_fresh(context) {
            for (connection, event) in self.held.remove(&peer).unwrap_or_default() {
                self.members
                    .on_connection_handler_event(peer, connection, event);
            }
        }
        self.members.poll(context)
    }
}
