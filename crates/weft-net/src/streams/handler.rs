//! The part of the behaviour that lives with one connection.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use libp2p::{
    Stream, StreamProtocol,
    core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
        },
    },
};

use super::{EventKind, Protocol};
use crate::bounds;

/// What the handler tells the behaviour.
#[derive(Debug)]
pub(crate) struct FromHandler {
    pub(crate) protocol: Protocol,
    pub(crate) kind: EventKind,
}

/// Streams wanted, streams gained.
#[derive(Default)]
pub(crate) struct Handler {
    wanted: VecDeque<Protocol>,
    gained: VecDeque<FromHandler>,
    accepted_control: usize,
    accepted_chunk: usize,
    accepted_peers: usize,
}

impl Handler {
    /// Counts an inbound stream; false if the connection had its share. A link
    /// ends with any of its streams, so the count never has to go down.
    fn accept(&mut self, protocol: Protocol) -> bool {
        let (accepted, limit) = match protocol {
            Protocol::Control => (&mut self.accepted_control, bounds::CONTROL_STREAMS_INBOUND),
            Protocol::Chunk => (&mut self.accepted_chunk, bounds::CHUNK_STREAMS_INBOUND),
            Protocol::Peers => (&mut self.accepted_peers, bounds::PEERS_STREAMS_INBOUND),
        };
        *accepted += 1;
        *accepted <= limit
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Protocol;
    type ToBehaviour = FromHandler;
    type InboundProtocol = Negotiation;
    type OutboundProtocol = Negotiation;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Protocol;

    fn listen_protocol(&self) -> SubstreamProtocol<Negotiation> {
        SubstreamProtocol::new(Negotiation(&Protocol::ALL), ())
    }

    /// A connection stays until the link that owns it is closed.
    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Negotiation, Protocol, FromHandler>> {
        if let Some(gained) = self.gained.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(gained));
        }
        if let Some(protocol) = self.wanted.pop_front() {
            let offered = match protocol {
                Protocol::Control => &Protocol::ALL[..1],
                Protocol::Chunk => &Protocol::ALL[1..2],
                Protocol::Peers => &Protocol::ALL[2..],
            };
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Negotiation(offered), protocol)
                    .with_timeout(bounds::OPEN_TIMEOUT),
            });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, protocol: Protocol) {
        self.wanted.push_back(protocol);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<Negotiation, Negotiation, (), Protocol>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (protocol, stream),
                ..
            }) => {
                let accepted = self.accept(protocol);
                if accepted {
                    self.gained.push_back(FromHandler {
                        protocol,
                        kind: EventKind::Inbound(stream),
                    });
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (protocol, stream),
                ..
            }) => self.gained.push_back(FromHandler {
                protocol,
                kind: EventKind::Outbound(stream),
            }),
            ConnectionEvent::DialUpgradeError(DialUpgradeError {
                info: protocol,
                error,
            }) => {
                let kind = match error {
                    StreamUpgradeError::NegotiationFailed => EventKind::Refused,
                    error => EventKind::Failed(error.to_string()),
                };
                self.gained.push_back(FromHandler { protocol, kind });
            }
            _ => {}
        }
    }
}

/// Offers some protocols and yields the bare stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Negotiation(&'static [Protocol]);

/// A protocol with its name on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Offer(Protocol, StreamProtocol);

impl AsRef<str> for Offer {
    fn as_ref(&self) -> &str {
        self.1.as_ref()
    }
}

impl UpgradeInfo for Negotiation {
    type Info = Offer;
    type InfoIter = std::iter::Map<std::slice::Iter<'static, Protocol>, fn(&Protocol) -> Offer>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0
            .iter()
            .map(|protocol| Offer(*protocol, protocol.name()))
    }
}

impl InboundUpgrade<Stream> for Negotiation {
    type Output = (Protocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, offer: Offer) -> Self::Future {
        ready(Ok((offer.0, stream)))
    }
}

impl OutboundUpgrade<Stream> for Negotiation {
    type Output = (Protocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, offer: Offer) -> Self::Future {
        ready(Ok((offer.0, stream)))
    }
}
