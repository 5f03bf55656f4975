use weft_keys::{KeyError, PublicKey};

use crate::{Kind, MeshId, Name, NameError, RecordId, codec::CodecError};

/// Why a record is refused. Nothing of a refused record is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Longer than any record.
    #[error("a record of {bytes} bytes is longer than the {limit} allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Not the canonical encoding of a record.
    #[error("the {part} cannot be decoded: {source}")]
    Malformed {
        /// Envelope, or the kind of its body.
        part: &'static str,
        /// What is wrong.
        source: CodecError,
    },
    /// A version of the envelope that this node does not know.
    #[error("envelope version {0} is not known here")]
    UnknownVersion(u8),
    /// A kind of record that this node does not know.
    #[error("record kind {0} is not known here")]
    UnknownKind(u8),
    /// A signature by a key that must not be used.
    #[error("a signature's key is refused: {0}")]
    WeakKey(KeyError),
    /// Signatures are not sorted by key, one a key.
    #[error("signatures are not sorted by key, one a key")]
    UnsortedSignatures,
    /// More signatures than any record needs.
    #[error("{0} signatures are too many")]
    TooManySignatures(usize),
    /// A record of another mesh.
    #[error("the record is of mesh {found}, this is mesh {expected}")]
    OtherMesh {
        /// The record's.
        found: MeshId,
        /// The verifier's.
        expected: MeshId,
    },
    /// A field with a value that is not allowed.
    #[error("the {kind} is not valid: {source}")]
    Invalid {
        /// What it is.
        kind: Kind,
        /// What is wrong with it.
        source: Invalid,
    },
    /// No role may sign this kind for this channel.
    #[error("no role may sign a {kind} for channel {}", channel_text(channel.as_ref()))]
    OutOfScope {
        /// What it is.
        kind: Kind,
        /// The channel, if the kind has one.
        channel: Option<Name>,
    },
    /// A key that counts has signed something else.
    #[error("the signature of key {0} is not over this record")]
    BadSignature(PublicKey),
    /// Too few keys that count have signed.
    #[error("{have} of the {need} signatures needed for a {kind}")]
    BelowThreshold {
        /// What it is.
        kind: Kind,
        /// Distinct keys of the role that signed.
        have: usize,
        /// The threshold.
        need: usize,
    },
    /// A root that says it follows another than the one accepted here.
    #[error("root {version} does not follow the root {expected} accepted here")]
    RootDoesNotFollow {
        /// Its version.
        version: u64,
        /// The root before it, as accepted.
        expected: RecordId,
    },
    /// Two roots of one version, both signed by a threshold.
    #[error("root {version} was accepted with another content: {accepted}")]
    RootConflict {
        /// Their version.
        version: u64,
        /// The one accepted first.
        accepted: RecordId,
    },
    /// A reset that takes a channel back to an earlier epoch, or changes one that stands.
    #[error("channel {channel} is at epoch {current}, the reset says {epoch}")]
    ResetGoesBack {
        /// The channel.
        channel: Name,
        /// The epoch accepted.
        current: u64,
        /// The epoch of the reset.
        epoch: u64,
    },
    /// A head of an epoch that a reset has ended.
    #[error("channel {channel} is at epoch {current}, the head is of epoch {epoch}")]
    EpochPast {
        /// The channel.
        channel: Name,
        /// The epoch accepted.
        current: u64,
        /// The head's.
        epoch: u64,
    },
    /// A head that does not follow the heads it names.
    #[error("head {seq} of channel {channel} does not follow what it names")]
    BrokenChain {
        /// The channel.
        channel: Name,
        /// The head's place.
        seq: u64,
    },
    /// A head whose history is not the one accepted here.
    #[error("head {seq} of channel {channel} names another history than the accepted one")]
    OtherHistory {
        /// The channel.
        channel: Name,
        /// The head's place.
        seq: u64,
    },
    /// A proof that does not show that a head continues the line.
    #[error("the proof does not show that head {seq} of channel {channel} continues the line here")]
    BadProof {
        /// The channel.
        channel: Name,
        /// The head's place.
        seq: u64,
    },
    /// A key that was revoked has signed it.
    #[error("key {0}, which was revoked, has signed it")]
    RevokedKey(PublicKey),
    /// A task that gives less privacy than the root asks for, or whose aggregators have
    /// one owner.
    #[error("the task gives too little privacy: {0}")]
    Privacy(&'static str),
    /// An aggregate that is not what its task asks for.
    #[error("the aggregate does not fit its task")]
    OtherTask,
    /// A head that lowers the security floor.
    #[error("channel {channel} is at floor {current}, the head lowers it to {floor}")]
    FloorLowered {
        /// The channel.
        channel: Name,
        /// The floor accepted.
        current: u64,
        /// The head's.
        floor: u64,
    },
    /// A head whose release is older than the floor allows.
    #[error("the release has counter {counter}, channel {channel} allows {floor} and above")]
    BelowFloor {
        /// The channel.
        channel: Name,
        /// The release's security counter.
        counter: u64,
        /// The floor.
        floor: u64,
    },
    /// More records than a verifier keeps.
    #[error("no more than {limit} {what} are kept")]
    Full {
        /// Of what there are too many.
        what: &'static str,
        /// How many are kept.
        limit: usize,
    },
}

