//! The node: one loop that drives `weft-core` with the store, the network, the
//! engine and a clock, and the HTTP API on loopback.
//!
//! Nothing is decided here: what a node does next, and whether a record, a chunk
//! or a model is good, is the core's to say. This crate measures, moves bytes and
//! talks to the owner.

mod answer;
mod api_file;
mod bundle;
pub mod client;
mod clock;
mod control;
mod disk;
mod facts;
mod hex;
mod home;
mod http;
mod inference;
mod journal;
mod lanes;
mod logging;
mod meter;
mod model;
mod network;
mod pins;
mod places;
mod registrar;
pub mod report;
mod run;
mod settings;
mod shell;
mod stock;
mod timetable;
mod units;

pub use api_file::ApiFile;
pub use bundle::{ExportError, ImportError};
pub use home::{Home, HomeError};
pub use logging::{NODE_LOG, start_logging};
pub use model::measure_probes;
pub use pins::PinError;
pub use registrar::{InviteError, default_class};
pub use run::{
    OnReady, Options, Ready, RunError, collect_offline, export_offline, import_offline,
    import_pipe_offline, invite_offline, pin_offline, pins_offline, run, wants_offline,
};
pub use settings::{Settings, SettingsError, StoreSettings};
pub use stock::CollectError;
pub use timetable::{WindowError, format_window, parse_window};
pub use units::{UnitError, format_bytes, parse_bytes, parse_bytes_per_sec};
pub use weft_net::peer_name;
