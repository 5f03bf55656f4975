//! The same case played by virtual nodes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use weft_core::Event;
use weft_sim::{Admin, NetworkModel, NodeSpec, Outage, Site, VirtualDisk, World};

use crate::{
    case::{Case, Happening},
    outcome::{Fetched, Outcome, Served, SiteBytes},
    release::PackedRelease,
};

/// Between two nodes of a lab's LAN and back: a bridge and two virtual cables.
const LAN_ROUND_TRIP_US: u64 = 100;
/// Until every node knows its neighbours and nothing more is said.
const SETTLE_US: u64 = 5_000_000;

/// Plays it with these releases.
pub fn run(
    case: &Case,
    model: NetworkModel,
    releases: &[PackedRelease],
    seed: u64,
) -> Result<Outcome> {
    ensure!(
        releases.len() == case.releases,
        "{} releases are needed",
        case.releases
    );
    let splits = |happening: &Happening| matches!(happening, Happening::Split(_));
    ensure!(
        !case
            .happenings
            .iter()
            .any(|(_, happening)| splits(happening)),
        "virtual LANs do not fall apart"
    );
    let mut admin = Admin::new(seed);
    let mut world = World::with_network(seed, admin.mesh_id(), model);
    let sites: Vec<usize> = case
        .places
        .iter()
        .enumerate()
        .map(|(index, place)| {
            world.add_site(Site {
                name: format!("place-{index}"),
                // limits come when everybody knows everybody, as in the lab
                uplink_bytes_per_sec: 0,
                downlink_bytes_per_sec: 0,
                lan_round_trip_us: LAN_ROUND_TRIP_US,
                wan_round_trip_us: place.round_trip.as_micros() as u64,
                loss_ppm: place.loss_ppm,
            })
        })
        .collect();
    for node in 0..case.node_count() {
        let spec = NodeSpec {
            site: sites[case.place_of(node).0],
            uplink_bytes_per_sec: case.line_bytes_per_sec,
            downlink_bytes_per_sec: case.line_bytes_per_sec,
            ..NodeSpec::default()
        };
        let mut disk = VirtualDisk::default();
        if node == 0 {
            for release in releases {
                disk.preload(&release.release);
            }
        }
        world.add_member(&mut admin, spec, disk);
    }
    for (a, b) in case.links() {
        world.connect(a, b);
    }
    world.run(SETTLE_US, |_| false);
    let (last, earlier) = releases.split_last().context("no release")?;
    for release in earlier {
        let (id, command) = admin.publish(&release.release);
        world.command(0, command);
        let channel = admin.channel();
        let nodes = case.node_count();
        let settled = world.run(case.limit.as_micros() as u64, |world| {
            (0..nodes).all(|node| world.active(node, &channel) == Some(id))
        });
        ensure!(settled, "an earlier release is not active everywhere");
        world.run(SETTLE_US, |_| false);
    }
    for &late in &case.late {
        world.stop(late, Outage::Kill);
    }
    for (site, place) in sites.iter().zip(&case.places) {
        world.set_site(
            *site,
            place.uplink_bytes_per_sec,
            place.downlink_bytes_per_sec,
        );
    }
    world.run(SETTLE_US, |_| false);
    play(case, &mut world, &mut admin, last, &sites)
}

fn play(
    case: &Case,
    world: &mut World,
    admin: &mut Admin,
    release: &PackedRelease,
    sites: &[usize],
) -> Result<Outcome> {
    let bytes = |world: &World| -> Vec<SiteBytes> {
        let traffic = sites.iter().map(|site| world.site_traffic(*site));
        traffic
            .map(|traffic| SiteBytes {
                up: traffic.up_bytes,
                down: traffic.down_bytes,
            })
            .collect()
    };
    let (before, begin_us) = (bytes(world), world.now_us());
    let mut tally = Tally::new(world);
    let served_before = tally.served(world);
    let first_event = world.events.len();
    let (id, command) = admin.publish(&release.release);
    world.command(0, command);
    for (after, happening) in &case.happenings {
        let wait_us = (begin_us + after.as_micros() as u64).saturating_sub(world.now_us());
        world.run(wait_us, |_| false);
        tally.happen(world, case, *happening, sites);
    }
    let count = case.node_count();
    let mut times = Times {
        completed: vec![None; count],
        activated: vec![None; count],
        started_us: None,
        seen: first_event,
    };
    let limit_us = case.limit.as_micros() as u64;
    let held = world.run(limit_us, |world| {
        times.see(world, id);
        !times.completed[1..].contains(&None)
    });
    ensure!(
        held,
        "the virtual nodes did not get everything: {:?}",
        times.completed
    );
    let after = bytes(world);
    let fetched = fetched(world, admin);
    let served = tally.served(world).since(&served_before);
    let active = world.run(limit_us, |world| {
        times.see(world, id);
        !times.activated[1..].contains(&None)
    });
    ensure!(active, "the virtual nodes did not activate");
    let first_us = times.started_us.context("nobody began to fetch")?;
    let since = |times: &[Option<u64>]| -> Vec<Duration> {
        let others = times.iter().skip(1).flatten();
        others
            .map(|at_us| Duration::from_micros(at_us - first_us))
            .collect()
    };
    Ok(Outcome {
        began: Duration::from_micros(first_us - begin_us),
        completed: since(&times.completed),
        activated: since(&times.activated),
        bytes: after
            .iter()
            .zip(before)
            .map(|(after, before)| after.since(before))
            .collect(),
        chunk_bytes: served.over_uplinks(case),
        publisher_chunk_bytes: served.by_publisher(),
        fetched,
    })
}

