//! Golden vectors: the bytes of every kind, as they stand in `docs/protocol.md`.
//!
//! `WEFT_WRITE_VECTORS=1 cargo test -p weft-record vectors` writes them anew; that is
//! a change of the protocol, and must come with a new version or kind.

use std::{fmt::Write, fs, path::PathBuf};

use weft_record::{
    ChunkEntry, ChunkMap, Envelope, Hash, Kept, Kind, RecordId, Reset, Role, Root, Scope, bundle,
    codec, next_root,
};

use crate::mesh::{HEAD, Mesh, RELEASE, ROOT, key, name};

struct Vector {
    name: &'static str,
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
            name: "root-1.body",
            bytes: genesis.body.clone(),
        },
        Vector {
            name: "root-1.envelope",
            bytes: genesis.encode(),
        },
        Vector {
            name: "root-2.body",
            bytes: rotated.body.clone(),
        },
        Vector {
            name: "root-2.envelope",
            bytes: rotated.encode(),
        },
        Vector {
            name: "release.body",
            bytes: release_envelope.body.clone(),
        },
        Vector {
            name: "release.envelope",
            bytes: release_envelope.encode(),
        },
        Vector {
            name: "head-0.body",
            bytes: head_envelope.body.clone(),
        },
        Vector {
            name: "head-0.envelope",
            bytes: head_envelope.encode(),
        },
        Vector {
            name: "head-0.signed",
            bytes: head_envelope.signed_bytes(),
        },
        Vector {
            name: "head-1.body",
            bytes: next.body.clone(),
        },
        Vector {
            name: "head-1.envelope",
            bytes: next.encode(),
        },
        Vector {
            name: "chunk-map",
            bytes: chunk_map().encode(),
        },
        Vector {
            name: "bundle.header",
            bytes: header,
        },
        Vector {
            name: "bundle",
            bytes: whole,
        },
        Vector {
            name: "digest",
            bytes: codec::encode(&mesh.trust.digest()),
        },
        Vector {
            name: "have",
            bytes: codec::encode(&mesh.trust.have()),
        },
    ]
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
    let protocol = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let protocol = fs::read_to_string(protocol).unwrap();
    for vector in vectors() {
        let file = format!("{}.hex", vector.name);
        let hash = Hash::of(&vector.bytes).to_string();
        assert!(
            protocol.contains(&file),
            "docs/protocol.md does not list {file}"
        );
        assert!(
            protocol.contains(&hash[..16]),
            "docs/protocol.md has another {file}: {hash}"
        );
    }
}
