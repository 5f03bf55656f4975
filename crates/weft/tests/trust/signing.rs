//! Releases that several admins sign.

use crate::harness::{Mesh, state};

const SIGN: [&str; 10] = [
    "release",
    "sign",
    "one.pack",
    "--key",
    "release-a",
    "--head-key",
    "head-a",
    "--channel",
    "stable",
    "--out",
];

fn signed_by_a() -> Mesh {
    let mesh = Mesh::new();
    mesh.pack("1.0.0", "one.pack");
    mesh.node("a");
    let made = mesh.object_at("a", &[&SIGN[..], &["half.weft"]].concat());
    assert_eq!(made["complete"], false);
    assert_eq!(state(&made, "release"), "lacking");
    assert_eq!(state(&made, "head"), "waiting");
    mesh
}

#[test]
fn a_file_gathers_signatures_and_counts_when_it_has_enough() {
    let mesh = signed_by_a();
    mesh.node("b");
    mesh.refused_at(
        "b",
        &["bundle", "import", "half.weft"],
        6,
        "is not complete",
    );
    let waiting = mesh.object_at("b", &["trust", "show"]);
    assert_eq!(waiting["waiting"].as_array().unwrap().len(), 2);
    assert_eq!(waiting["channels"].as_array().unwrap().len(), 0);
    // with no node at all: the file brings what it is judged by
    let cosign = ["release", "cosign", "half.weft", "--key", "release-b"];
    let dry = mesh.object(&[&cosign[..], &["--dry-run"]].concat());
    assert_eq!(dry["complete"], true);
    let inspected = mesh.object(&["release", "inspect", "half.weft"]);
    assert_eq!(inspected["complete"], false, "a dry run signs nothing");
    let made = mesh.object(&[&cosign[..], &["--out", "whole.weft"]].concat());
    assert_eq!(made["signed"].as_array().unwrap().len(), 1);
    let inspected = mesh.object(&["release", "inspect", "whole.weft"]);
    assert_eq!(inspected["complete"], true);
    assert_eq!(inspected["signatures"], 2);
    let taken = mesh.object_at("b", &["bundle", "import", "whole.weft"]);
    assert_eq!(taken["channels"][0]["outcome"], "activated");
    assert_eq!(taken["waiting"].as_array().unwrap().len(), 0);
    let shown = mesh.object_at("b", &["trust", "show"]);
    assert_eq!(shown["waiting"].as_array().unwrap().len(), 0);
    assert_eq!(shown["channels"][0]["head"]["seq"], 0);
    mesh.object_at("a", &["bundle", "import", "whole.weft"]);
    let log = mesh.object_at("a", &["trust", "log"]);
    let kinds: Vec<&str> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["root", "release", "head"]);
}

#[test]
fn a_key_that_may_not_or_has_signed_already_is_refused() {
    let mesh = signed_by_a();
    let cosign = |key: &'static str| ["release", "cosign", "half.weft", "--key", key];
    mesh.refused(&cosign("release-a"), 6, "has signed it already");
    for wrong in ["root-a", "head-b", "enroll", "head-c"] {
        mesh.refused(&cosign(wrong), 6, "sign nothing of what lacks");
    }
    mesh.copy("release-b", "copy-of-b");
    set_private(&mesh, "copy-of-b");
    let twice = [&cosign("release-b")[..], &["--key", "copy-of-b"]].concat();
    mesh.refused(&twice, 2, "is given twice");
    mesh.refused(&cosign("none"), 4, "none");
    let made = mesh.object(&cosign("release-b"));
    assert_eq!(made["complete"], true);
    mesh.refused(&cosign("release-b"), 6, "has the signatures that it needs");
}

#[test]
fn keys_of_the_wrong_role_sign_no_release() {
    let mesh = Mesh::new();
    mesh.pack("1.0.0", "one.pack");
    mesh.node("a");
    let publish = |keys: &[&'static str]| {
        let mut words = vec!["release", "publish", "one.pack"];
        for key in keys {
            words.extend(["--key", key]);
        }
        words
    };
    let refused = |words: &[&str], says: &str| mesh.refused_at("a", words, 6, says);
    refused(&publish(&["head-a"]), "sign no release");
    // a key that could sign, and lacks its twin
    let head = ["--head-key", "head-a"];
    refused(
        &[&publish(&["release-a"])[..], &head].concat(),
        "would lack 1 more signature",
    );
    refused(
        &publish(&["release-a", "release-b"]),
        "would lack 1 more signature",
    );
    let both = [&publish(&["release-a", "release-b"])[..], &head].concat();
    let published = mesh.object_at("a", &both);
    assert_eq!(published["seq"], 0);
    assert_eq!(mesh.object_at("a", &both)["was_there"], true);
    let again = mesh.object_at("a", &[&both[..], &["--again"]].concat());
    assert_eq!(again["seq"], 1);
}

