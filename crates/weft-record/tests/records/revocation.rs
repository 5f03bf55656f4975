//! What no longer counts, what stays in spite of it, and what comes back.

use weft_record::{
    Admission, Detail, Enroll, Exchange, Head, Kind, Missing, Refusal, Reset, Revoke, RevokeTarget,
    Scope, Standing, Verdict, Verified, bounds, keep_what_stands, next_root,
};

use crate::{
    fleet::{
        BETA, ENROLLERS, HEADS, RELEASERS, enroll, fleet, node, revoke_key, revoke_release, role_of,
    },
    mesh::{Mesh, NOW_S, ROOT, key, name, public, release, sealed},
};

fn go(mesh: &Mesh, channel: &str) -> Option<u64> {
    match mesh.trust.verdict(&name(channel)) {
        Verdict::Go(head) => Some(head.seq),
        _ => None,
    }
}

#[test]
fn a_revoked_release_is_left_for_the_newest_that_is_not() {
    let mut mesh = fleet();
    let (old, new) = (mesh.put_release("1.0.0", 1), mesh.put_release("1.1.0", 1));
    for id in [old, new, new] {
        mesh.put_head("stable", id, 0, &HEADS[..2]);
    }
    assert_eq!(go(&mesh, "stable"), Some(2));
    mesh.put(Kind::Revoke, &revoke_release(new), &RELEASERS[1..]);
    assert_eq!(go(&mesh, "stable"), Some(0));
    assert!(mesh.trust.is_void(&name("stable"), 0, &new));
    mesh.put(Kind::Revoke, &revoke_release(old), &ROOT[1..]);
    assert!(matches!(
        mesh.trust.verdict(&name("stable")),
        Verdict::Withdrawn
    ));
    // a head that names it again changes nothing: revocations are for good
    mesh.put_head("stable", old, 0, &HEADS[..2]);
    assert!(matches!(
        mesh.trust.verdict(&name("stable")),
        Verdict::Withdrawn
    ));
}

#[test]
fn who_may_revoke_what() {
    let mut mesh = fleet();
    let id = mesh.put_release("1.0.0", 1);
    mesh.put(Kind::Enroll, &enroll(60, 0, "north"), &ENROLLERS[..1]);
    let check = |body: &Revoke, seeds: &[u8], allowed: bool| {
        let envelope = mesh.seal(Kind::Revoke, body, seeds);
        let mut copy = mesh.clone();
        let admitted = copy.admit(&envelope);
        let is_new = matches!(admitted, Ok(Admission::New(..)));
        assert_eq!(
            is_new, allowed,
            "{:?} by {seeds:?}: {admitted:?}",
            body.target
        );
    };
    check(&revoke_release(id), &RELEASERS[..2], true);
    check(&revoke_release(id), &RELEASERS[..1], false);
    check(&revoke_release(id), &ENROLLERS, false);
    check(&revoke_release(id), &HEADS, false);
    check(&revoke_release(id), &ROOT[..2], true);
    check(&revoke_release(id), &ROOT[..1], false);
    check(&revoke_key(60), &ENROLLERS[1..], true);
    check(&revoke_key(60), &RELEASERS, false);
    check(&revoke_key(60), &[60], true);
    check(&revoke_key(60), &[61], false);
    // admins: themselves or the root, never who enrolls nodes
    for admin in [1, 10, 20, 40] {
        check(&revoke_key(admin), &[admin], true);
        check(&revoke_key(admin), &ROOT[..2], true);
        check(&revoke_key(admin), &ENROLLERS[1..], false);
    }
    // a stranger's word about itself waits until somebody knows it
    let stranger = sealed(Kind::Revoke, mesh.trust.mesh_id(), &revoke_key(77), &[77]);
    assert_eq!(mesh.admit(&stranger), Ok(Admission::Waiting(Missing::Key)));
}

