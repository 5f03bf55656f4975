//! Keys that are stolen: below a threshold, at it, and what recovery takes.

use weft_record::{Admission, Head, Kind, Refusal, Reset, Verdict, keep_what_stands, next_root};
use weft_sim::{Admin, Base};

use crate::{
    fleet::{HEADS, RELEASERS, fleet, revoke_key},
    mesh::{NOW_S, ROOT, name, public, release},
    worlds::{
        SECOND_US, all_active, attacks_seen, model, plain, publish, ring, settle, was_activated,
    },
};

#[test]
fn key_compromise_below_threshold() {
    let mut mesh = fleet();
    let good = mesh.put_release("1.0.0", 1);
    mesh.put_head("stable", good, 1, &HEADS[..2]);
    let before = mesh.trust.digest();
    // one key of every threshold of two, all at once, and as often as the thief likes
    let stolen: Vec<u8> = vec![ROOT[0], RELEASERS[0], HEADS[0], 99];
    let evil = mesh.seal(Kind::Release, &release("6.6.6", 6), &stolen);
    let head = Head {
        release: evil.record_id(),
        ..mesh.next("stable", good)
    };
    let head = mesh.seal(Kind::Head, &head, &stolen);
    let root = mesh.seal(Kind::Root, &next_root(&mesh.trust).unwrap(), &stolen);
    for envelope in [&evil, &head, &root, &evil, &head, &root] {
        let refusal = mesh.admit(envelope).unwrap_err();
        assert!(
            matches!(
                refusal,
                Refusal::BelowThreshold {
                    have: 1,
                    need: 2,
                    ..
                }
            ),
            "{refusal}"
        );
        assert_eq!(refusal.attack(), "key compromise below threshold");
    }
    assert_eq!(mesh.trust.digest(), before);
    assert!(
        matches!(mesh.trust.verdict(&name("stable")), Verdict::Go(head) if head.release == good)
    );
}

#[test]
fn key_compromise_at_threshold_and_recovery() {
    let (good, evil, next) = (model("1.0.0", 8), model("6.6.6", 8), model("1.1.0", 8));
    let releases = [&good, &evil, &next];
    let (mut world, mut admin, channel) = ring(Admin::new(41), 41, 4, &releases, plain);
    let good_id = settle(&mut world, &mut admin, &channel, &good);
    let base = admin.newest().unwrap();
    // the thief has all that it takes: nothing can tell it from the admin...
    let mut thief = admin.twin();
    let evil_id = publish(&mut world, &mut thief, &evil);
    assert!(world.run(120 * SECOND_US, |world| all_active(
        world, &channel, evil_id
    )));
    // ...until the root names new keys, and the last head that it trusts
    world.command(1, admin.rotate(&["head", "release"], Base::Head(base)));
    assert!(world.run(200 * SECOND_US, |world| all_active(
        world, &channel, good_id
    )));
    let (_, more) = thief.forge(&model("6.6.7", 8));
    world.command(0, more);
    world.run(60 * SECOND_US, |_| false);
    assert!(all_active(&world, &channel, good_id));
    assert!(!attacks_seen(&world, 0).is_empty());
    settle(&mut world, &mut admin, &channel, &next);
}

#[test]
fn stolen_release_key_alone_installs_nothing() {
    let (good, evil) = (model("1.0.0", 8), model("6.6.6", 8));
    let (mut world, mut admin, channel) = ring(Admin::new(42), 42, 4, &[&good, &evil], plain);
    let good_id = settle(&mut world, &mut admin, &channel, &good);
    let mut thief = admin.thief(&[("release", 1)]);
    let (evil_id, command) = thief.forge(&evil);
    world.command(0, command);
    world.run(120 * SECOND_US, |_| false);
    assert!(all_active(&world, &channel, good_id));
    assert!(!was_activated(&world, evil_id));
    for index in 1..4 {
        assert!(
            !world.disk(index).holds_whole(&evil.file),
            "not even fetched"
        );
    }
}

