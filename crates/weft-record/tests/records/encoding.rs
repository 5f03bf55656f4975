//! One record has one encoding, and nothing else passes for it.

use proptest::prelude::*;
use weft_record::{Envelope, Head, Kind, Refusal, Release, Root, codec};

use crate::mesh::{HEAD, Mesh, RELEASE, ROOT, genesis, release, sealed};

const LIMIT: usize = 64 * 1024;

fn head() -> Head {
    let mut mesh = Mesh::new();
    let release = mesh.publish_release("1.0.0", 1);
    mesh.publish_head("stable", release);
    mesh.draft(release)
}

fn envelopes() -> Vec<Envelope> {
    let mesh_id = genesis().mesh_id;
    vec![
        sealed(Kind::Root, mesh_id, &genesis(), &ROOT),
        sealed(Kind::Release, mesh_id, &release("1.0.0", 1), &RELEASE),
        sealed(Kind::Head, mesh_id, &head(), &HEAD),
    ]
}

#[test]
fn what_is_encoded_is_decoded() {
    for envelope in envelopes() {
        assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
    }
}

#[test]
fn every_shorter_or_longer_form_is_refused() {
    for envelope in envelopes() {
        let bytes = envelope.encode();
        for cut in 0..bytes.len() {
            let refusal = Envelope::decode(&bytes[..cut]).unwrap_err();
            assert!(
                matches!(refusal, Refusal::Malformed { .. }),
                "{cut}: {refusal}"
            );
        }
        let longer = [&bytes[..], &[0]].concat();
        let refusal = Envelope::decode(&longer).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed { .. }), "{refusal}");
    }
}

#[test]
fn every_shorter_or_longer_body_is_refused() {
    let mut mesh = Mesh::new();
    for envelope in envelopes() {
        for change in [-1_isize, 1] {
            let mut wrong = envelope.clone();
            let length = wrong.body.len().saturating_add_signed(change);
            wrong.body.resize(length, 0);
            let refusal = mesh.admit(&wrong).unwrap_err();
            assert!(matches!(refusal, Refusal::Malformed { .. }), "{refusal}");
            assert_eq!(refusal.attack(), "tampering");
        }
    }
}

#[test]
fn a_length_that_lies_is_refused_before_anything_is_made_of_it() {
    let envelope = envelopes().remove(0);
    let mut bytes = envelope.encode();
    // the body's length follows version, kind and mesh
    bytes[34..42].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(
        Envelope::decode(&bytes),
        Err(Refusal::Malformed { .. })
    ));
    bytes[34..42].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    assert!(matches!(
        Envelope::decode(&bytes),
        Err(Refusal::Malformed { .. })
    ));
}

#[test]
fn an_option_or_enum_has_one_number_for_each_form() {
    let bytes = codec::encode(&release("1.0.0", 1));
    let mut decoded = 0;
    // a second form of any option would decode and encode to other bytes
    for index in 0..bytes.len() {
        for value in [2, 3, 255] {
            let mut changed = bytes.clone();
            changed[index] = value;
            if let Ok(other) = codec::decode::<Release>(&changed, LIMIT) {
                assert_eq!(codec::encode(&other), changed);
                decoded += 1;
            }
        }
    }
    assert!(decoded > 0, "numbers and hashes may have any value");
}

proptest! {
    #[test]
    fn any_change_of_one_byte_is_refused_or_another_record(
        which in 0_usize..3,
        place in any::<prop::sample::Index>(),
        change in 1_u8..,
    ) {
        let envelope = envelopes().remove(which);
        let mut bytes = envelope.encode();
        let index = place.index(bytes.len());
        bytes[index] ^= change;
        if let Ok(other) = Envelope::decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
            prop_assert_ne!(&other, &envelope);
            // and the verifier never takes it for what was signed
            let mut mesh = Mesh::new();
            let admitted = mesh.admit(&other);
            let changed_body = other.body != envelope.body;
            prop_assert!(!changed_body || !matches!(admitted, Ok(weft_record::Admission::New(..))));
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(root) = codec::decode::<Root>(&bytes, LIMIT) {
            prop_assert_eq!(codec::encode(&root), &bytes[..]);
        }
        if let Ok(envelope) = Envelope::decode(&bytes) {
            prop_assert_eq!(envelope.encode(), bytes);
        }
    }
}
