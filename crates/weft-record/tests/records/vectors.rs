//! Golden vectors: the bytes of every kind, as they stand in `docs/protocol.md`.
//!
//! `WEFT_WRITE_VECTORS=1 cargo test -p weft-record vectors` writes them anew; that is
//! a change of the protocol, and must come with a new version or kind.

use std::{fmt::Write, fs, path::PathBuf};

use weft_record::{
    Action, ChunkEntry, ChunkMap, Envelope, Exchange, Hash, Invitation, Kept, Kind, RecordId,
    Reset, Role, Root, Sampling, Scope, Window, bundle, codec, next_root,
};

use crate::{
    fleet::{
        BEACONS, BETA, BLUEPRINT, ENROLLERS, HEADS, HELPER, LEADER, RELEASERS, TELEMETRY,
        aggregate, beacon, blueprint, control, enroll, enroll_root, fleet, revoke_key,
        revoke_release, task,
    },
    mesh::{HEAD, Mesh, NOW_S, RELEASE, ROOT, key, name},
};

struct Vector {
    name: String,
    bytes: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let mut mesh = Mesh::new();
    let genesis = mesh.trust.root().unwrap().envelope().clone();
    let release_id = mesh.publish_release("1.0.0", 1);
    let head_id = mesh.publish_head("stable", release_id);
    let get = |id: &RecordId| mesh.trust.envelope(id).unwrap().clone();
    let (release_envelope, head_envelope) = (get(&release_id), get(&head_id));
    let rotated = rotation(&mesh, head_id);
    let rotated = mesh.seal(Kind::Root, &rotated, &ROOT);
    let next = mesh.seal_head(&mesh.draft(release_id));
    let (mut encoder, header) = bundle::Encoder::new(mesh.trust.mesh_id());
    let mut whole = header.clone();
    whole.extend(encoder.record(&genesis.encode()).unwrap());
    whole.extend(encoder.blob(&chunk_map().encode()).unwrap());
    whole.extend(encoder.chunk(b"weft").unwrap());
    whole.extend(encoder.finish());
    vec![
        Vector {
            name: "root-1.body".to_owned(),
            bytes: genesis.body.clone(),
        },
        Vector {
            name: "root-1.envelope".to_owned(),
            bytes: genesis.encode(),
        },
        Vector {
            name: "root-2.body".to_owned(),
            bytes: rotated.body.clone(),
        },
        Vector {
            name: "root-2.envelope".to_owned(),
            bytes: rotated.encode(),
        },
        Vector {
            name: "release.body".to_owned(),
            bytes: release_envelope.body.clone(),
        },
        Vector {
            name: "release.envelope".to_owned(),
            bytes: release_envelope.encode(),
        },
        Vector {
            name: "head-0.body".to_owned(),
            bytes: head_envelope.body.clone(),
        },
        Vector {
            name: "head-0.envelope".to_owned(),
            bytes: head_envelope.encode(),
        },
        Vector {
            name: "head-0.signed".to_owned(),
            bytes: head_envelope.signed_bytes(),
        },
        Vector {
            name: "head-1.body".to_owned(),
            bytes: next.body.clone(),
        },
        Vector {
            name: "head-1.envelope".to_owned(),
            bytes: next.encode(),
        },
        Vector {
            name: "chunk-map".to_owned(),
            bytes: chunk_map().encode(),
        },
        Vector {
            name: "bundle.header".to_owned(),
            bytes: header,
        },
        Vector {
            name: "bundle".to_owned(),
            bytes: whole,
        },
        Vector {
            name: "digest".to_owned(),
            bytes: codec::encode(&mesh.trust.digest()),
        },
        Vector {
            name: "have".to_owned(),
            bytes: codec::encode(&mesh.trust.have()),
        },
    ]
    .into_iter()
    .chain(of_the_fleet())
    .collect()
}

