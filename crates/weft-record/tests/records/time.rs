//! No trusted clock: what raises a node's idea of the time, and what may expire by it.

use weft_record::{Kind, Root, Standing, TimeFloor, TimeState, Validity, next_root};

use crate::{
    fleet::{BEACONS, beacon, enroll, fleet, node},
    mesh::{NOW_S, ROOT},
};

const DAY_S: u64 = 24 * 3600;

#[test]
fn an_enrolment_ends_by_what_roots_say_not_by_what_a_beacon_says() {
    let mut mesh = fleet();
    mesh.put(Kind::Enroll, &enroll(60, 0, "north"), &[40]);
    let mut floor = TimeFloor::default();
    floor.root(mesh.trust.root().unwrap());
    floor.advance(DAY_S);
    // a stolen beacon key says it is the end of the root's validity
    let (_, envelope) = mesh.put(Kind::Beacon, &beacon(u64::MAX, &[]), &BEACONS[..1]);
    let beacons: Vec<_> = mesh.trust.beacons().collect();
    assert_eq!((beacons.len(), envelope.kind), (1, Kind::Beacon as u8));
    let root = mesh.trust.root().unwrap();
    floor.beacon(beacons[0], root);
    assert!(floor.floor_s() <= root.validity.until_s.max(root.validity.from_s + DAY_S));
    // the node's own day has passed in both; the beacon moves only the one
    let mut fresh = TimeFloor::default();
    fresh.root(root);
    fresh.beacon(beacons[0], root);
    assert_eq!(fresh.rooted_now_s(0), root.validity.from_s);
    let expires_s = NOW_S + 100;
    assert!(matches!(
        mesh.trust.standing(&node(60), fresh.rooted_now_s(0)),
        Standing::Member(_)
    ));
    assert!(matches!(
        mesh.trust.standing(&node(60), expires_s),
        Standing::Member(_)
    ));
    assert!(matches!(
        mesh.trust.standing(&node(60), expires_s + 1),
        Standing::Lapsed(_)
    ));
}

#[test]
fn a_root_may_set_the_time_back_and_only_a_root() {
    let mut mesh = fleet();
    let mut floor = TimeFloor::default();
    floor.root(mesh.trust.root().unwrap());
    let far_s = NOW_S + 1000 * DAY_S;
    let rotate = |mesh: &mut crate::mesh::Mesh, from_s: u64, time_reset_s: Option<u64>| {
        let root = Root {
            validity: Validity {
                from_s,
                until_s: from_s + DAY_S,
            },
            time_reset_s,
            ..next_root(&mesh.trust).unwrap()
        };
        mesh.put(Kind::Root, &root, &ROOT);
    };
    rotate(&mut mesh, far_s, None);
    assert!(floor.root(mesh.trust.root().unwrap()));
    assert_eq!(floor.now_s(0), far_s);
    assert_eq!(mesh.trust.time_state(floor.now_s(0)), TimeState::Fresh);
    // an honest root does not take it back by itself
    rotate(&mut mesh, NOW_S, None);
    floor.root(mesh.trust.root().unwrap());
    assert_eq!(floor.now_s(0), far_s);
    assert_eq!(mesh.trust.time_state(floor.now_s(0)), TimeState::Stale);
    rotate(&mut mesh, NOW_S, Some(NOW_S));
    floor.root(mesh.trust.root().unwrap());
    assert_eq!(floor.now_s(0), NOW_S);
    assert_eq!(mesh.trust.time_state(floor.now_s(0)), TimeState::Fresh);
}

#[test]
fn staleness_refuses_no_record() {
    let mut mesh = fleet();
    let until_s = mesh.trust.root().unwrap().validity.until_s;
    let late_s = until_s + 365 * DAY_S;
    assert_eq!(mesh.trust.time_state(late_s), TimeState::Stale);
    let envelope = mesh.seal(Kind::Root, &next_root(&mesh.trust).unwrap(), &ROOT);
    let admitted = mesh.trust.admit(envelope, late_s, &mut mesh.memo);
    assert!(
        admitted.is_ok(),
        "a newer root still comes in: {admitted:?}"
    );
}
