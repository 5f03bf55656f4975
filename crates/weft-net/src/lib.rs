//! The only room that knows libp2p: connections to peers, weft's own streams
//! over them, announcements by gossip, discovery on the LAN, and what peers tell of others.
//!
//! It carries messages and judges none: what a message means, whether a record
//! is valid and who belongs to the mesh is the core's matter. The wire format
//! is described in `docs/protocol.md`, "Peer protocols".

mod background;
mod behaviour;
mod block;
mod book;
mod bounds;
mod config;
mod dialer;
mod driver;
mod event;
mod fault;
mod frame;
mod gate;
mod handle;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod hostile;
mod identity;
mod link;
mod mux;
mod net;
mod on_link;
mod outbox;
mod pacer;
mod place;
mod reach;
mod session;
mod socket;
mod streams;
mod tcp;
mod tls;
mod traffic;
mod transfer;
mod whereabouts;

pub use config::{NetConfig, Security, StartError};
pub use event::NetEvent;
pub use handle::{NetHandle, SendError};
pub use identity::peer_name;
pub use ipnet::IpNet;
pub use libp2p::Multiaddr;
pub use net::Net;
pub use reach::{Reachability, Relaying};
pub use traffic::Traffic;
