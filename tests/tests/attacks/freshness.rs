//! Old things for new, new things too early, time that lies.

use weft_core::{Event, Freshness};
use weft_record::{
    Admission, Envelope, Head, Kind, MeshId, Refusal, Reset, Standing, TimeFloor, TimeState,
    Verdict, next_root,
};
use weft_sim::{Admin, NodeSpec, Outage, VirtualDisk};

use crate::{
    fleet::{BEACONS, BETA, HEADS, beacon, enroll, fleet, node},
    mesh::{Mesh, NOW_S, ROOT, name, sealed},
    worlds::{SECOND_US, all_active, model, plain, publish, ring, settle},
};

/// A line whose floor is 2 now: its old head and old release are genuine.
fn raised() -> (Mesh, Envelope) {
    let mut mesh = fleet();
    let (old, new) = (mesh.put_release("1.0.0", 1), mesh.put_release("2.0.0", 2));
    let first = mesh.put_head("stable", old, 1, &HEADS[..2]);
    mesh.put_head("stable", new, 2, &HEADS[..2]);
    let first = mesh.trust.envelope(&first).unwrap().clone();
    (mesh, first)
}

#[test]
fn rollback() {
    let (mut mesh, first) = raised();
    let newest = mesh.trust.head(&name("stable")).unwrap().id();
    assert_eq!(
        mesh.admit(&first),
        Ok(Admission::Known),
        "replayed: nothing happens"
    );
    let old = mesh.trust.heads(&name("stable"))[0].release;
    let again = Head {
        release: old,
        counter_floor: 2,
        ..mesh.next("stable", mesh.trust.head(&name("stable")).unwrap().release)
    };
    let lower = Head {
        counter_floor: 1,
        ..again.clone()
    };
    for (head, what) in [
        (again, "a release below the floor"),
        (lower, "a lower floor"),
    ] {
        let envelope = mesh.seal(Kind::Head, &head, &HEADS[..2]);
        let refusal = mesh.admit(&envelope).unwrap_err();
        assert_eq!(refusal.attack(), "rollback", "{what}: {refusal}");
    }
    assert_eq!(mesh.trust.head(&name("stable")).unwrap().id(), newest);
    assert_eq!(mesh.trust.floor(&name("stable")), 2);
    // a root of an earlier version never takes the place of a newer one
    let first_root = mesh.trust.root().unwrap().envelope().clone();
    mesh.put(Kind::Root, &next_root(&mesh.trust).unwrap(), &ROOT);
    assert_eq!(mesh.admit(&first_root), Ok(Admission::Known));
    assert_eq!(mesh.trust.root().unwrap().version, 2);
}

#[test]
fn fast_forward() {
    let mut mesh = fleet();
    let good = mesh.put_release("1.0.0", 1);
    let base = mesh.put_head("beta", good, 0, &BETA[..1]);
    // whoever has the key drives the floor to its end, so that nothing can follow
    let evil = mesh.put_release("9.9.9", u64::MAX);
    mesh.put_head("beta", evil, u64::MAX, &BETA[..1]);
    let next = mesh.put_release("1.0.1", 2);
    let stuck = weft_record::next_head(
        &mesh.trust,
        &name("beta"),
        next,
        weft_record::Hash::ZERO,
        NOW_S,
    );
    assert!(stuck.is_err());
    // a place far ahead cannot be signed at all: heads follow one another
    let far = Head {
        seq: u64::MAX,
        ..mesh.next("beta", evil)
    };
    let envelope = mesh.seal(Kind::Head, &far, &BETA[..1]);
    assert!(matches!(
        mesh.admit(&envelope),
        Err(Refusal::BrokenChain { .. })
    ));
    let mut root = next_root(&mesh.trust).unwrap();
    root.resets = vec![Reset {
        channel: name("beta"),
        epoch: 1,
        base: Some(base),
    }];
    mesh.put(Kind::Root, &root, &ROOT);
    assert_eq!(mesh.trust.floor(&name("beta")), 0);
    mesh.put_head("beta", next, 2, &BETA[1..]);
}

