//! Random faults from a seed: phase one breaks things while the safety checkers
//! watch, phase two heals everything and demands that the mesh converges.

use std::collections::BTreeMap;

use weft_record::{Hash, Name, RecordId};

use crate::{
    checkers::{self, Violation},
    disk::VirtualDisk,
    mesh::{Admin, VirtualRelease},
    world::{NodeSpec, Outage, World},
};

/// How one run ended.
#[derive(Debug)]
pub struct Verdict {
    /// What was broken; empty when all held.
    pub violations: Vec<Violation>,
    /// The event-log hash.
    pub hash: Hash,
    /// Events of the run.
    pub events: u64,
    /// Virtual time that it took to converge.
    pub virtual_us: u64,
}

/// Virtual time of the phase with faults.
const CHAOS_US: u64 = 20_000_000;
/// Virtual time within which a healed mesh must converge: two digest intervals and
/// what the slowest fetch of these sizes takes.
const HEAL_US: u64 = 240_000_000;
/// Faults of a run.
const FAULTS: u64 = 12;

/// One run.
pub fn run(seed: u64) -> Verdict {
    let mut draw = Draw { seed, drawn: 0 };
    let mut admin = Admin::new(seed);
    let channel = admin.channel();
    let mut world = World::new(seed, admin.mesh_id());
    let nodes = 12 + draw.below(6) as usize;
    let chunks = 32 + draw.below(64) as u32;
    let old = VirtualRelease::new("1.0.0", chunks, 65_536, 0);
    let shared = draw.below(u64::from(chunks)) as u32;
    let new = VirtualRelease::new("1.1.0", chunks, 65_536, shared);
    let bad = VirtualRelease::new("1.2.0", chunks, 65_536, chunks / 2);
    let corrupt = 1 + draw.below(nodes as u64 - 1) as usize;
    for index in 0..nodes {
        let mut disk = VirtualDisk::default();
        if index == 0 {
            for release in [&old, &new, &bad] {
                disk.preload(release);
            }
        }
        let uplink_bytes_per_sec = 500_000 + draw.below(4_000_000);
        let spec = NodeSpec {
            uplink_bytes_per_sec,
            corrupts: index == corrupt,
            ..NodeSpec::default()
        };
        world.add_node(spec, disk);
    }
    // a ring, so that every cut leaves two halves, and a few chords
    for index in 0..nodes {
        world.connect(index, (index + 1) % nodes);
        world.connect(index, draw.other(nodes, index));
    }
    let mut releases: BTreeMap<RecordId, VirtualRelease> = BTreeMap::new();
    let mut violations = Vec::new();
    let (id, command) = admin.publish(&old);
    releases.insert(id, old);
    world.command(0, command);
    let (mut published, mut down) = (1, Vec::new());
    let mut expected = id;
    for _ in 0..FAULTS {
        world.run(CHAOS_US / FAULTS, |_| false);
        match draw.below(8) {
            0 | 1 => {
                let index = draw.other(nodes, 0).max(1);
                if world.is_up(index) {
                    let cut = draw.below(2) == 0;
                    world.stop(index, if cut { Outage::PowerCut } else { Outage::Kill });
                    down.push(index);
                }
            }
            2 => {
                if let Some(index) = down.pop() {
                    world.start(index);
                }
            }
            3 => {
                let side: Vec<usize> = (0..nodes).filter(|_| draw.below(2) == 0).collect();
                world.partition(&side);
            }
            4 => world.heal(),
            5 => {
                let index = draw.other(nodes, 0).max(1);
                let disk = world.disk(index);
                disk.full = !disk.full;
            }
            _ if published == 1 => {
                let (id, command) = admin.publish(&new);
                releases.insert(id, new.clone());
                world.command(0, command);
                (published, expected) = (2, id);
            }
            _ if published == 2 => {
                let (id, command) = admin.publish(&bad);
                releases.insert(id, bad.clone());
                world.bad_models.insert(id);
                world.command(0, command);
                published = 3;
            }
            _ => {}
        }
        violations.extend(checkers::safety(&mut world, &channel, &releases));
    }
    for index in 0..nodes {
        world.disk(index).full = false;
        if !world.is_up(index) {
            world.start(index);
        }
    }
    world.heal();
    world.relink();
    let honest: Vec<usize> = (0..nodes).filter(|&index| index != corrupt).collect();
    let settled = |world: &World| {
        honest
            .iter()
            .all(|&index| world.active(index, &channel) == Some(expected))
    };
    if published < 3 {
        world.run(HEAL_US, settled);
        violations.extend(checkers::converged(&mut world, &channel, &honest, expected));
    } else {
        // a node that never had the good release before the bad one superseded it
        // keeps what it has: it must only never run the bad one
        world.run(HEAL_US / 4, |_| false);
    }
    violations.extend(checkers::safety(&mut world, &channel, &releases));
    for &index in &honest {
        violations.extend(checkers::no_refetch(&mut world, index));
    }
    let (hash, events, virtual_us) = (world.log_hash(), world.log().lines(), world.now_us());
    Verdict {
        violations,
        hash,
        events,
        virtual_us,
    }
}

/// The channel that virtual meshes use.
pub fn channel() -> Name {
    "stable".parse().expect("a valid name")
}

/// Draws keyed by (seed, count): one more draw moves only those after it.
struct Draw {
    seed: u64,
    drawn: u64,
}

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        let hash = blake3::derive_key(
            "weft-sim fuzz",
            &[self.seed, self.drawn].map(u64::to_le_bytes).concat(),
        );
        u64::from_le_bytes(hash[..8].try_into().expect("eight bytes")) % bound
    }

    /// An index other than this one.
    fn other(&mut self, count: usize, not: usize) -> usize {
        (not + 1 + self.below(count as u64 - 1) as usize) % count
    }
}
