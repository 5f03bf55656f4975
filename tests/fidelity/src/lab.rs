//! The network of a case: a namespace for each node and each place, bridges for the LANs,
//! the kernel's token buckets for the rates, and the wire between the places.
//!
//! ```text
//! node namespace          place namespace                    this process
//!   eth0 ─ tbf ── veth ── port ─ tbf ┐
//!   eth0 ─ tbf ── veth ── port ─ tbf ┼ lan ─ tbf (downlink)
//!                                    └ routed ── wan ─ tbf (uplink) ── TUN ── wire
//! ```

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result};
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::{
    case::{Case, Place},
    namespace::{Namespace, call, remove_stale},
    outcome::SiteBytes,
    wire::{Way, Wire},
};

/// A bucket holds so much of its rate: small enough that a line is never faster than it
/// says for longer than this.
const BURST_MS: u64 = 5;
/// It never holds less than a few packets.
const BURST_BYTES_LEAST: u64 = 8_000;
/// What waits before a bucket: a common router's buffer.
const BUFFER_MS: u64 = 100;
/// A hardware address of nobody.
const NOBODY: &str = "02:77:77:77:77:77";
/// The congestion control of all nodes: Linux's default.
const CONGESTION: &str = "cubic";

/// A network that stands; removed when it goes.
pub(crate) struct Lab {
    // the wire first: it holds the devices that lie in the namespaces
    wire: Wire,
    nodes: Vec<Namespace>,
    places: Vec<Namespace>,
}

/// Why no lab can be made here, if that is so.
pub fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    for program in ["ip", "tc", "nsenter"] {
        let found = Command::new(program).arg("--version").output();
        if found.is_err() && Command::new(program).arg("-V").output().is_err() {
            return Some(format!("there is no `{program}` here"));
        }
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun here".to_owned());
    }
    let probe = Namespace::new("probe")
        .and_then(|probe| probe.tc("qdisc add dev lo root tbf rate 1mbit burst 8000 limit 8000"));
    probe.err().map(|error| format!("{error:#}"))
}

impl Lab {
    /// Builds the network of a case, as fast as this machine is: rates come with
    /// [`Lab::limit`].
    pub(crate) fn new(case: &Case, seed: u64) -> Result<Self> {
        remove_stale()?;
        let (mut places, mut nodes, mut devices) = (Vec::new(), Vec::new(), Vec::new());
        for (index, place) in case.places.iter().enumerate() {
            let namespace = Namespace::new(&format!("s{index}"))?;
            devices.push(build_place(&namespace, index)?);
            for number in 0..place.nodes {
                let node = Namespace::new(&format!("n{}", nodes.len()))?;
                build_node(&node, &namespace, index, number)?;
                nodes.push(node);
            }
            places.push(namespace);
        }
        let way = |place: &Place| Way {
            one_way: place.round_trip / 2,
            loss_ppm: place.loss_ppm,
        };
        let ways = case.places.iter().map(way).collect();
        Ok(Self {
            wire: Wire::start(devices, ways, seed)?,
            nodes,
            places,
        })
    }

    /// From now on every line is as slow as the case says.
    pub(crate) fn limit(&self, case: &Case) -> Result<()> {
        for (namespace, place) in self.places.iter().zip(&case.places) {
            limit(namespace, "wan", place.uplink_bytes_per_sec)?;
            limit(namespace, "lan", place.downlink_bytes_per_sec)?;
            for number in 0..place.nodes {
                limit(namespace, &format!("port{number}"), case.line_bytes_per_sec)?;
            }
        }
        for node in &self.nodes {
            limit(node, "eth0", case.line_bytes_per_sec)?;
        }
        Ok(())
    }

    /// The halves of a place's LAN do not hear each other, or do so again: what one says to
    /// the other goes to an address that nobody has.
    pub(crate) fn part(&self, case: &Case, place: usize, apart: bool) -> Result<()> {
        let first: usize = case.places[..place].iter().map(|place| place.nodes).sum();
        let nodes = case.places[place].nodes;
        for number in 0..nodes {
            for other in 0..nodes {
                if (number < nodes / 2) == (other < nodes / 2) {
                    continue;
                }
                let other = address(place, other);
                let words = if apart {
                    format!("neighbour replace {other} lladdr {NOBODY} dev eth0 nud permanent")
                } else {
                    format!("neighbour del {other} dev eth0")
                };
                self.nodes[first + number].ip(&words)?;
            }
        }
        Ok(())
    }

