//! A mesh of three root keys of which two sign, in a folder that goes when it is dropped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

pub(crate) struct Mesh {
    folder: tempfile::TempDir,
    pub(crate) mesh_id: String,
}

impl Mesh {
    /// Root keys a, b, c (two sign), release keys a, b (two sign), head keys a, b (one
    /// signs), and one that enrolls; `genesis.weft` is signed by root keys a and b.
    pub(crate) fn new() -> Self {
        let mut mesh = Self {
            folder: tempfile::tempdir().unwrap(),
            mesh_id: String::new(),
        };
        for key in [
            "root-a",
            "root-b",
            "root-c",
            "release-a",
            "release-b",
            "head-a",
            "head-b",
            "head-c",
            "enroll",
        ] {
            mesh.object(&["key", "new", key]);
        }
        let key = |name: &str| mesh.public(name);
        let role = |role: &str, name: &str| format!("{role}={}", mesh.public(name));
        let made = mesh.object(&[
            "trust",
            "genesis",
            "--root",
            &key("root-a"),
            "--root",
            &key("root-b"),
            "--root",
            &key("root-c"),
            "--threshold",
            "2",
            "--role",
            &role("release", "release-a"),
            "--role",
            &role("release", "release-b"),
            "--role-threshold",
            "release=2",
            "--role",
            &role("head", "head-a"),
            "--role",
            &role("head", "head-b"),
            "--role",
            &role("enroll", "enroll"),
            "--key",
            "root-a",
            "--out",
            "genesis.weft",
        ]);
        assert_eq!(made["complete"], false);
        made["mesh_id"]
            .as_str()
            .unwrap()
            .clone_into(&mut mesh.mesh_id);
        let made = mesh.object(&["trust", "cosign", "genesis.weft", "--key", "root-b"]);
        assert_eq!(made["complete"], true);
        mesh
    }

    /// Adds a packed release without golden prompts.
    pub(crate) fn pack(&self, version: &str, out: &str) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("assets")
            .join(format!("incident-{version}"));
        self.object(&[
            "release",
            "pack",
            source.to_str().unwrap(),
            "--name",
            "incident",
            "--version",
            version,
            "--no-probe",
            "--out",
            out,
        ]);
    }

    /// A node of this mesh that knows the first root.
    pub(crate) fn node(&self, name: &str) {
        let request = format!("{name}.request");
        self.object_at(
            name,
            &["node", "request", &request, "--mesh", &self.mesh_id],
        );
        self.object_at(name, &["bundle", "import", "genesis.weft"]);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The public half of a key file, in digits.
    pub(crate) fn public(&self, name: &str) -> String {
        let shown = self.object(&["key", "show", name]);
        shown["public_key"].as_str().unwrap().to_owned()
    }

    /// Runs weft in the folder, for a node there that may not exist.
    fn weft(&self, node: &str, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_weft"))
            .arg("--dir")
            .arg(self.path(node))
            .args(words)
            .current_dir(self.folder.path())
            .env_remove("WEFT_LOG")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs weft with no node; it must succeed.
    pub(crate) fn object(&self, words: &[&str]) -> Value {
        self.object_at("nowhere", words)
    }

    /// Runs weft for a node; it must succeed.
    pub(crate) fn object_at(&self, node: &str, words: &[&str]) -> Value {
        let output = self.weft(node, &[&["--json"], words].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{words:?}: {text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["schema"], 1, "{text}");
        value
    }

    /// Runs weft with no node; it must fail with this code, three lines, and these words.
    pub(crate) fn refused(&self, words: &[&str], exit: i32, says: &str) {
        self.refused_at("nowhere", words, exit, says);
    }

    pub(crate) fn refused_at(&self, node: &str, words: &[&str], exit: i32, says: &str) {
        let output = self.weft(node, words);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{words:?}: {text}");
        assert!(text.contains(says), "{words:?}: {text}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{words:?}: {text}");
        assert!(lines[0].starts_with("error: "), "{text}");
        assert!(lines[1].starts_with("  why: "), "{text}");
        assert!(lines[2].starts_with("  next: "), "{text}");
        assert!(output.stdout.is_empty());
        // programs are told the same
        let output = self.weft(node, &[&["--json"], words].concat());
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["error"]["exit"], exit, "{told}");
    }

    /// Runs an import that must fail; whether it did.
    pub(crate) fn refused_import(&self, node: &str, file: &str) -> bool {
        !self
            .weft(node, &["bundle", "import", file])
            .status
            .success()
    }

    /// A copy of a file.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }
}

/// The state of a record of this kind in a report.
pub(crate) fn state<'a>(report: &'a Value, kind: &str) -> &'a str {
    let records = report["records"].as_array().unwrap();
    let found = records.iter().find(|record| record["kind"] == kind);
    found.unwrap()["state"].as_str().unwrap()
}
