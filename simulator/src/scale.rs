//! One rollout to a fleet as large as wanted: what the benchmark of the simulator runs.
//!
//! Sites of equal size with a LAN each, and a random net of links between sites. One node
//! of the first site holds the release; it spreads until every node has it active.

use weft_record::Hash;

use crate::{
    disk::VirtualDisk,
    mesh::{Admin, VirtualRelease},
    topology::{NetworkModel, Site, Timing},
    traffic::Traffic,
    world::{Figures, Keep, NodeSpec, World},
};

/// How large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleSpec {
    /// Nodes in all.
    pub nodes: u32,
    /// Chunks of the release, of 256 KiB each.
    pub chunks: u32,
    /// Sites; 0: one for each 50 nodes.
    pub sites: u32,
    /// Neighbours of a node, about.
    pub neighbours: u32,
    /// Moves everything that is drawn.
    pub seed: u64,
}

impl Default for ScaleSpec {
    fn default() -> Self {
        Self {
            nodes: 1_000,
            chunks: 256,
            sites: 0,
            neighbours: 8,
            seed: 1,
        }
    }
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleReport {
    /// What was asked for.
    pub spec: ScaleSpec,
    /// Nodes that run the release.
    pub active: u64,
    /// Virtual time from the publication until the last of them did.
    pub virtual_us: u64,
    /// What was counted.
    pub figures: Figures,
    /// Messages sent, by kind.
    pub traffic: Traffic,
    /// The hash over all that happened.
    pub trace_hash: Hash,
    /// Memory of hosts, disks, links, network and queue at the end, without the core's.
    pub engine_bytes: u64,
}

/// Bytes of a chunk.
const CHUNK_BYTES: u32 = 256 * 1_024;
/// Nodes of a site, where nothing else is said.
const NODES_PER_SITE: u32 = 50;
/// A gigabit NIC.
const NIC_BYTES_PER_SEC: u64 = 125_000_000;
/// The uplinks of the sites: 50, 100, 200 and 500 Mbit/s.
const UPLINKS_BYTES_PER_SEC: [u64; 4] = [6_250_000, 12_500_000, 25_000_000, 62_500_000];
/// Links from each site to others: those of its gateways.
const SITE_LINKS: u64 = 3;
/// Peers find each other before the release is published.
const SETTLE_US: u64 = 2_000_000;
/// Sites are switched on one after the other, so far apart: no fleet starts in one moment.
const SITE_PAUSE_US: u64 = 1_000;
/// A fleet that has not converged by then does not.
const LIMIT_US: u64 = 24 * 3_600 * 1_000_000;

impl ScaleReport {
    /// One JSON object, with the time that it took and the most memory that the process had.
    pub fn json(&self, wall_s: f64, peak_bytes: u64) -> String {
        let ScaleSpec {
            nodes,
            chunks,
            sites,
            neighbours,
            seed,
        } = self.spec;
        let Figures {
            events,
            handle_calls,
            chunks_delivered,
            ..
        } = self.figures;
        let (active, virtual_us, hash) = (self.active, self.virtual_us, self.trace_hash);
        let engine_bytes = self.engine_bytes;
        let messages = self.traffic.kinds();
        let messages = messages.map(|(kind, count, _)| format!("\"{kind}\":{count}"));
        let messages = messages.collect::<Vec<_>>().join(",");
        format!(
            "{{\"nodes\":{nodes},\"chunks\":{chunks},\"sites\":{sites},\
             \"neighbours\":{neighbours},\"seed\":{seed},\"active\":{active},\
             \"virtual_us\":{virtual_us},\"events\":{events},\"handle_calls\":{handle_calls},\
             \"chunks_delivered\":{chunks_delivered},\"engine_bytes\":{engine_bytes},\
             \"messages\":{{{messages}}},\
             \"wall_s\":{wall_s:.3},\"peak_bytes\":{peak_bytes},\"trace_hash\":\"{hash}\"}}"
        )
    }
}

/// Runs it.
pub fn run(spec: &ScaleSpec) -> ScaleReport {
    let mut spec = *spec;
    spec.nodes = spec.nodes.max(2);
    if spec.sites == 0 {
        spec.sites = spec.nodes.div_ceil(NODES_PER_SITE);
    }
    spec.sites = spec.sites.clamp(1, spec.nodes);
    let mut admin = Admin::new(spec.seed);
    let release = VirtualRelease::new("1.0.0", spec.chunks.max(1), CHUNK_BYTES, 0);
    let mut world = World::with_network(spec.seed, admin.mesh_id(), NetworkModel::Quantum);
    world.set_timing(Timing::Fused);
    world.keep(Keep::Nothing);
    build(&spec, &mut world, &admin, &release);
    world.run(SETTLE_US, |_| false);
    let begun_us = world.now_us();
    let (_, command) = admin.publish(&release);
    world.command(0, command);
    let all = u64::from(spec.nodes);
    world.run(LIMIT_US, |world| world.figures().activations >= all);
    ScaleReport {
        spec,
        active: world.figures().activations,
        virtual_us: world.now_us() - begun_us,
        figures: world.figures(),
        traffic: world.traffic.clone(),
        trace_hash: world.log_hash(),
        engine_bytes: world.heap_bytes() as u64,
    }
}

fn build(spec: &ScaleSpec, world: &mut World, admin: &Admin, release: &VirtualRelease) {
    let mut draw = Draw(spec.seed);
    for site in 0..spec.sites {
        let kind = draw.below(UPLINKS_BYTES_PER_SEC.len() as u64) as usize;
        world.add_site(Site {
            name: format!("site-{site}"),
            uplink_bytes_per_sec: UPLINKS_BYTES_PER_SEC[kind],
            downlink_bytes_per_sec: UPLINKS_BYTES_PER_SEC[kind],
            lan_round_trip_us: 1_000,
            wan_round_trip_us: 10_000 + draw.below(40) * 1_000,
            loss_ppm: 0,
        });
    }
    let first =
        |site: u32| (u64::from(site) * u64::from(spec.nodes) / u64::from(spec.sites)) as u32;
    for site in 0..spec.sites {
        for index in first(site)..first(site + 1) {
            let mut disk = VirtualDisk::default();
            if index == 0 {
                disk.preload(release);
            }
            let node = NodeSpec {
                site: site as usize + 1,
                uplink_bytes_per_sec: NIC_BYTES_PER_SEC,
                downlink_bytes_per_sec: NIC_BYTES_PER_SEC,
                ..NodeSpec::default()
            };
            world.add_member_apart(admin, node, disk);
        }
    }
    for site in 0..spec.sites {
        let (begin, end) = (first(site), first(site + 1));
        let size = u64::from(end - begin);
        // a ring, and chords up to the wanted degree: each link counts for two
        for index in begin..end {
            connect(world, index, begin + (index + 1 - begin) % (end - begin));
            for _ in 1..spec.neighbours / 2 {
                connect(world, index, begin + draw.below(size) as u32);
            }
        }
        for number in 0..SITE_LINKS {
            // the next site too, so that no part is cut off
            let other = if number == 0 {
                (site + 1) % spec.sites
            } else {
                draw.below(u64::from(spec.sites)) as u32
            };
            let there = first(other)..first(other + 1);
            let from = begin + draw.below(size) as u32;
            let to = there.start + draw.below(u64::from(there.end - there.start)) as u32;
            connect(world, from, to);
        }
        world.run(SITE_PAUSE_US, |_| false);
    }
}

fn connect(world: &mut World, from: u32, to: u32) {
    if from != to {
        world.connect(from as usize, to as usize);
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_of_a_small_fleet_gets_every_chunk_once() {
        let spec = ScaleSpec {
            nodes: 60,
            chunks: 32,
            sites: 3,
            ..ScaleSpec::default()
        };
        let (report, again) = (run(&spec), run(&spec));
        assert_eq!(report.active, 60);
        assert_eq!(report.figures.chunks_stored, 59 * 32);
        assert_eq!(report, again, "the same seed, the same run");
        let other = run(&ScaleSpec { seed: 2, ..spec });
        assert_ne!(report.trace_hash, other.trace_hash);
    }
}
