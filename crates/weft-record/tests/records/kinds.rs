//! The kinds beside roots, releases and heads: who may sign them, which of two counts,
//! what they need around them, and which values are not allowed.

use weft_record::{
    Action, Admission, Aggregate, Aggregator, Beacon, BeaconHead, Blueprint, Control, Enroll,
    EnrollRoot, Envelope, Hash, Kind, Label, Metric, Missing, RecordId, Refusal, Revoke,
    RevokeTarget, Scope, Selector, Standing, Task, Verified, Window, next_root,
};

use crate::{
    fleet::{
        BEACONS, BLUEPRINT, ENROLLERS, HEADS, HELPER, LEADER, TELEMETRY, aggregate, beacon,
        blueprint, control, enroll, enroll_root, fleet, node, only, revoke_key, task,
    },
    mesh::{Mesh, NOW_S, RELEASE, ROOT, key, name, release},
};

#[track_caller]
fn invalid<T: serde::Serialize>(mesh: &mut Mesh, kind: Kind, body: &T, seeds: &[u8]) {
    let envelope = mesh.seal(kind, body, seeds);
    let refusal = mesh.admit(&envelope).unwrap_err();
    assert!(matches!(refusal, Refusal::Invalid { .. }), "{refusal}");
    assert!(refusal.is_senders_fault() && refusal.attack() == "tampering");
}

#[test]
fn a_delta_makes_a_file_of_its_release_of_fewer_bytes() {
    let mut mesh = Mesh::new();
    let good = release("1.0.0", 1);
    let target = good.variants[1].files[0].clone();
    let mut check = |change: &dyn Fn(&mut weft_record::Release)| {
        let mut bad = good.clone();
        change(&mut bad);
        invalid(&mut mesh, Kind::Release, &bad, &RELEASE);
    };
    check(&|release| release.deltas[0].target = Hash::of(b"a file of another release"));
    check(&|release| release.deltas[0].base = target.blake3);
    check(&|release| release.deltas[0].length = 0);
    check(&|release| release.deltas[0].length = target.length);
    check(&|release| release.deltas.push(release.deltas[0].clone()));
    check(&|release| {
        let delta = release.deltas[0].clone();
        let bases = (0..=weft_record::MAX_DELTAS as u64).map(|one| Hash::of(&one.to_le_bytes()));
        let many = bases.map(|base| weft_record::Delta {
            base,
            ..delta.clone()
        });
        release.deltas = many.collect();
        release.sort();
    });
    mesh.admit(&mesh.seal(Kind::Release, &good, &RELEASE))
        .expect("the one that was changed is in order");
}

#[test]
fn each_kind_is_signed_by_its_own_role_alone() {
    let mut mesh = fleet();
    let id = mesh.put_release("1.0.0", 1);
    let head = mesh.put_head("stable", id, 0, &HEADS[..2]);
    mesh.put(Kind::Enroll, &enroll(LEADER, 0, "north"), &[40]);
    mesh.put(Kind::Enroll, &enroll(HELPER, 0, "south"), &[40]);
    let records: Vec<(Kind, Envelope, u8)> = vec![
        (
            Kind::Control,
            mesh.seal(
                Kind::Control,
                &control("stable", head, 0, Action::Pause),
                &[],
            ),
            22,
        ),
        (
            Kind::Blueprint,
            mesh.seal(Kind::Blueprint, &blueprint("icu", 1), &[]),
            BLUEPRINT,
        ),
        (
            Kind::Beacon,
            mesh.seal(Kind::Beacon, &beacon(NOW_S, &[]), &[]),
            BEACONS[1],
        ),
        (
            Kind::Enroll,
            mesh.seal(Kind::Enroll, &enroll(66, 0, "west"), &[]),
            ENROLLERS[1],
        ),
        (
            Kind::EnrollRoot,
            mesh.seal(Kind::EnrollRoot, &enroll_root(0, None), &[]),
            ENROLLERS[0],
        ),
        (
            Kind::Task,
            mesh.seal(Kind::Task, &task(&mesh, LEADER, HELPER), &[]),
            TELEMETRY,
        ),
    ];
    let all = [1, 2, 3, 10, 11, 20, 25, 30, 35, 40, 45, 60, 61, 99];
    for (kind, body, signer) in records {
        // all who may not, together; not even the root's own keys
        let role_of_signer = mesh.trust.root().unwrap().roles.iter();
        let may: Vec<_> = role_of_signer
            .filter(|role| role.kinds.contains(&kind.number()))
            .flat_map(|role| role.keys.clone())
            .collect();
        let mut others = body.clone();
        for seed in all
            .iter()
            .filter(|seed| !may.contains(&key(**seed).public()))
        {
            others.sign(&key(*seed));
        }
        let refusal = mesh.admit(&others).unwrap_err();
        assert!(
            matches!(refusal, Refusal::BelowThreshold { have: 0, .. }),
            "{kind}: {refusal}"
        );
        let mut right = body.clone();
        right.sign(&key(signer));
        assert!(matches!(mesh.admit(&right), Ok(Admission::New(found, _)) if found == kind));
        mesh.assert_known(&right);
    }
}

