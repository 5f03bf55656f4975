//! What the owner lets transfers take: hours, and an uplink that is metered.

use weft_core::{Caps, Command, LimitedBy, Limits, Window};
use weft_record::{Name, RecordId};
use weft_sim::{Admin, NodeSpec, Site, VirtualDisk, VirtualRelease, World};

use crate::harness::{CHUNK_BYTES, SECOND_US, all_active, publish};

const CHUNKS: u32 = 64;
/// A Monday in 2026, midnight.
const MONDAY_S: u64 = 1_767_571_200;

/// A source, and beyond its uplink a site of two nodes that both reach it.
struct Fleet {
    world: World,
    admin: Admin,
    release: VirtualRelease,
}

fn fleet(seed: u64, source: Limits, site: &Limits) -> Fleet {
    let mut admin = Admin::new(seed);
    let release = VirtualRelease::new("1.0.0", CHUNKS, CHUNK_BYTES, 0);
    let mut world = World::new(seed, admin.mesh_id());
    let mut disk = VirtualDisk::default();
    disk.preload(&release);
    let link = Site {
        uplink_bytes_per_sec: 1_250_000,
        downlink_bytes_per_sec: 1_250_000,
        ..Site::default()
    };
    let (home, away) = (world.add_site(link.clone()), world.add_site(link));
    let spec = |site: usize, limits: Limits| NodeSpec {
        site,
        limits,
        // a minute before one
        local_s: MONDAY_S + 59 * 60,
        ..NodeSpec::default()
    };
    world.add_member(&mut admin, spec(home, source), disk);
    for _ in 0..2 {
        world.add_member(&mut admin, spec(away, site.clone()), VirtualDisk::default());
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        world.connect(a, b);
    }
    Fleet {
        world,
        admin,
        release,
    }
}

fn metered() -> Limits {
    Limits {
        metered: true,
        ..Limits::default()
    }
}

/// Paused in the first hour of every day.
fn not_before_one() -> Limits {
    let window = Window {
        days: 0x7f,
        from_minute: 0,
        until_minute: 60,
        fetch_bytes_per_sec: Some(0),
        serve_bytes_per_sec: Some(0),
    };
    Limits {
        timetable: vec![window],
        ..Limits::default()
    }
}

fn held(world: &World, node: usize) -> u64 {
    let status = world.node(node).unwrap().status();
    let fetch = status.channels[0].fetch.as_ref();
    fetch.map_or(0, |fetch| fetch.bytes_held)
}

fn knows(world: &World, node: usize, id: RecordId) -> bool {
    let status = world.node(node).unwrap().status();
    status.channels[0].target == Some(id)
}

fn begin(fleet: &mut Fleet) -> (RecordId, Name) {
    let id = publish(&mut fleet.world, &mut fleet.admin, &fleet.release);
    (id, fleet.admin.channel())
}

#[test]
fn over_a_metered_uplink_come_heads_and_no_chunks() {
    let mut fleet = fleet(1, Limits::default(), &metered());
    let (id, channel) = begin(&mut fleet);
    let world = &mut fleet.world;
    world.run(40 * SECOND_US, |_| false);
    for node in 1..3 {
        assert!(knows(world, node, id), "{node} has not heard of it");
        assert_eq!(held(world, node), 0, "{node}");
        let status = world.node(node).unwrap().status();
        assert_eq!(status.limited_by, Some(LimitedBy::Metered));
    }
    // one of them may: the other has it from the LAN
    world.command(2, Command::Limit(Limits::default()));
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    let status = world.node(1).unwrap().status();
    let fetch = status.channels[0].fetch.clone().unwrap();
    let near = world.key(2);
    assert!(fetch.chunks_by_peer.iter().all(|(from, _)| *from == near));
}

#[test]
fn a_timetable_opens_at_its_minute() {
    let mut fleet = fleet(2, Limits::default(), &not_before_one());
    let (id, channel) = begin(&mut fleet);
    let world = &mut fleet.world;
    world.run(59 * SECOND_US, |_| false);
    assert!(knows(world, 1, id));
    assert_eq!((held(world, 1), held(world, 2)), (0, 0));
    world.run(4 * SECOND_US, |_| false);
    assert!(held(world, 1) + held(world, 2) > 0);
    let bytes = u64::from(CHUNKS) * u64::from(CHUNK_BYTES);
    let alone_us = bytes * SECOND_US / 1_250_000;
    let limit_us = alone_us * 12 / 10 + 10 * SECOND_US;
    assert!(world.run(limit_us, |world| all_active(world, &channel, id)));
}

#[test]
fn what_is_served_again_is_asked_for_at_once() {
    let mut fleet = fleet(3, metered(), &Limits::default());
    let (id, channel) = begin(&mut fleet);
    let world = &mut fleet.world;
    // long enough that who asks in vain asks rarely
    world.run(300 * SECOND_US, |_| false);
    assert!(knows(world, 1, id));
    assert_eq!((held(world, 1), held(world, 2)), (0, 0));
    world.command(0, Command::Limit(Limits::default()));
    world.run(8 * SECOND_US, |_| false);
    assert!(held(world, 1) + held(world, 2) > 0);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
}

#[test]
fn a_pause_in_the_middle_of_a_fetch_costs_nothing_twice() {
    for paused in [0, 1] {
        let mut fleet = fleet(4 + paused as u64, Limits::default(), &Limits::default());
        let (id, channel) = begin(&mut fleet);
        let world = &mut fleet.world;
        let third = u64::from(CHUNKS) * u64::from(CHUNK_BYTES) / 3;
        assert!(world.run(60 * SECOND_US, |world| held(world, 1) > third));
        let nodes: &[usize] = if paused == 0 { &[0] } else { &[1, 2] };
        for node in nodes {
            world.command(*node, Command::Limit(metered()));
        }
        // what is under way in the links still comes
        world.run(30 * SECOND_US, |_| false);
        let before = held(world, 1);
        world.run(60 * SECOND_US, |_| false);
        assert_eq!(held(world, 1), before);
        assert!(!all_active(world, &channel, id));
        for node in nodes {
            world.command(*node, Command::Limit(Limits::default()));
        }
        assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
        for node in 1..3 {
            let status = world.node(node).unwrap().status();
            let fetch = status.channels[0].fetch.clone().unwrap();
            assert_eq!(fetch.bytes_duplicate, 0, "{node}");
        }
    }
}

#[test]
fn a_cap_of_the_uplink_holds_and_the_lan_is_free() {
    let caps = Caps {
        fetch_bytes_per_sec: Some(400_000),
        ..Caps::default()
    };
    let limits = Limits {
        caps,
        ..Limits::default()
    };
    let mut fleet = fleet(7, Limits::default(), &limits);
    let (id, channel) = begin(&mut fleet);
    let world = &mut fleet.world;
    let begun_us = world.now_us();
    assert!(world.run(120 * SECOND_US, |world| all_active(world, &channel, id)));
    let took_us = world.now_us() - begun_us;
    // two nodes share the work, each at its cap; the LAN carries the other half
    let bytes = u64::from(CHUNKS) * u64::from(CHUNK_BYTES);
    let least_us = bytes * SECOND_US / 800_000;
    assert!(took_us > least_us * 9 / 10, "{took_us} of {least_us} us");
    assert!(
        took_us < least_us * 13 / 10 + 10 * SECOND_US,
        "{took_us} of {least_us} us"
    );
}