    pub(crate) fn node(&self, node: usize) -> &Namespace {
        &self.nodes[node]
    }

    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// What passed each place's uplink so far, by the kernel's count.
    pub(crate) fn bytes(&self) -> Result<Vec<SiteBytes>> {
        let places = self.places.iter();
        places
            .map(|place| place.inside(|| bytes_of("wan"))?)
            .collect()
    }

    /// What a node's line sent so far, by the kernel's count.
    pub(crate) fn sent_bytes(&self, node: usize) -> Result<u64> {
        Ok(self.nodes[node].inside(|| bytes_of("eth0"))??.up)
    }
}

/// Where a node is reached.
pub(crate) fn address(place: usize, number: usize) -> String {
    format!("10.77.{place}.{}", number + 1)
}

fn gateway(place: usize) -> String {
    format!("10.77.{place}.254")
}

fn network(place: usize) -> String {
    format!("10.77.{place}.0")
}

fn build_place(namespace: &Namespace, place: usize) -> Result<SyncDevice> {
    namespace.set("net/ipv4/ip_forward", "1")?;
    namespace.ip("link add lan type bridge forward_delay 0")?;
    namespace.ip(&format!("address add {}/24 dev lan", gateway(place)))?;
    namespace.ip("link set lan up")?;
    // made here and moved: the open file goes on working
    let name = format!("weft{}p{place}", std::process::id());
    let device = DeviceBuilder::new()
        .name(&name)
        .enable(false)
        .build_sync()
        .with_context(|| format!("the device {name} cannot be made"))?;
    call("ip", &["link", "set", &name, "netns", namespace.name()])?;
    namespace.ip(&format!("link set dev {name} name wan"))?;
    namespace.ip("link set dev wan mtu 1500 up")?;
    namespace.ip("route add 10.77.0.0/16 dev wan")?;
    Ok(device)
}

fn build_node(node: &Namespace, home: &Namespace, place: usize, number: usize) -> Result<()> {
    let port = format!("port{number}");
    let peer = format!("netns {}", home.name());
    node.ip(&format!("link add eth0 type veth peer name {port} {peer}"))?;
    home.ip(&format!("link set {port} master lan up"))?;
    // the prefix tells the node who is on its LAN; the kernel's own route has no congctl
    let own = address(place, number);
    node.ip(&format!("address add {own}/24 dev eth0 noprefixroute"))?;
    node.ip("link set eth0 up")?;
    // by route: a namespace may not choose among all that the kernel has
    let lan = gateway(place);
    node.ip(&format!("route add {lan}/32 dev eth0"))?;
    node.ip(&format!(
        "route add {}/24 dev eth0 congctl {CONGESTION}",
        network(place)
    ))?;
    node.ip(&format!("route add default via {lan} congctl {CONGESTION}"))?;
    // each connection finds out for itself how fast it may be
    node.set("net/ipv4/tcp_no_metrics_save", "1")
}

fn limit(namespace: &Namespace, device: &str, bytes_per_sec: u64) -> Result<()> {
    if bytes_per_sec == 0 {
        return Ok(());
    }
    let burst = (bytes_per_sec * BURST_MS / 1_000).max(BURST_BYTES_LEAST);
    let limit = bytes_per_sec * BUFFER_MS / 1_000 + burst;
    let bits = bytes_per_sec * 8;
    namespace.tc(&format!(
        "qdisc add dev {device} root tbf rate {bits}bit burst {burst} limit {limit}"
    ))
}

/// The counters of a device of the thread's own namespace.
fn bytes_of(device: &str) -> Result<SiteBytes> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    let name = format!("{device}:");
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(&name));
    let line = line.with_context(|| format!("there is no {device}"))?;
    let counters: Vec<u64> = line
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    // received: bytes, packets and six more; then the same for what was sent
    match counters[..] {
        [down, _, _, _, _, _, _, _, up, ..] => Ok(SiteBytes { up, down }),
        _ => anyhow::bail!("/proc/net/dev has another shape: {line}"),
    }
}