#[test]
fn a_role_for_one_site_says_nothing_about_another() {
    let mut mesh = fleet();
    let mut root = next_root(&mesh.trust).unwrap();
    for role in &mut root.roles {
        if ["enroll", "blueprint", "telemetry"].contains(&role.name.as_str()) {
            role.sites = only(&["harbour"]);
        }
    }
    mesh.put(Kind::Root, &root, &ROOT);
    let elsewhere = Enroll {
        site: name("hill"),
        ..enroll(66, 0, "west")
    };
    let wide = Blueprint {
        selector: Selector {
            sites: Scope::All,
            ..blueprint("icu", 1).selector
        },
        ..blueprint("icu", 1)
    };
    mesh.put(Kind::Enroll, &enroll(LEADER, 0, "north"), &[40]);
    mesh.put(Kind::Enroll, &enroll(HELPER, 0, "south"), &[40]);
    let whole_mesh = task(&mesh, LEADER, HELPER);
    for envelope in [
        mesh.seal(Kind::Blueprint, &wide, &[BLUEPRINT]),
        mesh.seal(Kind::Task, &whole_mesh, &[TELEMETRY]),
    ] {
        let refusal = mesh.admit(&envelope).unwrap_err();
        assert!(matches!(refusal, Refusal::OutOfScope { .. }), "{refusal}");
        assert_eq!(refusal.attack(), "mix-and-match");
    }
    // the role enrolled for all sites once: what it signs now shows no more than that
    mesh.put(Kind::Enroll, &elsewhere, &ENROLLERS);
    assert!(matches!(
        mesh.trust.standing(&node(66), NOW_S),
        Standing::Lapsed(_)
    ));
    mesh.put(Kind::Blueprint, &blueprint("icu", 1), &[BLUEPRINT]);
    let here = Task {
        site: Some(name("harbour")),
        ..whole_mesh
    };
    mesh.put(Kind::Task, &here, &[TELEMETRY]);
}

#[test]
fn of_two_with_one_name_the_newer_counts_in_either_order() {
    let mut mesh = fleet();
    let (_, old) = mesh.put(Kind::Blueprint, &blueprint("icu", 1), &[BLUEPRINT]);
    let (new_id, new) = mesh.put(Kind::Blueprint, &blueprint("icu", 2), &[BLUEPRINT]);
    let mut other = fleet();
    other.admit_new(&new);
    assert_eq!(other.admit(&old), Ok(Admission::Superseded));
    assert_eq!(mesh.admit(&old), Ok(Admission::Superseded));
    for mesh in [&mesh, &other] {
        let held: Vec<_> = mesh.trust.blueprints().map(Verified::id).collect();
        assert_eq!(held, [new_id]);
    }
    // two of one version: the smaller id, whichever came first
    let mut twin = blueprint("icu", 2);
    twin.issued_at_s += 1;
    let twin = mesh.seal(Kind::Blueprint, &twin, &[BLUEPRINT]);
    for mesh in [&mut mesh, &mut other] {
        let _ = mesh.admit(&twin);
        let held: Vec<_> = mesh.trust.blueprints().map(Verified::id).collect();
        assert_eq!(held, [new_id.min(twin.record_id())]);
    }
}

