//! The core under faults, one behaviour a test.

use weft_core::{ChunkRef, Command, Event, Limits, Phase};
use weft_record::RecordId;
use weft_sim::{NodeSpec, Outage, VirtualRelease, World, checkers, fuzz};

use crate::harness::{CHUNK_BYTES, SECOND_US, all_active, mesh, plain, publish};

#[test]
fn a_release_reaches_every_node() {
    let release = VirtualRelease::new("1.0.0", 64, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(1, 8, &[&release], plain);
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    let fetched: u64 = (1..8).map(|index| world.disk(index).chunk_writes).sum();
    assert_eq!(fetched, 7 * 64, "each chunk crosses to each node once");
}

#[test]
fn chunks_come_from_several_peers() {
    let release = VirtualRelease::new("1.0.0", 256, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(2, 6, &[&release], plain);
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(120 * SECOND_US, |world| all_active(world, &channel, id)));
    let several = (1..6).filter(|&index| {
        let status = world.node(index).unwrap().status();
        status.channels[0]
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.chunks_by_peer.len() > 1)
    });
    assert!(
        several.count() >= 2,
        "nodes with two holders as neighbours use both"
    );
}

#[test]
fn a_second_release_reuses_what_is_the_same() {
    let old = VirtualRelease::new("1.0.0", 64, CHUNK_BYTES, 40);
    let new = VirtualRelease::new("1.1.0", 64, CHUNK_BYTES, 40);
    let (mut world, mut admin, channel) = mesh(3, 4, &[&old, &new], plain);
    let id = publish(&mut world, &mut admin, &old);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    let before = world.disk(2).chunk_writes;
    let id = publish(&mut world, &mut admin, &new);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    assert_eq!(world.disk(2).chunk_writes - before, 24);
    let status = world.node(2).unwrap().status();
    let fetch = status.channels[0].fetch.clone().unwrap();
    assert_eq!(fetch.bytes_reused, 40 * u64::from(CHUNK_BYTES));
    assert_eq!(fetch.bytes_fetched, 24 * u64::from(CHUNK_BYTES));
}

fn resumes_after(outage: Outage, seed: u64) {
    let release = VirtualRelease::new("1.0.0", 64, CHUNK_BYTES, 0);
    let slow = |index| NodeSpec {
        limits: if index == 1 {
            Limits::fetching(2_000_000)
        } else {
            Limits::default()
        },
        ..NodeSpec::default()
    };
    let (mut world, mut admin, channel) = mesh(seed, 2, &[&release], slow);
    let id = publish(&mut world, &mut admin, &release);
    let half = |world: &World| {
        let status = world.node(1).map(weft_core::Node::status);
        status.is_some_and(|status| {
            status.channels[0]
                .fetch
                .as_ref()
                .is_some_and(|fetch| fetch.chunks_held >= 32)
        })
    };
    assert!(world.run(60 * SECOND_US, half));
    world.stop(1, outage);
    world.run(SECOND_US, |_| false);
    world.start(1);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    assert_eq!(checkers::no_refetch(&world, 1), Vec::new());
    let writes = world.disk(1).chunk_writes;
    match outage {
        Outage::Kill => assert_eq!(writes, 64, "nothing written is fetched again"),
        // what was not yet synced, at most a second of the cap, and a chunk
        Outage::PowerCut => assert!((64..=64 + 9).contains(&writes), "{writes} chunk writes"),
    }
}

#[test]
fn a_killed_node_resumes() {
    resumes_after(Outage::Kill, 4);
}

#[test]
fn a_power_cut_costs_only_what_was_not_synced() {
    resumes_after(Outage::PowerCut, 5);
}

#[test]
fn a_cut_off_half_catches_up_when_the_link_heals() {
    let release = VirtualRelease::new("1.0.0", 32, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(6, 8, &[&release], plain);
    world.run(SECOND_US, |_| false);
    world.partition(&[4, 5, 6, 7]);
    let id = publish(&mut world, &mut admin, &release);
    world.run(30 * SECOND_US, |_| false);
    assert_eq!(world.active(2, &channel), Some(id));
    assert_eq!(world.active(6, &channel), None);
    world.heal();
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
}

#[test]
fn catch_up_needs_no_gossip() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(7, 6, &[&release], plain);
    world.gossip_works = false;
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(180 * SECOND_US, |world| all_active(world, &channel, id)));
}

#[test]
fn a_node_hundreds_of_heads_behind_catches_up_at_once() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(16, 2, &[&release], plain);
    world.run(SECOND_US, |_| false);
    world.partition(&[1]);
    let ids: Vec<RecordId> = (0..500)
        .map(|_| publish(&mut world, &mut admin, &release))
        .collect();
    world.run(SECOND_US, |_| false);
    world.heal();
    // well before the next digest interval
    let newest = *ids.last().unwrap();
    assert!(world.run(10 * SECOND_US, |world| world.active(1, &channel)
        == Some(newest)));
}

