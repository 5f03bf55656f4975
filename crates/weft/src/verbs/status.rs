//! `weft status`

use std::{fmt::Write as _, io::IsTerminal as _, time::Duration};

use serde::Serialize;
use weft_core::{
    Caps, ChannelStatus, Freshness, JoiningStatus, LimitedBy, Limits, NodeStanding, Phase,
    TimeStatus,
};
use weft_node::report::{
    EnrolmentReport, ModelReport, PinReport, PinnedBy, PlaceReport, ReachabilityReport,
    StatusReport, TrafficReport, WayIn,
};
use weft_record::Name;

use crate::{
    context::Context,
    failure::Failure,
    interrupt, limits,
    output::{count, duration, fields, percent, size, table},
    style::Style,
    verbs::{bundle::short, mesh, pin},
};

/// Tell how the node is.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft status --watch")]
pub(crate) struct Status {
    /// Tell again every second, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

/// How often `--watch` looks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    version: &'a str,
    pid: u32,
    uptime_ms: u64,
    mesh_id: String,
    peer_id: &'a str,
    api: String,
    addresses: &'a [String],
    root_version: Option<u64>,
    standing: NodeStanding,
    /// Where the node stands and until when it is enrolled.
    enrolment: Option<&'a EnrolmentReport>,
    joining: Option<&'a JoiningStatus>,
    registrar: bool,
    time: TimeStatus,
    /// Set if the disk is older than what the node once told its neighbours.
    restored_from_older_image: Option<&'a str>,
    withheld: &'a [(Name, u64)],
    reachability: ReachabilityReport,
    places: &'a [PlaceReport],
    peers_let_go: u64,
    members: usize,
    fetch_bytes_per_sec: u64,
    limits: &'a Limits,
    /// What counts at the moment, and why.
    caps: Caps,
    limited_by: Option<LimitedBy>,
    channels: &'a [ChannelStatus],
    traffic: TrafficReport,
    models: &'a [ModelReport],
    /// Releases whose files stay when room is made.
    pins: &'a [PinReport],
    records_refused: u64,
    chunks_corrupt: u64,
    bytes_served: u64,
}

impl Status {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let api = format!("http://{}", client.api().address);
        let status = || {
            client
                .status()
                .map_err(|error| context.client_refused(&error))
        };
        if !self.watch {
            return show(context, &status()?, &api);
        }
        interrupt::watch();
        let redraw = std::io::stdout().is_terminal() && !context.output.json;
        while !interrupt::came() {
            let status = status()?;
            if redraw {
                // home, and clear what is below
                context.output.text("\u{1b}[H\u{1b}[2J")?;
            }
            show(context, &status, &api)?;
            interrupt::pause(WATCH_INTERVAL);
        }
        Err(Failure::ended_by_signal())
    }
}

fn show(context: &Context, status: &StatusReport, api: &str) -> Result<(), Failure> {
    let report = Report {
        version: &status.version,
        pid: status.pid,
        uptime_ms: status.uptime_ms,
        mesh_id: status.mesh_id.to_string(),
        peer_id: &status.peer_id,
        api: api.to_owned(),
        addresses: &status.listen,
        root_version: status.node.root_version,
        standing: status.node.standing,
        enrolment: status.enrolment.as_ref(),
        joining: status.node.joining.as_ref(),
        registrar: status.registrar,
        time: status.node.time,
        restored_from_older_image: status.node.restored_from_older_image.as_deref(),
        withheld: &status.node.withheld,
        reachability: status.reachability,
        places: &status.places,
        peers_let_go: status.node.peers_let_go,
        members: status.node.members.len(),
        fetch_bytes_per_sec: status.fetch_bytes_per_sec,
        limits: &status.node.limits,
        caps: status.node.caps,
        limited_by: status.node.limited_by,
        channels: &status.node.channels,
        traffic: status.traffic,
        models: &status.models,
        pins: &status.pins,
        records_refused: status.node.records_refused,
        chunks_corrupt: status.node.chunks_corrupt,
        bytes_served: status.node.bytes_served,
    };
    context
        .output
        .result(&report, |style| text(style, status, api))
}

