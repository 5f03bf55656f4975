//! What is accepted, and what waits.

use weft_record::{
    Admission, BuildError, Envelope, Hash, Kind, Missing, RecordId, TimeState, Verified, next_head,
};

use crate::mesh::{HEAD, Mesh, NOW_S, RELEASE, ROOT, genesis, name, release, sealed};

#[test]
fn a_line_of_heads_is_accepted_in_order() {
    let mut mesh = Mesh::new();
    let first = mesh.publish_release("1.0.0", 1);
    let second = mesh.publish_release("1.1.0", 2);
    let (a, b) = (
        mesh.publish_head("stable", first),
        mesh.publish_head("stable", second),
    );
    let stable = name("stable");
    let ids: Vec<RecordId> = mesh.trust.heads(&stable).iter().map(Verified::id).collect();
    assert_eq!(ids, [a, b]);
    let head = mesh.trust.head(&stable).unwrap();
    assert_eq!((head.id(), head.seq, head.release), (b, 1, second));
    assert_eq!(mesh.trust.release(&second).unwrap().version, "1.1.0");
    assert_eq!(mesh.trust.channels().collect::<Vec<_>>(), [&stable]);
    assert!(mesh.trust.head(&name("beta")).is_none());
}

#[test]
fn what_comes_too_early_waits_and_is_not_kept() {
    let mut admin = Mesh::new();
    let release = admin.publish_release("1.0.0", 1);
    let first = admin.publish_head("stable", release);
    let second = admin.publish_head("stable", release);
    let get = |id: &RecordId| admin.trust.envelope(id).unwrap().clone();

    let mut node = Mesh::joining(admin.trust.mesh_id());
    let waits = |node: &mut Mesh, id: &RecordId, missing| {
        let before = node.trust.digest();
        assert_eq!(node.admit(&get(id)), Ok(Admission::Waiting(missing)));
        assert_eq!(node.trust.digest(), before);
    };
    waits(&mut node, &release, Missing::Root);
    waits(&mut node, &second, Missing::Root);
    node.admit_new(admin.trust.root().unwrap().envelope());
    waits(&mut node, &second, Missing::Head(first));
    waits(&mut node, &first, Missing::Release(release));
    node.admit_new(&get(&release));
    waits(&mut node, &second, Missing::Head(first));
    node.admit_new(&get(&first));
    node.admit_new(&get(&second));
    assert_eq!(node.trust.digest(), admin.trust.digest());
}

#[test]
fn a_record_that_is_known_costs_no_signature_check() {
    let mut mesh = Mesh::new();
    let release = mesh.publish_release("1.0.0", 1);
    let envelope = mesh.trust.envelope(&release).unwrap().clone();
    let checks = mesh.memo.checks();
    assert_eq!(mesh.admit(&envelope), Ok(Admission::Known));
    assert_eq!(mesh.memo.checks(), checks);
}

#[test]
fn signatures_by_different_paths_add_up() {
    let mut mesh = Mesh::new();
    let release = mesh.publish_release("1.0.0", 1);
    let head = mesh.draft(release);
    let halves: Vec<Envelope> = HEAD
        .iter()
        .map(|seed| mesh.seal(Kind::Head, &head, &[*seed]))
        .collect();
    let refusal = mesh.admit(&halves[0]).unwrap_err();
    assert_eq!(refusal.attack(), "key compromise below threshold");
    assert!(mesh.trust.heads(&name("stable")).is_empty());
    let id = mesh.admit_new(&halves[1]);
    assert_eq!(mesh.trust.envelope(&id).unwrap().sigs.len(), 2);
}

