//! What goes into the core and what comes out: the whole contract with a driver.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use weft_record::{ChunkMap, Hash, JoinRequest, Name, Probe, RecordId, TimeFloor};

use crate::{
    limit::{Caps, Limits},
    message::{ChunkRef, Message, Peer},
};

/// Names one operation that a driver was asked to do; its outcome comes back
/// under the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// What a driver hands in.
#[derive(Clone, Debug)]
pub enum Input<P> {
    /// The owner or an admin asks for something.
    Command(Command),
    /// A connection to a peer stands (its key is proven by the transport), by this way.
    PeerUp(Peer, Path),
    /// The owner attached a bundle, which speaks as this peer from now on: it is taken for
    /// the owner's word, so it shows no enrolment and may give everything. It is asked, and
    /// never told anything but Want and Get.
    BundleUp(Peer),
    /// The last connection to a peer, or a bundle, is gone.
    PeerDown(Peer),
    /// A message from a connected peer.
    Message(Peer, Message<P>),
    /// An announcement that came by gossip: one encoded envelope of any kind.
    Gossip(Vec<u8>),
    /// An operation is done.
    Done(OpId, Outcome<P>),
    /// The deadline has come, or the driver wants timers looked at.
    Tick,
}

/// How the bytes of a peer get here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// Over the local network: it costs nothing, and may be asked at will.
    #[default]
    Lan,
    /// Over the site's uplink: each byte comes once for all of the site.
    Wan,
    /// Over the uplink and that of another member, which carries it: chunks only where there
    /// is no other way.
    Relayed,
}

/// Requests of the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Admit these encoded envelopes, as if a peer had sent them, and announce new heads.
    Import(Vec<Vec<u8>>),
    /// Let transfers take this from now on.
    Limit(Limits),
    /// A courier is known to bring what this channel lacks, and is waited for until this time
    /// on the clock of `handle`; `None`: no longer.
    Expect(Name, Option<u64>),
    /// A clock on the wall shows so much at `now_us == 0`, see [`crate::Config::local_at_zero_s`]:
    /// the hour has changed for the summer, or somebody has set the clock.
    LocalTime(u64),
    /// The model in the active slot of this channel misbehaved while it answered
    /// (non-finite logits, a file that no longer reads): probe it again now.
    Suspect(Name),
    /// The files of these releases stay, in place of those of the last such command and of
    /// [`crate::Config::pinned`].
    Pin(BTreeSet<RecordId>),
    /// Delete what nothing needs; see [`crate::Node::stock`] for what that would be.
    Collect(Wish),
}

/// How much the owner wants collected; nothing said is all that nothing needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// No more than frees so many bytes, the least useful first.
    pub bytes: Option<u64>,
    /// Only what was not used since then, in seconds since 1970.
    pub unused_since_s: Option<u64>,
}

/// What a driver must do next. Every variant with an [`OpId`] is answered by
/// exactly one [`Input::Done`].
#[derive(Clone, Debug)]
pub enum Output<P> {
    /// Send to a connected peer; dropped if it is gone.
    Send(Peer, Message<P>),
    /// Spread an announcement (one encoded envelope: a Head, Root, Revoke or Control, of at
    /// most [`crate::bounds::ANNOUNCEMENT_BYTES`]) by gossip.
    Broadcast(Vec<u8>),
    /// This connected peer may take part from now on, or no longer: only such peers are in
    /// gossip and are served chunks. Not told again when a peer's connection ends.
    Admitted(Peer, bool),
    /// Close the connection to this peer; a stranger is not dialled or accepted again for a while.
    Disconnect(Peer, DisconnectReason),
    /// Do something with the disk.
    Disk(OpId, Disk<P>),
    /// Compute the BLAKE3 of these bytes: answer [`Outcome::Digest`].
    Hash(OpId, P),
    /// Run these prompts on a slot's model: answer [`Outcome::Probed`].
    Probe(OpId, ProbeRequest),
    /// Hold this request against the invitations given out here, and enroll its node if it
    /// is in order: answer [`Outcome::Enrolled`]. Only where [`crate::Config::registrar`] is set.
    Enroll(OpId, JoinRequest),
    /// Transfers under way keep to these caps from now on; until the first of these nothing
    /// is capped. Where a cap is 0, what is under way is given up.
    Limit {
        /// Most bytes a second.
        caps: Caps,
        /// Chunks over the uplink give way to whatever else needs it.
        background: bool,
    },
    /// Something worth showing or logging.
    Event(Event),
}

