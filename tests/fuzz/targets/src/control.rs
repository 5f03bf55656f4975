use serde::{Serialize, de::DeserializeOwned};
use weft_core::{Control, bounds::CONTROL_BYTES};
use weft_record::{
    COMPARED_FAN, ComparedPart, Comparison, Detail, Envelope, Exchange, Hash, Have, JoinRequest,
    Kind, Says, TrustDigest,
    bounds::{MAX_COMPARED_PARTS, MAX_COMPARISON_BYTES},
    codec,
};

use crate::{
    mesh::{Mesh, NODE, key},
    text,
};

const CONTROL: u8 = 0;
const DIGEST: u8 = 1;
const HAVE: u8 = 2;
const JOIN: u8 = 3;
const COMPARISON: u8 = 4;
/// What one answer may take here.
const ANSWER_BYTES: usize = 2048;

/// What peers say to each other, by the first byte: taken whole or refused, with one
/// encoding; a verifier answers what another says it holds within its budget.
pub(crate) fn control(input: &[u8]) {
    let Some((form, bytes)) = input.split_first() else {
        return;
    };
    match *form {
        CONTROL => {
            if let Some(message) = decode::<Control>(bytes) {
                look(&message);
            }
        }
        DIGEST => {
            if let Some(digest) = decode::<TrustDigest>(bytes) {
                assert_eq!(codec::encode(&digest).len(), 96);
            }
        }
        HAVE => {
            if let Some(have) = decode::<Have>(bytes) {
                answer(&have);
            }
        }
        COMPARISON => {
            if let Some(comparison) = decode::<Comparison>(bytes) {
                compare(&comparison);
            }
        }
        JOIN => {
            if let Some(request) = decode::<JoinRequest>(bytes) {
                let invitation = text::invitation();
                if request.is_by_holder(&invitation.secret, &invitation.mesh_id) {
                    assert!(request == invitation.request(request.node));
                }
            }
        }
        _ => {}
    }
}

fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let value = codec::decode::<T>(bytes, CONTROL_BYTES).ok()?;
    assert_eq!(codec::encode(&value), bytes);
    Some(value)
}

fn look(message: &Control) {
    match message {
        Control::Records(all) => {
            for bytes in all {
                if let Ok(envelope) = Envelope::decode(bytes) {
                    assert_eq!(envelope.encode(), *bytes);
                }
            }
        }
        Control::Have(have) => answer(have),
        Control::Compare(comparison) | Control::Compared(comparison) => compare(comparison),
        _ => {}
    }
}

/// What anybody says of its sets is answered within bounds, with each record once.
fn compare(said: &Comparison) {
    let trust = &Mesh::fixed().trust;
    // most inputs are of no root that is known
    let root = trust.digest().root;
    for said in [
        said,
        &Comparison {
            root,
            ..said.clone()
        },
    ] {
        let (answer, records) = trust.compare(said, ANSWER_BYTES);
        assert!(answer.parts.len() <= MAX_COMPARED_PARTS);
        assert!(codec::encode(&answer).len() <= MAX_COMPARISON_BYTES);
        assert!(said.root == root || answer.parts.is_empty() && records.is_empty());
        let parts = answer.parts.windows(2);
        assert!(parts.into_iter().all(|pair| pair[0].to < pair[1].from));
        let mut sent: Vec<_> = records.iter().map(Envelope::record_id).collect();
        sent.sort_unstable();
        assert!(sent.iter().all(|id| trust.envelope(id).is_some()));
        let total = sent.len();
        sent.dedup();
        // enrolments may stand before each record that needs them
        let enrolments = records
            .iter()
            .filter(|one| one.kind == Kind::Enroll.number());
        assert!(total - sent.len() <= enrolments.count());
        let bytes: usize = records.iter().map(|one| one.encode().len()).sum();
        assert!(bytes <= ANSWER_BYTES || records.len() <= 3);
    }
}

fn answer(have: &Have) {
    let trust = &Mesh::fixed().trust;
    for exchange in [Exchange::All, Exchange::Trust] {
        let missing = trust.missing_for(have, exchange, ANSWER_BYTES);
        let bytes: usize = missing.iter().map(|envelope| envelope.encode().len()).sum();
        // one record always fits, and a head brings its release
        assert!(bytes <= ANSWER_BYTES || missing.len() <= 2);
        for envelope in &missing {
            assert!(trust.envelope(&envelope.record_id()).is_some());
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let trust = &Mesh::fixed().trust;
    let envelopes: Vec<Vec<u8>> = trust.records().map(Envelope::encode).collect();
    let file = Hash::of(b"file");
    let messages = [
        Control::Digest(trust.digest()),
        Control::Have(Box::new(trust.have())),
        Control::Records(envelopes[1..].to_vec()),
        Control::Want(file),
        Control::Unwant(file),
        Control::Bits {
            file,
            bits: vec![0xff, 1],
        },
        Control::Gained {
            file,
            indexes: vec![1, 2, 70_000],
        },
        Control::Claim {
            file,
            reaches: true,
            chunks: vec![3, 4],
        },
    ];
    let nothing = Have::default();
    let opening = trust.open_comparison(7);
    let part = |from, says| ComparedPart {
        from,
        to: from + (1 << 60),
        says,
    };
    let sets = Comparison {
        parts: vec![
            part(0, Says::Prints([0; COMPARED_FAN])),
            part(1 << 62, Says::Keys(vec![1, 2])),
            part(2 << 62, Says::Wants(vec![3])),
            part(3 << 62, Says::Again),
        ],
        ..opening.clone()
    };
    let request = text::invitation().request(key(NODE).public());
    let mut seeds: Vec<Vec<u8>> = messages.iter().map(|m| with(CONTROL, m)).collect();
    seeds.push(with(DIGEST, &trust.digest()));
    seeds.push(with(HAVE, &trust.have()));
    seeds.push(with(HAVE, &trust.have_in(Detail::List)));
    seeds.push(with(HAVE, &nothing));
    seeds.push(with(COMPARISON, &opening));
    seeds.push(with(COMPARISON, &sets));
    seeds.push(with(CONTROL, &Control::Compare(Box::new(opening))));
    seeds.push(with(CONTROL, &Control::Compared(Box::new(sets))));
    seeds.push(with(JOIN, &request));
    seeds
}

fn with<T: Serialize>(form: u8, value: &T) -> Vec<u8> {
    let mut seed = vec![form];
    seed.extend(codec::encode(value));
    seed
}
