//! One copy a site: over a thin uplink each chunk comes once, however many nodes want it.

use std::collections::BTreeMap;

use weft_core::Event;
use weft_sim::{Admin, NetworkModel, NodeSpec, Outage, Site, VirtualDisk, VirtualRelease, World};

use crate::harness::{CHUNK_BYTES, SECOND_US, all_active, publish};

const SITES: usize = 4;
const NODES_PER_SITE: usize = 10;
const CHUNKS: u32 = 256;
/// 10 Mbit/s.
const UPLINK_BYTES_PER_SEC: u64 = 1_250_000;

/// A source behind a fat link, and sites of whose nodes each reaches it; some reach other
/// sites too.
struct Sites {
    world: World,
    admin: Admin,
    release: VirtualRelease,
}

fn sites(seed: u64, trades: bool) -> Sites {
    let mut admin = Admin::new(seed);
    let release = VirtualRelease::new("1.0.0", CHUNKS, CHUNK_BYTES, 0);
    let mut world = World::with_network(seed, admin.mesh_id(), NetworkModel::Fluid);
    let mut disk = VirtualDisk::default();
    disk.preload(&release);
    let home = world.add_site(Site {
        uplink_bytes_per_sec: 12_500_000,
        downlink_bytes_per_sec: 12_500_000,
        ..Site::default()
    });
    let spec = NodeSpec {
        site: home,
        ..NodeSpec::default()
    };
    world.add_member(&mut admin, spec, disk);
    for _ in 0..SITES {
        let site = world.add_site(Site {
            uplink_bytes_per_sec: UPLINK_BYTES_PER_SEC,
            downlink_bytes_per_sec: UPLINK_BYTES_PER_SEC,
            lan_round_trip_us: 600,
            ..Site::default()
        });
        for _ in 0..NODES_PER_SITE {
            let spec = NodeSpec {
                site,
                uplink_bytes_per_sec: 125_000_000,
                ..NodeSpec::default()
            };
            world.add_member(&mut admin, spec, VirtualDisk::default());
        }
    }
    for index in 1..world.node_count() {
        world.connect(0, index);
        for other in index + 1..world.node_count() {
            if site_of(index) == site_of(other)
                || trades && index % NODES_PER_SITE == other % NODES_PER_SITE
            {
                world.connect(index, other);
            }
        }
    }
    Sites {
        world,
        admin,
        release,
    }
}

/// The source is alone.
fn site_of(index: usize) -> Option<usize> {
    index.checked_sub(1).map(|index| index / NODES_PER_SITE)
}

/// How often each site got each chunk from beyond its LAN.
fn copies(world: &World) -> BTreeMap<(usize, u32), u64> {
    let mut copies = BTreeMap::new();
    for (_, node, event) in &world.events {
        if let Event::ChunkStored { index, from, .. } = event {
            let from = world.index_of(from).unwrap();
            if let Some(site) = site_of(*node).filter(|site| site_of(from) != Some(*site)) {
                *copies.entry((site, *index)).or_default() += 1;
            }
        }
    }
    copies
}

#[test]
fn each_chunk_comes_once_over_each_uplink() {
    for (seed, trades) in [(1, false), (2, false), (1, true), (2, true)] {
        let Sites {
            mut world,
            mut admin,
            release,
        } = sites(seed, trades);
        world.run(10 * SECOND_US, |_| false);
        let begun_us = world.now_us();
        let id = publish(&mut world, &mut admin, &release);
        let channel = admin.channel();
        let done = world.run(200 * SECOND_US, |world| all_active(world, &channel, id));
        assert!(done, "not all have it");
        let copies = copies(&world);
        let came: u64 = copies.values().sum();
        assert_eq!(copies.len(), SITES * CHUNKS as usize);
        // one copy over the uplink, and a tenth for headers, the start and the proof
        let bytes = u64::from(CHUNKS) * u64::from(CHUNK_BYTES);
        let bound_us = bytes * SECOND_US / UPLINK_BYTES_PER_SEC;
        let took_us = world.now_us() - begun_us;
        assert!(took_us < bound_us * 11 / 10, "{took_us} of {bound_us} us");
        assert!(
            came as usize <= SITES * CHUNKS as usize * 101 / 100,
            "{came}"
        );
    }
}

#[test]
fn whoever_claims_may_die() {
    let Sites {
        mut world,
        mut admin,
        release,
    } = sites(3, false);
    let id = publish(&mut world, &mut admin, &release);
    let channel = admin.channel();
    for turn in 0..8 {
        world.run((3 + turn) * SECOND_US, |_| false);
        // the one that got the last chunk from afar
        let last = world
            .events
            .iter()
            .rev()
            .find_map(|(_, node, event)| match event {
                Event::ChunkStored { from, .. } if *from == world.key(0) => Some(*node),
                _ => None,
            });
        if let Some(claimer) = last {
            let outage = if turn % 2 == 0 {
                Outage::Kill
            } else {
                Outage::PowerCut
            };
            world.stop(claimer, outage);
            world.run(2 * SECOND_US, |_| false);
            world.start(claimer);
        }
    }
    let done = world.run(400 * SECOND_US, |world| all_active(world, &channel, id));
    assert!(done, "not all have it");
    let came: u64 = copies(&world).values().sum();
    assert!(
        came as usize <= SITES * CHUNKS as usize * 105 / 100,
        "{came}"
    );
}

#[test]
fn a_swarm_of_one_seed_sends_each_chunk_about_once() {
    let mut admin = Admin::new(5);
    let release = VirtualRelease::new("1.0.0", CHUNKS, CHUNK_BYTES, 0);
    let mut world = World::with_network(5, admin.mesh_id(), NetworkModel::Fluid);
    let rate_bytes_per_sec = 5_000_000;
    for index in 0..9 {
        let mut disk = VirtualDisk::default();
        if index == 0 {
            disk.preload(&release);
        }
        let spec = NodeSpec {
            uplink_bytes_per_sec: rate_bytes_per_sec,
            downlink_bytes_per_sec: rate_bytes_per_sec,
            ..NodeSpec::default()
        };
        world.add_member(&mut admin, spec, disk);
        for other in 0..index {
            world.connect(index, other);
        }
    }
    world.run(5 * SECOND_US, |_| false);
    let begun_us = world.now_us();
    let id = publish(&mut world, &mut admin, &release);
    let channel = admin.channel();
    let done = world.run(100 * SECOND_US, |world| all_active(world, &channel, id));
    assert!(done, "not all have it");
    let seed = world.key(0);
    let sent = world
        .events
        .iter()
        .filter(|(_, _, event)| matches!(event, Event::ChunkStored { from, .. } if *from == seed));
    let sent = sent.count();
    let took_us = world.now_us() - begun_us;
    let bytes = u64::from(CHUNKS) * u64::from(CHUNK_BYTES);
    let bound_us = bytes * SECOND_US / rate_bytes_per_sec;
    assert!(sent <= CHUNKS as usize * 115 / 100, "{sent}");
    assert!(took_us < bound_us * 125 / 100, "{took_us} of {bound_us} us");
}