#[test]
fn copies_that_were_signed_apart_are_one_again() {
    let mesh = signed_by_a();
    let cosign = |key: &'static str, out: &'static str| {
        mesh.object(&["release", "cosign", "half.weft", "--key", key, "--out", out])
    };
    // a third release key, so that each copy still lacks one
    let three = [
        "trust",
        "rotate",
        "--from",
        "genesis.weft",
        "--threshold",
        "release=2",
        "--key",
        "root-a",
        "--key",
        "root-b",
        "--out",
        "unused.weft",
    ];
    mesh.object(&three);
    cosign("release-b", "by-b.weft");
    let merged = ["release", "merge", "half.weft", "by-b.weft", "--out"];
    let made = mesh.object(&[&merged[..], &["merged.weft"]].concat());
    assert_eq!(made["complete"], true);
    let other = ["release", "merge", "by-b.weft", "half.weft", "--out"];
    mesh.object(&[&other[..], &["other.weft"]].concat());
    for file in ["merged.weft", "other.weft"] {
        let inspected = mesh.object(&["release", "inspect", file]);
        assert_eq!(inspected["signatures"], 2);
        assert_eq!(inspected["complete"], true);
    }
    mesh.refused(
        &[&merged[..], &["merged.weft"]].concat(),
        6,
        "was not written",
    );
    mesh.node("b");
    let taken = mesh.object_at("b", &["bundle", "import", "merged.weft"]);
    assert_eq!(taken["channels"][0]["outcome"], "activated");
}

#[test]
fn halves_that_come_one_by_one_meet_on_the_shelf() {
    let mesh = Mesh::new();
    mesh.pack("1.0.0", "one.pack");
    for (key, file) in [("release-a", "by-a.weft"), ("release-b", "by-b.weft")] {
        mesh.object(&[
            "release",
            "sign",
            "one.pack",
            "--from",
            "genesis.weft",
            "--key",
            key,
            "--out",
            file,
        ]);
    }
    mesh.node("n");
    mesh.refused_at(
        "n",
        &["bundle", "import", "by-a.weft"],
        6,
        "lacks 1 more signature",
    );
    // the same half again is no second one
    mesh.refused_at(
        "n",
        &["bundle", "import", "by-a.weft"],
        6,
        "lacks 1 more signature",
    );
    mesh.object_at("n", &["bundle", "import", "by-b.weft"]);
    let shown = mesh.object_at("n", &["show", "incident@1.0.0"]);
    assert_eq!(shown["signers"].as_array().unwrap().len(), 2);
    assert_eq!(
        mesh.object_at("n", &["trust", "show"])["waiting"],
        serde_json::json!([])
    );
}

#[test]
fn a_release_is_taken_back_by_those_who_sign_releases() {
    let mesh = Mesh::new();
    mesh.pack("1.0.0", "one.pack");
    mesh.node("a");
    let keys = ["--key", "release-a", "--key", "release-b"];
    let publish = ["release", "publish", "one.pack", "--head-key", "head-a"];
    mesh.object_at("a", &[&publish[..], &keys].concat());
    let revoke = ["release", "revoke", "incident", "--reason", "wrong answers"];
    let half = [&revoke[..], &["--key", "release-a"]].concat();
    mesh.refused_at("a", &half, 6, "would lack 1 more signature");
    let wrong = [&revoke[..], &["--key", "head-a", "--out", "r.weft"]].concat();
    mesh.refused_at("a", &wrong, 6, "does not let");
    mesh.object_at("a", &[&half[..], &["--out", "revoke.weft"]].concat());
    mesh.object(&["trust", "cosign", "revoke.weft", "--key", "release-b"]);
    mesh.object_at("a", &["bundle", "import", "revoke.weft"]);
    let shown = mesh.object_at("a", &["trust", "show"]);
    assert_eq!(shown["revocations"][0]["reason"], "wrong answers");
    let unknown = ["release", "revoke", "nothing", "--reason", "x"];
    mesh.refused_at(
        "a",
        &[&unknown[..], &keys].concat(),
        4,
        "no release `nothing`",
    );
    // a key ends itself
    let own = [
        "release",
        "revoke",
        "--public-key",
        &mesh.public("head-b"),
        "--reason",
        "lost",
        "--key",
        "head-b",
    ];
    mesh.object_at("a", &own);
    let shown = mesh.object_at("a", &["trust", "show"]);
    assert_eq!(shown["revocations"].as_array().unwrap().len(), 2);
}

fn set_private(mesh: &Mesh, name: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(mesh.path(name), mode).unwrap();
}
