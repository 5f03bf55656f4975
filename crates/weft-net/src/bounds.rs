//! Every bound of the network room, each with its reason.

use std::time::Duration;

use weft_core::bounds::{CONTROL_BYTES, PEERS};

/// Events that may wait for the node. Chunk payload among them is bounded
/// further by what the node itself asked for.
pub(crate) const EVENTS: usize = 256;
/// Commands (dial, broadcast) that may wait for the network loop.
pub(crate) const COMMANDS: usize = 256;
/// Reports of links that may wait for the network loop; links wait when it is full.
pub(crate) const REPORTS: usize = 256;
/// Streams and orders that may wait for one link: a control stream and the
/// chunk streams, each way, twice over.
pub(crate) const LINK_INPUTS: usize = 16;

/// Control messages that may wait to be written to one peer...
pub(crate) const CONTROL_QUEUE: usize = 1024;
/// ...and their bytes: several of the largest. A peer that reads slower than
/// this is let go, because a control message is never dropped silently.
pub(crate) const CONTROL_QUEUE_BYTES: usize = 8 * CONTROL_BYTES;

/// Requests without an answer from one peer. Four times what the core keeps
/// outstanding, since it forgets those that time out.
pub(crate) const ASKED_PER_PEER: usize = 4 * weft_core::bounds::REQUESTS_PER_PEER;
/// Chunk streams that the requester opens: two let one be read while the other
/// fills, more only cost memory (measured on loopback).
pub(crate) const CHUNK_STREAMS: usize = 2;
/// Chunk streams accepted on one connection over its life.
pub(crate) const CHUNK_STREAMS_INBOUND: usize = 4;
/// Control streams accepted on one connection over its life.
pub(crate) const CONTROL_STREAMS_INBOUND: usize = 1;

/// Streams on which a peer tells of others, accepted on one connection over its life.
pub(crate) const PEERS_STREAMS_INBOUND: usize = 1;

/// Peers that a node tells another of...
pub(crate) const PEERS_TOLD: usize = 64;
/// ...with so many addresses each...
pub(crate) const ADDRESSES_TOLD: usize = 8;
/// ...in a signed record of at most this: eight addresses of relays with their names and its
/// own, and the signature.
pub(crate) const PEER_RECORD_BYTES: usize = 1024;
/// Longest message about peers: their records, two of the sender's own, and what surrounds them.
pub(crate) const PEERS_BYTES: usize = (PEERS_TOLD + 3) * (PEER_RECORD_BYTES + 16);
/// Two messages about peers to one peer lie at least this far apart, and no more is read: what
/// they cost, a signature a record, is bounded by it.
pub(crate) const PEERS_PAUSE: Duration = Duration::from_secs(1);
/// A record of a node's own addresses is signed anew this often, so that what was told
/// elsewhere of it grows old.
pub(crate) const PEER_RECORD_RENEWED: Duration = Duration::from_hours(1);

