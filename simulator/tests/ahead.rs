//! Nodes of a large fleet work ahead, on several threads: that must change nothing.

use weft_core::Limits;
use weft_record::Hash;
use weft_sim::{
    Admin, Figures, Keep, NetworkModel, NodeSpec, Outage, Site, Timing, Traffic, VirtualDisk,
    VirtualRelease, World,
};

use crate::harness::{CHUNK_BYTES, SECOND_US};

const SITES: usize = 16;
const NODES_PER_SITE: usize = 42;

/// How nodes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Each waits for its turn, as with a tail for people.
    InTurn,
    /// Ahead, one lane after the other.
    OneThread,
    /// Ahead, each lane on a thread of its own if the machine has one.
    SideBySide,
}

/// What a run comes to, and how much was done ahead.
fn run(model: NetworkModel, way: Way) -> (Hash, Figures, Traffic, u64, u64) {
    let mut admin = Admin::new(7);
    let release = VirtualRelease::new("1.0.0", 24, CHUNK_BYTES, 0);
    let mut world = World::with_network(7, admin.mesh_id(), model);
    world.set_timing(Timing::Fused);
    world.keep(Keep::Milestones);
    match way {
        Way::InTurn => world.keep_tail(1),
        Way::OneThread => world.keep_to_one_thread(),
        Way::SideBySide => {}
    }
    for number in 0..SITES {
        let site = world.add_site(Site {
            uplink_bytes_per_sec: 2_000_000 + 500_000 * number as u64,
            downlink_bytes_per_sec: 2_500_000,
            lan_round_trip_us: 600,
            loss_ppm: if number % 5 == 4 { 1_000 } else { 0 },
            ..Site::default()
        });
        let first = number * NODES_PER_SITE;
        for place in 0..NODES_PER_SITE {
            let mut disk = VirtualDisk::default();
            if number == 0 && place == 0 {
                disk.preload(&release);
            }
            let spec = NodeSpec {
                site,
                // one gives nothing, and one holds itself back
                withholds: place == 7,
                limits: if place == 9 {
                    Limits::fetching(400_000)
                } else {
                    Limits::default()
                },
                ..NodeSpec::default()
            };
            world.add_member_apart(&admin, spec, disk);
        }
        for place in 0..NODES_PER_SITE {
            for step in [1, 5, 13] {
                world.connect(first + place, first + (place + step) % NODES_PER_SITE);
            }
        }
        if number > 0 {
            world.connect(first, first - NODES_PER_SITE + 3);
            world.connect(first + 20, (first + 17) % (NODES_PER_SITE * number));
        }
    }
    world.run(2 * SECOND_US, |_| false);
    let (_, command) = admin.publish(&release);
    world.command(0, command);
    // in slices that end in the middle of a stretch
    let slice_us = 400_077;
    for turn in 0..60_usize {
        let (site, node) = (
            1 + turn % SITES,
            (turn * 37 + 11) % (SITES * NODES_PER_SITE),
        );
        match turn % 10 {
            0 => world.stop(node, Outage::PowerCut),
            1 => world.silence(site),
            2 => world.stop(node, Outage::Kill),
            3 => world.partition(&(0..node).collect::<Vec<_>>()),
            4 => world.end_silence(1 + (turn - 3) % SITES),
            5 => world.heal(),
            6 => world.set_site(site, 300_000, 900_000),
            7 => (0..world.node_count())
                .filter(|node| !world.is_up(*node))
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|node| world.start(node)),
            8 => world.disconnect(node, (node + 1) % (SITES * NODES_PER_SITE)),
            _ => world.relink(),
        }
        world.run(slice_us, |_| false);
    }
    let all = (SITES * NODES_PER_SITE) as u64;
    world.run(600 * SECOND_US, |world| world.figures().activations >= all);
    let mut figures = world.figures();
    let ahead = std::mem::take(&mut figures.calls_ahead);
    (
        world.log_hash(),
        figures,
        world.traffic.clone(),
        world.now_us(),
        ahead,
    )
}

#[test]
fn working_ahead_changes_nothing() {
    for model in [NetworkModel::Quantum, NetworkModel::Fluid] {
        let in_turn = run(model, Way::InTurn);
        assert!(in_turn.1.activations > 600, "{:?}", in_turn.1);
        assert_eq!(in_turn.4, 0, "nobody worked ahead");
        for way in [Way::OneThread, Way::SideBySide] {
            let ahead = run(model, way);
            let same = (&ahead.0, &ahead.1, &ahead.2, ahead.3);
            let wanted = (&in_turn.0, &in_turn.1, &in_turn.2, in_turn.3);
            assert_eq!(same, wanted, "{model:?} {way:?}");
            assert!(
                ahead.4 * 2 > ahead.1.handle_calls,
                "{} calls ahead",
                ahead.4
            );
        }
    }
}
