//! Heads far ahead: accepted with a proof over the gap, and what a gap may hide.

use weft_record::{
    Action, Admission, Envelope, Exchange, Head, HistoryProof, Kind, RecordId, Refusal, Verdict,
};

use crate::{
    fleet::{BETA, RELEASERS, control, fleet, revoke_release},
    mesh::{Mesh, name},
};

const BY: &[u8] = &[BETA[0]];

/// An admin with forty more heads on `gamma` than the node, whose newest head came with a
/// proof. The last is the only one with the second release.
struct Skipped {
    admin: Mesh,
    node: Mesh,
    first: RecordId,
    second: RecordId,
}

fn skipped() -> Skipped {
    let mut admin = fleet();
    let first = admin.put_release("1.0.0", 1);
    let second = admin.put_release("2.0.0", 2);
    admin.put_head("gamma", first, 0, BY);
    let mut node = admin.clone();
    for _ in 0..39 {
        admin.put_head("gamma", first, 0, BY);
    }
    admin.put_head("gamma", second, 0, BY);
    hand_over(&admin, &mut node);
    assert_eq!(node.trust.heads(&name("gamma")).len(), 2);
    assert_eq!(node.trust.digest(), admin.trust.digest());
    Skipped {
        admin,
        node,
        first,
        second,
    }
}

fn hand_over(from: &Mesh, to: &mut Mesh) {
    let have = to.trust.have();
    for envelope in from.trust.missing_for(&have, Exchange::All, usize::MAX) {
        let _ = to.admit(&envelope);
    }
}

fn asked(mesh: &Mesh) -> Option<RecordId> {
    match mesh.trust.verdict(&name("gamma")) {
        Verdict::Go(head) => Some(head.release),
        _ => None,
    }
}

fn head_at(mesh: &Mesh, seq: usize) -> Envelope {
    mesh.trust.heads(&name("gamma"))[seq].envelope().clone()
}

fn proven(mesh: &Mesh) -> Envelope {
    let held = mesh.trust.heads(&name("gamma")).last().unwrap();
    held.envelope().clone()
}

#[test]
fn a_proof_that_shows_nothing_is_refused_and_blamed() {
    let Skipped { admin, node, .. } = skipped();
    let good = proven(&node);
    let proof = good.proof.clone().unwrap();
    let mut fresh = fleet();
    for envelope in admin.trust.releases().map(|one| one.envelope().clone()) {
        fresh.admit_new(&envelope);
    }
    fresh.admit_new(&head_at(&admin, 0));
    let mut shorter = proof.clone();
    shorter.subtrees.pop();
    let mut longer = proof.clone();
    longer.subtrees.push(weft_record::Hash::ZERO);
    let mut other = proof.clone();
    other.subtrees[0].0[0] ^= 1;
    for bad in [shorter, longer, other] {
        let envelope = Envelope {
            proof: Some(bad),
            ..good.clone()
        };
        let refusal = fresh.admit(&envelope).unwrap_err();
        assert!(matches!(refusal, Refusal::BadProof { .. }), "{refusal}");
        assert!(refusal.is_senders_fault() && refusal.attack() == "equivocation");
    }
    // one that starts at a head that is not here says nothing
    let elsewhere = HistoryProof {
        from: Some(RecordId([7; 32])),
        ..proof
    };
    let envelope = Envelope {
        proof: Some(elsewhere),
        ..good.clone()
    };
    assert!(matches!(fresh.admit(&envelope), Ok(Admission::Waiting(_))));
    fresh.admit_new(&good);
    // the proof is kept with the head, so that it is believed again after a restart
    let kept = proven(&fresh).encode();
    assert_eq!(Envelope::decode(&kept).as_ref(), Ok(&good));
}

#[test]
fn only_heads_carry_proofs_and_only_short_ones() {
    let Skipped { node, .. } = skipped();
    let mut envelope = proven(&node);
    let proof = envelope.proof.as_mut().unwrap();
    proof.subtrees = vec![weft_record::Hash::ZERO; weft_record::bounds::MAX_PROOF_HASHES + 1];
    let refusal = Envelope::decode(&envelope.encode()).unwrap_err();
    assert!(matches!(refusal, Refusal::TooLong { .. }), "{refusal}");
    let mut root = node.trust.root().unwrap().envelope().clone();
    root.proof = proven(&node).proof;
    let refusal = Envelope::decode(&root.encode()).unwrap_err();
    assert_eq!(refusal, Refusal::UnknownKind(1));
}