/// Longest chunk payload.
pub(crate) const CHUNK_BYTES: usize = weft_record::MAX_CHUNK_BYTES as usize;
/// Requests of one peer that are read and not yet answered in full: this many
/// chunks of it may lie in memory. Further requests stay in its socket.
pub(crate) const SERVES_PER_PEER: usize = 8;
/// The same over all peers.
pub(crate) const SERVES: usize = 128;
/// A request that the node did not answer for this long is answered `Absent`.
pub(crate) const SERVE_TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes that must pass within one stall timeout while a frame is read or
/// written: with the default timeout, 2.2 KiB a second. Slower is a drip.
pub(crate) const PROGRESS_BYTES: usize = 64 * 1024;
/// Under a cap a payload is read and written in such pieces, each paid for: small enough
/// that a change of the cap counts soon.
pub(crate) const PIECE_BYTES: usize = 16 * 1024;
/// What a cap left unused for longer than this is lost.
pub(crate) const PACED_BURST: Duration = Duration::from_millis(50);
/// A piece waits for a cap no longer than this, so that four pieces stay within half of the
/// stall timeout; unless nothing may pass at all.
pub(crate) const PACED_WAIT_MOST: Duration = Duration::from_secs(5);
/// Under a cap so many payloads are served at once that each gets this much.
pub(crate) const PACED_BYTES_PER_SEC_LEAST: u64 = 32 * 1024;
/// Bytes of one frame of the multiplexer: four records of TLS, what one write takes. More
/// would only let the control stream wait.
pub(crate) const FRAME_BYTES: usize = 64 * 1024;
/// Bytes that are read from a socket at once.
pub(crate) const READ_AHEAD_BYTES: usize = 64 * 1024;
/// Bytes that wait in a socket before the kernel has sent them: more would only lie between
/// what is decided here and what goes out.
pub(crate) const UNSENT_BYTES: u32 = 128 * 1024;
/// Longest queue on the way that chunks in the background stay in. LEDBAT allows 100 ms; a
/// cheap router has hardly more than that, and who speaks on the same uplink notices 50.
pub(crate) const QUEUE_MOST: Duration = Duration::from_millis(25);
/// The pace of the background changes no more often than this, nor than the round trip.
pub(crate) const BACKGROUND_STEP: Duration = Duration::from_millis(20);
/// What goes out at once in the background takes about this long...
pub(crate) const BACKGROUND_PIECE: Duration = Duration::from_millis(10);
/// ...but is no less than a packet.
pub(crate) const BACKGROUND_PIECE_BYTES_LEAST: usize = 1_400;
/// With what the background begins.
pub(crate) const BACKGROUND_BYTES_PER_SEC_FIRST: u64 = 64 * 1024;
/// A connection never gives way below this: 64 KiB pass well within the stall timeout, and
/// ten such connections are a twentieth of an uplink of 10 Mbit/s.
pub(crate) const BACKGROUND_BYTES_PER_SEC_LEAST: u64 = 6 * 1024;
/// Faster than this nobody has to give way: 8 Gbit/s.
pub(crate) const BACKGROUND_BYTES_PER_SEC_MOST: u64 = 1_000_000_000;
/// For the shortest round trip up to twice this long counts: after that the way may have
/// become longer for good.
pub(crate) const SHORTEST_KEPT: Duration = Duration::from_mins(15);
/// Default of [`crate::NetConfig::stall_timeout`].
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// An idle control stream carries an empty frame this often, so that a
/// connection whose other end lost power is noticed...
pub(crate) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// ...after this long.
pub(crate) const SILENCE_TIMEOUT: Duration = Duration::from_secs(45);
/// A connection on which no control stream stands after this long is closed.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A dial or an inbound handshake that takes longer fails.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

/// Connections to one peer: both dialled at once, over TCP and QUIC, and those by which it
/// tried whether this node can be dialled.
pub(crate) const CONNECTIONS_PER_PEER: u32 = 8;
/// Connections in all.
pub(crate) const CONNECTIONS: u32 = 2 * PEERS as u32;
/// Handshakes under way, each way.
pub(crate) const CONNECTIONS_PENDING: u32 = 64;
/// Streams that one yamux connection may hold: ours, gossip's, and a margin.
pub(crate) const STREAMS_PER_CONNECTION: usize = 64;

/// Longest announcement.
pub(crate) const GOSSIP_BYTES: usize = weft_core::bounds::ANNOUNCEMENT_BYTES;
/// Longest gossip frame: an announcement, its protobuf, and control messages.
pub(crate) const GOSSIP_FRAME_BYTES: usize = GOSSIP_BYTES + 16 * 1024;

/// What is kept of a peer until it is admitted: what it says first on the streams for
/// members, on the connections that it may have.
pub(crate) const HELD_AT_GATE: usize = 16;

