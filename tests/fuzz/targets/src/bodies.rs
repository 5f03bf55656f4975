//! One record of each kind that the fixed mesh would accept: where the search begins.

use weft_record::{
    Action, Aggregate, Aggregator, Beacon, BeaconHead, Blueprint, BlueprintSettings, Control,
    Enroll, EnrollRoot, Hash, Kind, Label, Metric, Release, Revoke, RevokeTarget, Sampling, Scope,
    Selector, Task, Window, codec, next_head, next_root,
};

use crate::mesh::{HELPER, Mesh, NODE, NOW_S, key, name};

/// Encoded records with their kinds.
pub(crate) fn bodies() -> Vec<(Kind, Vec<u8>)> {
    let mesh = Mesh::fixed();
    let held = mesh.trust.records().map(|envelope| {
        let kind = Kind::from_number(envelope.kind).unwrap();
        (kind, envelope.body.clone())
    });
    held.chain([
        (Kind::Root, codec::encode(&next_root(&mesh.trust).unwrap())),
        (Kind::Release, codec::encode(&release())),
        (Kind::Head, codec::encode(&head())),
        (Kind::Control, codec::encode(&control())),
        (Kind::Blueprint, codec::encode(&blueprint())),
        (Kind::Beacon, codec::encode(&beacon())),
        (Kind::Enroll, codec::encode(&enroll(NODE))),
        (Kind::Enroll, codec::encode(&enroll(HELPER))),
        (Kind::EnrollRoot, codec::encode(&enroll_root())),
        (Kind::Revoke, codec::encode(&revoke(false))),
        (Kind::Revoke, codec::encode(&revoke(true))),
        (Kind::Task, codec::encode(&task())),
        (Kind::Aggregate, codec::encode(&aggregate())),
    ])
    .collect()
}

fn release() -> Release {
    let trust = &Mesh::fixed().trust;
    let mut release = Release::clone(trust.releases().next().unwrap());
    "1.0.1".clone_into(&mut release.version);
    release.counter += 1;
    release
}

fn head() -> weft_record::Head {
    let mesh = Mesh::fixed();
    next_head(
        &mesh.trust,
        &name("stable"),
        mesh.release(),
        Hash::ZERO,
        NOW_S,
    )
    .unwrap()
}

fn newest() -> weft_record::RecordId {
    Mesh::fixed().trust.head(&name("stable")).unwrap().id()
}

fn control() -> Control {
    Control {
        channel: name("stable"),
        head: newest(),
        number: 1,
        action: Action::OpenThrough(2),
        reason: "looks well".to_owned(),
        issued_at_s: NOW_S,
    }
}

fn blueprint() -> Blueprint {
    Blueprint {
        name: name("wards"),
        version: 2,
        selector: Selector {
            sites: Scope::Only(vec![name("harbour")]),
            classes: Scope::All,
            labels: vec![label()],
        },
        settings: BlueprintSettings {
            channel: Some(name("stable")),
            variants: vec![name("q8_0")],
            cap_fetch_bytes_per_sec: Some(1 << 20),
            timetable: vec![Window {
                days: 0x1f,
                from_minute: 480,
                until_minute: 1080,
                cap_fetch_bytes_per_sec: 0,
            }],
            sampling: Some(Sampling {
                temperature_milli: 700,
                top_p_bp: 9500,
                top_k: 40,
                max_tokens: 64,
            }),
            ..BlueprintSettings::default()
        },
        issued_at_s: NOW_S,
    }
}

fn label() -> Label {
    Label {
        name: name("ward"),
        value: name("icu"),
    }
}

fn beacon() -> Beacon {
    Beacon {
        issued_at_s: NOW_S,
        heads: vec![BeaconHead {
            channel: name("stable"),
            epoch: 0,
            seq: 0,
            head: newest(),
        }],
    }
}

fn enroll(seed: u8) -> Enroll {
    Enroll {
        node: key(seed).public(),
        number: 0,
        site: name("harbour"),
        owner: name("port"),
        labels: vec![label()],
        class: name("gateway"),
        issued_at_s: NOW_S,
        expires_s: NOW_S + 1000,
    }
}

fn enroll_root() -> EnrollRoot {
    EnrollRoot {
        seq: 0,
        prev: None,
        merkle_root: Hash::of(b"enrolments"),
        count: 2,
        issued_at_s: NOW_S,
    }
}

fn revoke(key_of_node: bool) -> Revoke {
    let target = if key_of_node {
        RevokeTarget::Key(key(NODE).public())
    } else {
        RevokeTarget::Release(Mesh::fixed().release())
    };
    Revoke {
        target,
        reason: "lost".to_owned(),
        issued_at_s: NOW_S,
    }
}

fn task() -> Task {
    let mesh_id = Mesh::fixed().mesh_id();
    let aggregator = |seed| Aggregator::new(&mesh_id, &key(seed), [seed; 32], NOW_S + 1000);
    Task {
        name: name("answers"),
        leader: aggregator(NODE),
        helper: aggregator(HELPER),
        metrics: vec![Metric {
            name: name("latency"),
            bounds: vec![10, 100, 1000],
        }],
        chunk_length: 2,
        k: 20,
        site_cap_bp: 2500,
        site: None,
        epoch_s: 3600,
        issued_at_s: NOW_S,
        expires_s: NOW_S + 1000,
    }
}

fn aggregate() -> Aggregate {
    Aggregate {
        task: weft_record::RecordId([6; 32]),
        epoch: 1,
        head: newest(),
        wave: 0,
        batch: Hash::of(b"batch"),
        contributors: 20,
        counts: vec![vec![1, 2, 3, 14]],
        epsilon_milli: 0,
    }
}
