//! Signed records: everything that can change what a node runs, and the one
//! verifier that decides which of them count.
//!
//! Nothing here reads a file, a socket or a clock: bytes and seconds are handed
//! in, and what is kept where is the driver's business. Start with [`Trust`].

pub mod bounds;
pub mod bundle;
pub mod codec;

mod admin;
mod beacon;
mod blueprint;
mod catch_up;
mod check;
mod chunk_map;
mod clock;
mod control;
mod enroll;
mod envelope;
mod generations;
mod hash;
mod head;
mod history;
mod invitation;
mod kind;
mod label;
mod line;
mod memo;
mod name;
mod quorum;
mod reconcile;
mod refusal;
mod release;
mod revoke;
mod root;
mod task;
mod trust;
mod verified;

pub use admin::{BuildError, head_after, keep_what_stands, mesh_id_of, next_head, next_root, seal};
pub use beacon::{Beacon, BeaconHead};
pub use blueprint::{Blueprint, BlueprintSettings, Sampling, Selector, Window};
pub use bounds::{MAX_CHUNK_BYTES, MAX_CHUNKS, MAX_DELTAS, MAX_RECORD_BYTES};
pub use catch_up::{Detail, Exchange, Have, HaveHead, TrustDigest};
pub use chunk_map::{ChunkEntry, ChunkMap, ChunkMapError};
pub use clock::TimeFloor;
pub use control::{Action, Control};
pub use enroll::{Enroll, EnrollRoot};
pub use envelope::{ENVELOPE_VERSION, Envelope};
pub use hash::{Hash, HashTextError, MeshId, RecordId};
pub use head::Head;
pub use history::HistoryProof;
pub use invitation::{INVITATION_PREFIX, Invitation, InvitationError, JoinRequest};
pub use kind::Kind;
pub use label::Label;
pub use line::Fork;
pub use memo::Memo;
pub use name::{Name, NameError};
pub use quorum::{Quorum, Signatures, signatures};
pub use reconcile::{COMPARED_FAN, ComparedPart, Comparison, Says};
pub use refusal::{Invalid, Refusal};
pub use release::{
    Delta, FileEntry, Lineage, Probe, ProbeLimits, ProbeSet, Release, Requires, Variant,
};
pub use revoke::{Revoke, RevokeTarget};
pub use root::{Kept, PrivacyFloors, Reset, Role, Root, Scope, Validity};
pub use task::{Aggregate, Aggregator, Metric, Task};
pub use trust::{Admission, Decoded, Missing, Standing, TimeState, Trust, Verdict};
pub use verified::Verified;