/// Default of [`crate::NetConfig::stranger_block`]: who waits at the door for an admin's
/// node comes back soon, and costs little.
pub(crate) const STRANGER_BLOCK: Duration = Duration::from_secs(10);
/// How long a peer stays away that does not speak weft, or that the node let go because
/// it misbehaved.
pub(crate) const BAN: Duration = Duration::from_micros(weft_core::bounds::BAN_US);
/// How long a peer that broke the protocol or sent corrupt data stays away.
pub(crate) const FAULT_BLOCK: Duration = Duration::from_mins(1);
/// Peers kept away at once; beyond it the one whose time ends first returns.
pub(crate) const BLOCKED: usize = 1024;

/// Places that are dialled: bootstrap addresses, peers of the LAN, former members, and those
/// of which others told.
pub(crate) const TARGETS: usize = 256;
/// Of these, those of which others told: of more a node learns when it needs them.
pub(crate) const TARGETS_TOLD: usize = 96;
/// With so many links a node dials nobody more that others told of, unless on its LAN: enough
/// to fetch from several and to lose some, and a large mesh does not become a full one.
pub(crate) const LINKS_WANTED: usize = 12;
/// It looks again after this whether it has become lonely.
pub(crate) const LINKS_LOOK: Duration = Duration::from_secs(15);
/// Failures after which a place that others told of is forgotten; who is told again of the
/// same record does not try again.
pub(crate) const TOLD_FAILURES: u32 = 5;
/// Addresses kept for one place.
pub(crate) const ADDRESSES_PER_TARGET: usize = 8;
/// First wait before a place is dialled again; it doubles...
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// ...up to this. Both are jittered down to half.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_mins(1);
/// A link that lived shorter than this counts as a failure.
pub(crate) const LINK_PROVEN: Duration = Duration::from_secs(5);
/// Failures (about an hour and a half) after which a former member is forgotten.
pub(crate) const REMEMBERED_FAILURES: u32 = 96;
/// Two dials of peers found on the LAN or through others lie at least this far apart.
pub(crate) const FOUND_DIAL_INTERVAL: Duration = Duration::from_millis(100);

/// Members for which this node stands ready as a relay...
pub(crate) const RELAY_RESERVATIONS: usize = 128;
/// ...each of them over so many of its connections.
pub(crate) const RELAY_RESERVATIONS_PER_PEER: usize = 2;
/// Pairs of members for which it carries what they say, at once...
pub(crate) const RELAY_CIRCUITS: usize = 32;
/// ...and of these, those that one member began: it has few links.
pub(crate) const RELAY_CIRCUITS_PER_PEER: usize = 8;
/// A pair begins anew after this; meanwhile it may have found a direct way.
pub(crate) const RELAY_CIRCUIT_TIME: Duration = Duration::from_mins(30);
/// Bytes carried for a pair each way: what passes at [`RELAYED_BYTES_PER_SEC`] meanwhile.
pub(crate) const RELAY_CIRCUIT_BYTES: u64 = 64 * 1024 * 1024;
/// Chunks pass a relayed link at this rate each way: the relay's uplink is somebody else's.
/// Above what the core takes for the slowest peer, so that who has no other way gets there.
pub(crate) const RELAYED_BYTES_PER_SEC: u64 = 32 * 1024;
/// Relays at which a node that cannot be dialled holds a place: one may go.
pub(crate) const RELAYS_KEPT: usize = 2;
/// It looks for a further one this often.
pub(crate) const RELAYS_LOOK: Duration = Duration::from_secs(5);

/// A node asks a member from beyond the LAN whether it can be dialled when it has run for
/// this long and nobody dialled it by then...
pub(crate) const PROBE_AFTER: Duration = Duration::from_secs(5);
/// ...again after this, until two answers in a row are the same...
pub(crate) const PROBE_RETRY: Duration = Duration::from_secs(30);
/// ...and from then on this often: some 5 kB each time.
pub(crate) const PROBE_REFRESH: Duration = Duration::from_hours(1);
/// It dials those that ask so often...
pub(crate) const PROBED_PER_PEER: usize = 2;
/// ...and all of them together so often...
pub(crate) const PROBED: usize = 16;
/// ...within this.
pub(crate) const PROBED_WITHIN: Duration = Duration::from_secs(30);