#[test]
fn a_head_inside_the_gap_leaves_the_channel_undecided_until_the_whole_line_came() {
    let Skipped {
        admin,
        mut node,
        second,
        ..
    } = skipped();
    node.admit_new(&head_at(&admin, 1));
    assert!(matches!(
        node.trust.verdict(&name("gamma")),
        Verdict::Undecided
    ));
    assert_eq!(node.trust.have().whole, [name("gamma")]);
    assert_ne!(node.trust.digest(), admin.trust.digest(), "so that it asks");
    hand_over(&admin, &mut node);
    assert_eq!(asked(&node), Some(second));
    assert!(node.trust.have().whole.is_empty());
    assert_eq!(node.trust.heads(&name("gamma")).len(), 41);
    assert_eq!(node.trust.digest(), admin.trust.digest());
}

#[test]
fn a_rival_inside_the_gap_is_a_fork_once_the_whole_line_came() {
    let Skipped {
        admin, mut node, ..
    } = skipped();
    let mut rival = fleet();
    for envelope in node.trust.records().take(4).cloned().collect::<Vec<_>>() {
        let _ = rival.admit(&envelope);
    }
    let head = rival.next("gamma", admin.trust.heads(&name("gamma"))[0].release);
    let head = Head {
        issued_at_s: 5,
        ..head
    };
    assert_eq!(head.seq, 1);
    let envelope = node.seal(Kind::Head, &head, &[BETA[1]]);
    node.admit_new(&envelope);
    assert!(matches!(
        node.trust.verdict(&name("gamma")),
        Verdict::Undecided
    ));
    hand_over(&admin, &mut node);
    assert!(matches!(node.trust.verdict(&name("gamma")), Verdict::Forked(fork) if fork.seq == 1));
}

#[test]
fn what_a_gap_hides_is_fetched_when_all_that_is_newer_was_revoked() {
    let Skipped {
        mut admin,
        mut node,
        first,
        second,
    } = skipped();
    let (_, revoke) = admin.put(Kind::Revoke, &revoke_release(second), &RELEASERS[..2]);
    assert_eq!(asked(&admin), Some(first));
    node.admit_new(&revoke);
    // head 0 has the first release too, but who knows what lies between
    assert!(matches!(
        node.trust.verdict(&name("gamma")),
        Verdict::Undecided
    ));
    assert_ne!(node.trust.digest(), admin.trust.digest());
    hand_over(&admin, &mut node);
    let head = |mesh: &Mesh| match mesh.trust.verdict(&name("gamma")) {
        Verdict::Go(head) => head.id(),
        other => panic!("{other:?}"),
    };
    assert_eq!(head(&node), head(&admin));
    assert_eq!(node.trust.digest(), admin.trust.digest());
}

#[test]
fn a_floor_inside_the_gap_counts_although_a_later_head_lowers_it() {
    // two of the role's keys make a line whose floor falls; the true verifier refuses the
    // fall, one that skipped over it must not give way either once it sees it
    let Skipped {
        admin, mut node, ..
    } = skipped();
    let floor = node.trust.floor(&name("gamma"));
    let high = Head {
        counter_floor: 1,
        ..weft_record::codec::decode(&head_at(&admin, 1).body, 65_536).unwrap()
    };
    let envelope = node.seal(Kind::Head, &high, &[BETA[1]]);
    node.admit_new(&envelope);
    assert_eq!((floor, node.trust.floor(&name("gamma"))), (0, 1));
    hand_over(&admin, &mut node);
    assert_eq!(node.trust.floor(&name("gamma")), 1);
}

#[test]
fn a_control_counts_although_its_head_lies_in_a_gap() {
    let Skipped {
        mut admin,
        mut node,
        ..
    } = skipped();
    let hidden = head_at(&admin, 7).record_id();
    admin.put(
        Kind::Control,
        &control("gamma", hidden, 0, Action::Abort),
        &[20],
    );
    hand_over(&admin, &mut node);
    assert_eq!(node.trust.controls(&hidden).count(), 1);
    assert_eq!(
        node.trust.digest(),
        admin.trust.digest(),
        "else they would ask for ever"
    );
}

#[test]
fn records_come_out_and_in_again_with_their_gaps() {
    let Skipped { admin, node, .. } = skipped();
    let mut copy = Mesh::joining(node.trust.mesh_id());
    for envelope in node.trust.records() {
        copy.admit_new(&Envelope::decode(&envelope.encode()).unwrap());
    }
    assert_eq!(copy.trust.digest(), node.trust.digest());
    // and from there a newcomer is proven on, though nobody walked the way
    let mut newcomer = fleet();
    hand_over(&copy, &mut newcomer);
    assert_eq!(newcomer.trust.digest(), admin.trust.digest());
}
