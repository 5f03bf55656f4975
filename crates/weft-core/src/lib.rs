//! The node as a state machine without IO.
//!
//! A driver hands in what happened ([`Input`]) with the time, and carries out what
//! comes back ([`Output`]). Nothing here reads a clock, a file, a socket or a
//! random number, so the daemon and the simulator run the same code.

pub mod bounds;
mod config;
mod io;
mod message;

pub use config::{
    ChannelStatus, Config, Facts, FetchStatus, Phase, Restored, RestoredFile, Status,
};
pub use io::{
    ChunkSource, Command, Disk, DisconnectReason, Event, Failure, FailureKind, FoundChunk, Input,
    OpId, Outcome, Output, ProbeMeasurement, ProbeRequest, SlotKind, SlotPlan, Slots,
};
pub use message::{ChunkRef, Control, Message, Payload, Peer};