/// Why a peer is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisconnectReason {
    /// It is of another mesh, or did not show in time that it belongs to this one, or was revoked.
    Stranger,
    /// It sent a chunk or blob whose digest is not the one asked for.
    CorruptData,
    /// It broke the protocol, or flooded.
    Misbehaved,
    /// This node already has as many peers as it keeps; not the peer's fault.
    Full,
}

/// Disk work; the store does it in the order given for one file or slot.
#[derive(Clone, Debug)]
pub enum Disk<P> {
    /// Keep these admitted envelopes (encoded), durable before the answer [`Outcome::Saved`].
    SaveRecords(Vec<Vec<u8>>),
    /// Read a blob: answer [`Outcome::Blob`].
    ReadBlob(Hash),
    /// Keep a blob whose digest the core has compared: answer [`Outcome::Written`].
    WriteBlob(Hash, P),
    /// Open or create the file in its final layout, fill in what the store holds
    /// elsewhere, hash every chunk that is present: answer [`Outcome::Opened`].
    OpenFile {
        /// The file's BLAKE3: also its name on disk.
        file: Hash,
        /// Length in bytes.
        length: u64,
        /// Its chunks.
        map: Arc<ChunkMap>,
    },
    /// Make what is lacking of an opened file from a complete one and a delta, which is
    /// complete too, and write each chunk whose digest is the map's: answer
    /// [`Outcome::Opened`] with these. What the delta does not give is left out.
    ApplyDelta(DeltaPlan),
    /// Write one verified chunk in place: answer [`Outcome::Written`].
    WriteChunk {
        /// Which chunk.
        chunk: ChunkRef,
        /// Its bytes.
        payload: P,
    },
    /// Make all chunks of the file written so far durable, and their bits: answer
    /// [`Outcome::Synced`].
    SyncFile(Hash),
    /// BLAKE3 of the whole file as it lies on disk: answer [`Outcome::Digest`].
    HashFile(Hash),
    /// Mark the file complete (the core compared its digest), durable: answer [`Outcome::Synced`].
    CompleteFile(Hash),
    /// Read one held chunk in order to serve it: answer [`Outcome::Chunk`].
    ReadChunk(ChunkRef),
    /// Build the staged slot of this channel from complete files: answer [`Outcome::Staged`].
    Stage(SlotPlan),
    /// Switch the staged slot to active, the active one to previous; atomic and
    /// durable: answer [`Outcome::Switched`].
    Activate(Name),
    /// Drop the active slot and switch the previous one back (or to none), remembering
    /// the head of the dropped slot as failed; atomic and durable: answer [`Outcome::Switched`].
    GoBack(Name),
    /// Drop the staged slot and remember its head as failed: answer [`Outcome::Switched`].
    DropStaged(Name),
    /// Drop the active slot, since it may no longer answer, and switch the previous one
    /// back (or to none). Atomic and durable: answer [`Outcome::Switched`].
    Withdraw {
        /// Whose slot.
        channel: Name,
        /// Drop the previous slot too, since it may not answer either.
        both: bool,
        /// The active one failed too, and its head is remembered so; else the same head may
        /// count again.
        failed: bool,
    },
    /// Keep what the node knows of time, in place of what was kept before; durable before
    /// the answer [`Outcome::Saved`]. It comes back in [`crate::Restored::clock`].
    SaveClock(TimeFloor),
    /// Delete every file but these, with its chunk map, also what an earlier run left of files
    /// that are not known, and every slot that is neither active, previous nor staged: answer
    /// [`Outcome::Collected`]. A crash may leave some of it, never a file that is known and has
    /// no bytes.
    Collect {
        /// By their BLAKE3.
        keep: BTreeSet<Hash>,
    },
}