#[test]
fn the_newest_enrolment_counts_even_if_an_older_one_runs_longer() {
    let mut mesh = fleet();
    let long = Enroll {
        expires_s: u64::MAX,
        ..enroll(66, 0, "west")
    };
    mesh.put(Kind::Enroll, &long, &[40]);
    let (short, _) = mesh.put(Kind::Enroll, &enroll(66, 1, "west"), &[41]);
    let expires_s = enroll(66, 1, "west").expires_s;
    let standing = |at_s| mesh.trust.standing(&node(66), at_s);
    assert!(matches!(standing(expires_s), Standing::Member(held) if held.id() == short));
    assert!(matches!(standing(expires_s + 1), Standing::Lapsed(held) if held.id() == short));
    assert!(matches!(
        mesh.trust.standing(&node(67), NOW_S),
        Standing::Stranger
    ));
}

#[test]
fn a_beacon_installs_nothing_and_tells_what_is_withheld() {
    let mut mesh = fleet();
    let id = mesh.put_release("1.0.0", 1);
    let head = mesh.put_head("stable", id, 0, &HEADS[..2]);
    let before = mesh.trust.head(&name("stable")).unwrap().id();
    let heads = [("beta", 0, 3, RecordId([5; 32])), ("stable", 0, 0, head)];
    mesh.put(Kind::Beacon, &beacon(NOW_S, &heads), &BEACONS[..1]);
    assert_eq!(mesh.trust.withheld(), [(&name("beta"), 3)]);
    assert_eq!(mesh.trust.head(&name("stable")).unwrap().id(), before);
    assert!(mesh.trust.head(&name("beta")).is_none());
    // an older one of the same signer says nothing more
    let older = mesh.seal(Kind::Beacon, &beacon(NOW_S - 1, &[]), &BEACONS[..1]);
    assert_eq!(mesh.admit(&older), Ok(Admission::Superseded));
    // and one of a signer who lies goes with the signer
    mesh.put(Kind::Revoke, &revoke_key(BEACONS[0]), &ROOT[..2]);
    assert!(mesh.trust.withheld().is_empty());
}

#[test]
fn a_control_waits_for_nothing_and_goes_with_its_signer() {
    let mut mesh = fleet();
    let head = RecordId([3; 32]);
    let pause = control("stable", head, 0, Action::Pause);
    mesh.put(Kind::Control, &pause, &[21]);
    assert_eq!(mesh.trust.controls(&head).count(), 1);
    mesh.put(Kind::Revoke, &revoke_key(21), &[21]);
    assert_eq!(mesh.trust.controls(&head).count(), 0);
    mesh.put(Kind::Control, &pause, &[22]);
    let mut order = [
        Action::Resume,
        Action::OpenThrough(3),
        Action::Pause,
        Action::Abort,
    ];
    order.sort();
    assert_eq!(
        order[..2],
        [Action::Abort, Action::Pause],
        "the most cautious first"
    );
}

#[test]
fn a_task_needs_two_enrolled_nodes_of_two_owners() {
    let mut mesh = fleet();
    let body = task(&mesh, LEADER, HELPER);
    let envelope = mesh.seal(Kind::Task, &body, &[TELEMETRY]);
    let waits = |node: u8| Ok(Admission::Waiting(Missing::Enrolment(key(node).public())));
    assert_eq!(mesh.admit(&envelope), waits(LEADER));
    mesh.put(Kind::Enroll, &enroll(LEADER, 0, "north"), &[40]);
    assert_eq!(mesh.admit(&envelope), waits(HELPER));
    mesh.put(Kind::Enroll, &enroll(HELPER, 0, "north"), &[40]);
    let id = mesh.admit_new(&envelope);
    assert_eq!(
        mesh.trust.tasks().count(),
        0,
        "one owner would see everything"
    );
    // it counts while they have two, in whatever order that is learnt
    mesh.put(Kind::Enroll, &enroll(HELPER, 1, "south"), &[40]);
    assert_eq!(
        mesh.trust.tasks().map(Verified::id).collect::<Vec<_>>(),
        [id]
    );
    mesh.put(Kind::Enroll, &enroll(LEADER, 1, "south"), &[40]);
    assert_eq!(mesh.trust.tasks().count(), 0);
    mesh.put(Kind::Enroll, &enroll(LEADER, 2, "west"), &[40]);
    assert_eq!(mesh.trust.tasks().count(), 1);
    mesh.put(Kind::Revoke, &revoke_key(HELPER), &[40]);
    assert_eq!(mesh.trust.tasks().count(), 0);
}