#[test]
fn a_thief_cannot_undo_a_revocation_by_revoking_its_signer() {
    let mut mesh = fleet();
    let id = mesh.put_release("1.0.0", 1);
    mesh.put_head("stable", id, 0, &HEADS[..2]);
    mesh.put(Kind::Enroll, &enroll(60, 0, "north"), &ENROLLERS[..1]);
    mesh.put(Kind::Revoke, &revoke_key(60), &ENROLLERS[1..]);
    mesh.put(Kind::Revoke, &revoke_release(id), &RELEASERS[..2]);
    // the thief revokes whose word it was
    for seed in [ENROLLERS[1], RELEASERS[0], RELEASERS[1]] {
        mesh.put(Kind::Revoke, &revoke_key(seed), &[seed]);
    }
    assert!(mesh.trust.is_key_revoked(&node(60)) && mesh.trust.is_revoked(&id));
    assert!(matches!(
        mesh.trust.standing(&node(60), NOW_S),
        Standing::Stranger
    ));
}

#[test]
fn a_root_keeps_revocations_of_signers_that_go() {
    let mut mesh = fleet();
    mesh.put(Kind::Enroll, &enroll(60, 0, "north"), &ENROLLERS);
    let (_, revoke) = mesh.put(Kind::Revoke, &revoke_key(60), &ENROLLERS[1..]);
    let mut root = next_root(&mesh.trust).unwrap();
    let mut roles = root.roles.iter_mut();
    roles.find(|role| role.name == name("enroll")).unwrap().keys = public(&[40, 42]);
    assert_eq!(keep_what_stands(&mesh.trust, &mut root), 0);
    let envelope = mesh.seal(Kind::Root, &root, &ROOT);
    mesh.admit_new(&envelope);
    assert!(mesh.trust.is_key_revoked(&node(60)));
    // and whoever comes later accepts it too, by its name in the root
    let mut late = fleet();
    late.admit_new(&envelope);
    late.admit_new(&revoke);
    assert!(late.trust.is_key_revoked(&node(60)));
}

#[test]
fn a_node_that_revokes_itself_is_believed_by_who_never_met_it() {
    let mut mesh = fleet();
    mesh.put(Kind::Enroll, &enroll(60, 0, "north"), &ENROLLERS);
    mesh.put(Kind::Revoke, &revoke_key(60), &[60]);
    let mut other = fleet();
    // even when a batch has room for one record only
    for _ in 0..3 {
        let have = other.trust.have();
        for envelope in mesh.trust.missing_for(&have, Exchange::Trust, 1) {
            other.admit(&envelope).unwrap();
        }
    }
    assert!(other.trust.is_key_revoked(&node(60)));
    assert_eq!(
        other.trust.digest(),
        mesh.trust.digest(),
        "else they would ask for ever"
    );
}

#[test]
fn the_head_that_a_reset_goes_back_to_is_here_although_a_revocation_had_taken_it() {
    let mut mesh = fleet();
    let id = mesh.put_release("1.0.0", 1);
    let base = mesh.put_head("stable", id, 0, &HEADS[..2]);
    mesh.put_head("stable", id, 0, &HEADS[..2]);
    // 21 says that it was stolen: no node holds any head of stable after that
    mesh.put(Kind::Revoke, &revoke_key(21), &[21]);
    assert!(mesh.trust.heads(&name("stable")).is_empty());
    let mut root = next_root(&mesh.trust).unwrap();
    root.resets = vec![Reset {
        channel: name("stable"),
        epoch: 1,
        base: Some(base),
    }];
    keep_what_stands(&mesh.trust, &mut root);
    let mut roles = root.roles.iter_mut();
    roles.find(|role| role.name == name("head")).unwrap().keys = public(&[20, 22, 23]);
    mesh.put(Kind::Root, &root, &ROOT);
    assert_eq!(
        mesh.trust.head(&name("stable")).map(Verified::id),
        Some(base)
    );
    assert!(
        !mesh.trust.is_void(&name("stable"), 0, &id),
        "its release still has its ground"
    );
    mesh.put_head("stable", id, 0, &[22, 23]);
}

