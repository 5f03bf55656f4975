//! Files made from what is here and a delta.

use weft_core::Event;
use weft_sim::{NodeSpec, VirtualDisk, VirtualRelease, World};

use crate::harness::{CHUNK_BYTES, SECOND_US, all_active, mesh, plain, publish, told};

const CHUNKS: u32 = 64;
const DELTA_BYTES: u64 = 6 * CHUNK_BYTES as u64;
const WHOLE_BYTES: u64 = CHUNKS as u64 * CHUNK_BYTES as u64;

/// A release and one that changes all of it, with a delta of a tenth.
fn pair() -> (VirtualRelease, VirtualRelease) {
    let old = VirtualRelease::new("1.0.0", CHUNKS, CHUNK_BYTES, 0);
    let new = VirtualRelease::new("1.1.0", CHUNKS, CHUNK_BYTES, 0);
    let new = new.with_delta(&old, DELTA_BYTES, CHUNK_BYTES);
    (old, new)
}

fn fetched_bytes(world: &World, node: usize) -> (u64, u64) {
    let status = world.node(node).unwrap().status();
    let fetch = status.channels[0].fetch.clone().unwrap();
    assert_eq!(fetch.bytes_held, WHOLE_BYTES);
    (fetch.bytes_fetched, fetch.bytes_made)
}

#[test]
fn who_has_the_base_fetches_the_delta_alone() {
    let (old, new) = pair();
    let (mut world, mut admin, channel) = mesh(1, 6, &[&old, &new], plain);
    let id = publish(&mut world, &mut admin, &old);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    let id = publish(&mut world, &mut admin, &new);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    for node in 1..6 {
        assert_eq!(fetched_bytes(&world, node), (DELTA_BYTES, WHOLE_BYTES));
    }
}

#[test]
fn who_made_a_file_gives_its_chunks_to_others() {
    let (old, new) = pair();
    // 0 holds all, 1 the old one; 2 has nothing and knows 1 alone
    let (mut world, mut admin, channel) = mesh(2, 1, &[&old, &new], plain);
    let mut disk = VirtualDisk::default();
    disk.preload(&old);
    world.add_member(&mut admin, NodeSpec::default(), disk);
    world.add_member(&mut admin, NodeSpec::default(), VirtualDisk::default());
    world.connect(0, 1);
    world.connect(1, 2);
    let id = publish(&mut world, &mut admin, &new);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    assert_eq!(fetched_bytes(&world, 1), (DELTA_BYTES, WHOLE_BYTES));
    assert_eq!(fetched_bytes(&world, 2), (WHOLE_BYTES, 0));
}

#[test]
fn a_delta_that_nobody_has_is_left() {
    let (old, new) = pair();
    let alone = VirtualRelease {
        deltas: Vec::new(),
        ..new.clone()
    };
    let (mut world, mut admin, channel) = mesh(3, 4, &[&old, &alone], plain);
    let id = publish(&mut world, &mut admin, &old);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    let id = publish(&mut world, &mut admin, &new);
    assert!(world.run(120 * SECOND_US, |world| all_active(world, &channel, id)));
    for node in 1..4 {
        assert_eq!(fetched_bytes(&world, node), (WHOLE_BYTES, 0));
        let left = |event: &Event| matches!(event, Event::DeltaLeft { .. });
        assert_eq!(told(&world, node, left).count(), 1);
    }
}

#[test]
fn a_delta_from_another_file_is_not_fetched() {
    let (_, new) = pair();
    let (mut world, mut admin, channel) = mesh(4, 3, &[&new], plain);
    let id = publish(&mut world, &mut admin, &new);
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    for node in 1..3 {
        assert_eq!(fetched_bytes(&world, node), (WHOLE_BYTES, 0));
        assert!(!world.disk(node).knows(&new.deltas[0].file));
    }
}
