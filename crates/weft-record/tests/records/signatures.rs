//! Signatures that come late, by other paths, from thieves, or as rubbish.

use weft_keys::Signature;
use weft_record::{Admission, Envelope, Kind, Missing, Refusal, Verdict, bounds, next_root};

use crate::{
    fleet::{HEADS, RELEASERS, fleet, revoke_key, role_of},
    mesh::{Mesh, ROOT, key, name, release, role},
};

/// A mesh at head 1 of `stable`: head 0 by 20 and 21, head 1 with floor 2 by 21 and 22.
fn running() -> (Mesh, Envelope, Envelope) {
    let mut mesh = fleet();
    let id = mesh.put_release("1.0.0", 2);
    let first = mesh.put_head("stable", id, 0, &HEADS[..2]);
    let second = mesh.put_head("stable", id, 2, &HEADS[1..]);
    let get = |id| mesh.trust.envelope(&id).unwrap().clone();
    let (first, second) = (get(first), get(second));
    (mesh, first, second)
}

fn co_signed(envelope: &Envelope, seed: u8) -> Envelope {
    let mut alone = Envelope {
        sigs: Vec::new(),
        ..envelope.clone()
    };
    alone.sign(&key(seed));
    alone
}

#[test]
fn co_signing_after_the_fact_brings_back_what_a_revocation_took() {
    let (mut mesh, first, second) = running();
    let revoke = mesh.seal(Kind::Revoke, &revoke_key(21), &[21]);
    mesh.admit_new(&revoke);
    assert!(matches!(
        mesh.trust.verdict(&name("stable")),
        Verdict::Nothing
    ));
    assert_eq!(
        mesh.trust.floor(&name("stable")),
        2,
        "the second head is its witness"
    );
    // single signatures, by another path: what was held counts with them
    mesh.admit_new(&co_signed(&first, 22));
    mesh.admit_new(&co_signed(&second, 20));
    let head = mesh.trust.head(&name("stable")).unwrap();
    assert_eq!(head.id(), second.record_id());
    // revoked first, signed later: the same
    let mut other = fleet();
    let releases: Vec<_> = mesh
        .trust
        .releases()
        .map(|one| one.envelope().clone())
        .collect();
    for envelope in releases.iter().chain([&revoke]) {
        other.admit_new(envelope);
    }
    for (envelope, seed) in [(&first, 22), (&second, 20)] {
        assert!(!matches!(other.admit(envelope), Ok(Admission::New(..))));
        other.admit_new(&co_signed(envelope, seed));
    }
    assert_eq!(other.trust.digest(), mesh.trust.digest());
}

#[test]
fn a_witness_that_gets_its_signature_back_is_a_head_again() {
    let (mut mesh, first, second) = running();
    let revoke = mesh.seal(Kind::Revoke, &revoke_key(21), &[21]);
    mesh.admit_new(&revoke);
    let mut whole = second.clone();
    whole.sign(&key(20));
    // its way is not here: it holds its floor and waits
    assert!(matches!(
        mesh.admit(&whole),
        Ok(Admission::Waiting(Missing::Head(_)))
    ));
    assert_eq!(mesh.trust.floor(&name("stable")), 2);
    mesh.admit_new(&co_signed(&first, 22));
    assert_eq!(mesh.admit_new(&whole), second.record_id());
    assert!(matches!(
        mesh.trust.verdict(&name("stable")),
        Verdict::Go(_)
    ));
}

#[test]
fn a_bad_signature_cannot_take_the_place_of_one_that_waits() {
    let mut mesh = fleet();
    let body = release("1.0.0", 1);
    mesh.put(Kind::Release, &body, &RELEASERS[..2]);
    // 13 will sign releases; its signature comes first
    let early = mesh.seal(Kind::Release, &body, &[13]);
    mesh.admit(&early).unwrap();
    let mut rubbish = early.clone();
    rubbish.sigs[0].1 = Signature::from_bytes([1; 64]);
    let _ = mesh.admit(&rubbish);
    let mut root = next_root(&mesh.trust).unwrap();
    let place = root
        .roles
        .iter()
        .position(|role| role.name == name("release"));
    root.roles[place.unwrap()] = role(
        "release",
        &[11, 13],
        2,
        Kind::Release,
        weft_record::Scope::All,
    );
    let envelope = mesh.seal(Kind::Root, &root, &ROOT);
    mesh.admit_new(&envelope);
    assert!(mesh.trust.release(&early.record_id()).is_some());
}