#[test]
fn a_peer_that_sends_other_bytes_is_let_go_and_nothing_of_it_is_kept() {
    let release = VirtualRelease::new("1.0.0", 32, CHUNK_BYTES, 0);
    let corrupt = |index| NodeSpec {
        corrupts: index == 1,
        ..NodeSpec::default()
    };
    let (mut world, mut admin, channel) = mesh(8, 3, &[&release], corrupt);
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(120 * SECOND_US, |world| world.active(2, &channel)
        == Some(id)));
    let file = release.file;
    assert!(world.disk(2).holds_whole(&file));
}

#[test]
fn a_model_that_misses_its_probe_is_never_active() {
    let good = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let bad = VirtualRelease::new("1.1.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(9, 3, &[&good, &bad], plain);
    let good_id = publish(&mut world, &mut admin, &good);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, good_id)));
    let (bad_id, command) = admin.publish(&bad);
    world.bad_models.insert(bad_id);
    world.command(0, command);
    world.run(60 * SECOND_US, |_| false);
    assert!(all_active(&world, &channel, good_id));
    let status = world.node(1).unwrap().status();
    assert_eq!(status.channels[0].phase, Phase::Refused);
    assert!(
        status.channels[0].reason.contains("probe answers match"),
        "{status:?}"
    );
    let activated = world.events.iter().any(
        |(_, _, event)| matches!(event, Event::Activated { release, .. } if *release == bad_id),
    );
    assert!(!activated);
}

#[test]
fn a_model_that_fails_once_active_goes_back_and_is_not_tried_again() {
    let good = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let flaky = VirtualRelease::new("1.1.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(10, 3, &[&good, &flaky], plain);
    let good_id = publish(&mut world, &mut admin, &good);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, good_id)));
    let (flaky_id, command) = admin.publish(&flaky);
    world.failing_models.insert(flaky_id);
    world.command(0, command);
    assert!(world.run(60 * SECOND_US, |world| all_active(
        world, &channel, flaky_id
    )));
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, good_id)));
    // not even after a restart
    world.stop(1, Outage::Kill);
    world.start(1);
    world.run(60 * SECOND_US, |_| false);
    assert!(all_active(&world, &channel, good_id));
    let times = world.events.iter().filter(|(_, node, event)| {
        *node == 1 && matches!(event, Event::Activated { release, .. } if *release == flaky_id)
    });
    assert_eq!(times.count(), 1);
}

#[test]
fn a_model_suspected_while_it_answers_is_probed_again() {
    let good = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let rots = VirtualRelease::new("1.1.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(11, 2, &[&good, &rots], plain);
    let good_id = publish(&mut world, &mut admin, &good);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, good_id)));
    let id = publish(&mut world, &mut admin, &rots);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    world.run(20 * SECOND_US, |_| false);
    world.failing_models.insert(id);
    world.command(1, Command::Suspect(channel.clone()));
    assert!(world.run(10 * SECOND_US, |world| world.active(1, &channel)
        == Some(good_id)));
    assert_eq!(world.active(0, &channel), Some(id));
}

#[test]
fn a_full_disk_waits_and_loses_nothing() {
    let mut release = VirtualRelease::new("1.0.0", 32, CHUNK_BYTES, 0);
    // more than is free at the start: no reason to refuse, space may come
    release.requires.disk_bytes = 1 << 50;
    let (mut world, mut admin, channel) = mesh(12, 2, &[&release], plain);
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(60 * SECOND_US, |world| {
        let status = world.node(1).unwrap().status();
        status.channels[0]
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.chunks_held >= 8)
    }));
    world.disk(1).full = true;
    world.run(30 * SECOND_US, |_| false);
    assert_eq!(world.active(1, &channel), None);
    let told = world.events.iter().any(|(_, node, event)| {
        *node == 1 && matches!(event, Event::DiskTrouble { text, .. } if text.contains("no space"))
    });
    assert!(told);
    let status = world.node(1).unwrap().status();
    assert!(status.channels[0].reason.contains("no space"), "{status:?}");
    world.disk(1).full = false;
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    assert_eq!(checkers::no_refetch(&world, 1), Vec::new());
}