fn text(style: Style, status: &StatusReport, api: &str) -> String {
    let uptime = duration(status.uptime_ms as f64 / 1000.0);
    let caps = status.node.caps;
    let mut text = format!("{}\n\n", style.bold(&sentence(status)));
    let mut rows = vec![
        (
            "node",
            format!("{}, process {}, up {uptime}", status.peer_id, status.pid),
        ),
        ("mesh", status.mesh_id.to_string()),
        ("standing", standing(status)),
        ("API", api.to_owned()),
        ("listens", status.listen.join("\n         ")),
        ("reached", reached(status.reachability)),
        ("peers", peers(status)),
        (
            "fetching",
            format!(
                "{}/s; {}",
                size(status.fetch_bytes_per_sec),
                capped(caps.fetch_bytes_per_sec, caps.lan_fetch_bytes_per_sec)
            ),
        ),
        (
            "served",
            format!(
                "{}; {}",
                size(status.node.bytes_served),
                capped(caps.serve_bytes_per_sec, caps.lan_serve_bytes_per_sec)
            ),
        ),
    ];
    if !status.pins.is_empty() {
        rows.push(("pinned", pinned(&status.pins)));
    }
    text.push_str(&fields(style, &rows));
    if let Some(by) = status.node.limited_by {
        let _ = writeln!(text, "{}", limits::now(&caps, by));
    }
    for warning in warnings(status) {
        let _ = writeln!(text, "{} {warning}", style.bad("warning:"));
    }
    let rows: Vec<Vec<String>> = status
        .node
        .channels
        .iter()
        .map(|channel| row(status, channel))
        .collect();
    if !rows.is_empty() {
        text.push('\n');
        let head = [
            "channel", "state", "active", "newest", "here", "fetched", "reused", "resumed",
        ];
        text.push_str(&table(style, &head, &rows));
    }
    text
}

/// `incident 1.0.0, incident 1.1.0 (node.toml)`.
fn pinned(pins: &[PinReport]) -> String {
    let told = |pin: &PinReport| {
        let name = match &pin.named {
            Some(named) => format!("{} {}", named.model, named.version),
            None => short(&pin.release.to_string()).to_owned(),
        };
        match pin.by {
            PinnedBy::Command => name,
            by @ PinnedBy::Settings => format!("{name} ({})", pin::place(by)),
        }
    };
    let told: Vec<String> = pins.iter().map(told).collect();
    told.join(", ")
}

/// Members, and over what it is connected with whomever it is.
fn peers(status: &StatusReport) -> String {
    let links = status.reachability.links;
    let over = [
        (links.lan, "over the LAN"),
        (links.uplink, "over the uplink"),
        (links.relayed, "through a relay"),
    ];
    let told = over.iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told.map(|(count, how)| format!("{count} {how}")).collect();
    let members = status.node.members.len();
    if told.is_empty() {
        members.to_string()
    } else {
        format!("{members} ({})", told.join(", "))
    }
}

/// How others from beyond the LAN get here.
fn reached(reachability: ReachabilityReport) -> String {
    let way = match reachability.way {
        WayIn::Direct => "directly",
        WayIn::Relayed => "through a relay",
        WayIn::DialOut => "not from beyond the LAN; it dials out",
        WayIn::Unknown => "not tried yet from beyond the LAN",
    };
    let relays = if reachability.relays {
        "; relays for others"
    } else {
        ""
    };
    format!("{way}{relays}")
}

/// `at most 2 MB/s over the uplink`.
fn capped(uplink: Option<u64>, lan: Option<u64>) -> String {
    let over = |cap: Option<u64>, path: &str| {
        cap.map(|cap| match cap {
            0 => format!("paused over the {path}"),
            cap => format!("at most {}/s over the {path}", size(cap)),
        })
    };
    let told: Vec<String> = [over(uplink, "uplink"), over(lan, "LAN")]
        .into_iter()
        .flatten()
        .collect();
    if told.is_empty() {
        "no cap".to_owned()
    } else {
        told.join(", ")
    }
}

/// `member at site main until in 365 days`, `joining`, `lapsed`.
fn standing(status: &StatusReport) -> String {
    let word = mesh::standing(status.node.standing);
    match &status.enrolment {
        Some(enrolment) => {
            let left_s = enrolment.expires_s.saturating_sub(status.node.time.now_s);
            let registrar = if status.registrar {
                "; it enrolls others"
            } else {
                ""
            };
            format!(
                "{word} at site {}, for {} more{registrar}",
                enrolment.site,
                mesh::days(left_s)
            )
        }
        None => word.to_owned(),
    }
}

