//! `[limit]`: what the owner lets transfers take.

use std::fmt::Write as _;

use serde::Deserialize;
use weft_core::{Caps, Limits};

use super::{SettingsError, list, parsed, quoted};
use crate::{
    timetable::{format_window, parse_window},
    units::{format_bytes, parse_bytes_per_sec},
};

pub(super) const KEYS: &[&str] = &[
    "fetch",
    "serve",
    "lan_fetch",
    "lan_serve",
    "timetable",
    "metered",
    "background",
];

#[derive(Deserialize, Default)]
pub(super) struct RawLimit {
    fetch: Option<String>,
    serve: Option<String>,
    lan_fetch: Option<String>,
    lan_serve: Option<String>,
    #[serde(default)]
    timetable: Vec<String>,
    #[serde(default)]
    metered: bool,
    #[serde(default)]
    background: bool,
}

impl RawLimit {
    pub(super) fn check(self) -> Result<Limits, SettingsError> {
        let caps = Caps {
            fetch_bytes_per_sec: parsed("limit.fetch", self.fetch, parse_bytes_per_sec)?,
            serve_bytes_per_sec: parsed("limit.serve", self.serve, parse_bytes_per_sec)?,
            lan_fetch_bytes_per_sec: parsed(
                "limit.lan_fetch",
                self.lan_fetch,
                parse_bytes_per_sec,
            )?,
            lan_serve_bytes_per_sec: parsed(
                "limit.lan_serve",
                self.lan_serve,
                parse_bytes_per_sec,
            )?,
        };
        let refuse = |reason: String| SettingsError::Value {
            key: "limit.timetable",
            reason,
        };
        let windows = self.timetable.iter().map(|text| parse_window(text));
        let timetable = windows
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| refuse(error.to_string()))?;
        let limits = Limits {
            caps,
            timetable,
            metered: self.metered,
            background: self.background,
        };
        limits.check().map_err(|error| refuse(error.to_string()))?;
        Ok(limits)
    }
}

/// The section, so that it reads back.
pub(super) fn write(text: &mut String, limits: &Limits) {
    text.push_str("\n[limit]\n# most bytes a second over the uplink, and over the LAN\n");
    let caps = &limits.caps;
    for (key, cap) in [
        ("fetch", caps.fetch_bytes_per_sec),
        ("serve", caps.serve_bytes_per_sec),
        ("lan_fetch", caps.lan_fetch_bytes_per_sec),
        ("lan_serve", caps.lan_serve_bytes_per_sec),
    ] {
        let _ = match cap {
            Some(cap) => {
                let rate = quoted(&format!("{}/s", format_bytes(cap)));
                writeln!(text, "{key} = {rate}")
            }
            None => writeln!(text, "# {key} = \"2MB/s\""),
        };
    }
    text.push_str(
        "# hours with other caps over the uplink, in local time; the first that holds counts\n",
    );
    if limits.timetable.is_empty() {
        let windows = [
            "22:00-06:00 unlimited",
            "mon-fri 08:00-18:00 fetch 200kB/s serve paused",
        ];
        let _ = writeln!(text, "# timetable = {}", list(&windows));
    } else {
        let windows: Vec<String> = limits.timetable.iter().map(format_window).collect();
        let _ = writeln!(text, "timetable = {}", list(&windows));
    }
    let _ = writeln!(
        text,
        "# whether the uplink is metered: nothing but heads and records crosses it\nmetered = {}",
        limits.metered
    );
    let _ = writeln!(
        text,
        "# whether chunks over the uplink give way to whatever else needs it\nbackground = {}",
        limits.background
    );
}
