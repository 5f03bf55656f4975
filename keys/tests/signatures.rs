//! Detached signatures, between weft and the real `ssh-keygen -Y`.

#![allow(clippy::unwrap_used)]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use weft_keys::{PublicKey, SecretKey, allowed_signer_line, load_secret, sshsig};

#[allow(clippy::print_stderr)]
fn has_ssh_keygen(test: &str) -> bool {
    let there = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join("ssh-keygen").is_file())
    });
    if !there {
        eprintln!("SKIPPED weft-keys::signatures {test}: no ssh-keygen");
    }
    there
}

struct Case {
    folder: tempfile::TempDir,
    key: SecretKey,
}

impl Case {
    /// A message, its signature for `file`, and who may sign.
    fn new() -> Self {
        let key = SecretKey::generate().unwrap();
        let case = Self {
            folder: tempfile::tempdir().unwrap(),
            key,
        };
        case.write("message", &vec![b'x'; 200_000]);
        case.allow(&case.key.public());
        let message = File::open(case.path("message")).unwrap();
        let signature = sshsig::sign(&case.key, "file", message).unwrap();
        case.write("message.sig", signature.as_bytes());
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn allow(&self, key: &PublicKey) {
        let line = allowed_signer_line(key, "admin@site").unwrap();
        self.write("allowed", format!("{line}\n").as_bytes());
    }

    fn ssh_keygen_verifies(&self, namespace: &str) -> Output {
        Command::new("ssh-keygen")
            .args(["-Y", "verify", "-I", "admin@site", "-n", namespace])
            .arg("-f")
            .arg(self.path("allowed"))
            .arg("-s")
            .arg(self.path("message.sig"))
            .stdin(File::open(self.path("message")).unwrap())
            .output()
            .unwrap()
    }
}

#[test]
fn ssh_keygen_takes_what_weft_signed_and_nothing_else() {
    if !has_ssh_keygen("ssh_keygen_takes_what_weft_signed_and_nothing_else") {
        return;
    }
    let case = Case::new();
    let output = case.ssh_keygen_verifies("file");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(!case.ssh_keygen_verifies("mail").status.success());
    case.allow(&SecretKey::generate().unwrap().public());
    assert!(!case.ssh_keygen_verifies("file").status.success());
    case.allow(&case.key.public());
    assert!(case.ssh_keygen_verifies("file").status.success());
    let mut message = fs::read(case.path("message")).unwrap();
    message[100_000] ^= 1;
    case.write("message", &message);
    assert!(!case.ssh_keygen_verifies("file").status.success());
}

#[test]
fn weft_takes_what_ssh_keygen_signed() {
    if !has_ssh_keygen("weft_takes_what_ssh_keygen_signed") {
        return;
    }
    let case = Case::new();
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(case.path("id"))
        .status()
        .unwrap();
    assert!(made.success());
    let key = load_secret(&case.path("id")).unwrap().public();
    for hash in ["sha512", "sha256"] {
        let _ = fs::remove_file(case.path("message.sig"));
        let signed = Command::new("ssh-keygen")
            .args(["-Y", "sign", "-n", "file", "-O"])
            .arg(format!("hashalg={hash}"))
            .arg("-f")
            .arg(case.path("id"))
            .arg(case.path("message"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&signed.stderr);
        assert!(signed.status.success(), "{errors}");
        let armored = fs::read_to_string(case.path("message.sig")).unwrap();
        let verify = |path: &Path, namespace: &str| {
            sshsig::verify(&armored, &[key], namespace, File::open(path).unwrap())
        };
        assert_eq!(verify(&case.path("message"), "file").unwrap(), key);
        assert!(verify(&case.path("message"), "mail").is_err());
        assert!(verify(&case.path("id"), "file").is_err());
    }
}
