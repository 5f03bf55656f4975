//! What one virtual node is, and how it goes down.

use weft_core::Limits;
use weft_record::Invitation;

use crate::mesh::NOW_S;

/// What one virtual node is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // each is a fault of its own
pub struct NodeSpec {
    /// Where it is: an index that [`World::add_site`](super::World::add_site) gave, or 0.
    pub site: usize,
    /// Bytes a second that it can send; 0: no limit.
    pub uplink_bytes_per_sec: u64,
    /// Bytes a second that it can receive; 0: no limit.
    pub downlink_bytes_per_sec: u64,
    /// What its owner lets transfers take.
    pub limits: Limits,
    /// It answers every request with other bytes than asked for.
    pub corrupts: bool,
    /// It answers no request for bytes.
    pub withholds: bool,
    /// It is in another mesh.
    pub stranger: bool,
    /// It is no node: it says only what a test makes it say.
    pub puppet: bool,
    /// With this it asks to be enrolled.
    pub invitation: Option<Invitation>,
    /// Requests to join are answered here, by [`World::registrar`](super::World::registrar).
    pub registrar: bool,
    /// It activates nothing new while the root has run out.
    pub refuse_new_when_stale: bool,
    /// How fast it hashes a chunk; several are hashed side by side.
    pub hash_bytes_per_sec: u64,
    /// Its memory, and its free space for models: a release may need more.
    pub ram_bytes: u64,
    /// See above.
    pub disk_bytes: u64,
    /// What its system clock says when the world begins, seconds since 1970.
    pub wall_s: u64,
    /// What the clock on its wall shows then: seconds since 1970 began there.
    pub local_s: u64,
}

impl Default for NodeSpec {
    fn default() -> Self {
        Self {
            site: 0,
            uplink_bytes_per_sec: 12_500_000,
            downlink_bytes_per_sec: 0,
            limits: Limits::default(),
            corrupts: false,
            withholds: false,
            stranger: false,
            puppet: false,
            invitation: None,
            registrar: false,
            refuse_new_when_stale: false,
            hash_bytes_per_sec: 1_000_000_000,
            ram_bytes: 8 << 30,
            disk_bytes: 64 << 30,
            wall_s: NOW_S,
            local_s: NOW_S,
        }
    }
}

/// How a node goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// The process is killed: what was written stays.
    Kill,
    /// The power fails: what was not synced is gone.
    PowerCut,
}
