//! What catching up costs.

use weft_record::RecordId;
use weft_sim::VirtualRelease;

use crate::harness::{CHUNK_BYTES, SECOND_US, mesh, plain, publish};

#[test]
fn a_thousand_heads_behind_are_one_round_trip() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(60, 2, &[&release], plain);
    publish(&mut world, &mut admin, &release);
    world.run(20 * SECOND_US, |_| false);
    world.partition(&[1]);
    let ids: Vec<RecordId> = (0..1_000)
        .map(|_| publish(&mut world, &mut admin, &release))
        .collect();
    world.run(SECOND_US, |_| false);
    let before = world.traffic.clone();
    world.heal();
    let newest = admin.newest();
    assert!(world.run(SECOND_US, |world| {
        let node = world.node(1).unwrap();
        node.trust().head(&channel).map(weft_record::Verified::id) == newest
    }));
    let sent = world.traffic.since(&before);
    // each side asks once; one of them lacks nothing
    assert!(sent.messages("have") <= 2, "{sent:?}");
    assert!(sent.messages("records") <= 2, "{sent:?}");
    assert!(sent.bytes("records") < 8 * 1_024, "{sent:?}");
    let id = *ids.last().unwrap();
    assert!(world.run(20 * SECOND_US, |world| world.active(1, &channel)
        == Some(id)));
}

#[test]
fn many_heads_at_once_cost_neighbours_a_few_digests() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, _) = mesh(61, 2, &[&release], plain);
    world.gossip_works = false;
    world.run(SECOND_US, |_| false);
    let before = world.traffic.clone();
    for _ in 0..100 {
        publish(&mut world, &mut admin, &release);
        world.run(10_000, |_| false);
    }
    world.run(2 * SECOND_US, |_| false);
    let sent = world.traffic.since(&before);
    assert!(sent.messages("digest") < 40, "{sent:?}");
    assert!(sent.messages("have") < 20, "{sent:?}");
    assert_eq!(
        world.node(1).unwrap().trust().digest(),
        world.node(0).unwrap().trust().digest()
    );
}
