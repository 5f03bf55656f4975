//! The manifest for those who have no weft.

use std::{
    fs::{self, File},
    process::Command,
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::Mesh;

const MANIFEST: [&str; 8] = [
    "release",
    "manifest",
    "one.pack",
    "--key",
    "release-a",
    "--ssh-signature",
    "one.json.sig",
    "--out",
];

#[test]
fn ssh_keygen_verifies_the_signature_and_no_changed_manifest() {
    let mesh = Mesh::new();
    mesh.pack("1.0.0", "one.pack");
    mesh.object(&[&MANIFEST[..], &["one.json"]].concat());
    let key = mesh.object(&["key", "show", "release-a"]);
    let line = format!(
        "anna@example.org {}\n",
        key["openssh"].as_str().unwrap().trim()
    );
    fs::write(mesh.path("allowed_signers"), line).unwrap();
    let verify = |namespace: &str, manifest: &str| {
        let output = Command::new("ssh-keygen")
            .args([
                "-Y",
                "verify",
                "-f",
                "allowed_signers",
                "-I",
                "anna@example.org",
            ])
            .args(["-n", namespace, "-s", "one.json.sig"])
            .current_dir(mesh.path(""))
            .stdin(File::open(mesh.path(manifest)).unwrap())
            .output()
            .unwrap();
        output.status.success()
    };
    assert!(verify("weft-release@weft", "one.json"));
    assert!(!verify("file", "one.json"));
    let text = fs::read_to_string(mesh.path("one.json")).unwrap();
    fs::write(mesh.path("changed.json"), text.replace("1.0.0", "1.0.1")).unwrap();
    assert!(!verify("weft-release@weft", "changed.json"));
}

#[test]
fn the_digests_are_those_that_the_model_signing_tools_compute() {
    let mesh = Mesh::new();
    mesh.pack("1.0.0", "one.pack");
    mesh.object(&[&MANIFEST[..], &["one.json"]].concat());
    let statement: Value =
        serde_json::from_slice(&fs::read(mesh.path("one.json")).unwrap()).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(
        statement["predicateType"],
        "https://model_signing/signature/v1.0"
    );
    let predicate = &statement["predicate"];
    assert_eq!(predicate["serialization"]["method"], "files");
    assert_eq!(predicate["serialization"]["hash_type"], "sha256");
    let resources = predicate["resources"].as_array().unwrap();
    assert_eq!(resources.len(), 1);
    assert_eq!(resources[0]["name"], "model.gguf");
    assert_eq!(resources[0]["algorithm"], "sha256");
    // the same file, made once more: quantizing is the same every time
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/incident-1.0.0");
    mesh.object(&["model", "quantize", source, "model.gguf", "--to", "q8_0"]);
    let file = Sha256::digest(fs::read(mesh.path("model.gguf")).unwrap());
    assert_eq!(resources[0]["digest"], hex(&file));
    let subject = statement["subject"].as_array().unwrap();
    assert_eq!(subject.len(), 1);
    assert_eq!(subject[0]["name"], "incident-1.0.0");
    assert_eq!(subject[0]["digest"]["sha256"], hex(&Sha256::digest(file)));
}

#[test]
fn nothing_is_written_over_and_no_variant_made_up() {
    let mesh = Mesh::new();
    mesh.pack("1.0.0", "one.pack");
    let plain = ["release", "manifest", "one.pack", "--out", "one.json"];
    mesh.object(&plain);
    mesh.refused(&plain, 6, "was not written");
    let other = ["release", "manifest", "one.pack", "--out", "other.json"];
    let variant = [&other[..], &["--variant", "q4_0"]].concat();
    mesh.refused(&variant, 4, "has no variant q4_0");
    let key = [&other[..], &["--key", "none", "--ssh-signature", "x.sig"]].concat();
    mesh.refused(&key, 4, "none");
    assert!(!mesh.path("other.json").exists());
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