#[test]
fn a_full_disk_gives_up_what_nobody_needs() {
    let releases: Vec<VirtualRelease> = (1..=4)
        .map(|number| VirtualRelease::new(&format!("{number}.0.0"), 8, CHUNK_BYTES, 0))
        .collect();
    let all: Vec<&VirtualRelease> = releases.iter().collect();
    let (mut world, mut admin, channel) = mesh(14, 2, &all, plain);
    for release in &releases[..3] {
        let id = publish(&mut world, &mut admin, release);
        assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    }
    let held = |world: &weft_sim::World| -> Vec<bool> {
        let files = releases.iter().map(|release| release.file);
        files.map(|file| world.peek(1).holds_whole(&file)).collect()
    };
    assert_eq!(held(&world), [true, true, true, false]);
    world.disk(1).full = true;
    let id = publish(&mut world, &mut admin, &releases[3]);
    world.run(30 * SECOND_US, |_| false);
    // the oldest went; what is active and what can be gone back to stay
    assert_eq!(held(&world), [false, true, true, false]);
    let mut collected = world.events.iter().filter(|(_, node, _)| *node == 1);
    assert!(collected.any(|(_, _, event)| matches!(event, Event::Collected { files: 1, .. })));
    world.disk(1).full = false;
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    assert_eq!(held(&world), [false, true, true, true]);
}

#[test]
fn a_stranger_is_dropped_and_learns_nothing() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let stranger = |index| NodeSpec {
        stranger: index == 2,
        ..NodeSpec::default()
    };
    let (mut world, mut admin, channel) = mesh(13, 3, &[&release], stranger);
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(60 * SECOND_US, |world| world.active(1, &channel)
        == Some(id)));
    world.run(30 * SECOND_US, |_| false);
    assert_eq!(world.node(2).unwrap().status().root_version, None);
    // whichever side reads the other's Hello first lets go
    let key = world.key(2);
    let dropped = world.events.iter().any(|(_, node, event)| {
        matches!(event, Event::StrangerDropped { peer } if *node == 2 || *peer == key)
    });
    assert!(dropped);
}

#[test]
fn a_tampered_record_is_refused_and_counted() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(14, 2, &[&release], plain);
    let (_, command) = admin.publish(&release);
    let Command::Import(mut envelopes) = command else {
        panic!("an import")
    };
    let head = envelopes.last_mut().unwrap();
    let middle = head.len() / 2;
    head[middle] ^= 1;
    world.command(0, Command::Import(envelopes));
    world.run(30 * SECOND_US, |_| false);
    assert_eq!(world.active(0, &channel), None);
    assert_eq!(world.node(0).unwrap().status().records_refused, 1);
}

#[test]
fn a_release_that_no_variant_of_fits_is_refused_with_the_reason_for_each() {
    let mut release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    release.requires.ram_bytes = 1 << 50;
    let (mut world, mut admin, channel) = mesh(17, 2, &[&release], plain);
    publish(&mut world, &mut admin, &release);
    world.run(30 * SECOND_US, |_| false);
    assert_eq!(world.active(1, &channel), None);
    assert_eq!(
        world.disk(1).chunk_writes,
        0,
        "nothing is fetched that cannot run"
    );
    let status = world.node(1).unwrap().status();
    assert_eq!(status.channels[0].phase, Phase::Refused);
    assert!(
        status.channels[0].reason.contains("bytes of memory"),
        "{status:?}"
    );
}

#[test]
fn two_heads_at_one_place_stop_activation_and_a_joining_head_resolves_it() {
    let old = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (one, two) = (
        VirtualRelease::new("1.1.0", 8, CHUNK_BYTES, 0),
        VirtualRelease::new("1.2.0", 8, CHUNK_BYTES, 0),
    );
    let (mut world, mut admin, channel) = mesh(18, 3, &[&old, &one, &two], plain);
    let old_id = publish(&mut world, &mut admin, &old);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, old_id)));
    let mut twin = admin.twin();
    let (_, first) = admin.publish(&one);
    let (_, second) = twin.publish(&two);
    world.command(0, first.clone());
    world.command(0, second.clone());
    world.run(30 * SECOND_US, |_| false);
    assert!(all_active(&world, &channel, old_id), "who is active stays");
    assert_eq!(
        world.node(1).unwrap().status().channels[0].phase,
        Phase::Forked
    );
    admin.learn(&second);
    let two_id = publish(&mut world, &mut admin, &two);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, two_id)));
}

#[test]
fn a_rotten_chunk_is_noticed_and_fetched_again() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(15, 2, &[&release], plain);
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(60 * SECOND_US, |world| {
        let status = world.node(1).unwrap().status();
        status.channels[0]
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.chunks_held >= 4)
    }));
    world.disk(1).rot(ChunkRef {
        file: release.file,
        index: 0,
    });
    assert!(world.run(60 * SECOND_US, |world| world.active(1, &channel)
        == Some(id)));
    let file = release.file;
    assert!(
        world.disk(1).holds_whole(&file),
        "a rotten chunk was staged"
    );
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let (first, second, other) = (fuzz::run(77), fuzz::run(77), fuzz::run(78));
    assert_eq!(first.hash, second.hash);
    assert_ne!(first.hash, other.hash);
    assert!(first.events > 2_000, "{} events", first.events);
}