#[test]
fn indefinite_freeze() {
    let mut mesh = fleet();
    let id = mesh.put_release("1.0.0", 1);
    let head = mesh.put_head("stable", id, 0, &HEADS[..2]);
    // somebody withholds all that is new: the root runs out, and a node says so
    let until_s = mesh.trust.root().unwrap().validity.until_s;
    assert_eq!(mesh.trust.time_state(until_s), TimeState::Fresh);
    assert_eq!(mesh.trust.time_state(until_s + 1), TimeState::Stale);
    assert!(
        matches!(mesh.trust.verdict(&name("stable")), Verdict::Go(found) if found.id() == head),
        "what is active is not stopped by it"
    );
    // one beacon that slips through tells what is kept back
    let heads = [("stable", 0, 7, weft_record::RecordId([7; 32]))];
    mesh.put(Kind::Beacon, &beacon(NOW_S + 10, &heads), &BEACONS[..1]);
    assert_eq!(mesh.trust.withheld(), [(&name("stable"), 7)]);
    // and a newer root still comes in, however stale everything is
    let envelope = mesh.seal(Kind::Root, &next_root(&mesh.trust).unwrap(), &ROOT);
    let late = mesh.trust.admit(envelope, until_s * 2, &mut mesh.memo);
    assert!(matches!(late, Ok(Admission::New(..))), "{late:?}");
}

#[test]
fn replay_to_another_mesh() {
    let (mut mesh, first) = raised();
    let mut other_root = crate::fleet::fleet_genesis();
    other_root.validity.until_s += 1;
    other_root.mesh_id = weft_record::mesh_id_of(&other_root);
    // the same admins, with the same keys
    let mut other = Mesh::joining(other_root.mesh_id);
    other.admit_new(&sealed(Kind::Root, other_root.mesh_id, &other_root, &ROOT));
    let records: Vec<Envelope> = mesh.trust.records().cloned().collect();
    for envelope in records {
        let refusal = other.admit(&envelope).unwrap_err();
        assert_eq!(refusal.attack(), "replay to another mesh");
        // nor does it help to write the other mesh's name on it
        let relabelled = Envelope {
            mesh_id: other_root.mesh_id,
            ..envelope
        };
        let refused = other.admit(&relabelled);
        assert!(!matches!(refused, Ok(Admission::New(..))), "{refused:?}");
    }
    assert_eq!(other.trust.records().count(), 1);
    assert_eq!(mesh.admit(&first), Ok(Admission::Known));
    assert_ne!(mesh.trust.mesh_id(), MeshId::ZERO);
}

#[test]
fn replay_to_another_node() {
    // an enrolment names its node: who shows another's proves nothing for itself
    let mut mesh = fleet();
    mesh.put(Kind::Enroll, &enroll(60, 0, "north"), &[40]);
    assert!(matches!(
        mesh.trust.standing(&node(60), NOW_S),
        Standing::Member(_)
    ));
    assert!(matches!(
        mesh.trust.standing(&node(61), NOW_S),
        Standing::Stranger
    ));
    // over connections: node 2 shows node 1's enrolment, and is let no further than the door
    let release = model("1.0.0", 4);
    let mut admin = Admin::new(51);
    let channel = admin.channel();
    let mut world = weft_sim::World::new(51, admin.mesh_id());
    let mut disk = VirtualDisk::default();
    disk.preload(&release);
    world.add_member(&mut admin, NodeSpec::default(), disk);
    let shown = admin.enroll(world.secret_of(1).public());
    let mut stolen = VirtualDisk::default();
    let mut records = admin.roots();
    records.push(shown);
    stolen.save(records);
    // index 1 is never added: its enrolment lies on the disk of another key
    let other = world.secret_of(2).public();
    world.add_node(NodeSpec::default(), VirtualDisk::default());
    let thief = world.add_node(NodeSpec::default(), stolen);
    assert_eq!(world.key(thief), other);
    world.connect(0, thief);
    publish(&mut world, &mut admin, &release);
    world.run(120 * SECOND_US, |_| false);
    assert_eq!(world.active(thief, &channel), None);
    assert_eq!(world.disk(thief).chunk_writes, 0);
}

