//! What the admin API says: the same types on the server's and the client's side.

use serde::{Deserialize, Serialize};
use weft_core::{Event, Kept, NodeStanding, Peer, Status};
use weft_record::{Hash, Label, MeshId, Name, RecordId};

/// Version of these shapes; grows when one changes its meaning.
pub const SCHEMA: u32 = 1;

/// `GET /weft/v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// weft's version.
    pub version: String,
    /// The node's process.
    pub pid: u32,
    /// Time since its start.
    pub uptime_ms: u64,
    /// The mesh.
    pub mesh_id: MeshId,
    /// The node's key.
    pub key: Peer,
    /// The same key as libp2p writes it.
    pub peer_id: String,
    /// Addresses at which others reach it, each with `/p2p/…`.
    pub listen: Vec<String>,
    /// How others from beyond the LAN get to it.
    pub reachability: ReachabilityReport,
    /// What is wrong with places that it dials.
    pub places: Vec<PlaceReport>,
    /// Its own enrolment, if it has one.
    pub enrolment: Option<EnrolmentReport>,
    /// Whether it enrolls others.
    pub registrar: bool,
    /// Bytes fetched a second, over the last few seconds.
    pub fetch_bytes_per_sec: u64,
    /// What chunks and chunk maps moved since its start.
    pub traffic: TrafficReport,
    /// Which model each channel runs.
    pub models: Vec<ModelReport>,
    /// Releases whose files stay when room is made.
    pub pins: Vec<PinReport>,
    /// What the core tells.
    pub node: Status,
}

/// Payload that passed, with what was begun and not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficReport {
    /// Received over the uplink.
    pub uplink_bytes_in: u64,
    /// Sent over the uplink.
    pub uplink_bytes_out: u64,
    /// Received over the LAN.
    pub lan_bytes_in: u64,
    /// Sent over the LAN.
    pub lan_bytes_out: u64,
}

/// How others get to a node, and whether it helps others to get to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachabilityReport {
    /// How members from beyond the LAN get to it.
    pub way: WayIn,
    /// Whether it is a relay for members that cannot dial each other.
    pub relays: bool,
    /// Over what it is connected with others.
    pub links: LinksReport,
}

/// Connected peers, by what their bytes come over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinksReport {
    /// The local network.
    pub lan: usize,
    /// The site's uplink.
    pub uplink: usize,
    /// The uplink, and a member that carries them.
    pub relayed: usize,
}

/// How members from beyond the LAN get to a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WayIn {
    /// None of them has tried yet.
    #[default]
    Unknown,
    /// They dial it.
    Direct,
    /// Through a relay.
    Relayed,
    /// Not at all: it dials them.
    DialOut,
}

/// A place that this node dials, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceReport {
    /// Where, without the peer's name.
    pub address: String,
    /// What it is.
    pub problem: PlaceProblem,
    /// The same for people.
    pub text: String,
}

/// What can be wrong with a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceProblem {
    /// Nobody answers.
    Unreachable,
    /// Another node answers than the one that is expected there.
    OtherNode,
    /// The node there belongs to another mesh.
    OtherMesh,
}

/// `GET /weft/v1/enrolments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentsReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The newest enrolment of each node that is known here.
    pub enrolments: Vec<EnrolmentReport>,
}

/// One enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentReport {
    /// The node's key.
    pub node: Peer,
    /// The same key as libp2p writes it.
    pub peer_id: String,
    /// Where it stands.
    pub site: Name,
    /// Whose it is.
    pub owner: Name,
    /// What else is said of it.
    pub labels: Vec<Label>,
    /// Its class of hardware.
    pub class: Name,
    /// How often it was enrolled before.
    pub number: u32,
    /// Until when it counts, in seconds since 1970.
    pub expires_s: u64,
    /// Whether it counts now.
    pub standing: NodeStanding,
}

/// `POST /weft/v1/invite`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteRequest {
    /// The site that the node will be at.
    pub site: Name,
    /// Labels that it will have.
    #[serde(default)]
    pub labels: Vec<Label>,
    /// For how long the invitation can be used.
    pub expires_in_s: u64,
    /// Where members listen; none: where this node does.
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// An invitation that was made; its text holds a secret and is told only once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The text that `weft mesh join` takes.
    pub invitation: String,
    /// Where the node will look for the mesh.
    pub addresses: Vec<String>,
    /// Until when it can be used, in seconds since 1970.
    pub expires_s: u64,
}

/// The models of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelReport {
    /// The channel.
    pub channel: Name,
    /// The release that is active.
    pub active: Option<ReleaseReport>,
    /// The release that the newest head names.
    pub target: Option<ReleaseReport>,
    /// Whether the active model is loaded and takes prompts.
    pub answering: bool,
    /// Why it is not, for people; empty when it is or nothing is active.
    pub reason: String,
}

/// A release by its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseReport {
    /// Its record.
    pub release: RecordId,
    /// The model's name.
    pub model: String,
    /// Its version.
    pub version: String,
}

/// `GET /weft/v1/peers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeersReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Those connected now.
    pub peers: Vec<PeerReport>,
}

/// One connected peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReport {
    /// Its key.
    pub key: Peer,
    /// Whether it has proved that it belongs to the mesh.
    pub member: bool,
    /// Chunks that came from it in the fetches shown by the status.
    pub chunks: u64,
}

/// `GET /weft/v1/events?after=N`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsReport {
    /// Events between `after` and the first one here that are no longer kept.
    pub lost: u64,
    /// Oldest first.
    pub events: Vec<EventEntry>,
}

