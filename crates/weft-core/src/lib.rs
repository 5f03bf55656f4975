//! The node as a state machine without IO.
//!
//! A driver hands in what happened ([`Input`]) with the time, and carries out what
//! comes back ([`Output`]). Nothing here reads a clock, a file, a socket or a
//! random number, so the daemon and the simulator run the same code.

mod active;
mod bits;
pub mod bounds;
mod catch_up;
mod claims;
mod clock;
mod compare;
mod config;
mod courier;
mod delta;
mod door;
mod fetch;
mod file;
mod holdings;
mod install;
mod io;
mod join;
mod keep;
mod limit;
mod maps;
mod members;
mod message;
mod node;
mod offers;
mod operations;
mod pace;
mod pending;
mod plan;
mod random;
mod records;
mod score;
mod serve;
mod table;
mod target;
mod timetable;
mod told;
mod transfer;
mod warm;
mod withdraw;

pub use config::{
    ChannelStatus, Config, Facts, FetchStatus, Freshness, JoiningStatus, NodeStanding, Phase,
    Restored, RestoredFile, Status, TimeStatus,
};
pub use courier::CourierStatus;
pub use io::{
    ChunkSource, Command, DeltaPlan, DisconnectReason, Disk, Event, Failure, FailureKind,
    FoundChunk, Input, OpId, Outcome, Output, Path, ProbeMeasurement, ProbeRequest, SlotKind,
    SlotPlan, Slots, Wish,
};
pub use keep::{Kept, Stored};
pub use limit::{Caps, Direction, LimitedBy, Limits, LimitsError};
pub use message::{ChunkRef, Control, Message, Payload, Peer};
pub use node::{Lent, Node};
pub use timetable::Window;
pub use warm::{Next, STEPS as WARM_STEPS};
