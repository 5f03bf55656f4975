//! Links on which a window of requests takes longer than a peer may be silent.

use weft_sim::{NodeSpec, VirtualRelease};

use crate::harness::{CHUNK_BYTES, SECOND_US, all_active, mesh, publish};

#[test]
fn a_slow_link_carries_every_chunk_once() {
    let release = VirtualRelease::new("1.0.0", 32, CHUNK_BYTES, 0);
    // two seconds a chunk: sixteen that wait for each other take longer than a timeout
    let slow = |_| NodeSpec {
        uplink_bytes_per_sec: 131_072,
        ..NodeSpec::default()
    };
    let (mut world, mut admin, channel) = mesh(90, 2, &[&release], slow);
    let id = publish(&mut world, &mut admin, &release);
    let done = world.run(120 * SECOND_US, |world| all_active(world, &channel, id));
    assert!(done, "it takes 64 s to send");
    let sent = world.traffic.bytes("data");
    assert!(
        sent < release.length * 11 / 10,
        "{sent} of {}",
        release.length
    );
}

#[test]
fn on_a_link_so_thin_that_everybody_is_late_what_comes_late_is_taken() {
    let release = VirtualRelease::new("1.0.0", 24, CHUNK_BYTES, 0);
    // 87 s a chunk, and each is asked for several at once: all are late, and nobody else has it
    let thin = |_| NodeSpec {
        uplink_bytes_per_sec: 3_000,
        ..NodeSpec::default()
    };
    let (mut world, mut admin, channel) = mesh(92, 3, &[&release], thin);
    world.disk(1).preload(&release);
    let id = publish(&mut world, &mut admin, &release);
    let done = world.run(2_400 * SECOND_US, |world| {
        world.active(2, &channel) == Some(id)
    });
    assert!(done, "two links carry it in 1,049 s");
    let sent = world.traffic.bytes("data");
    let limit = release.length + 5 * u64::from(CHUNK_BYTES);
    assert!(sent <= limit, "{sent} of {}", release.length);
}

#[test]
fn whoever_hands_out_chunks_one_by_one_is_not_waited_for_without_end() {
    let release = VirtualRelease::new("1.0.0", 32, CHUNK_BYTES, 0);
    // node 1 needs 18 s a chunk, node 0 is fast; node 2 asks both
    let dripping = |index| NodeSpec {
        uplink_bytes_per_sec: if index == 1 { 14_600 } else { 12_500_000 },
        ..NodeSpec::default()
    };
    let (mut world, mut admin, channel) = mesh(91, 3, &[&release], dripping);
    world.disk(1).preload(&release);
    let id = publish(&mut world, &mut admin, &release);
    // what it was asked for at first, a chunk after the other, and little more
    let first = u64::from(weft_core::bounds::REQUESTS_AT_FIRST);
    let limit_us = (first * 18 + 60) * SECOND_US;
    assert!(world.run(limit_us, |world| world.active(2, &channel) == Some(id)));
}
