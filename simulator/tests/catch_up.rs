//! What catching up costs.

use weft_core::{Control, Message};
use weft_record::{RecordId, TrustDigest};
use weft_sim::{Admin, VirtualDisk, VirtualRelease, World};

use crate::harness::{CHUNK_BYTES, SECOND_US, heard, hello, mesh, plain, publish, puppet};

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

/// Revocations of releases that nobody has, at one node.
fn revoke(world: &mut World, admin: &mut Admin, node: usize, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let release = RecordId(*blake3::hash(&number.to_le_bytes()).as_bytes());
        world.command(node, admin.revoke_release(release));
        world.run(SECOND_US / 10, |_| false);
    }
}

fn same(world: &World) -> bool {
    let digest = |node| world.node(node).unwrap().trust().digest();
    digest(0) == digest(1)
}

#[test]
fn a_set_of_years_costs_who_was_away_little() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(62, 2, &[&release], plain);
    publish(&mut world, &mut admin, &release);
    revoke(&mut world, &mut admin, 0, 0..400);
    assert!(world.run(60 * SECOND_US, same));
    world.partition(&[1]);
    revoke(&mut world, &mut admin, 0, 400..410);
    revoke(&mut world, &mut admin, 1, 500..505);
    publish(&mut world, &mut admin, &release);
    let newest = admin.newest();
    world.run(SECOND_US, |_| false);
    let before = world.traffic.clone();
    world.heal();
    assert!(world.run(SECOND_US, |world| {
        let node = world.node(1).unwrap();
        node.trust().head(&channel).map(weft_record::Verified::id) == newest
    }));
    let sent = world.traffic.since(&before);
    assert!(
        sent.bytes("have") + sent.bytes("records") < 3_000,
        "{sent:?}"
    );
    assert!(world.run(5 * SECOND_US, same), "both have what either had");
    let sent = world.traffic.since(&before);
    assert!(sent.messages("compare") <= 8, "one of them asks: {sent:?}");
    assert!(sent.bytes("compare") < 4_000, "{sent:?}");
    assert!(sent.bytes("records") < 8_000, "{sent:?}");
}

#[test]
fn who_lacks_a_whole_set_gets_it_in_messages_of_bounded_length() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, _) = mesh(63, 2, &[&release], plain);
    world.run(SECOND_US, |_| false);
    world.partition(&[1]);
    revoke(&mut world, &mut admin, 0, 0..2_000);
    let before = world.traffic.clone();
    world.heal();
    assert!(world.run(20 * SECOND_US, same));
    let sent = world.traffic.since(&before);
    assert!(sent.messages("records") >= 2, "{sent:?}");
    assert!(sent.bytes("compare") < 4_000, "{sent:?}");
    assert!(sent.bytes("records") < 2_000 * 300, "{sent:?}");
}

#[test]
fn a_member_that_does_not_compare_is_told_everything() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, _) = mesh(64, 1, &[&release], plain);
    let silent = world.add_member(&mut admin, puppet(), VirtualDisk::default());
    world.connect(0, silent);
    world.run(SECOND_US, |_| false);
    let shows = admin.enroll(world.key(silent));
    hello(&mut world, &admin, silent, 0, Some(shows));
    let own = world.node(0).unwrap().trust().digest();
    let other = TrustDigest {
        set_records: own.set_records + 1,
        ..own
    };
    for _ in 0..3 {
        world.say(silent, 0, Message::Control(Control::Digest(other)));
        world.run(25 * SECOND_US, |_| false);
    }
    let told = heard(&world, silent);
    let compares = |one: &&&Control| matches!(one, Control::Compare(_));
    assert!(told.iter().any(|one| compares(&one)), "{told:?}");
    let in_full = |one: &&Control| matches!(one, Control::Have(have) if have.sets);
    assert!(told.iter().any(in_full), "{told:?}");
}
