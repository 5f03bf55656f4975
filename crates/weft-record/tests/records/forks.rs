//! Two heads for one place: seen, proven, and resolved by a head that follows both.

use weft_record::{Head, RecordId, Refusal, bounds};

use crate::mesh::{Mesh, NOW_S, name};

/// A second head for the place of `head`.
fn rival(head: &Head, number: u64) -> Head {
    Head {
        issued_at_s: NOW_S + number,
        ..head.clone()
    }
}

/// A mesh whose `stable` has `a` and `b` at place 1.
fn forked() -> (Mesh, RecordId, RecordId, RecordId) {
    let mut mesh = Mesh::new();
    let release = mesh.publish_release("1.0.0", 1);
    let common = mesh.publish_head("stable", release);
    let head = mesh.draft(release);
    let (a, b) = (mesh.seal_head(&head), mesh.seal_head(&rival(&head, 1)));
    let (a, b) = (mesh.admit_new(&a), mesh.admit_new(&b));
    (mesh, common, a.min(b), a.max(b))
}

#[test]
fn two_heads_for_one_place_are_a_fork_with_its_proof() {
    let (mesh, common, a, b) = forked();
    let fork = mesh.trust.fork(&name("stable")).unwrap();
    assert_eq!((fork.epoch, fork.seq, fork.proof), (0, 1, (a, b)));
    assert_eq!((&fork.tips[..], fork.common), (&[a, b][..], Some(common)));
    assert_eq!(mesh.trust.head(&name("stable")).unwrap().id(), common);
    let proof = [fork.proof.0, fork.proof.1].map(|id| mesh.trust.envelope(&id).is_some());
    assert_eq!(proof, [true, true], "the proof can be shown to others");
    assert!(mesh.trust.fork(&name("beta")).is_none());
}

#[test]
fn a_longer_branch_does_not_win() {
    let (mut mesh, common, a, b) = forked();
    let release = mesh.trust.head(&name("stable")).unwrap().release;
    // an admin that has not seen b goes on from a
    let mut blind = Mesh::joining(mesh.trust.mesh_id());
    for envelope in mesh
        .trust
        .records()
        .filter(|envelope| envelope.record_id() != b)
    {
        blind.admit_new(envelope);
    }
    let c = blind.seal_head(&blind.draft(release));
    let c = mesh.admit_new(&c);
    let fork = mesh.trust.fork(&name("stable")).unwrap();
    assert_eq!(
        (fork.seq, fork.common, fork.tips.len()),
        (1, Some(common), 2)
    );
    assert!(fork.tips.contains(&c) && fork.tips.contains(&b) && !fork.tips.contains(&a));
}

#[test]
fn a_head_that_follows_both_resolves_it() {
    let (mut mesh, ..) = forked();
    let release = mesh.trust.head(&name("stable")).unwrap().release;
    let joined = mesh.publish_head("stable", release);
    assert!(mesh.trust.fork(&name("stable")).is_none());
    let head = mesh.trust.head(&name("stable")).unwrap();
    assert_eq!((head.id(), head.seq, head.prevs.len()), (joined, 2, 2));
    // and the line goes on, its history counting both branches
    let next = mesh.publish_head("stable", release);
    assert_eq!(mesh.trust.head(&name("stable")).unwrap().id(), next);
}

#[test]
fn branches_of_different_length_are_joined() {
    let (mut mesh, _, a, b) = forked();
    let release = mesh.trust.head(&name("stable")).unwrap().release;
    let mut blind = Mesh::joining(mesh.trust.mesh_id());
    for envelope in mesh
        .trust
        .records()
        .filter(|envelope| envelope.record_id() != b)
    {
        blind.admit_new(envelope);
    }
    for _ in 0..3 {
        let head = blind.seal_head(&blind.draft(release));
        blind.admit_new(&head);
        mesh.admit_new(&head);
    }
    assert!(mesh.trust.fork(&name("stable")).is_some());
    mesh.publish_head("stable", release);
    let head = mesh.trust.head(&name("stable")).unwrap();
    assert_eq!(
        (head.seq, head.prevs.contains(&b), head.prevs.contains(&a)),
        (5, true, false)
    );
    assert!(mesh.trust.fork(&name("stable")).is_none());
}

#[test]
fn a_floor_holds_across_branches() {
    let mut mesh = Mesh::new();
    let release = mesh.publish_release("1.0.0", 5);
    let head = mesh.draft(release);
    let high = Head {
        counter_floor: 5,
        ..head.clone()
    };
    for head in [head, high] {
        let envelope = mesh.seal_head(&head);
        mesh.admit_new(&envelope);
    }
    assert_eq!(mesh.trust.floor(&name("stable")), 5);
    let mut joining = mesh.draft(release);
    assert_eq!((joining.counter_floor, joining.prevs.len()), (5, 2));
    joining.counter_floor = 4;
    let envelope = mesh.seal_head(&joining);
    assert!(matches!(
        mesh.admit(&envelope),
        Err(Refusal::FloorLowered { .. })
    ));
}

#[test]
fn contenders_are_bounded() {
    let mut mesh = Mesh::new();
    let release = mesh.publish_release("1.0.0", 1);
    let head = mesh.draft(release);
    for number in 0..bounds::MAX_CONTENDERS as u64 {
        let envelope = mesh.seal_head(&rival(&head, number));
        mesh.admit_new(&envelope);
    }
    let one_more = mesh.seal_head(&rival(&head, 100));
    let refusal = mesh.admit(&one_more).unwrap_err();
    assert_eq!(refusal.attack(), "endless data");
    // all of them can still be joined
    mesh.publish_head("stable", release);
    assert!(mesh.trust.fork(&name("stable")).is_none());
}