/// One numbered event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventEntry {
    /// Counts from 1 at the node's start; not named `seq`, as heads have one.
    pub number: u64,
    /// Time since the node's start.
    pub uptime_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// `GET /weft/v1/records`: every admitted envelope, in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Encoded envelopes, in an order that admits cleanly.
    pub records: Vec<String>,
}

impl RecordsReport {
    /// The envelopes' bytes; `None` if one is not hexadecimal.
    pub fn decoded(&self) -> Option<Vec<Vec<u8>>> {
        self.records
            .iter()
            .map(|text| crate::hex::decode(text))
            .collect()
    }
}

impl RecordsReport {
    /// The envelopes as bytes; `None` if one of them is not written in hexadecimal.
    pub fn envelopes(&self) -> Option<Vec<Vec<u8>>> {
        self.records
            .iter()
            .map(|record| crate::hex::decode(record))
            .collect()
    }
}

/// `POST /weft/v1/import`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRequest {
    /// Absolute path of a bundle that the node's process can read.
    pub path: std::path::PathBuf,
}

/// What an import came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Records in the bundle.
    pub records: u64,
    /// Records that the node refused, with the reason for each.
    pub refused: Vec<String>,
    /// Chunks that the node took from the bundle.
    pub chunks_taken: u64,
    /// Bytes of these.
    pub bytes_taken: u64,
    /// What became of each channel that the bundle has a head for.
    pub channels: Vec<ImportedChannel>,
}

impl ImportReport {
    /// Whether everything in the bundle was accepted and every followed channel
    /// runs what the bundle names.
    pub fn succeeded(&self) -> bool {
        self.refused.is_empty()
            && self.channels.iter().all(|channel| {
                matches!(
                    channel.outcome,
                    ImportOutcome::Activated
                        | ImportOutcome::AlreadyActive
                        | ImportOutcome::NotFollowed
                )
            })
    }
}

/// `POST /weft/v1/expect`: a courier is known to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectRequest {
    /// Whose newest release it brings.
    pub channel: Name,
    /// Within so many seconds; without it none is expected any more.
    pub in_s: Option<u64>,
}

/// `GET /weft/v1/wants`: what a site has of files and chunks, so that who brings it a bundle
/// leaves that out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantsReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The mesh.
    pub mesh_id: MeshId,
    /// Files that are there whole: deltas from them are of use.
    pub files: Vec<Hash>,
    /// Chunks that are there, of these and of other files.
    pub chunks: Vec<Hash>,
}

/// `POST /weft/v1/gc`: what is to be deleted; nothing said is all that nothing needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectRequest {
    /// Only tell what would go.
    #[serde(default)]
    pub dry_run: bool,
    /// No more than it takes to have so much of the disk free.
    #[serde(default)]
    pub keep_free_bytes: Option<u64>,
    /// Only what was not used for so long.
    #[serde(default)]
    pub unused_for_s: Option<u64>,
}

/// What was deleted, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Nothing was deleted.
    pub dry_run: bool,
    /// What goes, in this order.
    pub goes: Vec<StockReport>,
    /// What stays: what is needed, then what nothing needs and may stay.
    pub stays: Vec<StockReport>,
    /// Files that were deleted, or would be; with what an earlier run left.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes of what stays.
    pub stays_bytes: u64,
    /// What the disk has free now.
    pub free_bytes: u64,
}

/// Files of one release that share one fate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReport {
    /// Whose they are; none: of no release that is known.
    pub release: Option<ReleaseReport>,
    /// By their BLAKE3.
    pub files: Vec<Hash>,
    /// Bytes that are here of them.
    pub bytes: u64,
    /// When they came or were last in a slot, in seconds since 1970; 0: not known.
    pub used_s: u64,
    /// Why they stay; nothing: nothing needs them.
    pub kept: Vec<Kept>,
}

/// `POST /weft/v1/pin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinRequest {
    /// Which release.
    pub release: RecordId,
    /// Whether its files stay from now on.
    pub pinned: bool,
}

/// What is pinned now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinsReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Files of the release that was asked for that are here and stay.
    pub files: u64,
    /// All that is pinned.
    pub pins: Vec<PinReport>,
}

/// A release whose files stay when room is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinReport {
    /// Its record.
    pub release: RecordId,
    /// Its names, if it is known here.
    pub named: Option<ReleaseReport>,
    /// Where that stands.
    pub by: PinnedBy,
}

/// Where it stands that a release is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinnedBy {
    /// In `store.pinned` of node.toml.
    Settings,
    /// In the store, by `weft pin`.
    Command,
}

/// What became of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedChannel {
    /// The channel.
    pub channel: Name,
    /// The newest sequence number in the bundle.
    pub seq: u64,
    /// The release which that head names.
    pub release: RecordId,
    /// How it ended.
    pub outcome: ImportOutcome,
    /// Why, for people; empty when it went well.
    pub reason: String,
}

/// How an import ended for one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportOutcome {
    /// It is active now.
    Activated,
    /// It was active before.
    AlreadyActive,
    /// This node does not follow the channel; the records are kept.
    NotFollowed,
    /// The node knows a newer head of this channel.
    Superseded,
    /// The head was not accepted.
    HeadRefused,
    /// The release was fetched and did not pass, or does not fit this node.
    ReleaseRefused,
    /// Two heads contend for one place.
    Forked,
    /// The bundle and the peers together do not hold all of it yet.
    Incomplete,
}

/// An answer that has nothing more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Always true.
    pub ok: bool,
}

/// The body of every error of the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// What went wrong, for people.
    pub error: String,
    /// A word for programs.
    pub code: String,
}
