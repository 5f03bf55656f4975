//! A key never signs two records for one place.

use std::fs;

use crate::harness::Mesh;

const SIGN: [&str; 10] = [
    "release",
    "sign",
    "--from",
    "genesis.weft",
    "--key",
    "release-a",
    "--key",
    "release-b",
    "--head-key",
    "head-a",
];

#[test]
fn a_second_head_for_one_place_is_refused_after_a_restart_too() {
    let mesh = Mesh::new();
    mesh.pack("1.0.0", "one.pack");
    mesh.pack("1.1.0", "two.pack");
    mesh.object(&[&SIGN[..], &["one.pack", "--out", "one.weft"]].concat());
    let second = [&SIGN[..], &["two.pack", "--out", "two.weft"]].concat();
    // every run is a process of its own
    for _ in 0..2 {
        mesh.refused(&second, 6, "signed another record for this place before");
        assert!(!mesh.path("two.weft").exists());
    }
    // after what was signed before, the next place is free
    let after = [
        "release",
        "sign",
        "two.pack",
        "--from",
        "one.weft",
        "--key",
        "release-a",
        "--key",
        "release-b",
        "--head-key",
        "head-a",
        "--out",
        "two.weft",
    ];
    let made = mesh.object(&after);
    assert_eq!(made["complete"], true);
    // where the key's memory is not what was written, nothing is signed
    let memory = mesh.path("head-a.signed");
    let text = fs::read_to_string(&memory).unwrap();
    fs::write(&memory, text.replace("stable", "stabel")).unwrap();
    let third = [
        &SIGN[..],
        &["two.pack", "--channel", "beta", "--out", "b.weft"],
    ]
    .concat();
    mesh.refused(&third, 5, "what the key signed before cannot be told");
}

#[test]
fn a_second_root_of_one_version_is_refused() {
    let mesh = Mesh::new();
    let rotate = |number: &'static str, key: &'static str, out: &'static str| {
        [
            "trust",
            "threshold",
            "head",
            number,
            "--from",
            "genesis.weft",
            "--key",
            key,
            "--out",
            out,
        ]
    };
    mesh.object(&rotate("2", "root-a", "first.weft"));
    mesh.refused(
        &rotate("1", "root-a", "second.weft"),
        6,
        "signed another record for this place before",
    );
    mesh.object(&rotate("1", "root-b", "second.weft"));
    // nor may it co-sign the other's
    let cosign = ["trust", "cosign", "second.weft", "--key", "root-a"];
    mesh.refused(&cosign, 6, "signed another record for this place before");
    let made = mesh.object(&["trust", "cosign", "second.weft", "--key", "root-c"]);
    assert_eq!(made["complete"], true);
}

#[test]
fn what_was_signed_and_not_taken_in_is_signed_on() {
    let mesh = Mesh::new();
    mesh.pack("1.0.0", "one.pack");
    mesh.node("a");
    let sign = [
        "release",
        "sign",
        "one.pack",
        "--key",
        "release-a",
        "--head-key",
        "head-a",
        "--out",
    ];
    let head = |report: &serde_json::Value| {
        let records = report["records"].as_array().unwrap().clone();
        let head = records.into_iter().find(|one| one["kind"] == "head");
        head.unwrap()["id"].clone()
    };
    let first = mesh.object_at("a", &[&sign[..], &["first.weft"]].concat());
    fs::remove_file(mesh.path("first.weft")).unwrap();
    // the file is lost; the record is not, so the same one is signed again
    let second = mesh.object_at("a", &[&sign[..], &["second.weft"]].concat());
    assert_eq!(head(&first), head(&second));
}
