//! Lost and stolen keys.

use weft_core::{Command, Event, Limits};
use weft_record::{Name, RecordId};
use weft_sim::{Admin, Base, NodeSpec, VirtualRelease, World};

use crate::harness::{CHUNK_BYTES, SECOND_US, all_active, mesh, mesh_of, plain, publish, told};

fn releases() -> (VirtualRelease, VirtualRelease) {
    (
        VirtualRelease::new("1.0.0", 16, CHUNK_BYTES, 0),
        VirtualRelease::new("6.6.6", 16, CHUNK_BYTES, 0),
    )
}

/// Four nodes at one release; then 2 and 3 are cut off.
fn halves(seed: u64, good: &VirtualRelease) -> (World, Admin, Name, RecordId) {
    let slow = |index| NodeSpec {
        limits: if index == 3 {
            Limits::fetching(200_000)
        } else {
            Limits::default()
        },
        ..NodeSpec::default()
    };
    let (mut world, mut admin, channel) = mesh(seed, 4, &[good], slow);
    let id = publish(&mut world, &mut admin, good);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    world.partition(&[2, 3]);
    (world, admin, channel, id)
}

#[test]
fn a_rotation_ends_what_thieves_of_both_keys_signed() {
    let (good, malware) = releases();
    let (mut world, mut admin, channel, good_id) = halves(40, &good);
    let base = admin.newest().unwrap();
    let mut thief = admin.thief(&[("head", 1), ("release", 1)]);
    let (bad_id, command) = thief.forge(&malware);
    world.disk(2).preload(&malware);
    world.command(2, command.clone());
    assert!(world.run(20 * SECOND_US, |world| world.active(2, &channel)
        == Some(bad_id)));
    assert_ne!(world.active(3, &channel), Some(bad_id), "still fetching");
    // the rotation comes by stick, to one of them
    let rotated = admin.rotate(&["head", "release"], Base::Head(base));
    world.command(3, rotated);
    assert!(world.run(10 * SECOND_US, |world| all_active(world, &channel, good_id)));
    world.heal();
    // and nobody takes it up again, from whoever has it
    world.command(0, command);
    world.run(120 * SECOND_US, |_| false);
    assert!(all_active(&world, &channel, good_id));
    let activated =
        |event: &Event| matches!(event, Event::Activated { release, .. } if *release == bad_id);
    let times: Vec<usize> = (0..4)
        .map(|index| told(&world, index, activated).count())
        .collect();
    assert_eq!(times, [0, 0, 1, 0]);
    let left =
        |event: &Event| matches!(event, Event::Withdrawn { release, .. } if *release == bad_id);
    assert_eq!(told(&world, 2, left).count(), 1);
    assert!(world.unasked.is_empty(), "{:?}", world.unasked);
}

fn installs_nothing(seed: u64, admin: Admin, kept: &[(&'static str, usize)]) {
    let (good, malware) = releases();
    let (mut world, mut admin, channel) = mesh_of(admin, seed, 3, &[&good], plain);
    let good_id = publish(&mut world, &mut admin, &good);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, good_id)));
    let (_, command) = admin.thief(kept).forge(&malware);
    world.disk(1).preload(&malware);
    world.command(1, command);
    world.run(120 * SECOND_US, |_| false);
    assert!(all_active(&world, &channel, good_id));
    let heads: usize = (0..3)
        .map(|index| world.node(index).unwrap().trust().heads(&channel).len())
        .sum();
    assert_eq!(heads, 3, "no head was accepted");
    for index in 0..3 {
        assert_eq!(world.node(index).unwrap().status().peers_let_go, 0);
    }
}

#[test]
fn a_stolen_release_key_alone_installs_nothing() {
    installs_nothing(41, Admin::new(41), &[("release", 1)]);
}

#[test]
fn a_stolen_head_key_alone_installs_nothing_that_was_not_released() {
    installs_nothing(42, Admin::new(42), &[("head", 1)]);
}

#[test]
fn one_of_each_pair_of_keys_installs_nothing() {
    let admin = Admin::with_threshold(43, 2);
    installs_nothing(43, admin, &[("head", 1), ("release", 1)]);
}

#[test]
fn a_key_that_revokes_itself_moves_no_slot_back() {
    let (good, next) = releases();
    let (mut world, mut admin, channel) = mesh(44, 3, &[&good, &next], plain);
    let good_id = publish(&mut world, &mut admin, &good);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, good_id)));
    let base = admin.newest().unwrap();
    let lost = admin.revoke_itself("head");
    world.command(0, lost);
    world.run(90 * SECOND_US, |_| false);
    assert!(all_active(&world, &channel, good_id));
    // nothing new by that key
    let (_, command) = admin.thief(&[("head", 1), ("release", 1)]).forge(&next);
    world.command(0, command);
    world.run(30 * SECOND_US, |_| false);
    assert!(all_active(&world, &channel, good_id));
    // until a rotation, which moves nothing back either
    let rotated = admin.rotate(&["head", "release"], Base::Head(base));
    world.command(0, rotated);
    world.run(90 * SECOND_US, |_| false);
    assert!(all_active(&world, &channel, good_id));
    let left = |event: &Event| matches!(event, Event::Withdrawn { .. });
    for index in 0..3 {
        assert_eq!(told(&world, index, left).count(), 0, "node {index}");
    }
    let id = publish(&mut world, &mut admin, &next);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
}

#[test]
fn a_revoked_release_stops_answering_everywhere() {
    let (first, second) = releases();
    let (mut world, mut admin, channel) = mesh(45, 3, &[&first, &second], plain);
    let first_id = publish(&mut world, &mut admin, &first);
    assert!(world.run(60 * SECOND_US, |world| all_active(
        world, &channel, first_id
    )));
    let second_id = publish(&mut world, &mut admin, &second);
    assert!(world.run(60 * SECOND_US, |world| all_active(
        world, &channel, second_id
    )));
    // what was before goes first: it is never gone back to
    for (revoked, left) in [(first_id, Some(second_id)), (second_id, None)] {
        let command: Command = admin.revoke_release(revoked);
        world.command(0, command);
        assert!(world.run(5 * SECOND_US, |world| {
            (0..3).all(|index| world.active(index, &channel) == left)
        }));
    }
    world.run(90 * SECOND_US, |_| false);
    for index in 0..3 {
        assert_eq!(world.active(index, &channel), None);
        let phase = world.node(index).unwrap().status().channels[0].phase;
        assert_eq!(phase, weft_core::Phase::Withdrawn);
    }
}
