//! Every bound of the core, in one place, each with its reason.

use crate::score::Rate;

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
/// Chunks asked of one peer at once: asking in runs costs less than one by one.
pub const REQUESTS_AT_ONCE: usize = 4;
/// Missing chunks among which the rarest are looked for, from a random place on: more
/// would make every request into a large file slow.
pub const CHUNKS_LOOKED_AT: usize = 1024;
/// What a node gained of a file is told at most this often...
pub const GAINED_PAUSE_US: u64 = 100_000;
/// ...in a fetch that takes long at most once in this part of the time that it took so
/// far: news that come so much later do not make it longer by more...
pub const GAINED_PAUSE_PART: u64 = 64;
/// ...and at least this often.
pub const GAINED_PAUSE_MOST_US: u64 = 1_000_000;
/// Nodes of a LAN that ask over the uplink for one file: one could have a bad way there, and
/// more would only share it.
pub const UPLINK_NODES: usize = 2;
/// Chunks that one node claims of one file: those on their way, and those not told yet.
pub const CHUNKS_CLAIMED: usize = REQUESTS + GAINED_CHUNKS;
/// What a node fetches over the uplink is left to it for this long...
pub const CLAIM_US: u64 = 12_000_000;
/// ...and is claimed again after this.
pub const CLAIM_RENEW_US: u64 = 4_000_000;
/// After it said that it reaches somebody beyond the LAN, a node waits for this long for
/// others to say the same...
pub const CLAIM_SETTLE_US: u64 = 300_000;
/// ...and after its start for this long, to find the others.
pub const LAN_SETTLE_US: u64 = 1_000_000;
/// When so many chunks came, they are told at once.
pub const GAINED_CHUNKS: usize = 16;
/// Chunk reads queued for one peer before it is told `Absent`.
pub const SERVES_PER_PEER: usize = 64;
/// A peer that was asked and delivered nothing for this long is given up on...
pub const REQUEST_TIMEOUT_US: u64 = 20_000_000;
/// ...and for as long as a chunk takes at this rate: many nodes may share a thin link, and
/// a chunk that is on its way must not be asked for again.
pub const SLOWEST_BYTES_PER_SEC: u64 = 16 * 1024;
/// What a late peer may still bring is looked out for so long.
pub const OVERDUE_US: u64 = 600_000_000;
/// A peer is waited for so many times as long as it took for its last chunk.
pub const PAUSES_WAITED: u64 = 2;
/// Requests outstanding to a peer that has not delivered yet; with each quick answer one
/// more, up to [`REQUESTS_PER_PEER`]...
pub const REQUESTS_AT_FIRST: u8 = 4;
/// ...and with each answer slower than this one fewer: what waits in a thin link's queue
/// can be asked of nobody else.
pub const SLOW_ANSWER_US: u64 = 4_000_000;
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
/// A delta of which nothing comes for this long is left, and chunks are fetched instead.
pub const DELTA_PATIENCE_US: u64 = 20_000_000;
/// Channels followed by one node.
pub const CHANNELS: usize = 16;
/// Everybody was asked for a chunk map and nobody had it: ask again after this. Whoever gets
/// it says so before, by asking for chunks.
pub const BLOB_RETRY_US: u64 = 5_000_000;
/// Chunk maps that wait for a full disk: those of one release of many files.
pub const BLOBS_UNWRITTEN: usize = 16;
/// Records of the owner that wait for what they build on; an admin hands in a few at once.
pub const UNPLACED: usize = 16;
/// Files of which one peer may want news: the files of a few releases at once.
pub const FILES_WANTED_PER_PEER: usize = 256;

/// While a courier is expected, the uplink is tried for this long...
pub const UPLINK_TRIAL_US: u64 = 10_000_000;
/// ...or, where nothing comes of it, for this long, in which a chunk of 1 MiB comes at 9 kB/s...
pub const UPLINK_TRIAL_MOST_US: u64 = 120_000_000;
/// ...and so long later again: a link that was down, or shared, is not believed to stay so,
/// and a thin one is used for this part of the time at most.
pub const UPLINK_TRIAL_EVERY_US: u64 = 1_800_000_000;

/// Windows of a timetable: one an hour of every day.
pub const WINDOWS: usize = 168;

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

/// Points for a record or message that no honest node sends...
pub const FAULT_POINTS: u32 = 10;
/// ...and for each message beyond the rates below.
pub const FLOOD_POINTS: u32 = 3;
/// With so many points a peer is let go: three forged records, or ten messages too many.
pub const LET_GO_POINTS: u32 = 30;
/// One point is forgotten in this time: a broken disk's rare mistakes do not add up.
pub const POINT_LEAK_US: u64 = 60_000_000;
/// A peer that was let go is refused for this long.
pub const BAN_US: u64 = 600_000_000;
/// Peers of which is remembered, while they are away, what they cost, what they got and
/// what they said that they hold: some of each kind.
pub const ACCOUNTS: usize = 1024;

