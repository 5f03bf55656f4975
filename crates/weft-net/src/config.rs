//! What a node's network is told at its start, and why it may not start.

use std::{fmt, time::Duration};

use ipnet::IpNet;
use libp2p::Multiaddr;
use weft_record::MeshId;

use crate::{bounds, reach::Relaying};

/// Fixed at the start.
pub struct NetConfig {
    /// The node's key; it is the identity on every connection.
    pub secret: weft_keys::SecretKey,
    /// The mesh, whose announcements are exchanged.
    pub mesh_id: MeshId,
    /// Where to listen.
    pub listen: Vec<Multiaddr>,
    /// Whom to dial, again and again. An address may end in `/p2p/NAME`.
    pub bootstrap: Vec<Multiaddr>,
    /// Whether to look for peers on the LAN, and to be found there.
    pub mdns: bool,
    /// What belongs to the site's LAN beside the networks that this machine is attached to.
    pub lan: Vec<IpNet>,
    /// Whether this node carries what members that cannot dial each other say.
    pub relaying: Relaying,
    /// How TCP connections are secured.
    pub security: Security,
    /// A peer that does not let 64 KiB pass for this long, while it should, is let go.
    pub stall_timeout: Duration,
    /// How long a stranger is neither dialled nor accepted.
    pub stranger_block: Duration,
}

/// How TCP connections are secured; QUIC always uses TLS 1.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// TLS 1.3, or Noise with a peer that offers only that.
    #[default]
    TlsPreferred,
    /// Noise alone.
    NoiseOnly,
}

impl NetConfig {
    /// Listens on every interface at ports that the system picks, dials nobody,
    /// and looks on the LAN.
    pub fn new(secret: weft_keys::SecretKey, mesh_id: MeshId) -> Self {
        Self {
            secret,
            mesh_id,
            listen: ["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"]
                .iter()
                .map(|text| text.parse().expect("a valid address"))
                .collect(),
            bootstrap: Vec::new(),
            mdns: true,
            lan: Vec::new(),
            relaying: Relaying::default(),
            security: Security::default(),
            stall_timeout: bounds::STALL_TIMEOUT,
            stranger_block: bounds::STRANGER_BLOCK,
        }
    }
}

impl fmt::Debug for NetConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NetConfig")
            .field("mesh_id", &self.mesh_id)
            .field("listen", &self.listen)
            .field("bootstrap", &self.bootstrap)
            .field("mdns", &self.mdns)
            .field("lan", &self.lan)
            .field("relaying", &self.relaying)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

/// Why the network did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another program listens there.
    #[error(
        "cannot listen on {address}: another program already uses this port; \
         stop it, or choose another port (port 0 lets the system choose)"
    )]
    AddressInUse {
        /// Where this node was told to listen.
        address: Multiaddr,
    },
    /// The system refuses.
    #[error("cannot listen on {address}: {reason}; choose an address of this machine")]
    Listen {
        /// Where this node was told to listen.
        address: Multiaddr,
        /// What the system said.
        reason: String,
    },
    /// The address is of a kind that weft does not speak.
    #[error(
        "cannot listen on {address}: only /ip4 and /ip6 addresses with /tcp/PORT \
         or /udp/PORT/quic-v1 are understood"
    )]
    AddressUnsupported {
        /// Where this node was told to listen.
        address: Multiaddr,
    },
    /// The node's key cannot be used.
    #[error("the node's key cannot be used on connections: {0}")]
    Key(String),
    /// A transport could not be set up.
    #[error("the transports could not be set up: {0}")]
    Transport(String),
}
