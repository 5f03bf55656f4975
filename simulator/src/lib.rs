//! Many virtual nodes in one process: the node's own state machine ([`weft_core`]) inside a
//! virtual network, disk and clock.
//!
//! Nothing here stands in for a decision of the core. The same seed gives the same
//! events in the same order, and [`World::log_hash`] tells them apart.

pub mod checkers;
mod chunks;
mod disk;
mod draw;
mod fast;
mod fleet;
pub mod fuzz;
mod journal;
mod log;
mod mesh;
mod network;
mod payload;
mod pool;
mod queue;
mod registrar;
mod rehearsal;
pub mod report;
pub mod scale;
pub mod scenario;
pub mod shrink;
mod slab;
pub mod statistics;
mod topology;
mod trace;
mod traffic;
mod world;

pub use disk::VirtualDisk;
pub use journal::{Change, Entry, Journal};
pub use log::EventLog;
pub use mesh::{Admin, Base, NOW_S, VirtualDelta, VirtualRelease, YEAR_S};
pub use payload::Virtual;
pub use registrar::Registrar;
pub use rehearsal::{Options, Progress, Unbuildable, rehearse};
pub use topology::{NetworkModel, Site, SiteTraffic, Timing};
pub use traffic::Traffic;
pub use world::{Figures, Keep, NodeSpec, Outage, World};
