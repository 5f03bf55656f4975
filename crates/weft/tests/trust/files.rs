//! Files that are broken, changed, or of another mesh.

use std::fs;

use crate::harness::Mesh;

#[test]
fn a_broken_or_changed_file_is_refused_by_every_verb() {
    let mesh = Mesh::new();
    let whole = fs::read(mesh.path("genesis.weft")).unwrap();
    let mut changed = whole.clone();
    let middle = whole.len() / 2;
    changed[middle] ^= 1;
    let bad: [(&str, &[u8]); 4] = [
        ("short", &whole[..whole.len() - 1]),
        ("half", &whole[..whole.len() / 2]),
        ("changed", &changed),
        ("empty", &[]),
    ];
    for (name, bytes) in bad {
        fs::write(mesh.path(name), bytes).unwrap();
        mesh.refused(&["trust", "cosign", name, "--key", "root-c"], 5, name);
        mesh.refused(&["release", "inspect", name], 5, name);
        mesh.refused(&["trust", "show", "--from", name], 5, name);
        let merge = ["release", "merge", "genesis.weft", name, "--out", "m.weft"];
        mesh.refused(&merge, 5, name);
        assert!(!mesh.path("m.weft").exists());
        assert_eq!(
            fs::read(mesh.path(name)).unwrap(),
            bytes,
            "it is left as it was"
        );
    }
    mesh.refused(&["trust", "cosign", "none", "--key", "root-c"], 4, "none");
}

#[test]
fn a_signature_that_was_changed_is_told() {
    let mesh = Mesh::new();
    let draft = [
        "trust",
        "threshold",
        "head",
        "2",
        "--from",
        "genesis.weft",
        "--key",
        "root-a",
        "--out",
        "draft.weft",
    ];
    mesh.object(&draft);
    // a forger writes a bundle whose own sums are right
    let forged = forge(&fs::read(mesh.path("draft.weft")).unwrap());
    fs::write(mesh.path("forged.weft"), forged).unwrap();
    let words = ["trust", "cosign", "forged.weft", "--key", "root-b"];
    mesh.refused(&words, 5, "is not over this record");
}

#[test]
fn a_file_of_another_mesh_is_refused() {
    let (mesh, other) = (Mesh::new(), Mesh::new());
    fs::copy(other.path("genesis.weft"), mesh.path("other.weft")).unwrap();
    mesh.node("a");
    let cosign = ["trust", "cosign", "other.weft", "--key", "root-a"];
    mesh.refused_at("a", &cosign, 5, "is of another mesh");
    mesh.refused(&cosign, 6, "is not signed");
    mesh.refused_at("a", &["bundle", "import", "other.weft"], 5, "other.weft");
    let merge = [
        "release",
        "merge",
        "genesis.weft",
        "other.weft",
        "--out",
        "m",
    ];
    mesh.refused(&merge, 5, "is of another mesh");
    let both = [
        "trust",
        "show",
        "--from",
        "genesis.weft",
        "--from",
        "other.weft",
    ];
    mesh.refused(&both, 5, "is of another mesh");
}

#[test]
fn what_nobody_signed_is_no_signed_file() {
    let mesh = Mesh::new();
    mesh.pack("1.0.0", "one.pack");
    let cosign = ["release", "cosign", "one.pack", "--key", "release-a"];
    mesh.refused(&cosign, 5, "signed by nobody");
    let sign = [
        "release",
        "sign",
        "one.pack",
        "--key",
        "release-a",
        "--out",
        "s",
    ];
    mesh.refused(&sign, 4, "there is no node in");
    let from = [&sign[..], &["--from", "one.pack"]].concat();
    mesh.refused(&from, 5, "signed by nobody");
    assert!(!mesh.path("s").exists());
}

/// Flips a bit in the last signature, and mends the sum over the file.
fn forge(bytes: &[u8]) -> Vec<u8> {
    // the end frame: tag, length, count of frames, sum
    const END: usize = 1 + 4 + 8 + 32;
    let mut bytes = bytes.to_vec();
    let end = bytes.len() - END;
    bytes[end - 1] ^= 1;
    let sum = blake3::hash(&bytes[..end]);
    let at = bytes.len() - 32;
    bytes[at..].copy_from_slice(sum.as_bytes());
    bytes
}