/// One of every other kind, in the mesh of `fleet-root`; they are admitted in this order.
fn fleet_records() -> Vec<(&'static str, Envelope)> {
    let mut mesh = fleet();
    let mut records = vec![("fleet-root", mesh.trust.root().unwrap().envelope().clone())];
    let mut put = |mesh: &mut Mesh, name: &'static str, envelope: Envelope| {
        let id = mesh.admit_new(&envelope);
        records.push((name, envelope));
        id
    };
    let release = crate::mesh::release("1.0.0", 1);
    let envelope = mesh.seal(Kind::Release, &release, &RELEASERS[..2]);
    let release = put(&mut mesh, "fleet-release", envelope);
    let envelope = mesh.seal(Kind::Head, &mesh.next("gamma", release), &BETA[..1]);
    let head = put(&mut mesh, "fleet-head", envelope);
    let pause = control("gamma", head, 1, Action::Pause);
    let envelope = mesh.seal(Kind::Control, &pause, &HEADS[..1]);
    put(&mut mesh, "control", envelope);
    let open = control("gamma", head, 2, Action::OpenThrough(3));
    let envelope = mesh.seal(Kind::Control, &open, &HEADS[..1]);
    put(&mut mesh, "control-open", envelope);
    let mut settings = blueprint("icu", 1);
    settings.settings.timetable = vec![Window {
        days: 0x1f,
        from_minute: 480,
        until_minute: 1080,
        cap_fetch_bytes_per_sec: 0,
    }];
    settings.settings.sampling = Some(Sampling {
        temperature_milli: 700,
        top_p_bp: 9500,
        top_k: 40,
        max_tokens: 256,
    });
    let envelope = mesh.seal(Kind::Blueprint, &settings, &[BLUEPRINT]);
    put(&mut mesh, "blueprint", envelope);
    let alive = beacon(NOW_S, &[("gamma", 0, 0, head)]);
    let envelope = mesh.seal(Kind::Beacon, &alive, &BEACONS[..1]);
    put(&mut mesh, "beacon", envelope);
    let envelope = mesh.seal(Kind::Enroll, &enroll(LEADER, 0, "north"), &ENROLLERS[..1]);
    put(&mut mesh, "enroll", envelope);
    let envelope = mesh.seal(Kind::Enroll, &enroll(HELPER, 0, "south"), &ENROLLERS[..1]);
    put(&mut mesh, "enroll-2", envelope);
    let envelope = mesh.seal(Kind::EnrollRoot, &enroll_root(0, None), &ENROLLERS[..1]);
    put(&mut mesh, "enroll-root", envelope);
    let envelope = mesh.seal(Kind::Task, &task(&mesh, LEADER, HELPER), &[TELEMETRY]);
    let task = put(&mut mesh, "task", envelope);
    let sum = aggregate(task, head, [1, 2, 3, 14]);
    let envelope = mesh.seal(Kind::Aggregate, &sum, &[LEADER, HELPER]);
    put(&mut mesh, "aggregate", envelope);
    let envelope = mesh.seal(Kind::Revoke, &revoke_key(BLUEPRINT), &[BLUEPRINT]);
    put(&mut mesh, "revoke-key", envelope);
    let envelope = mesh.seal(Kind::Revoke, &revoke_release(release), &RELEASERS[..2]);
    put(&mut mesh, "revoke-release", envelope);
    records
}

fn of_the_fleet() -> Vec<Vector> {
    let named = fleet_records().into_iter();
    let mut vectors: Vec<Vector> = named
        .flat_map(|(name, envelope)| {
            [
                ("body", envelope.body.clone()),
                ("envelope", envelope.encode()),
            ]
            .map(|(part, bytes)| (format!("{name}.{part}"), bytes))
        })
        .map(|(name, bytes)| Vector { name, bytes })
        .collect();
    // a head forty places on, with the proof that it continues the first
    let mut ahead = fleet();
    let release = ahead.put_release("1.0.0", 1);
    ahead.put_head("gamma", release, 0, &BETA[..1]);
    let have = ahead.trust.have();
    for _ in 0..40 {
        ahead.put_head("gamma", release, 0, &BETA[..1]);
    }
    let batch = ahead.trust.missing_for(&have, Exchange::All, usize::MAX);
    let proven = batch
        .iter()
        .find(|envelope| envelope.proof.is_some())
        .unwrap();
    let invitation = Invitation {
        mesh_id: ahead.trust.mesh_id(),
        id: [1; 16],
        secret: [2; 32],
        addresses: vec!["/ip4/192.0.2.7/tcp/7600".to_owned()],
        site: name("harbour"),
        labels: enroll(LEADER, 0, "north").labels,
        expires_s: NOW_S + 100,
    };
    let text = invitation.to_string();
    assert_eq!(text.parse(), Ok(invitation.clone()));
    let request = invitation.request(key(LEADER).public());
    let mut vector = |name: &str, bytes| {
        let name = name.to_owned();
        vectors.push(Vector { name, bytes });
    };
    vector("head-proven.envelope", proven.encode());
    vector("invitation", text.into_bytes());
    vector("join-request", codec::encode(&request));
    vectors
}