/// What the owner should know beside the sentence.
fn warnings(status: &StatusReport) -> Vec<String> {
    let mut warnings: Vec<String> = status
        .places
        .iter()
        .map(|place| place.text.clone())
        .collect();
    match status.node.time.state {
        Freshness::Fresh => {}
        Freshness::Stale => warnings.push(
            "the newest root or this node's enrolment has run out; what is active stays".to_owned(),
        ),
        // before it met anybody there is nothing to hold a clock against
        Freshness::Unknown if status.node.root_version.is_none() => {}
        Freshness::Unknown => {
            warnings.push("the time is not known: is this machine's clock set?".to_owned());
        }
    }
    warnings.extend(status.node.restored_from_older_image.clone());
    for (channel, seq) in &status.node.withheld {
        warnings.push(format!(
            "head {seq} of channel {channel} was announced and no peer has handed it over"
        ));
    }
    warnings
}

/// All of it in one sentence.
fn sentence(status: &StatusReport) -> String {
    match status.node.standing {
        NodeStanding::Member => {}
        NodeStanding::Joining => {
            return mesh::joining(status).unwrap_or_else(|| "This node is joining.".to_owned());
        }
        NodeStanding::Lapsed => {
            return "This node's enrolment no longer counts: it hears of nothing new.".to_owned();
        }
        NodeStanding::Stranger => {
            return "This node is no member of its mesh, and has no invitation to ask with."
                .to_owned();
        }
    }
    for channel in &status.node.channels {
        let name = &channel.channel;
        let why = match &channel.courier {
            _ if !channel.reason.is_empty() => format!(": {}", channel.reason),
            Some(courier) if courier.waits => format!(
                ": it waits for a courier, {} more",
                mesh::days(courier.in_s)
            ),
            _ => String::new(),
        };
        match channel.phase {
            Phase::Withdrawn => {
                return format!("Channel {name} has no release that counts{why}.");
            }
            Phase::Forked | Phase::Refused => {
                return format!("Channel {name} does not take its newest release{why}.");
            }
            Phase::Fetching | Phase::Staging | Phase::Probing => {
                return format!("Channel {name} is {}{why}.", phase(channel.phase));
            }
            Phase::Idle | Phase::Soaking | Phase::Active => {}
        }
    }
    let answering = status.models.iter().filter(|model| model.answering).count();
    match (answering, status.node.members.len()) {
        (0, 0) => "No model and no peer yet.".to_owned(),
        (0, peers) => format!("No model yet; {}.", count(peers, "peer")),
        (1, peers) => format!("All is well: a model answers, {}.", count(peers, "peer")),
        (models, peers) => format!(
            "All is well: {models} models answer, {}.",
            count(peers, "peer")
        ),
    }
}

fn row(status: &StatusReport, channel: &ChannelStatus) -> Vec<String> {
    let models = status
        .models
        .iter()
        .find(|model| model.channel == channel.channel);
    let named = |release: Option<&weft_node::report::ReleaseReport>| {
        release.map_or_else(
            || "-".to_owned(),
            |release| format!("{} {}", release.model, release.version),
        )
    };
    let fetch = channel.fetch.clone().unwrap_or_default();
    let figure = |bytes: u64| {
        if bytes == 0 {
            "-".to_owned()
        } else {
            size(bytes)
        }
    };
    vec![
        channel.channel.to_string(),
        phase(channel.phase).to_owned(),
        named(models.and_then(|model| model.active.as_ref())),
        named(models.and_then(|model| model.target.as_ref())),
        percent(fetch.bytes_held, fetch.bytes_total),
        figure(fetch.bytes_fetched),
        figure(fetch.bytes_reused),
        figure(fetch.bytes_resumed),
    ]
}

/// A phase in words.
pub(crate) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Fetching => "fetching",
        Phase::Staging => "staging",
        Phase::Probing => "probing",
        Phase::Soaking => "soaking",
        Phase::Active => "active",
        Phase::Refused => "refused",
        Phase::Forked => "forked",
        Phase::Withdrawn => "withdrawn",
    }
}