#[test]
fn signatures_of_strangers_take_no_room_from_those_that_count() {
    let mut mesh = fleet();
    let body = release("1.0.0", 1);
    let mut crowded = mesh.seal(Kind::Release, &body, &[10]);
    for seed in 100..100 + bounds::MAX_SIGNATURES as u8 - 1 {
        crowded.sign(&key(seed));
    }
    assert_eq!(crowded.sigs.len(), bounds::MAX_SIGNATURES);
    assert!(matches!(
        mesh.admit(&crowded),
        Err(Refusal::BelowThreshold { have: 1, .. })
    ));
    let other = mesh.seal(Kind::Release, &body, &[11]);
    mesh.admit_new(&other);
}

#[test]
fn merging_never_makes_an_envelope_longer_than_any_peer_takes() {
    // a body that leaves room for one signature: halves must not add up beyond it
    let mut mesh = fleet();
    let mut body = release("1.0.0", 1);
    let sized = |body: &weft_record::Release, seeds: &[u8]| mesh.seal(Kind::Release, body, seeds);
    let prompt = "x".repeat(bounds::MAX_PROMPT_BYTES);
    let probe = body.probe_set.probes[0].clone();
    while sized(&body, &[10]).encode().len() + 5000 < bounds::MAX_RECORD_BYTES {
        body.probe_set.probes.push(weft_record::Probe {
            prompt: prompt.clone(),
            ..probe.clone()
        });
    }
    while sized(&body, &[10]).encode().len() < bounds::MAX_RECORD_BYTES {
        let room = bounds::MAX_RECORD_BYTES - sized(&body, &[10]).encode().len();
        let last = body.probe_set.probes.last_mut().unwrap();
        if room > 4000 || last.prompt.len() + room > bounds::MAX_PROMPT_BYTES {
            body.notes
                .push_str(&"n".repeat(room.min(bounds::MAX_NOTES_BYTES - body.notes.len())));
        } else {
            last.prompt.push_str(&"x".repeat(room));
        }
    }
    let halves = [sized(&body, &[10]), sized(&body, &[11])];
    for half in &halves {
        assert!(Envelope::decode(&half.encode()).is_ok());
        assert!(mesh.admit(half).is_err());
        assert!(mesh.admit(half).is_err());
    }
    assert!(
        mesh.trust
            .records()
            .all(|one| one.encode().len() <= bounds::MAX_RECORD_BYTES)
    );
}

#[test]
fn a_flood_of_half_signed_records_is_bounded_and_costs_the_thief_a_key() {
    let mut mesh = fleet();
    let before = mesh.trust.digest();
    for number in 0..4 * bounds::MAX_HALF_SIGNED as u64 {
        let body = release(&format!("6.6.{number}"), number);
        let envelope = mesh.seal(Kind::Release, &body, &[10]);
        let refusal = mesh.admit(&envelope).unwrap_err();
        assert_eq!(refusal.attack(), "key compromise below threshold");
    }
    assert_eq!(mesh.trust.digest(), before);
    // what has its whole threshold is not held up by it
    mesh.put_release("1.0.0", 1);
}

#[test]
fn one_key_in_two_roles_counts_once_in_each() {
    let mut mesh = fleet();
    let mut root = next_root(&mesh.trust).unwrap();
    let all = weft_record::Scope::All;
    root.roles
        .push(role_of("release-too", &[10, 50], 2, &[Kind::Release], all));
    root.roles.sort_by(|a, b| a.name.cmp(&b.name));
    let envelope = mesh.seal(Kind::Root, &root, &ROOT);
    mesh.admit_new(&envelope);
    // one of each role is nobody's threshold
    let mixed = mesh.seal(Kind::Release, &release("1.0.0", 1), &[11, 50]);
    assert!(matches!(
        mesh.admit(&mixed),
        Err(Refusal::BelowThreshold {
            have: 1,
            need: 2,
            ..
        })
    ));
    let whole = mesh.seal(Kind::Release, &release("1.0.0", 1), &[10, 50]);
    mesh.admit_new(&whole);
}

#[test]
fn of_two_valid_signatures_by_one_key_every_order_keeps_the_same() {
    let mut mesh = fleet();
    let body = release("1.0.0", 1);
    let envelope = mesh.seal(Kind::Release, &body, &RELEASERS[..2]);
    let id = mesh.admit_new(&envelope);
    // an Ed25519 key signs one message one way unless it means to do otherwise, so the
    // second signature can only be a broken one: it is refused, and blamed
    let mut twice = envelope.clone();
    let mut bytes = [0; 64];
    bytes[0] = 1;
    twice.sigs[0].1 = Signature::from_bytes(bytes);
    let smaller = twice.sigs[0].1 < envelope.sigs[0].1;
    match mesh.admit(&twice) {
        Err(refusal) => assert!(smaller && refusal.is_senders_fault(), "{refusal}"),
        Ok(admission) => assert!(!smaller && admission == Admission::Known),
    }
    assert_eq!(mesh.trust.envelope(&id), Some(&envelope));
}