/// What a member's records may cost: one for each signature that has to be checked, and
/// at least one for each record, unless it is new. A second's worth of one core in all.
pub(crate) const CHECKS: Rate = Rate::new(2_000, 12_000);
/// The same at the door, where keys cost nothing...
pub(crate) const DOOR_CHECKS: Rate = Rate::new(64, 120);
/// ...for all who stand there together...
pub(crate) const DOOR_CHECKS_IN_ALL: Rate = Rate::new(1_000, 3_000);
/// ...and for gossip, which does not tell who sent it.
pub(crate) const GOSSIP_CHECKS: Rate = Rate::new(1_000, 3_000);
/// Questions ("I hold this, send the rest") answered to one peer: each walks all records.
pub(crate) const ANSWERS: Rate = Rate::new(60, 60);
/// Questions asked of one peer: below what it answers.
pub(crate) const QUESTIONS: Rate = Rate::new(30, 40);
/// Answers to one peer at the door, a connection: a root chain of a few batches.
pub const DOOR_ANSWERS: u32 = 8;
/// An answer that does not come for this long is asked for again.
pub const ANSWER_TIMEOUT_US: u64 = 20_000_000;
/// Who holds fewer records of the sets that grow begins to compare; if it does not for this
/// long, the other does.
pub const COMPARE_PATIENCE_US: u64 = 10_000_000;
/// Comparisons that a node asks at once: what one peer brings the others need not.
pub const COMPARISONS_AT_ONCE: usize = 2;
/// Questions of one comparison: a level of ranges each, and one for each batch of records.
pub const COMPARE_ROUNDS: u32 = 64;
/// Digests heard from one peer: one a new record, at most every [`DIGEST_PAUSE_US`].
pub(crate) const DIGESTS: Rate = Rate::new(120, 360);
/// Least time between two digests to all: many records at once are one change.
pub const DIGEST_PAUSE_US: u64 = 250_000;
/// Hellos heard from one peer: one a connection, and when its enrolment changes.
pub(crate) const HELLOS: Rate = Rate::new(32, 12);
/// Files that one peer may say it wants or no longer wants: those of a few releases at
/// once, and again after each connection.
pub(crate) const WANTS: Rate = Rate::new(2_048, 1_200);
/// A peer that did not deliver a chunk is asked again what it holds after this, then after
/// twice as long...
pub const WANT_PAUSE_US: u64 = 1_000_000;
/// ...and so on, so many times.
pub const WANT_PAUSE_DOUBLINGS: u8 = 9;
/// One that was silent is not asked again for as long as it was waited for, then for twice as
/// long, and so on, so many times.
pub const WAIT_DOUBLINGS: u8 = 3;
/// A peer that told nothing of a file is asked again after this: less often than [`WANTS`]
/// allows, with as many files as one peer may want.
pub const UNTOLD_PAUSE_US: u64 = 30_000_000;
/// Requests to join heard from one peer at the door, which speaks for itself alone...
pub(crate) const JOINS_AT_DOOR: Rate = Rate::new(10, 3);
/// ...and from a member, which passes them on.
pub(crate) const JOINS: Rate = Rate::new(240, 240);
/// Requests to join passed on in all: each goes to every member, and so on.
pub(crate) const FORWARDS: Rate = Rate::new(120, 120);
/// A request to join that came by another way is not passed on again for this long.
pub const FORWARD_PAUSE_US: u64 = 8_000_000;
/// For this long the answer to a request to join finds its way back.
pub const JOIN_MEMORY_US: u64 = 600_000_000;
/// Requests to join remembered at once.
pub const JOINS_REMEMBERED: usize = 1024;
/// Peers remembered to have passed on the same request.
pub const ASKERS_PER_JOIN: usize = 8;
/// Requests to join that the driver looks at, at once.
pub const ENROLS_AT_ONCE: usize = 16;
/// A node that joins asks again after this, then after twice as long...
pub const JOIN_INTERVAL_US: u64 = 10_000_000;
/// ...and so on up to this.
pub const JOIN_INTERVAL_MOST_US: u64 = 60_000_000;
/// What the node knows of time is kept this often: what a power cut can cost of it.
pub const CLOCK_SAVE_US: u64 = 600_000_000;
/// Claims of neighbours that are kept: a few are enough to show one that is right.
pub const CLAIMS: usize = 32;
/// Channels remembered of each: more than [`CHANNELS`], since others are passed on too.
pub const HOLDINGS_CHANNELS: usize = 32;
