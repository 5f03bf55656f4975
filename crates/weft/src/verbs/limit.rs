//! `weft limit`

use serde::Serialize;
use weft_core::{Caps, LimitedBy, Limits, Window};
use weft_node::{WindowError, format_window, parse_window};

use crate::{
    context::Context,
    failure::Failure,
    limits::{self, CapFlags},
    output::fields,
};

/// See and change what the running node's transfers may take.
///
/// A cap counts what chunks and chunk maps cost: their bytes and frames, without what TLS and
/// TCP add. A change counts at once, also for what is under way, and lasts until the node
/// ends; node.toml says with what it begins. The LAN is every network that this machine is
/// attached to, and what node.toml names as `lan` under `[network]`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft limit\n  weft limit --fetch-cap 2MB/s --serve-cap none\n  weft limit --metered on\n  weft limit --background on\n  weft limit --timetable \"22:00-06:00 unlimited\" --timetable \"mon-fri 08:00-18:00 fetch 200kB/s serve paused\""
)]
pub(crate) struct Limit {
    /// Whether the uplink is metered: nothing but heads and records crosses it
    #[arg(long, value_name = "WHEN")]
    metered: Option<Switch>,
    /// Whether chunks over the uplink give way to whatever else needs it, both ways
    #[arg(long, value_name = "WHEN")]
    background: Option<Switch>,
    /// Hours with other caps over the uplink, in local time, instead of those before; may be
    /// given more than once, and the first that holds counts; none for no such hours
    #[arg(long, value_name = "WINDOW", value_parser = window)]
    timetable: Vec<Hours>,
    #[command(flatten)]
    caps: CapFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

/// A window, or none at all.
#[derive(Clone, Copy, Debug)]
struct Hours(Option<Window>);

#[derive(Serialize)]
struct Report<'a> {
    /// What the owner wants.
    limits: &'a Limits,
    /// What counts at the moment.
    caps: Caps,
    limited_by: Option<LimitedBy>,
}

impl Limit {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let refused = |error| context.client_refused(&error);
        let mut limits = client.status().map_err(refused)?.node.limits;
        let is_asked = self.metered.is_none()
            && self.background.is_none()
            && self.timetable.is_empty()
            && !self.caps.is_given();
        if !is_asked {
            self.caps.change(&mut limits.caps);
            if let Some(switch) = self.metered {
                limits.metered = switch == Switch::On;
            }
            if let Some(switch) = self.background {
                limits.background = switch == Switch::On;
            }
            if !self.timetable.is_empty() {
                let windows = self.timetable.iter();
                limits.timetable = windows.filter_map(|hours| hours.0).collect();
            }
            client.limit(&limits).map_err(refused)?;
        }
        let node = client.status().map_err(refused)?.node;
        let report = Report {
            limits: &node.limits,
            caps: node.caps,
            limited_by: node.limited_by,
        };
        let output = context.output;
        output.result(&report, |style| fields(style, &rows(&report)))
    }
}

fn rows(report: &Report<'_>) -> Vec<(&'static str, String)> {
    let caps = report.limits.caps;
    let mut rows: Vec<(&str, String)> = [
        ("fetch", caps.fetch_bytes_per_sec),
        ("serve", caps.serve_bytes_per_sec),
        ("LAN fetch", caps.lan_fetch_bytes_per_sec),
        ("LAN serve", caps.lan_serve_bytes_per_sec),
    ]
    .map(|(name, cap)| (name, limits::told(cap)))
    .to_vec();
    let windows: Vec<String> = report.limits.timetable.iter().map(format_window).collect();
    if !windows.is_empty() {
        rows.push(("timetable", windows.join("\n           ")));
    }
    let switches = [
        ("metered", report.limits.metered),
        ("background", report.limits.background),
    ];
    rows.extend(switches.map(|(name, on)| (name, if on { "yes" } else { "no" }.to_owned())));
    if let Some(by) = report.limited_by {
        rows.push(("now", limits::now(&report.caps, by)));
    }
    rows
}

fn window(text: &str) -> Result<Hours, WindowError> {
    match text {
        "none" => Ok(Hours(None)),
        window => parse_window(window).map(|window| Hours(Some(window))),
    }
}