/// A second root with something in every field.
fn rotation(mesh: &Mesh, base: RecordId) -> Root {
    let mut root = next_root(&mesh.trust).unwrap();
    root.keys = ROOT[..2].iter().map(|seed| key(*seed).public()).collect();
    root.keys.sort_unstable();
    let mut site = Role {
        name: name("site-7"),
        keys: RELEASE
            .iter()
            .chain(&HEAD)
            .map(|seed| key(*seed).public())
            .collect(),
        threshold: 2,
        kinds: vec![2, 3, 4],
        channels: Scope::Only(vec![name("beta"), name("stable")]),
        sites: Scope::Only(vec![name("harbour")]),
    };
    site.sort();
    root.roles.push(site);
    root.resets = vec![
        Reset {
            channel: name("beta"),
            epoch: 3,
            base: None,
        },
        Reset {
            channel: name("stable"),
            epoch: 1,
            base: Some(base),
        },
    ];
    root.kept = vec![Kept {
        kind: 2,
        id: RecordId([8; 32]),
    }];
    root
}

fn chunk_map() -> ChunkMap {
    let entry = |bytes: &[u8]| ChunkEntry {
        length: bytes.len() as u32,
        hash: Hash::of(bytes),
    };
    ChunkMap {
        chunks: vec![entry(b"weft"), entry(b"warp and weft")],
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// 32 bytes a line.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn every_vector_is_what_it_was() {
    let write = std::env::var_os("WEFT_WRITE_VECTORS").is_some();
    for vector in vectors() {
        let path = folder().join(format!("{}.hex", vector.name));
        let now = hex(&vector.bytes);
        if write {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, &now).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert!(golden == now, "{} has changed:\n{now}", vector.name);
    }
}

#[test]
fn every_file_is_a_vector() {
    let known: Vec<String> = vectors()
        .iter()
        .map(|vector| format!("{}.hex", vector.name))
        .collect();
    for entry in fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&file), "{file} is stale");
    }
}

#[test]
fn the_vectors_are_admitted() {
    let read = |name: &str| {
        let text = fs::read_to_string(folder().join(format!("{name}.hex"))).unwrap();
        let digits: Vec<u8> = text
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let pairs = digits
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).unwrap());
        let bytes: Vec<u8> = pairs
            .map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect();
        Envelope::decode(&bytes).unwrap()
    };
    let first = read("root-1.envelope");
    let mut node = Mesh::joining(first.mesh_id);
    node.admit_new(&first);
    for name in ["release", "head-0", "head-1", "root-2"] {
        node.admit_new(&read(&format!("{name}.envelope")));
    }
    assert_eq!(
        node.trust.head(&name("stable")).unwrap().seq,
        0,
        "root 2 reset it to head 0"
    );
    let mut fleet = Mesh::joining(read("fleet-root.envelope").mesh_id);
    for (name, envelope) in fleet_records() {
        let golden = read(&format!("{name}.envelope"));
        assert_eq!(golden, envelope);
        fleet.admit_new(&golden);
    }
    let kinds: std::collections::BTreeSet<u8> = fleet_records()
        .iter()
        .map(|(_, envelope)| envelope.kind)
        .collect();
    assert_eq!(kinds.len(), Kind::ALL.len(), "a vector of every kind");
    assert!(read("head-proven.envelope").proof.is_some());
    let protocol = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let protocol = fs::read_to_string(protocol).unwrap();
    let row = |vector: &Vector| {
        let hash = Hash::of(&vector.bytes).to_string();
        let (name, bytes) = (&vector.name, vector.bytes.len());
        format!("| `{name}.hex` | {bytes} | `{}` |\n", &hash[..16])
    };
    let rows = vectors().into_iter().map(|vector| row(&vector));
    let lacking: String = rows.filter(|row| !protocol.contains(row)).collect();
    assert!(
        lacking.is_empty(),
        "docs/protocol.md lacks these rows:\n{lacking}"
    );
}
