//! A behaviour for connections beyond the LAN alone: who asks a neighbour whether it can be
//! reached learns nothing of the world.

use std::task::{Context, Poll};

use either::Either;
use ipnet::IpNet;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};
use weft_core::Path;

use crate::on_link;

/// Sees nothing of the streams of other connections.
pub(crate) struct Afar<B> {
    inner: B,
    lan: Vec<IpNet>,
}

impl<B> Afar<B> {
    pub(crate) fn new(inner: B, lan: Vec<IpNet>) -> Self {
        Self { inner, lan }
    }

    fn is_afar(&self, address: &Multiaddr) -> bool {
        on_link::path_to(address, &self.lan) == Path::Wan
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Afar<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let inner = self
            .inner
            .handle_established_inbound_connection(connection, peer, local, remote)?;
        Ok(if self.is_afar(remote) {
            Either::Left(inner)
        } else {
            Either::Right(dummy::ConnectionHandler)
        })
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let inner = self
            .inner
            .handle_established_outbound_connection(connection, peer, address, role, port)?;
        Ok(if self.is_afar(address) {
            Either::Left(inner)
        } else {
            Either::Right(dummy::ConnectionHandler)
        })
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => self
                .inner
                .on_connection_handler_event(peer, connection, event),
            Either::Right(never) => match never {},
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner
            .poll(context)
            .map(|order| order.map_in(Either::Left))
    }
}
