//! `[limit]`: what the owner lets transfers take.

use std::fmt::Write as _;

use serde::Deserialize;
use weft_core::{Caps, Limits};

use super::{SettingsError, quoted};
use crate::units::{format_bytes, parse_bytes_per_sec};

pub(super) const KEYS: &[&str] = &["fetch", "serve", "lan_fetch", "lan_serve"];

#[derive(Deserialize, Default)]
pub(super) struct RawLimit {
    fetch: Option<String>,
    serve: Option<String>,
    lan_fetch: Option<String>,
    lan_serve: Option<String>,
}

impl RawLimit {
    pub(super) fn check(self) -> Result<Limits, SettingsError> {
        let caps = Caps {
            fetch_bytes_per_sec: rate("limit.fetch", self.fetch)?,
            serve_bytes_per_sec: rate("limit.serve", self.serve)?,
            lan_fetch_bytes_per_sec: rate("limit.lan_fetch", self.lan_fetch)?,
            lan_serve_bytes_per_sec: rate("limit.lan_serve", self.lan_serve)?,
        };
        Ok(Limits { caps })
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
}

fn rate(key: &'static str, text: Option<String>) -> Result<Option<u64>, SettingsError> {
    let rate = text.map(|text| parse_bytes_per_sec(&text)).transpose();
    rate.map_err(|error| SettingsError::Value {
        key,
        reason: error.to_string(),
    })
}
