//! Every bound of the records, in one place, each with its reason.

/// Longest encoded envelope: a release with its probe set fits with room to spare,
/// and a flood of records stays cheap to refuse.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;
/// Signatures on one envelope: more than any sane threshold.
pub const MAX_SIGNATURES: usize = 32;
/// Keys of one role, or of the root.
pub const MAX_KEYS: usize = 32;
/// Roles of one root.
pub const MAX_ROLES: usize = 32;
/// Kinds of record that one role may sign: there are 255 numbers, few are used.
pub const MAX_KINDS: usize = 32;
/// Names in one scope.
pub const MAX_SCOPE_NAMES: usize = 256;
/// Resets in one root, one a channel.
pub const MAX_RESETS: usize = 256;
/// Longest name of a channel, model, role or quantization.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest display version.
pub const MAX_VERSION_BYTES: usize = 64;
/// Variants of one release.
pub const MAX_VARIANTS: usize = 16;
/// Files of one variant: one file, or its shards.
pub const MAX_FILES: usize = 64;
/// Deltas of one release: each variant's files from a few earlier releases.
pub const MAX_DELTAS: usize = 128;
/// Longest path of a file in a slot...
pub const MAX_PATH_BYTES: usize = 255;
/// ...and its deepest nesting.
pub const MAX_PATH_PARTS: usize = 8;
/// Instruction sets that one variant may require.
pub const MAX_ISA: usize = 32;
/// Longest name of a processor architecture.
pub const MAX_ARCHITECTURE_BYTES: usize = 32;
/// Prompts of one probe set: a probe must end within seconds on a small machine.
pub const MAX_PROBES: usize = 64;
/// Longest prompt of a probe.
pub const MAX_PROMPT_BYTES: usize = 4096;
/// Longest expected answer of a probe.
pub const MAX_ANSWER_TOKENS: usize = 512;
/// Longest line of a release's lineage (teacher, data set, tool, evaluation).
pub const MAX_LINEAGE_BYTES: usize = 512;
/// Longest notes of a release.
pub const MAX_NOTES_BYTES: usize = 4096;
/// Longest licence expression.
pub const MAX_LICENCE_BYTES: usize = 256;
/// Heads that one head may follow: as many as may contend for one place.
pub const MAX_PREVS: usize = 8;
/// Records that a root keeps by name: 33 bytes each, so that a root stays below half of
/// the longest record; more than that are co-signed instead.
pub const MAX_KEPT: usize = 1024;
/// Labels of one node.
pub const MAX_LABELS: usize = 32;
/// Longest reason of a control or revocation.
pub const MAX_REASON_BYTES: usize = 1024;
/// Highest number of a control: an admin changes their mind often, not for ever.
pub const MAX_CONTROL_NUMBER: u32 = 255;
/// Windows of one timetable: one an hour of every day.
pub const MAX_WINDOWS: usize = 7 * 24;
/// Minutes of a day.
pub const MINUTES_PER_DAY: u16 = 24 * 60;
/// Metrics of one task.
pub const MAX_METRICS: usize = 32;
/// Buckets of one metric.
pub const MAX_BUCKETS: usize = 256;
/// Addresses in an invitation.
pub const MAX_ADDRESSES: usize = 16;
/// Longest address.
pub const MAX_ADDRESS_BYTES: usize = 256;
/// Longest invitation: all addresses and labels at their longest.
pub const MAX_INVITATION_BYTES: usize = 16 * 1024;
/// A whole has 10 000 basis points.
pub const BASIS_POINTS: u16 = 10_000;

/// Longest chunk: what a node holds in memory for each request in flight.
pub const MAX_CHUNK_BYTES: u32 = 1024 * 1024;
/// Chunks of one file: its bitfield stays below 8 KiB and its map below 2.5 MiB.
pub const MAX_CHUNKS: usize = 65_536;
/// Longest file: that many of the longest chunks.
pub const MAX_FILE_BYTES: u64 = MAX_CHUNKS as u64 * MAX_CHUNK_BYTES as u64;