#[test]
fn one_admins_pair_at_threshold_two_installs_nothing() {
    let (good, evil) = (model("1.0.0", 8), model("6.6.6", 8));
    let admin = Admin::with_threshold(43, 2);
    let (mut world, mut admin, channel) = ring(admin, 43, 4, &[&good, &evil], plain);
    let good_id = settle(&mut world, &mut admin, &channel, &good);
    // one admin's laptop: one key for releases, one for heads
    let mut thief = admin.thief(&[("release", 1), ("head", 1)]);
    let (evil_id, command) = thief.forge(&evil);
    world.command(0, command);
    world.run(120 * SECOND_US, |_| false);
    assert!(all_active(&world, &channel, good_id));
    assert!(!was_activated(&world, evil_id));
    let seen = attacks_seen(&world, 0);
    assert!(
        seen.iter()
            .any(|attack| attack == "key compromise below threshold"),
        "{seen:?}"
    );
}

#[test]
fn self_revoke_moves_no_slot_back() {
    let (good, evil) = (model("1.0.0", 8), model("1.1.0", 8));
    let (mut world, mut admin, channel) = ring(Admin::new(44), 44, 4, &[&good, &evil], plain);
    settle(&mut world, &mut admin, &channel, &good);
    let newest = settle(&mut world, &mut admin, &channel, &evil);
    let mut thief = admin.twin();
    world.command(2, admin.revoke_itself("head"));
    world.run(120 * SECOND_US, |_| false);
    assert!(
        all_active(&world, &channel, newest),
        "what runs goes on running"
    );
    // and what the key signs after that comes to nothing
    let (late, command) = thief.publish(&model("6.6.6", 8));
    world.command(1, command);
    world.run(60 * SECOND_US, |_| false);
    assert!(all_active(&world, &channel, newest) && !was_activated(&world, late));
}

#[test]
fn equivocation() {
    let (old, one, two) = (model("1.0.0", 8), model("1.1.0", 8), model("1.2.0", 8));
    let (mut world, mut admin, channel) = ring(Admin::new(45), 45, 4, &[&old, &one, &two], plain);
    let old_id = settle(&mut world, &mut admin, &channel, &old);
    // both halves of a cut mesh are told something else by the same keys
    let mut twin = admin.twin();
    world.partition(&[2, 3]);
    let (one_id, first) = admin.publish(&one);
    let (two_id, second) = twin.publish(&two);
    world.command(2, second.clone());
    world.run(SECOND_US / 2, |_| false);
    world.command(0, first);
    world.heal();
    world.run(120 * SECOND_US, |_| false);
    // whoever saw both has the proof and activates neither anew
    for index in 0..4 {
        let trust = world.node(index).unwrap().trust();
        let fork = trust.fork(&channel).expect("everybody has the proof");
        let proof = [fork.proof.0, fork.proof.1];
        assert!(proof.iter().all(|id| trust.envelope(id).is_some()));
        let active = world.active(index, &channel).unwrap();
        assert!([old_id, one_id, two_id].contains(&active));
    }
    admin.learn(&second);
    let (joined, command) = admin.publish(&two);
    world.command(0, command);
    assert!(world.run(120 * SECOND_US, |world| all_active(world, &channel, joined)));
}

#[test]
fn a_revoked_signers_word_comes_back_only_by_the_root_or_by_others() {
    let mut mesh = fleet();
    let id = mesh.put_release("1.0.0", 1);
    let base = mesh.put_head("stable", id, 1, &HEADS[..2]);
    mesh.put(Kind::Revoke, &revoke_key(HEADS[0]), &[HEADS[0]]);
    let late = Head {
        issued_at_s: NOW_S + 5,
        ..mesh.next("stable", id)
    };
    let late = mesh.seal(Kind::Head, &late, &HEADS[..2]);
    // two keys signed it, one of them no longer counts: it may hold a floor, no more
    assert!(!matches!(mesh.admit(&late), Ok(Admission::New(..))));
    assert!(mesh.trust.head(&name("stable")).is_none());
    let mut root = next_root(&mesh.trust).unwrap();
    let mut roles = root.roles.iter_mut();
    roles.find(|role| role.name == name("head")).unwrap().keys = public(&[21, 22]);
    root.resets = vec![Reset {
        channel: name("stable"),
        epoch: 1,
        base: Some(base),
    }];
    keep_what_stands(&mesh.trust, &mut root);
    mesh.put(Kind::Root, &root, &ROOT);
    assert!(matches!(mesh.trust.verdict(&name("stable")), Verdict::Go(head) if head.id() == base));
    assert!(!matches!(mesh.admit(&late), Ok(Admission::New(..))));
}