#[test]
fn a_floor_stands_whoever_goes() {
    // each of these takes heads away; none gives way to a rollback
    let running = || {
        let mut mesh = fleet();
        let (old, new) = (mesh.put_release("1.0.0", 1), mesh.put_release("2.0.0", 5));
        mesh.put_head("beta", old, 0, &BETA[..1]);
        mesh.put_head("beta", new, 5, &BETA[1..]);
        mesh
    };
    let floor = |mesh: &Mesh| mesh.trust.floor(&name("beta"));
    // the signer of the floor
    let mut mesh = running();
    mesh.put(Kind::Revoke, &revoke_key(BETA[1]), &[BETA[1]]);
    assert_eq!(floor(&mesh), 5);
    assert_eq!(go(&mesh, "beta"), None, "what is left is below it");
    // the signer of what it follows
    let mut mesh = running();
    mesh.put(Kind::Revoke, &revoke_key(BETA[0]), &[BETA[0]]);
    assert_eq!(floor(&mesh), 5);
    // the signers of its release, by a rotation without a reset
    let mut mesh = running();
    let rotate = |mesh: &mut Mesh, role: &str, seeds: &[u8]| {
        let mut root = next_root(&mesh.trust).unwrap();
        root.resets.clear();
        let mut roles = root.roles.iter_mut();
        roles.find(|held| held.name == name(role)).unwrap().keys = public(seeds);
        mesh.put(Kind::Root, &root, &ROOT);
    };
    rotate(&mut mesh, "release", &[13, 14]);
    assert_eq!(floor(&mesh), 5);
    // its own signers, gone and come again
    rotate(&mut mesh, "beta", &[27]);
    assert_eq!(floor(&mesh), 5);
    rotate(&mut mesh, "beta", &BETA);
    assert_eq!(floor(&mesh), 5);
    // and who joins after all that learns the same
    let mut late = fleet();
    for _ in 0..4 {
        let have = late.trust.have();
        for envelope in mesh.trust.missing_for(&have, Exchange::All, usize::MAX) {
            let _ = late.admit(&envelope);
        }
    }
    assert_eq!(floor(&late), 5);
    assert_eq!(late.trust.digest(), mesh.trust.digest());
    // only a reset takes it back
    let mut root = next_root(&mesh.trust).unwrap();
    root.resets = vec![Reset {
        channel: name("beta"),
        epoch: 1,
        base: None,
    }];
    mesh.put(Kind::Root, &root, &ROOT);
    assert_eq!(floor(&mesh), 0);
}

#[test]
fn witnesses_of_floors_are_bounded() {
    let mut mesh = fleet();
    let mut root = next_root(&mesh.trust).unwrap();
    root.roles
        .push(role_of("any", &[50], 1, &[Kind::Head], Scope::All));
    root.roles.sort_by(|a, b| a.name.cmp(&b.name));
    mesh.put(Kind::Root, &root, &ROOT);
    mesh.put(Kind::Revoke, &revoke_key(50), &[50]);
    let id = mesh.put_release("1.0.0", 1);
    let draft = mesh.next("stable", id);
    for number in 0..bounds::MAX_CHANNELS + 50 {
        let head = Head {
            channel: name(&format!("c{number}")),
            counter_floor: 9,
            ..draft.clone()
        };
        let envelope = mesh.seal(Kind::Head, &head, &[50]);
        let admitted = mesh.admit(&envelope);
        let held = matches!(admitted, Ok(Admission::Floor(_)));
        assert_eq!(
            held,
            number < bounds::MAX_CHANNELS,
            "{number}: {admitted:?}"
        );
    }
    let heads = mesh
        .trust
        .records()
        .filter(|one| one.kind == Kind::Head as u8);
    assert_eq!(heads.count(), bounds::MAX_CHANNELS);
}

