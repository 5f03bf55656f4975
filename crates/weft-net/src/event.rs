//! What the network tells the node.

use bytes::Bytes;
use libp2p::Multiaddr;
use weft_core::{Message, Path, Peer};

/// One thing that happened.
///
/// For each peer the order is `PeerUp`, its messages, `PeerDown`; a peer that
/// comes back begins again with `PeerUp`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NetEvent {
    /// A peer proved its key and speaks weft's protocols. Further connections
    /// to it are not told.
    PeerUp {
        /// Its key.
        peer: Peer,
        /// Where it was reached, or where it came from.
        address: Multiaddr,
        /// Whether this node dialled it.
        outbound: bool,
        /// By which way: over the LAN, if the address is on a network that this machine is
        /// attached to.
        path: Path,
    },
    /// The peer is gone, with every connection to it.
    PeerDown {
        /// Its key.
        peer: Peer,
        /// For people.
        reason: String,
    },
    /// A message from a peer that is up.
    Message(Peer, Message<Bytes>),
    /// An announcement of any peer: an encoded envelope, not verified.
    Gossip(Vec<u8>),
    /// This node can be reached here; the address ends in its own `/p2p` name.
    Listening(Multiaddr),
    /// At a place that names its peer another one answered; nothing was said to it.
    /// The place is tried again by itself, as after a failure.
    OtherPeer {
        /// The place.
        address: Multiaddr,
        /// Whom it names.
        expected: Peer,
        /// Who answered.
        found: Peer,
    },
    /// A place could not be reached. Bootstrap addresses are tried again by themselves.
    DialFailed {
        /// The place.
        address: Multiaddr,
        /// For people.
        reason: String,
    },
}
