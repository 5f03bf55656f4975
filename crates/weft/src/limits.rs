//! Caps as flags, the same for `up` and `limit`, and how limits are told.

use weft_core::{Caps, LimitedBy};
use weft_node::{UnitError, parse_bytes_per_sec};

use crate::output::size;

/// What is left out stays as it is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Caps")]
pub(crate) struct CapFlags {
    /// Fetch at most this much over the uplink, such as 2MB/s; none for no cap
    #[arg(long = "fetch-cap", value_name = "RATE", value_parser = cap)]
    fetch: Option<Cap>,
    /// Serve at most this much over the uplink
    #[arg(long = "serve-cap", value_name = "RATE", value_parser = cap)]
    serve: Option<Cap>,
    /// Fetch at most this much over the LAN
    #[arg(long = "lan-fetch-cap", value_name = "RATE", value_parser = cap)]
    lan_fetch: Option<Cap>,
    /// Serve at most this much over the LAN
    #[arg(long = "lan-serve-cap", value_name = "RATE", value_parser = cap)]
    lan_serve: Option<Cap>,
}

/// A cap, or none.
#[derive(Clone, Copy, Debug)]
struct Cap(Option<u64>);

impl CapFlags {
    /// Whether any is given.
    pub(crate) fn is_given(&self) -> bool {
        let flags = [self.fetch, self.serve, self.lan_fetch, self.lan_serve];
        flags.iter().any(Option::is_some)
    }

    /// Changes what is given.
    pub(crate) fn change(&self, caps: &mut Caps) {
        for (flag, cap) in [
            (self.fetch, &mut caps.fetch_bytes_per_sec),
            (self.serve, &mut caps.serve_bytes_per_sec),
            (self.lan_fetch, &mut caps.lan_fetch_bytes_per_sec),
            (self.lan_serve, &mut caps.lan_serve_bytes_per_sec),
        ] {
            if let Some(Cap(rate)) = flag {
                *cap = rate;
            }
        }
    }
}

/// `2 MB/s`, `no cap`, `paused`.
pub(crate) fn told(cap: Option<u64>) -> String {
    match cap {
        None => "no cap".to_owned(),
        Some(0) => "paused".to_owned(),
        Some(cap) => format!("{}/s", size(cap)),
    }
}

/// What counts at the moment over the uplink, and why.
pub(crate) fn now(caps: &Caps, by: LimitedBy) -> String {
    let why = match by {
        LimitedBy::Metered => "metered",
        LimitedBy::Timetable => "by the timetable",
    };
    let (fetch, serve) = (
        told(caps.fetch_bytes_per_sec),
        told(caps.serve_bytes_per_sec),
    );
    format!("{why}: over the uplink fetching {fetch}, serving {serve}")
}

fn cap(text: &str) -> Result<Cap, UnitError> {
    match text {
        "none" => Ok(Cap(None)),
        rate => parse_bytes_per_sec(rate).map(|rate| Cap(Some(rate))),
    }
}
