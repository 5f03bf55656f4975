//! Every bound of the core, in one place, each with its reason.

/// Longest encoded control message: a bitfield of the largest chunk map
/// (`weft_record::MAX_CHUNKS` bits) and a batch of records both fit.
pub const CONTROL_BYTES: usize = 512 * 1024;
/// Longest blob that is fetched whole (chunk maps): the largest chunk map's encoding.
pub const BLOB_BYTES: usize = 4 * 1024 * 1024;
/// Records sent in one message stay below this, so that they fit a control message.
pub const RECORDS_BYTES: usize = 256 * 1024;
/// Peers tracked at once; further connections are turned away. A node needs
/// few neighbours, and each costs a table row and a bitfield per file.
pub const PEERS: usize = 256;
/// Requests outstanding to one peer: enough to fill a 100 ms path at 100 MB/s
/// with chunks of 1 MiB.
pub const REQUESTS_PER_PEER: usize = 16;
/// Requests outstanding in all: bounds memory to this many chunks of 1 MiB.
pub const REQUESTS: usize = 64;
/// Chunk reads queued for one peer before it is told `Absent`.
pub const SERVES_PER_PEER: usize = 64;
/// A request unanswered for this long goes to another peer.
pub const REQUEST_TIMEOUT_US: u64 = 20_000_000;
/// A peer that does not belong may stand at the door for this long: time to catch up on
/// roots, or to be enrolled by somebody a few members away.
pub const DOOR_TIMEOUT_US: u64 = 60_000_000;
/// Peers at the door at once; the one that stands there longest makes room.
pub const DOOR_PEERS: usize = 64;
/// Head digests are exchanged at this interval, so that gossip is never needed.
pub const DIGEST_INTERVAL_US: u64 = 60_000_000;
/// Written chunks become durable after this many bytes...
pub const SYNC_BYTES: u64 = 16 * 1024 * 1024;
/// ...or after this long, whichever is first: what a power cut can cost.
pub const SYNC_INTERVAL_US: u64 = 1_000_000;
/// A full or failing disk is tried again after this long.
pub const DISK_RETRY_US: u64 = 5_000_000;
/// Soak: how long after activation the model is probed once more.
pub const SOAK_US: u64 = 5_000_000;
/// Heads remembered as failed here, a channel.
pub const FAILED_HEADS: usize = 32;
/// Channels followed by one node.
pub const CHANNELS: usize = 16;
/// Everybody was asked for a chunk map and nobody had it: ask again after this.
pub const BLOB_RETRY_US: u64 = 1_000_000;
/// Files of which one peer may want news: the files of a few releases at once.
pub const FILES_WANTED_PER_PEER: usize = 256;

/// Longest announcement: a Head, Control or Revoke, or a Root of a small mesh; longer
/// records come by catch-up alone.
pub const ANNOUNCEMENT_BYTES: usize = 32 * 1024;
/// Announcements from one batch of records; a batch brings a few new ones or, to a node
/// that was away, old ones that everybody has.
pub const ANNOUNCEMENTS_PER_BATCH: usize = 16;
/// Members that may pass on a request to join before it dies: a mesh of a hundred
/// thousand nodes with eight neighbours each is not wider.
pub const JOIN_HOPS: u8 = 8;
/// Longest reason in a message, for people.
pub const REASON_BYTES: usize = 200;
