//! The simulator held against real nodes: one description of a small fleet is played by
//! `weft` processes in network namespaces behind real rate limits, and by the virtual
//! nodes of [`weft_sim`]; what both say is compared.
//!
//! The same laboratory shows how well real nodes keep to their limits.
//!
//! The real side needs root, `ip`, `tc` and `nsenter`. Its traffic never leaves its own
//! namespaces, which go when a run ends, however it ends.

mod api;
mod background;
mod case;
mod cases;
mod compare;
mod goodput;
mod idle;
mod interrupt;
mod lab;
mod limits;
mod namespace;
mod node;
mod outcome;
mod pauses;
mod real;
mod release;
mod simulated;
mod talker;
mod torrent;
mod wire;

pub use api::ask;
pub use background::{Shared, uplink_shared};
pub use case::{Case, Happening, Place};
pub use cases::{all, sites, smallest, split_site, swarm};
pub use compare::{Comparison, Limits};
pub use lab::obstacle;
pub use limits::{Kept, Way, cap_kept};
pub use outcome::{Fetched, Outcome, SiteBytes, Summary};
pub use pauses::{Paused, pause_kept};
pub use real::{Round, run as run_real, run_rounds, run_rounds_beside};
pub use release::PackedRelease;
pub use simulated::run as run_simulated;
pub use talker::Talker;
pub use torrent::{Torrent, TorrentRound};
