//! Signed records: everything that can change what a node runs, and the one
//! verifier that decides which of them count.
//!
//! Nothing here reads a file, a socket or a clock: bytes and seconds are handed
//! in, and what is kept where is the driver's business. Start with [`Trust`].

pub mod bounds;
pub mod bundle;
pub mod codec;

mod admin;
mod catch_up;
mod check;
mod chunk_map;
mod envelope;
mod hash;
mod head;
mod history;
mod kind;
mod line;
mod memo;
mod name;
mod refusal;
mod release;
mod root;
mod trust;
mod verified;

pub use admin::{BuildError, mesh_id_of, next_head, next_root, seal};
pub use bounds::{MAX_CHUNK_BYTES, MAX_CHUNKS, MAX_RECORD_BYTES};
pub use catch_up::{Have, HaveHead, TrustDigest};
pub use chunk_map::{ChunkEntry, ChunkMap, ChunkMapError};
pub use envelope::{ENVELOPE_VERSION, Envelope};
pub use hash::{Hash, HashTextError, MeshId, RecordId};
pub use head::Head;
pub use kind::Kind;
pub use line::Fork;
pub use memo::Memo;
pub use name::{Name, NameError};
pub use refusal::{Invalid, Refusal};
pub use release::{FileEntry, Lineage, Probe, ProbeLimits, ProbeSet, Release, Requires, Variant};
pub use root::{Kept, PrivacyFloors, Reset, Role, Root, Scope, Validity};
pub use trust::{Admission, Missing, TimeState, Trust};
pub use verified::Verified;