/// A file to make, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaPlan {
    /// The file to make.
    pub file: Hash,
    /// Its length in bytes.
    pub length: u64,
    /// Its chunks.
    pub map: Arc<ChunkMap>,
    /// Of these, the ones that are not here.
    pub lacking: Vec<u32>,
    /// The file that the delta is taken from.
    pub base: Hash,
    /// The delta.
    pub delta: Hash,
}

/// A slot to build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotPlan {
    /// The channel whose slot it is.
    pub channel: Name,
    /// The head that asked for it.
    pub head: RecordId,
    /// The epoch of that head: a reset begins a newer one, in which it may not count.
    pub epoch: u64,
    /// The release.
    pub release: RecordId,
    /// Index of the variant in the release.
    pub variant: u32,
    /// Relative path in the slot and the complete file behind it.
    pub files: Vec<(String, Hash)>,
}

/// The slots of a channel as the store holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// Answers prompts.
    pub active: Option<SlotPlan>,
    /// What `GoBack` returns to.
    pub previous: Option<SlotPlan>,
    /// Complete, not yet proven.
    pub staged: Option<SlotPlan>,
    /// Heads whose release failed its probe here, oldest first: not tried again.
    /// A new head that names the same release gets a new try.
    pub failed: Vec<RecordId>,
}

impl Slots {
    /// What stands in them.
    pub fn plans(&self) -> impl Iterator<Item = &SlotPlan> {
        [&self.active, &self.previous, &self.staged]
            .into_iter()
            .flatten()
    }
}

/// Which slot to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotKind {
    /// Before activation.
    Staged,
    /// After activation, and at every start.
    Active,
}

/// Prompts to run greedily on a slot's model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRequest {
    /// Which slot.
    pub slot: SlotKind,
    /// Where its files are.
    pub plan: SlotPlan,
    /// The signed prompts.
    pub probes: Vec<Probe>,
}

/// What a probe run measured; the core compares, the driver never judges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeMeasurement {
    /// The greedy answer to each prompt, token ids.
    pub answers: Vec<Vec<u32>>,
    /// Decoding speed, thousandths of a token per second.
    pub tokens_per_sec_milli: u64,
    /// Peak memory of the loaded model.
    pub peak_memory_bytes: u64,
}

/// How an operation ended.
#[derive(Clone, Debug)]
pub enum Outcome<P> {
    /// Records, or the clock, are durable.
    Saved,
    /// The blob, if held.
    Blob(Option<P>),
    /// Written (not yet durable).
    Written,
    /// The chunks that are present and their digests as computed now.
    Opened(Vec<FoundChunk>),
    /// Durable.
    Synced,
    /// A computed digest.
    Digest(Hash),
    /// The chunk, if it could be read.
    Chunk(Option<P>),
    /// The staged slot stands.
    Staged,
    /// The switch is durable.
    Switched,
    /// So much was deleted.
    Collected {
        /// Files, whole or not.
        files: u64,
        /// Bytes of their chunks.
        bytes: u64,
    },
    /// The model ran.
    Probed(ProbeMeasurement),
    /// The encoded envelope that enrolls the node, or why it is not enrolled, for people.
    Enrolled(Result<Vec<u8>, String>),
    /// It did not work; nothing that was durable is lost.
    Failed(Failure),
}

/// A chunk found on disk when a file was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundChunk {
    /// Index in the chunk map.
    pub index: u32,
    /// Its digest, computed from the bytes as they lie in the file now.
    pub digest: Hash,
    /// Where it came from.
    pub source: ChunkSource,
}