#[test]
fn further_signatures_of_the_role_are_kept_and_others_are_not() {
    let root = genesis();
    let mut mesh = Mesh::joining(root.mesh_id);
    let [a, b, c] = ROOT;
    mesh.admit_new(&sealed(Kind::Root, root.mesh_id, &root, &[a, b, 99]));
    let id = mesh.trust.root().unwrap().id();
    assert_eq!(
        mesh.trust.envelope(&id).unwrap().sigs.len(),
        2,
        "key 99 is nobody's"
    );
    let other = sealed(Kind::Root, root.mesh_id, &root, &[b, c, 98]);
    assert_eq!(mesh.admit(&other), Ok(Admission::Merged));
    assert_eq!(mesh.trust.envelope(&id).unwrap().sigs.len(), 3);
    assert_eq!(mesh.admit(&other), Ok(Admission::Known));
    let digest = mesh.trust.digest();
    let mut alone = Mesh::new();
    assert_eq!(alone.trust.digest(), digest, "signatures are no part of it");
    assert!(alone.admit(&other).is_ok());
}

#[test]
fn the_clock_is_held_against_the_root() {
    let mesh = Mesh::new();
    let validity = mesh.trust.root().unwrap().validity;
    let state = |now_s| mesh.trust.time_state(now_s);
    assert_eq!(state(validity.from_s), TimeState::Fresh);
    assert_eq!(state(validity.until_s), TimeState::Fresh);
    assert_eq!(state(validity.until_s + 1), TimeState::Stale);
    assert_eq!(state(validity.from_s - 1), TimeState::Unknown);
    let joining = Mesh::joining(mesh.trust.mesh_id());
    assert_eq!(joining.trust.time_state(NOW_S), TimeState::Unknown);
}

#[test]
fn a_builder_refuses_what_every_verifier_would() {
    let mut mesh = Mesh::new();
    let (stable, old) = (name("stable"), mesh.publish_release("1.0.0", 1));
    let new = mesh.publish_release("1.1.0", 2);
    let unknown = RecordId([5; 32]);
    let refused = next_head(&mesh.trust, &stable, unknown, Hash::ZERO, NOW_S);
    assert_eq!(refused, Err(BuildError::UnknownRelease(unknown)));
    let mut head = mesh.draft(new);
    head.counter_floor = 2;
    let envelope = mesh.seal_head(&head);
    mesh.admit_new(&envelope);
    assert_eq!(mesh.trust.floor(&stable), 2);
    let refused = next_head(&mesh.trust, &stable, old, Hash::ZERO, NOW_S);
    assert!(
        matches!(refused, Err(BuildError::Refused(_))),
        "{refused:?}"
    );
    let joining = Mesh::joining(mesh.trust.mesh_id());
    let refused = next_head(&joining.trust, &stable, old, Hash::ZERO, NOW_S);
    assert_eq!(refused, Err(BuildError::NoRoot(mesh.trust.mesh_id())));
}

#[test]
fn records_come_out_in_an_order_that_is_admitted_again() {
    let mut mesh = Mesh::new();
    for number in 1..5 {
        let release = mesh.publish_release(&format!("1.{number}.0"), number);
        mesh.publish_head("stable", release);
        mesh.publish_head("beta", release);
    }
    let mut copy = Mesh::joining(mesh.trust.mesh_id());
    for envelope in mesh.trust.records() {
        // what is stored is served as it was received
        let bytes = envelope.encode();
        assert_eq!(Envelope::decode(&bytes).as_ref(), Ok(envelope));
        copy.admit_new(envelope);
    }
    assert_eq!(copy.trust.digest(), mesh.trust.digest());
}

#[test]
fn a_release_is_the_same_record_whoever_signs() {
    let mesh = Mesh::new();
    let once = mesh.seal(Kind::Release, &release("1.0.0", 1), &RELEASE);
    let twice = mesh.seal(Kind::Release, &release("1.0.0", 1), &[10, 11]);
    assert_eq!(once.record_id(), twice.record_id());
    let as_head = Envelope {
        kind: Kind::Head as u8,
        ..once.clone()
    };
    assert_ne!(
        once.record_id(),
        as_head.record_id(),
        "the kind is part of the name"
    );
}