#[test]
fn time_set_back() {
    // the system clock says 1970: what roots say counts
    let release = model("1.0.0", 4);
    let spec = |index| NodeSpec {
        wall_s: if index == 1 { 0 } else { weft_sim::NOW_S },
        ..NodeSpec::default()
    };
    let (mut world, mut admin, channel) = ring(Admin::new(52), 52, 2, &[&release], spec);
    settle(&mut world, &mut admin, &channel, &release);
    let time = world.node(1).unwrap().status().time;
    assert!(
        time.now_s >= weft_sim::NOW_S && time.state == Freshness::Unknown,
        "{time:?}"
    );
    let time = world.node(0).unwrap().status().time;
    assert_eq!(time.state, Freshness::Fresh, "{time:?}");
    // a root that ran out does not become fresh by a clock that is behind
    let from_s = weft_sim::NOW_S + 10 * weft_sim::YEAR_S;
    world.command(0, admin.renew_for(from_s, from_s + 1));
    world.run(100 * SECOND_US, |_| false);
    for index in 0..2 {
        let time = world.node(index).unwrap().status().time;
        assert!(
            time.state != Freshness::Fresh && time.floor_s >= from_s,
            "{time:?}"
        );
        assert!(
            world.active(index, &channel).is_some(),
            "what is active stays"
        );
    }
}

#[test]
fn beacon_cannot_age_the_mesh() {
    let mut mesh = fleet();
    mesh.put(Kind::Enroll, &enroll(60, 0, "north"), &[40]);
    mesh.put(Kind::Beacon, &beacon(u64::MAX, &[]), &BEACONS[..1]);
    let root = mesh.trust.root().unwrap();
    let mut floor = TimeFloor::default();
    floor.root(root);
    for _ in 0..30 {
        floor.advance(24 * 3600);
        for one in mesh.trust.beacons() {
            floor.beacon(one, root);
        }
    }
    let uptime_s = 30 * 24 * 3600;
    let most_s = root.validity.from_s + 8 * uptime_s;
    assert!(floor.floor_s() <= most_s);
    assert!(
        floor.floor_s() <= root.validity.until_s.max(root.validity.from_s + uptime_s) + uptime_s
    );
    // nobody is put out by it: enrolments end by what roots say
    assert_eq!(floor.rooted_now_s(0), root.validity.from_s + uptime_s);
    let mut fresh = TimeFloor::default();
    fresh.root(root);
    for one in mesh.trust.beacons() {
        fresh.beacon(one, root);
    }
    let standing = mesh.trust.standing(&node(60), fresh.rooted_now_s(0));
    assert!(matches!(standing, Standing::Member(_)));
}

#[test]
fn disk_image_restored() {
    let (old, new) = (model("1.0.0", 4), model("1.1.0", 4));
    let (mut world, mut admin, channel) = ring(Admin::new(53), 53, 3, &[&old, &new], plain);
    settle(&mut world, &mut admin, &channel, &old);
    let image = world.disk(1).clone();
    let new_id = settle(&mut world, &mut admin, &channel, &new);
    // time for the neighbours to hear of what it holds
    world.run(130 * SECOND_US, |_| false);
    world.stop(1, Outage::PowerCut);
    *world.disk(1) = image;
    world.start(1);
    assert!(world.run(130 * SECOND_US, |world| all_active(world, &channel, new_id)));
    let told = world
        .events
        .iter()
        .any(|(_, node, event)| *node == 1 && matches!(event, Event::MemoryOlder { .. }));
    assert!(told, "it learns from its neighbours, and says so");
    let status = world.node(1).unwrap().status();
    assert!(status.restored_from_older_image.is_some());
}
