//! What nodes say to each other.
//!
//! `Control` messages are small and travel in order over one stream a
//! direction; chunks and blobs travel over streams of their own, so that bulk
//! never delays a head.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weft_record::{
    ChunkMap, ChunkMapError, Comparison, Hash, Have, HaveHead, JoinRequest, MeshId, RecordId,
    TrustDigest,
};

/// The identity of a node: its Ed25519 public key (libp2p's peer id is the same key).
pub type Peer = weft_keys::PublicKey;

/// Chunk bytes as the core sees them: the daemon uses `bytes::Bytes`, the
/// simulator a few bytes that stand for a chunk.
pub trait Payload: Clone {
    /// Length in bytes of what it stands for.
    fn length(&self) -> u64;
    /// The bytes of a blob; asked only of payloads whose digest was compared, so
    /// a stand-in for a chunk may return anything.
    fn blob_bytes(&self) -> &[u8];
    /// The chunk map that a blob encodes. A stand-in of which many nodes hold the same may
    /// keep it decoded; it must be what its bytes encode.
    fn chunk_map(&self, file_length: u64) -> Result<Arc<ChunkMap>, ChunkMapError> {
        ChunkMap::decode(self.blob_bytes(), file_length).map(Arc::new)
    }
}

impl Payload for bytes::Bytes {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn blob_bytes(&self) -> &[u8] {
        self
    }
}

/// Any message from or to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<P> {
    /// Small, ordered.
    Control(Control),
    /// Ask for one chunk of a file.
    Get(ChunkRef),
    /// The bytes of one chunk.
    Data(ChunkRef, P),
    /// The peer does not hold that chunk, or will not serve it now.
    Absent(ChunkRef),
    /// Ask for a small blob (a chunk map) by its hash.
    GetBlob(Hash),
    /// A small blob, of at most [`crate::bounds::BLOB_BYTES`].
    Blob(Hash, P),
    /// The peer does not hold that blob.
    NoBlob(Hash),
}

/// One chunk of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChunkRef {
    /// BLAKE3 of the whole file, as its release names it.
    pub file: Hash,
    /// Index in the file's chunk map.
    pub index: u32,
}

/// Control messages; the encoding is `weft_record::codec`'s, at most
/// [`crate::bounds::CONTROL_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// First on every connection, both ways, and again when the sender's enrolment
    /// changed: which mesh, how far its roots go, and what shows that it belongs.
    Hello {
        /// The mesh that the sender belongs to or wants to join.
        mesh_id: MeshId,
        /// Version of its newest root; 0 while it has none.
        root_version: u64,
        /// Its newest root.
        root: RecordId,
        /// The envelope that enrolled it, if it was.
        enrolment: Option<Vec<u8>>,
    },
    /// What the sender holds, in at most 100 bytes.
    Digest(TrustDigest),
    /// What the sender holds: an answer of [`Control::Records`] is wanted.
    Have(Box<Have>),
    /// Encoded envelopes, in an order that admits cleanly.
    Records(Vec<Vec<u8>>),
    /// The sender wants this file: tell it which chunks you hold, now and as they come.
    Want(Hash),
    /// The sender no longer needs news of this file.
    Unwant(Hash),
    /// Which chunks of the file the sender holds, bit 0 of byte 0 first.
    Bits {
        /// The file.
        file: Hash,
        /// One bit a chunk.
        bits: Vec<u8>,
    },
    /// Further chunks that the sender now holds.
    Gained {
        /// The file.
        file: Hash,
        /// Chunk indexes.
        indexes: Vec<u32>,
    },
    /// A node asks to be enrolled: sent by itself, or passed on for it by members.
    Join {
        /// What it asks.
        request: JoinRequest,
        /// Members that passed it on so far, at most [`crate::bounds::JOIN_HOPS`].
        hops: u8,
    },
    /// Whoever enrolls said no. It travels back the way the request came; nobody signed it.
    JoinRefused {
        /// Who asked.
        node: Peer,
        /// With which invitation.
        invitation: [u8; 16],
        /// Why, for people: at most [`crate::bounds::REASON_BYTES`].
        reason: String,
    },
    /// "You once said that you hold this": to a member that now says that it holds less.
    Remembered {
        /// Version of the newest root that it named.
        root_version: u64,
        /// The newest head that it named, of each channel.
        heads: Vec<HaveHead>,
    },
    /// What the sender fetches of a file over the uplink, to those who share it, in place of
    /// what it claimed before: they wait for it.
    Claim {
        /// The file.
        file: Hash,
        /// Whether it reaches, beyond the LAN, holders of what nobody of the LAN has.
        reaches: bool,
        /// Chunks that it asked for or has just got, at most
        /// [`crate::bounds::CHUNKS_CLAIMED`].
        chunks: Vec<u32>,
    },
    /// What the sender says of its sets that grow: [`Control::Records`] with what it lacks is
    /// wanted, if that can be told, and then [`Control::Compared`].
    Compare(Box<Comparison>),
    /// What the sender says in return.
    Compared(Box<Comparison>),
}
