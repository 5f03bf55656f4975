//! What a node is told at its creation, and what it tells about itself.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use weft_record::{ChunkMap, Hash, JoinRequest, MeshId, Name, RecordId, TimeFloor};

use crate::{
    courier::CourierStatus,
    io::Slots,
    limit::{Caps, LimitedBy, Limits},
    message::Peer,
};

/// Fixed at creation.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node's key.
    pub key: Peer,
    /// The mesh it belongs to or joins.
    pub mesh_id: MeshId,
    /// Channels it follows, at most [`crate::bounds::CHANNELS`].
    pub channels: Vec<Name>,
    /// Quantizations it prefers, best first; then the order of the release.
    pub variant_preference: Vec<Name>,
    /// What this machine is, as the driver measured it.
    pub facts: Facts,
    /// What transfers may take.
    pub limits: Limits,
    /// Seeds every random choice of the core.
    pub seed: u64,
    /// Seconds since 1970 at `now_us == 0`, by the system's clock.
    pub wall_at_zero_s: u64,
    /// What a clock on the wall shows at `now_us == 0`: seconds since 1970 began there.
    pub local_at_zero_s: u64,
    /// With what it asks to be enrolled, while it is not.
    pub invitation: Option<JoinRequest>,
    /// This node's driver answers [`crate::Output::Enroll`].
    pub registrar: bool,
    /// Nothing new is activated while the newest root has run out; else it is only told.
    pub refuse_new_when_stale: bool,
    /// Releases whose files stay, whatever the channels say.
    pub pinned: BTreeSet<RecordId>,
}

/// Measured facts that a release's requirements are held against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// `x86_64`, `aarch64`, …
    pub architecture: String,
    /// Memory of the machine.
    pub ram_bytes: u64,
    /// Free space for models.
    pub disk_bytes: u64,
    /// Instruction sets, such as `avx2`.
    pub isa: Vec<String>,
}

/// What the store held when the node started.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Encoded envelopes, in the order they were saved.
    pub records: Vec<Vec<u8>>,
    /// Slots of each channel.
    pub slots: Vec<(Name, Slots)>,
    /// Files, complete or not.
    pub files: Vec<RestoredFile>,
    /// What it knew of time.
    pub clock: Option<TimeFloor>,
}

/// A file that the store knows.
#[derive(Clone, Debug)]
pub struct RestoredFile {
    /// BLAKE3 of the whole.
    pub file: Hash,
    /// Length in bytes.
    pub length: u64,
    /// Its chunks.
    pub map: Arc<ChunkMap>,
    /// Whether the core once compared its digest and marked it complete.
    pub complete: bool,
    /// When it came or was last in a slot, in seconds since 1970, as the store read its clock;
    /// what rises with each use where that clock does not. 0: not known.
    pub used_s: u64,
}

/// What a node tells about itself. No prompt, no answer, nothing of other nodes' counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the newest Root, if any is known.
    pub root_version: Option<u64>,
    /// The newest Root.
    pub root: Option<RecordId>,
    /// Whether this node belongs to the mesh.
    pub standing: NodeStanding,
    /// How far it came with joining, while it has an invitation and does not belong yet.
    pub joining: Option<JoiningStatus>,
    /// What it knows of time.
    pub time: TimeStatus,
    /// A neighbour remembers that this node once held more than its disk did at its start:
    /// for people, and who says so.
    pub restored_from_older_image: Option<String>,
    /// Heads that a beacon names and that did not come: channel and place.
    pub withheld: Vec<(Name, u64)>,
    /// Peers that showed that they belong to the mesh.
    pub members: Vec<Peer>,
    /// Each followed channel.
    pub channels: Vec<ChannelStatus>,
    /// What the owner lets transfers take.
    pub limits: Limits,
    /// The caps that count at the moment...
    pub caps: Caps,
    /// ...and why, if others stand first in the limits.
    pub limited_by: Option<LimitedBy>,
    /// Records refused since the start.
    pub records_refused: u64,
    /// Chunks thrown away because their digest was wrong, since the start.
    pub chunks_corrupt: u64,
    /// Chunk bytes sent to peers since the start.
    pub bytes_served: u64,
    /// Chunk bytes sent to each peer since the start.
    pub bytes_served_by_peer: Vec<(Peer, u64)>,
    /// Peers let go for what they sent, since the start.
    pub peers_let_go: u64,
}

/// Whether a node belongs to its mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStanding {
    /// It is enrolled.
    Member,
    /// Its enrolment ran out or lost its signer: it may only be mended.
    Lapsed,
    /// It asks to be enrolled.
    Joining,
    /// It was never enrolled and does not ask, or was revoked.
    Stranger,
}

/// How far a node came with joining.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoiningStatus {
    /// Peers that were asked so far.
    pub asked_peers: u64,
    /// What somebody answered last, if it was no.
    pub refused: Option<String>,
}

/// What a node knows of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeStatus {
    /// Whether the newest root is still to be believed the newest.
    pub state: Freshness,
    /// The least time that was signed or passed, in seconds since 1970.
    pub floor_s: u64,
    /// Now: the later of that and the system's clock.
    pub now_s: u64,
}

/// Whether what a node knows is still to be believed the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// Within the validity of the newest root.
    Fresh,
    /// The root, or this node's enrolment, should have been renewed. What is active stays.
    Stale,
    /// No root yet, or a system clock that stands before the root was signed.
    Unknown,
}

/// One followed channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// Its name.
    pub channel: Name,
    /// Sequence number of the newest accepted head.
    pub seq: Option<u64>,
    /// The release that head names.
    pub target: Option<RecordId>,
    /// Active release.
    pub active: Option<RecordId>,
    /// Previous release, to which the node can go back.
    pub previous: Option<RecordId>,
    /// Where the target stands.
    pub phase: Phase,
    /// The courier that is expected.
    pub courier: Option<CourierStatus>,
    /// Progress of the fetch, if one was needed.
    pub fetch: Option<FetchStatus>,
    /// Why it waits, for people; empty when nothing is wrong.
    pub reason: String,
}

/// Where a channel's target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No head known.
    Idle,
    /// Records, chunk maps or chunks are missing.
    Fetching,
    /// All bytes are here; the whole files are being hashed or the slot built.
    Staging,
    /// The signed prompts run.
    Probing,
    /// Active, the soak runs.
    Soaking,
    /// Active.
    Active,
    /// The target failed here, or does not fit; what was active still is.
    Refused,
    /// Two heads contend.
    Forked,
    /// Every release that the channel named no longer counts.
    Withdrawn,
}

/// Progress of one fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchStatus {
    /// Bytes of all files of the variant.
    pub bytes_total: u64,
    /// Bytes verified and held.
    pub bytes_held: u64,
    /// Of these, found in partial files of an earlier run.
    pub bytes_resumed: u64,
    /// Of these, copied from other files of the store.
    pub bytes_reused: u64,
    /// Of these, made from other files of the store and deltas.
    pub bytes_made: u64,
    /// Fetched from peers since this node started, of the files and of their deltas.
    pub bytes_fetched: u64,
    /// Deltas of the release that are being fetched.
    pub deltas_open: u64,
    /// Fetched although they were already held (late answers of two peers).
    pub bytes_duplicate: u64,
    /// Chunks in all.
    pub chunks_total: u64,
    /// Chunks verified and held.
    pub chunks_held: u64,
    /// Chunks that came from each peer since this node started.
    pub chunks_by_peer: Vec<(Peer, u64)>,
}