fn fetched(world: &World, admin: &Admin) -> Fetched {
    let (mut all, channel) = (Fetched::default(), admin.channel());
    for node in 1..world.node_count() {
        let status = world.node(node).map(weft_core::Node::status);
        let channels = status.into_iter().flat_map(|status| status.channels);
        let of_channel = channels.filter(|status| status.channel == channel);
        for fetch in of_channel.filter_map(|status| status.fetch) {
            all.bytes_duplicate += fetch.bytes_duplicate;
            for (peer, chunks) in fetch.chunks_by_peer {
                all.add(peer == world.key(0), chunks);
            }
        }
    }
    all
}

/// What outlasts the nodes that are killed.
struct Tally {
    served: Served,
    killed: Vec<usize>,
}

impl Tally {
    fn new(world: &World) -> Self {
        Self {
            served: Served::new(world.node_count()),
            killed: Vec::new(),
        }
    }

    /// What [`run`] lets in.
    fn happen(&mut self, world: &mut World, case: &Case, happening: Happening, sites: &[usize]) {
        match happening {
            Happening::Cut(place) => world.silence(sites[place]),
            Happening::Mend(place) => world.end_silence(sites[place]),
            Happening::Kill(node) => self.kill(world, node),
            Happening::Start(node) => {
                self.killed.retain(|killed| *killed != node);
                world.start(node);
            }
            Happening::KillClaimer(place) => {
                let nodes = 1..world.node_count();
                let claimer = nodes
                    .filter(|node| case.place_of(*node).0 == place)
                    .max_by_key(|node| from_afar(world, case, *node));
                if let Some(node) = claimer {
                    self.kill(world, node);
                }
            }
            Happening::Split(_) | Happening::Join(_) => {}
            Happening::StartKilled => {
                for node in std::mem::take(&mut self.killed) {
                    world.start(node);
                }
            }
        }
    }

    fn kill(&mut self, world: &mut World, node: usize) {
        count_served(world, node, &mut self.served);
        world.stop(node, Outage::Kill);
        self.killed.push(node);
    }

    /// With what nodes that run count themselves.
    fn served(&self, world: &World) -> Served {
        let mut served = self.served.clone();
        for node in 0..world.node_count() {
            count_served(world, node, &mut served);
        }
        served
    }
}

fn count_served(world: &World, from: usize, served: &mut Served) {
    let status = world.node(from).map(weft_core::Node::status);
    for (peer, bytes) in status
        .into_iter()
        .flat_map(|status| status.bytes_served_by_peer)
    {
        if let Some(to) = (0..world.node_count()).find(|node| world.key(*node) == peer) {
            served.add(from, to, bytes);
        }
    }
}

/// Chunks that a node got from other places.
fn from_afar(world: &World, case: &Case, node: usize) -> u64 {
    let place = case.place_of(node).0;
    let is_near = |peer| {
        let mut others = 0..world.node_count();
        others.any(|other| case.place_of(other).0 == place && world.key(other) == peer)
    };
    let status = world.node(node).map(weft_core::Node::status);
    let fetches = status.into_iter().flat_map(|status| status.channels);
    let counts = fetches.filter_map(|channel| channel.fetch);
    let counts = counts.flat_map(|fetch| fetch.chunks_by_peer);
    let afar = counts.filter(|(peer, _)| !is_near(*peer));
    afar.map(|(_, chunks)| chunks).sum()
}

/// When things happened, by node, in virtual microseconds.
struct Times {
    completed: Vec<Option<u64>>,
    activated: Vec<Option<u64>>,
    /// When the first but the publisher began to fetch.
    started_us: Option<u64>,
    /// Events looked at.
    seen: usize,
}

impl Times {
    fn see(&mut self, world: &World, id: weft_record::RecordId) {
        for (at_us, node, event) in &world.events[self.seen..] {
            let times = match event {
                Event::FetchStarted { release, .. } if *release == id && *node > 0 => {
                    self.started_us.get_or_insert(*at_us);
                    continue;
                }
                Event::FetchCompleted { release, .. } if *release == id => &mut self.completed,
                Event::Activated { release, .. } if *release == id => &mut self.activated,
                _ => continue,
            };
            times[*node].get_or_insert(*at_us);
        }
        self.seen = world.events.len();
    }
}