impl Refusal {
    /// Whether only a peer that means harm, or is broken, can have sent it: no honest node
    /// ever accepted it, whatever it knew. All other refusals depend on what is known
    /// here, so that an honest peer may be behind, or ahead.
    pub const fn is_senders_fault(&self) -> bool {
        matches!(
            self,
            Self::TooLong { .. }
                | Self::Malformed { .. }
                | Self::Invalid { .. }
                | Self::WeakKey(_)
                | Self::UnsortedSignatures
                | Self::TooManySignatures(_)
                | Self::BadSignature(_)
                | Self::OtherMesh { .. }
                | Self::BadProof { .. }
        )
    }

    /// The class of attack that this looks like; an honest peer with a broken disk
    /// looks the same.
    pub const fn attack(&self) -> &'static str {
        match self {
            Self::TooLong { .. } | Self::TooManySignatures(_) | Self::Full { .. } => "endless data",
            Self::Malformed { .. }
            | Self::Invalid { .. }
            | Self::UnsortedSignatures
            | Self::BadSignature(_) => "tampering",
            Self::UnknownVersion(_) | Self::UnknownKind(_) => "unknown record",
            Self::WeakKey(_) => "weak key",
            Self::OtherMesh { .. } => "replay to another mesh",
            Self::OutOfScope { .. } | Self::BrokenChain { .. } => "mix-and-match",
            Self::BelowThreshold { .. } | Self::RevokedKey(_) => "key compromise below threshold",
            Self::Privacy(_) | Self::OtherTask => "forged aggregate",
            Self::RootDoesNotFollow { .. } | Self::RootConflict { .. } => {
                "key compromise at threshold"
            }
            Self::OtherHistory { .. } | Self::BadProof { .. } => "equivocation",
            Self::ResetGoesBack { .. }
            | Self::EpochPast { .. }
            | Self::FloorLowered { .. }
            | Self::BelowFloor { .. } => "rollback",
        }
    }
}

/// Which rule a record's field breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// A list or text that is too long, too short or empty.
    #[error("{field} has {found} entries or bytes, allowed are {least} to {most}")]
    Length {
        /// Which field.
        field: &'static str,
        /// Its length.
        found: usize,
        /// The least allowed.
        least: usize,
        /// The most allowed.
        most: usize,
    },
    /// A list that must be strictly increasing is not.
    #[error("{0} are not sorted, each once")]
    Unsorted(&'static str),
    /// A number outside its range.
    #[error("{field} is {found}, allowed are {least} to {most}")]
    Number {
        /// Which field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
    },
    /// A path that could leave its folder, or collides with another.
    #[error("the path {0:?} is not allowed")]
    Path(String),
    /// A delta that is of no use.
    #[error("a delta is of no use: {0}")]
    Delta(&'static str),
    /// A display version that is none.
    #[error("{0:?} is not a version such as 1.2.3")]
    Version(String),
    /// Text with control characters.
    #[error("{0} holds control characters")]
    Text(&'static str),
    /// A name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A field that must agree with another one does not.
    #[error("{0}")]
    Contradiction(&'static str),
}

fn channel_text(channel: Option<&Name>) -> &str {
    channel.map_or("(none)", Name::as_str)
}
