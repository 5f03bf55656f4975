//! Sums that nobody may have added up, or that were made up.

use weft_record::{Aggregate, Kind, RecordId, Refusal, Task};

use crate::{
    fleet::{ENROLLERS, HELPER, LEADER, TELEMETRY, aggregate, enroll, fleet, revoke_key, task},
    mesh::Mesh,
};

const HEAD: RecordId = RecordId([3; 32]);

fn counting() -> (Mesh, RecordId) {
    let mut mesh = fleet();
    mesh.put(Kind::Enroll, &enroll(LEADER, 0, "north"), &ENROLLERS[..1]);
    mesh.put(Kind::Enroll, &enroll(HELPER, 0, "south"), &ENROLLERS[..1]);
    let body = task(&mesh, LEADER, HELPER);
    let (id, _) = mesh.put(Kind::Task, &body, &[TELEMETRY]);
    (mesh, id)
}

#[test]
fn unenrolled_aggregate() {
    // the aggregators of a task belong to the mesh, or nothing of theirs counts
    let mut mesh = fleet();
    let body = task(&mesh, LEADER, HELPER);
    let envelope = mesh.seal(Kind::Task, &body, &[TELEMETRY]);
    let waiting = mesh.admit(&envelope);
    assert!(
        matches!(waiting, Ok(weft_record::Admission::Waiting(_))),
        "{waiting:?}"
    );
    let sum = mesh.seal(
        Kind::Aggregate,
        &aggregate(envelope.record_id(), HEAD, [5, 5, 5, 5]),
        &[LEADER, HELPER],
    );
    assert!(!matches!(
        mesh.admit(&sum),
        Ok(weft_record::Admission::New(..))
    ));
    // one that leaves takes its sums with it
    let (mut mesh, id) = counting();
    let sum = aggregate(id, HEAD, [5, 5, 5, 5]);
    mesh.put(Kind::Aggregate, &sum, &[LEADER, HELPER]);
    assert_eq!(mesh.trust.aggregates(&id).len(), 1);
    mesh.put(Kind::Revoke, &revoke_key(HELPER), &ENROLLERS[..1]);
    assert!(mesh.trust.aggregates(&id).is_empty());
    // two nodes of one owner are one
    let (mut mesh, id) = counting();
    mesh.put(Kind::Aggregate, &sum, &[LEADER, HELPER]);
    mesh.put(Kind::Enroll, &enroll(HELPER, 1, "north"), &ENROLLERS[..1]);
    assert!(mesh.trust.aggregates(&id).is_empty());
}

#[test]
fn forged_aggregate() {
    let (mut mesh, id) = counting();
    let good = aggregate(id, HEAD, [5, 5, 5, 5]);
    // by one of the two, by admins, by anybody
    for seeds in [
        &[LEADER][..],
        &[HELPER],
        &[LEADER, 99],
        &[1, 2, 3, 10, 11, 20, 21, 45],
    ] {
        let envelope = mesh.seal(Kind::Aggregate, &good, seeds);
        let refusal = mesh.admit(&envelope).unwrap_err();
        assert!(
            matches!(refusal, Refusal::BelowThreshold { need: 2, .. }),
            "{refusal}"
        );
    }
    // signed sums over other numbers
    let mut moved = mesh.seal(Kind::Aggregate, &good, &[LEADER, HELPER]);
    moved.body = weft_record::codec::encode(&aggregate(id, HEAD, [20, 0, 0, 0]));
    assert!(matches!(mesh.admit(&moved), Err(Refusal::BadSignature(_))));
    // of fewer than k, in another shape
    let few = Aggregate {
        contributors: 19,
        ..good.clone()
    };
    let narrow = Aggregate {
        counts: vec![vec![5, 5]],
        ..good.clone()
    };
    for body in [few, narrow] {
        let envelope = mesh.seal(Kind::Aggregate, &body, &[LEADER, HELPER]);
        assert_eq!(
            mesh.admit(&envelope).unwrap_err().attack(),
            "forged aggregate"
        );
    }
    // a task that asks for less than the root's k never counts
    let lax = Task {
        k: 1,
        ..task(&mesh, LEADER, HELPER)
    };
    let envelope = mesh.seal(Kind::Task, &lax, &[TELEMETRY]);
    assert!(matches!(mesh.admit(&envelope), Err(Refusal::Privacy(_))));
    assert!(mesh.trust.aggregates(&id).is_empty());
    mesh.put(Kind::Aggregate, &good, &[LEADER, HELPER]);
    // both aggregators together, twice: neither sum counts
    mesh.put(
        Kind::Aggregate,
        &aggregate(id, HEAD, [20, 0, 0, 0]),
        &[LEADER, HELPER],
    );
    assert!(mesh.trust.aggregates(&id).is_empty());
}