#[test]
fn a_task_gives_at_least_the_privacy_that_the_root_asks_for() {
    let mut mesh = fleet();
    mesh.put(Kind::Enroll, &enroll(LEADER, 0, "north"), &[40]);
    mesh.put(Kind::Enroll, &enroll(HELPER, 0, "south"), &[40]);
    let good = task(&mesh, LEADER, HELPER);
    let few = Task {
        k: 19,
        ..good.clone()
    };
    let one_site = Task {
        site_cap_bp: 2501,
        ..good.clone()
    };
    for body in [few, one_site] {
        let envelope = mesh.seal(Kind::Task, &body, &[TELEMETRY]);
        let refusal = mesh.admit(&envelope).unwrap_err();
        assert!(matches!(refusal, Refusal::Privacy(_)), "{refusal}");
    }
    // a key that its node did not vouch for, here or in another mesh
    let mut swapped = good.clone();
    swapped.leader.hpke_key = [9; 32];
    let mut moved = good.clone();
    moved.helper = Aggregator::new(&weft_record::MeshId([4; 32]), &key(HELPER), [1; 32], NOW_S);
    let mut longer = good.clone();
    longer.leader.expires_s += 1;
    for body in [swapped, moved, longer] {
        let envelope = mesh.seal(Kind::Task, &body, &[TELEMETRY]);
        let refusal = mesh.admit(&envelope).unwrap_err();
        assert!(matches!(refusal, Refusal::BadSignature(_)), "{refusal}");
    }
    mesh.put(Kind::Task, &good, &[TELEMETRY]);
    // a stricter root drops it
    let mut root = next_root(&mesh.trust).unwrap();
    root.privacy.k = 21;
    mesh.put(Kind::Root, &root, &ROOT);
    assert_eq!(mesh.trust.tasks().count(), 0);
}

#[test]
fn an_aggregate_needs_both_signatures_and_its_tasks_shape() {
    let mut mesh = fleet();
    mesh.put(Kind::Enroll, &enroll(LEADER, 0, "north"), &[40]);
    mesh.put(Kind::Enroll, &enroll(HELPER, 0, "south"), &[40]);
    let head = RecordId([3; 32]);
    let body = task(&mesh, LEADER, HELPER);
    let task_id = mesh.seal(Kind::Task, &body, &[]).record_id();
    let good = aggregate(task_id, head, [5, 5, 5, 5]);
    let early = mesh.seal(Kind::Aggregate, &good, &[LEADER, HELPER]);
    assert_eq!(
        mesh.admit(&early),
        Ok(Admission::Waiting(Missing::Task(task_id)))
    );
    mesh.put(Kind::Task, &body, &[TELEMETRY]);
    for seeds in [
        &[LEADER][..],
        &[HELPER],
        &[LEADER, 45],
        &[1, 2, 3, 10, 20, 40],
    ] {
        let envelope = mesh.seal(Kind::Aggregate, &good, seeds);
        let refusal = mesh.admit(&envelope).unwrap_err();
        assert!(
            matches!(refusal, Refusal::BelowThreshold { need: 2, .. }),
            "{refusal}"
        );
    }
    let few = Aggregate {
        contributors: 19,
        ..good.clone()
    };
    let wider = Aggregate {
        counts: vec![vec![1, 2, 3, 4, 5]],
        ..good.clone()
    };
    for body in [few, wider] {
        let envelope = mesh.seal(Kind::Aggregate, &body, &[LEADER, HELPER]);
        let refusal = mesh.admit(&envelope).unwrap_err();
        assert_eq!(
            (refusal.clone(), refusal.attack()),
            (Refusal::OtherTask, "forged aggregate")
        );
    }
    mesh.put(Kind::Aggregate, &good, &[LEADER, HELPER]);
    assert_eq!(mesh.trust.aggregates(&task_id).len(), 1);
    // the same batch opened to something else: neither counts, whoever is right
    let other = aggregate(task_id, head, [20, 0, 0, 0]);
    mesh.put(Kind::Aggregate, &other, &[LEADER, HELPER]);
    assert!(mesh.trust.aggregates(&task_id).is_empty());
    let third = aggregate(task_id, head, [0, 20, 0, 0]);
    mesh.put(Kind::Aggregate, &third, &[LEADER, HELPER]);
    assert!(mesh.trust.aggregates(&task_id).is_empty());
}

