//! Why a record is refused, and what such a record looks like.

use crate::{codec::CodecError, hash::MeshId, name::Name};

/// A refusal changes nothing but a counter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Over the limit of a record.
    #[error("a record of {bytes} bytes, at most 65536 are accepted")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not decodable, or not canonical.
    #[error("not a record: {0}")]
    Encoding(#[from] CodecError),
    /// A version or kind from a later protocol.
    #[error("version {v}, kind {kind} is not known here")]
    UnknownKind {
        /// Version.
        v: u8,
        /// Kind.
        kind: u8,
    },
    /// Signatures unsorted, repeated or too many.
    #[error("the signatures are not strictly increasing by key")]
    Signatures,
    /// A field breaks its rule.
    #[error("{field}: {rule}")]
    Field {
        /// Which.
        field: &'static str,
        /// What holds for it.
        rule: &'static str,
    },
    /// Signed for another mesh.
    #[error("a record of mesh {theirs}, this is {ours}")]
    OtherMesh {
        /// The record's.
        theirs: MeshId,
        /// This node's.
        ours: MeshId,
    },
    /// The genesis Root does not hash to the mesh id.
    #[error("this is not the genesis of mesh {ours}")]
    NotTheGenesis {
        /// This node's mesh.
        ours: MeshId,
    },
    /// Not enough keys of the role.
    #[error("{valid} valid signatures of role keys, {threshold} are needed")]
    Threshold {
        /// Distinct keys of the role whose signature verifies.
        valid: usize,
        /// What the Root asks.
        threshold: u16,
    },
    /// A signature under a role key does not verify.
    #[error("a signature does not verify")]
    BadSignature,
    /// No role may sign this kind for this channel.
    #[error("no role of the newest root may sign this")]
    NoRole,
    /// A second Root for one version.
    #[error("root version {version} is already another one")]
    RootFork {
        /// Which.
        version: u64,
    },
    /// The Root does not follow the one before it.
    #[error("root version {version} does not name the one before it")]
    RootChain {
        /// Which.
        version: u64,
    },
    /// From an epoch that a Root ended.
    #[error("channel {channel} is in epoch {current}, this head is of {epoch}")]
    Epoch {
        /// Where.
        channel: Name,
        /// The head's.
        epoch: u64,
        /// The Root's.
        current: u64,
    },
    /// The head names predecessors that do not belong to its place.
    #[error("head {seq} of {channel} does not follow from what it names")]
    HeadChain {
        /// Where.
        channel: Name,
        /// Its place.
        seq: u64,
    },
    /// The history that the head signs is not the one that is known.
    #[error("head {seq} of {channel} signs another history")]
    History {
        /// Where.
        channel: Name,
        /// Its place.
        seq: u64,
    },
    /// The release is older than the floor allows.
    #[error("security counter {counter} is below the floor {floor} of {channel}")]
    BelowFloor {
        /// Where.
        channel: Name,
        /// The release's.
        counter: u64,
        /// What was signed before.
        floor: u64,
    },
    /// A bound of the verifier's memory is reached.
    #[error("no room for more {what}")]
    Full {
        /// Of what.
        what: &'static str,
    },
}

impl Refusal {
    /// The class of attack that such a record looks like.
    pub fn attack(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::Full { .. } => "endless data",
            Self::Encoding(_) | Self::Signatures | Self::Field { .. } => "malformed record",
            Self::UnknownKind { .. } => "unknown kind",
            Self::OtherMesh { .. } | Self::NotTheGenesis { .. } => "replay from another mesh",
            Self::Threshold { .. } | Self::BadSignature | Self::NoRole => "arbitrary software",
            Self::RootFork { .. } | Self::RootChain { .. } => "root substitution",
            Self::Epoch { .. } => "fast-forward",
            Self::HeadChain { .. } | Self::History { .. } => "mix-and-match",
            Self::BelowFloor { .. } => "rollback",
        }
    }
}