#[test]
fn a_revoked_key_signs_nothing_but_roots_and_revocations() {
    let mut mesh = fleet();
    let (id, _) = mesh.put(Kind::Release, &release("1.0.0", 1), &RELEASERS[1..]);
    for seed in [10, 25, 40, 3] {
        mesh.put(Kind::Revoke, &revoke_key(seed), &[seed]);
    }
    for (envelope, what) in [
        (
            mesh.seal(Kind::Release, &release("1.1.0", 1), &[10, 11]),
            "release",
        ),
        (mesh.seal(Kind::Head, &mesh.next("beta", id), &[25]), "head"),
    ] {
        let refusal = mesh.admit(&envelope).unwrap_err();
        assert!(
            matches!(refusal, Refusal::RevokedKey(_)),
            "{what}: {refusal}"
        );
        assert_eq!(refusal.attack(), "key compromise below threshold");
    }
    // an enrolment by it shows that the node was known, no more
    let late = mesh.seal(Kind::Enroll, &enroll(66, 0, "north"), &[40]);
    mesh.admit_new(&late);
    assert!(matches!(
        mesh.trust.standing(&node(66), NOW_S),
        Standing::Lapsed(_)
    ));
    // who may sign a root must not depend on what else a node has heard of
    let root = next_root(&mesh.trust).unwrap();
    mesh.put(Kind::Root, &root, &[1, 3]);
}

#[test]
fn who_signs_with_a_key_that_was_replaced_pushes_out_no_node_that_counts() {
    let mut mesh = fleet();
    let flood = |seed: u32, signer: u8, mesh: &Mesh| {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&seed.to_be_bytes());
        let node = weft_keys::SecretKey::from_seed(bytes).public();
        let body = Enroll {
            node,
            ..enroll(60, 0, "north")
        };
        (
            node,
            sealed(Kind::Enroll, mesh.trust.mesh_id(), &body, &[signer]),
        )
    };
    mesh.put(Kind::Enroll, &enroll(60, 0, "north"), &[40]);
    mesh.put(Kind::Revoke, &revoke_key(60), &[60]);
    let mut root = next_root(&mesh.trust).unwrap();
    let mut roles = root.roles.iter_mut();
    roles.find(|held| held.name == name("enroll")).unwrap().keys = public(&[40, 42]);
    mesh.put(Kind::Root, &root, &ROOT);
    let mut members = Vec::new();
    for number in 0..bounds::MAX_ENROLMENTS as u32 + 10 {
        let (node, envelope) = flood(number, 42, &mesh);
        assert!(mesh.admit(&envelope).is_ok());
        members.push(node);
    }
    let count = |mesh: &Mesh| {
        let is_member = |node| matches!(mesh.trust.standing(node, NOW_S), Standing::Member(_));
        members.iter().filter(|node| is_member(node)).count()
    };
    let before = count(&mesh);
    assert!(before >= bounds::MAX_ENROLMENTS - 2);
    assert!(mesh.trust.enrolments().count() <= bounds::MAX_ENROLMENTS);
    for number in 0..50 {
        // 41 went with the rotation
        let (_, envelope) = flood(1_000_000 + number, 41, &mesh);
        assert!(matches!(mesh.admit(&envelope), Err(Refusal::Full { .. })));
    }
    assert_eq!(count(&mesh), before);
    // nor is a node that revoked itself forgotten and so let in again
    let same = next_root(&mesh.trust).unwrap();
    mesh.put(Kind::Root, &same, &ROOT);
    assert!(mesh.trust.is_key_revoked(&key(60).public()));
    assert!(
        mesh.trust
            .revokes()
            .any(|one| one.target == RevokeTarget::Key(node(60)))
    );
}

#[test]
fn a_list_brings_what_revokes_its_releases_and_nothing_else_of_the_sets() {
    let mut mesh = fleet();
    let old = mesh.put_release("1.0.0", 1);
    mesh.put_head("stable", old, 0, &HEADS[..2]);
    let behind = mesh.trust.have_in(Detail::List);
    let new = mesh.put_release("1.1.0", 1);
    mesh.put_head("stable", new, 0, &HEADS[..2]);
    for release in [new, weft_record::RecordId([7; 32])] {
        mesh.put(Kind::Revoke, &revoke_release(release), &RELEASERS[1..]);
    }
    let sent = |have| {
        let sent = mesh.trust.missing_for(&have, Exchange::All, usize::MAX);
        sent.iter().map(|one| one.kind).collect::<Vec<_>>()
    };
    let list = [Kind::Revoke, Kind::Release, Kind::Head].map(Kind::number);
    assert_eq!(sent(behind.clone()), list);
    let all = weft_record::Have {
        sets: true,
        ..behind
    };
    assert_eq!(sent(all).len(), list.len() + 1);
}
