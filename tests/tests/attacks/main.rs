//! Every attack that weft must withstand, one named test each; `docs/threat-model.md` says
//! which test stands for which, and what is left.
//!
//! Each is at the lowest level at which it convinces: the verifier where one record is
//! enough, a mesh of virtual nodes where peers or disks matter.
#![allow(clippy::unwrap_used)]

// the mesh and its keys that the verifier's own tests use; not all of them are needed here
#[allow(dead_code)]
#[path = "../../../crates/weft-record/tests/records/fleet.rs"]
mod fleet;
#[allow(dead_code)]
#[path = "../../../crates/weft-record/tests/records/mesh.rs"]
mod mesh;

mod freshness;
mod install;
mod keys;
mod named;
mod peers;
mod telemetry;
mod worlds;
