//! A libp2p behaviour that does one thing: open and accept the substreams of
//! weft's own protocols and hand them over. What is said on them is not its matter.

mod handler;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};

use self::handler::{FromHandler, Handler};
use crate::{block::BlockList, identity};

/// Which of weft's protocols a stream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Control,
    Chunk,
    Peers,
}

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::Control, Self::Chunk, Self::Peers];

    /// Its name on the wire, with the version.
    pub(crate) const fn name(self) -> StreamProtocol {
        match self {
            Self::Control => StreamProtocol::new("/weft/control/1"),
            Self::Chunk => StreamProtocol::new("/weft/chunk/1"),
            Self::Peers => StreamProtocol::new("/weft/peers/1"),
        }
    }
}

/// What happened on a connection.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
    pub(crate) protocol: Protocol,
    pub(crate) kind: EventKind,
}

/// A stream, or none.
#[derive(Debug)]
pub(crate) enum EventKind {
    /// The peer opened it.
    Inbound(Stream),
    /// It was asked for.
    Outbound(Stream),
    /// It was asked for, and the peer does not speak this protocol.
    Refused,
    /// It was asked for, and the connection failed or the peer took too long.
    Failed(String),
}

/// Opens and accepts streams, and turns blocked peers away.
pub(crate) struct Behaviour {
    blocked: Arc<Mutex<BlockList>>,
    orders: VecDeque<ToSwarm<Event, Protocol>>,
    waker: Option<Waker>,
}

/// Why a connection was turned away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denied {
    #[error("the peer was let go a while ago and may not return yet")]
    Blocked,
    #[error("the peer's key is not a valid Ed25519 key")]
    Key,
}

impl Behaviour {
    pub(crate) fn new(blocked: Arc<Mutex<BlockList>>) -> Self {
        Self {
            blocked,
            orders: VecDeque::new(),
            waker: None,
        }
    }

    /// Opens a stream; an [`Event`] answers, unless the connection closes.
    pub(crate) fn open(&mut self, peer_id: PeerId, connection: ConnectionId, protocol: Protocol) {
        self.orders.push_back(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::One(connection),
            event: protocol,
        });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn admit(&self, peer: &PeerId) -> Result<Handler, ConnectionDenied> {
        if identity::peer(peer).is_none() {
            return Err(ConnectionDenied::new(Denied::Key));
        }
        let blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        match blocked.until(peer, Instant::now()) {
            Some(_) => Err(ConnectionDenied::new(Denied::Blocked)),
            None => Ok(Handler::default()),
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer)
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        FromHandler { protocol, kind }: THandlerOutEvent<Self>,
    ) {
        let event = Event {
            peer,
            connection,
            protocol,
            kind,
        };
        self.orders.push_back(ToSwarm::GenerateEvent(event));
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(order) = self.orders.pop_front() {
            return Poll::Ready(order);
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