/// Roots in a chain: a rotation a week for ninety years.
pub const MAX_ROOTS: usize = 4096;
/// Channels of one mesh.
pub const MAX_CHANNELS: usize = 256;
/// Heads of one channel between two resets.
pub const MAX_HEADS: usize = 65_536;
/// Releases kept by one verifier.
pub const MAX_RELEASES: usize = 16_384;
/// Heads, and releases, kept that no longer count: a root may go back to them.
pub const MAX_FALLEN: usize = 4096;
/// Heads kept that contend for one place: two are the proof, a few more let every
/// node hold the same ones.
pub const MAX_CONTENDERS: usize = 8;
/// Revocations kept: admins' keys, nodes and releases.
pub const MAX_REVOKES: usize = 8192;
/// Enrolments kept; further nodes are checked when they show theirs.
pub const MAX_ENROLMENTS: usize = 16_384;
/// Enrolments kept of one node: the one that counts, and a few that may count under
/// another root.
pub const MAX_ENROLMENTS_PER_NODE: usize = 4;
/// Controls kept.
pub const MAX_CONTROLS: usize = 2048;
/// Blueprints kept, each by its newest version.
pub const MAX_BLUEPRINTS: usize = 256;
/// Telemetry tasks kept.
pub const MAX_TASKS: usize = 256;
/// Opened aggregates kept.
pub const MAX_AGGREGATES: usize = 4096;
/// Signatures kept of one record by keys that no root knows yet.
pub const MAX_SPARE_SIGNATURES: usize = 8;
/// Records of which such signatures are kept.
pub const MAX_SPARE_RECORDS: usize = 256;
/// Hashes of a proof that one signed history continues another: two a level of a tree
/// of [`MAX_HEADS`] leaves.
pub const MAX_PROOF_HASHES: usize = 2 * 17;
/// Longest encoded envelope with the proof before it.
pub const MAX_ENVELOPE_BYTES: usize = MAX_RECORD_BYTES + 32 * (MAX_PROOF_HASHES + 1) + 32;
/// Half-signed records that wait for the rest of their signatures.
pub const MAX_HALF_SIGNED: usize = 64;
/// Signature results remembered before the older half is forgotten.
pub const MAX_MEMO_ENTRIES: usize = 32_768;
/// Records of each kind that are remembered as they were decoded: those of the newest
/// roots, heads and neighbours.
pub const MAX_MEMO_RECORDS: usize = 512;
/// Longer ones are not remembered: with the number above a megabyte or two.
pub const MAX_MEMO_RECORD_BYTES: usize = 4096;
/// Entries in what a peer says it holds: the message stays below 256 KiB.
pub const MAX_HAVE_HEADS: usize = MAX_CHANNELS * MAX_CONTENDERS;
/// Other records named in what a peer says it holds, 8 bytes each: more than all bounds
/// above allow together, for a peer that does not compare sets.
pub const MAX_HAVE_OTHERS: usize = 16_384;
/// Releases that a peer may ask for at once.
pub const MAX_HAVE_WANTS: usize = MAX_CHANNELS;

/// Records of a range that are named in a comparison: their keys take no more bytes than the
/// fingerprints of its parts.
pub const MAX_COMPARED_KEYS: usize = 16;
/// Ranges in one message of a comparison: enough for two levels that differ everywhere.
pub const MAX_COMPARED_PARTS: usize = 1024;
/// Longest comparison: that many ranges, each with the longest that can be said of it.
pub const MAX_COMPARISON_BYTES: usize = 64 + MAX_COMPARED_PARTS * (28 + 4 * MAX_COMPARED_KEYS);

/// Longest blob in a bundle: the largest chunk map is below it.
pub const MAX_BLOB_BYTES: usize = 4 * 1024 * 1024;