/// Where a chunk that needs no network came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChunkSource {
    /// Lay in this very file from an earlier run.
    Resumed,
    /// Copied from another file in the store.
    Reused,
    /// Made from another file in the store and a delta.
    Made,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure, as far as the core must tell them apart.
    pub kind: FailureKind,
    /// Of a full disk: how much more room it would take, where that is known.
    pub lacking_bytes: Option<u64>,
    /// For people: what, where.
    pub text: String,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// No space left, or a quota reached: worth trying again later.
    DiskFull,
    /// The disk misbehaved.
    Disk,
    /// The model could not be loaded or run.
    Model,
}

/// What happened, for people and dashboards. Never holds a prompt or an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(missing_docs)] // the fields say what they are
pub enum Event {
    /// A peer proved that it belongs to the mesh.
    PeerJoined { peer: Peer },
    /// What nobody needs any more was deleted.
    Collected { files: u64, bytes: u64 },
    /// A peer left.
    PeerLeft { peer: Peer },
    /// A connection was a stranger's.
    StrangerDropped { peer: Peer },
    /// A node asks, by way of this peer, to be enrolled.
    JoinAsked { peer: Peer, node: Peer },
    /// This node asked to be enrolled, and somebody answered no.
    JoinRefused { reason: String },
    /// A node was enrolled here, or this node itself was.
    Enrolled { node: Peer, site: Name },
    /// A neighbour remembers that this node once held more than its disk did at its start:
    /// a head of the channel or, without one, a root, up to this number.
    MemoryOlder {
        peer: Peer,
        channel: Option<Name>,
        seq: u64,
    },
    /// A peer was let go and is refused for a while.
    PeerLetGo {
        peer: Peer,
        reason: String,
        score: u32,
    },
    /// A key or a release no longer counts.
    Revoked {
        key: Option<Peer>,
        release: Option<RecordId>,
        reason: String,
    },
    /// The active release of a channel lost its ground: it no longer answers.
    Withdrawn { channel: Name, release: RecordId },
    /// A record was refused; `attack` names what it looks like.
    RecordRefused {
        from: Option<Peer>,
        reason: String,
        attack: String,
    },
    /// A new head was accepted.
    HeadAccepted {
        channel: Name,
        seq: u64,
        head: RecordId,
        release: RecordId,
    },
    /// The courier that was expected did not come in time: the uplink is used again.
    CourierMissed { channel: Name },
    /// Two valid heads contend for one place: nothing new is activated.
    Forked { channel: Name },
    /// No variant of the release fits this node.
    NoVariant {
        channel: Name,
        release: RecordId,
        reason: String,
    },
    /// Fetching began or resumed.
    FetchStarted {
        channel: Name,
        release: RecordId,
        bytes_total: u64,
        bytes_resumed: u64,
        bytes_reused: u64,
    },
    /// A file is fetched as its difference from one that is here.
    DeltaChosen {
        file: Hash,
        base: Hash,
        bytes: u64,
        bytes_saved: u64,
    },
    /// What a delta gave: these bytes of the file are verified and stored.
    DeltaApplied { file: Hash, bytes_made: u64 },
    /// The delta did not come or was of no use; the rest is fetched chunk by chunk.
    DeltaLeft { file: Hash, reason: String },
    /// A chunk was verified and stored.
    ChunkStored {
        file: Hash,
        index: u32,
        length: u32,
        from: Peer,
    },
    /// A chunk's digest was not the signed one; it was thrown away.
    ChunkCorrupt { file: Hash, index: u32, from: Peer },
    /// Everything is here.
    FetchCompleted {
        channel: Name,
        release: RecordId,
        bytes_fetched: u64,
    },
    /// A probe ended.
    Probed {
        channel: Name,
        release: RecordId,
        passed: bool,
        reason: String,
    },
    /// A release is now active.
    Activated {
        channel: Name,
        release: RecordId,
        seq: u64,
    },
    /// The active release failed and the previous one is active again.
    WentBack {
        channel: Name,
        from: RecordId,
        to: Option<RecordId>,
        reason: String,
    },
    /// The disk refuses; fetching waits and tries again.
    DiskTrouble { text: String, retry_in_us: u64 },
}
