use weft_record::{
    Admission, Envelope, Kind, RecordId, Refusal, Trust,
    bounds::{MAX_ENVELOPE_BYTES, MAX_SIGNATURES},
    seal,
};

use crate::{
    bodies::bodies,
    mesh::{ADMIN, Mesh, NOW_S, key},
};

/// An envelope is taken whole or refused, has one encoding, and meets a verifier of a
/// fixed mesh.
pub(crate) fn envelope(input: &[u8]) {
    let Ok(envelope) = Envelope::decode(input) else {
        return;
    };
    assert!(input.len() <= MAX_ENVELOPE_BYTES);
    assert_eq!(envelope.encode(), input);
    assert!(envelope.sigs.len() <= MAX_SIGNATURES);
    assert!(envelope.sigs.is_sorted_by(|a, b| a.0 < b.0));
    let unsigned = Envelope {
        sigs: Vec::new(),
        ..envelope.clone()
    };
    assert_eq!(unsigned.record_id(), envelope.record_id());
    assert!(!envelope.clone().merge_signatures(&envelope));
    meet(&envelope);
}

/// A record of the kind that the first byte names, signed by every key that there is:
/// what an admin with bad intentions or a broken tool could publish.
pub(crate) fn body(input: &[u8]) {
    let Some((number, body)) = input.split_first() else {
        return;
    };
    let Some(kind) = Kind::from_number(*number) else {
        return;
    };
    // signing is slow, and what is malformed is refused without it
    let mesh = Mesh::fixed();
    let unsigned = seal(kind, mesh.mesh_id(), body.to_vec(), &[]);
    let refused = mesh.clone().admit(&unsigned);
    if let Err(Refusal::Malformed { .. } | Refusal::Invalid { .. }) = refused {
        return;
    }
    let envelope = mesh.seal(kind, body.to_vec());
    assert_eq!(Envelope::decode(&envelope.encode()).as_ref(), Ok(&envelope));
    meet(&envelope);
}

/// Refused, it changes nothing; accepted, it is held, known when it comes again, and a
/// new verifier that gets all records holds the same.
fn meet(envelope: &Envelope) {
    let fixed = Mesh::fixed();
    let mut mesh = fixed.clone();
    match mesh.admit(envelope) {
        Err(refusal) => {
            assert!(!refusal.to_string().is_empty());
            assert_eq!(ids(&mesh.trust), ids(&fixed.trust));
            assert_eq!(mesh.trust.digest(), fixed.trust.digest());
        }
        Ok(Admission::New(kind, id)) => {
            assert_eq!(kind.number(), envelope.kind);
            assert_eq!(id, envelope.record_id());
            let held = mesh.trust.envelope(&id).unwrap();
            assert_eq!(held.body, envelope.body);
            let again = mesh.admit(envelope);
            assert!(
                matches!(again, Ok(Admission::Known | Admission::Merged)),
                "{again:?}"
            );
            assert_eq!(copied(&mesh).digest(), mesh.trust.digest());
        }
        Ok(_) => {}
    }
}

fn ids(trust: &Trust) -> Vec<RecordId> {
    trust.records().map(Envelope::record_id).collect()
}

/// A new verifier that is given every record in the order that the old one tells.
fn copied(mesh: &Mesh) -> Trust {
    let mut memo = mesh.memo.clone();
    let mut copy = Trust::new(mesh.mesh_id());
    for envelope in mesh.trust.records() {
        let admitted = copy.admit(envelope.clone(), NOW_S, &mut memo);
        assert!(
            !matches!(admitted, Err(_) | Ok(Admission::Waiting(_))),
            "{admitted:?}"
        );
    }
    copy
}

pub(crate) fn envelope_seeds() -> Vec<Vec<u8>> {
    let mesh = Mesh::fixed();
    let held = mesh.trust.records().map(Envelope::encode);
    let made = bodies().into_iter().map(|(kind, body)| {
        // one that is new here, and one that lacks signatures
        let signers: &[_] = &[&key(ADMIN)];
        seal(kind, mesh.mesh_id(), body, signers).encode()
    });
    held.chain(made).collect()
}

pub(crate) fn body_seeds() -> Vec<Vec<u8>> {
    let with_kind = |(kind, body): (Kind, Vec<u8>)| {
        let mut seed = vec![kind.number()];
        seed.extend(body);
        seed
    };
    bodies().into_iter().map(with_kind).collect()
}