#[test]
fn fields_with_values_that_are_not_allowed() {
    let mut mesh = fleet();
    let head = RecordId([3; 32]);
    let numbered = control("stable", head, 256, Action::Pause);
    invalid(&mut mesh, Kind::Control, &numbered, &[20]);
    let hidden = Control {
        reason: "a\u{1b}[2J".to_owned(),
        ..control("stable", head, 0, Action::Pause)
    };
    invalid(&mut mesh, Kind::Control, &hidden, &[20]);
    let long = Revoke {
        target: RevokeTarget::Release(head),
        reason: "x".repeat(1025),
        issued_at_s: NOW_S,
    };
    invalid(&mut mesh, Kind::Revoke, &long, &ROOT);
    let mut window = blueprint("icu", 1);
    for bad in [(0, 0, 60), (0x80, 0, 60), (1, 60, 60), (1, 0, 1441)] {
        window.settings.timetable = vec![Window {
            days: bad.0,
            from_minute: bad.1,
            until_minute: bad.2,
            cap_fetch_bytes_per_sec: 1,
        }];
        invalid(&mut mesh, Kind::Blueprint, &window, &[BLUEPRINT]);
    }
    let latest = Window {
        days: 1,
        from_minute: u16::MAX,
        until_minute: 0,
        cap_fetch_bytes_per_sec: 0,
    };
    window.settings.timetable = vec![latest];
    invalid(&mut mesh, Kind::Blueprint, &window, &[BLUEPRINT]);
    let twice = |channel: &str| BeaconHead {
        channel: name(channel),
        epoch: 0,
        seq: 0,
        head,
    };
    let unsorted = Beacon {
        issued_at_s: NOW_S,
        heads: vec![twice("stable"), twice("stable")],
    };
    invalid(&mut mesh, Kind::Beacon, &unsorted, &[35]);
    let labels = ["ward", "ward"].map(|text| Label {
        name: name(text),
        value: name("x"),
    });
    let labelled = Enroll {
        labels: labels.to_vec(),
        ..enroll(66, 0, "west")
    };
    invalid(&mut mesh, Kind::Enroll, &labelled, &[40]);
    let ended = Enroll {
        expires_s: NOW_S - 1,
        ..enroll(66, 0, "west")
    };
    invalid(&mut mesh, Kind::Enroll, &ended, &[40]);
    invalid(&mut mesh, Kind::EnrollRoot, &enroll_root(1, None), &[40]);
    let follows = EnrollRoot {
        prev: Some(head),
        ..enroll_root(0, None)
    };
    invalid(&mut mesh, Kind::EnrollRoot, &follows, &[40]);
    let good = task(&mesh, LEADER, HELPER);
    let metric = |bounds: &[u64]| Metric {
        name: name("answer-ms"),
        bounds: bounds.to_vec(),
    };
    for metrics in [
        vec![],
        vec![metric(&[])],
        vec![metric(&[5, 5])],
        vec![metric(&[1]), metric(&[1])],
    ] {
        let body = Task {
            metrics,
            ..good.clone()
        };
        invalid(&mut mesh, Kind::Task, &body, &[TELEMETRY]);
    }
    let alone = task(&mesh, LEADER, LEADER);
    invalid(&mut mesh, Kind::Task, &alone, &[TELEMETRY]);
    let empty = Aggregate {
        counts: Vec::new(),
        ..aggregate(head, head, [0; 4])
    };
    invalid(&mut mesh, Kind::Aggregate, &empty, &[LEADER, HELPER]);
}

#[test]
fn the_hash_over_enrolments_is_a_tree_over_their_sorted_ids() {
    let ids: std::collections::BTreeSet<RecordId> = [RecordId([1; 32]), RecordId([2; 32])].into();
    let leaf = |id: &RecordId| Hash::of(&[&[0][..], id.as_bytes()].concat());
    let [a, b] = [RecordId([1; 32]), RecordId([2; 32])].map(|id| leaf(&id));
    let node = Hash::of(&[&[1][..], a.as_bytes(), b.as_bytes()].concat());
    assert_eq!(EnrollRoot::over(&ids), node);
}
