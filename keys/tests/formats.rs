//! Key files that OpenSSL and OpenSSH wrote, and that they read.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use weft_keys::{
    KeyFileError, Passphrase, SecretFile, SecretKey, load_public, load_secret, public_line,
    public_pem, save_encrypted, save_secret,
};
use zeroize::Zeroizing;

const WORD: &str = "correct horse";

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Zeroizing::new(text.to_owned())).unwrap()
}

/// Whether a program is there; says so where it is not.
#[allow(clippy::print_stderr)]
fn has(program: &str, test: &str) -> bool {
    let there = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    });
    if !there {
        eprintln!("SKIPPED weft-keys::formats {test}: no {program}");
    }
    there
}

/// Runs a program of the system, which must succeed.
fn run(program: &str, words: &[&str]) -> Output {
    let output = Command::new(program)
        .args(words)
        .env("WORD", WORD)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words:?}: {errors}");
    output
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

/// What OpenSSL says is the public half.
fn openssl_public(file: &str, words: &[&str]) -> String {
    let output = run(
        "openssl",
        &[&["pkey", "-in", file, "-pubout"], words].concat(),
    );
    String::from_utf8(output.stdout).unwrap()
}

fn opens(path: &Path, key: &SecretKey) {
    let file = SecretFile::read(path).unwrap();
    assert!(file.is_encrypted(), "{}", path.display());
    let opened = file.open(Some(&passphrase(WORD))).unwrap();
    assert_eq!(opened.public(), key.public());
    let wrong = file.open(Some(&passphrase("wrong"))).unwrap_err();
    assert!(
        matches!(wrong, KeyFileError::WrongPassphrase { .. }),
        "{}: {wrong}",
        path.display()
    );
    let without = load_secret(path).unwrap_err();
    assert!(
        matches!(without, KeyFileError::NeedsPassphrase { .. }),
        "{without}"
    );
}

#[test]
fn openssl_reads_what_weft_wrote() {
    if !has("openssl", "openssl_reads_what_weft_wrote") {
        return;
    }
    let folder = Folder::new();
    let key = SecretKey::generate().unwrap();
    let public = public_pem(&key.public()).unwrap();
    save_secret(&folder.path("plain"), &key).unwrap();
    assert_eq!(openssl_public(&folder.text("plain"), &[]), public);
    let encrypted = folder.path("encrypted");
    save_encrypted(&encrypted, &key, &passphrase(WORD)).unwrap();
    let mode = fs::metadata(&encrypted).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    let given = openssl_public(&folder.text("encrypted"), &["-passin", "env:WORD"]);
    assert_eq!(given, public);
    opens(&encrypted, &key);
}

#[test]
fn weft_reads_what_openssl_encrypted() {
    if !has("openssl", "weft_reads_what_openssl_encrypted") {
        return;
    }
    let folder = Folder::new();
    let key = SecretKey::generate().unwrap();
    save_secret(&folder.path("plain"), &key).unwrap();
    let plain = folder.text("plain");
    let ways: [&[&str]; 5] = [
        &["-v2", "aes-256-cbc"],
        &[
            "-v2",
            "aes-256-cbc",
            "-v2prf",
            "hmacWithSHA256",
            "-iter",
            "600000",
        ],
        &["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"],
        &["-scrypt"],
        &[
            "-scrypt",
            "-scrypt_N",
            "4096",
            "-scrypt_r",
            "8",
            "-scrypt_p",
            "2",
        ],
    ];
    for (number, way) in ways.iter().enumerate() {
        let name = format!("encrypted-{number}");
        let out = folder.text(&name);
        let words = ["pkcs8", "-topk8", "-in", &plain, "-out", &out];
        run(
            "openssl",
            &[&words, &["-passout", "env:WORD"][..], way].concat(),
        );
        opens(&folder.path(&name), &key);
    }
    let made = folder.text("made");
    let words = ["genpkey", "-algorithm", "ed25519", "-aes-256-cbc"];
    run(
        "openssl",
        &[&words, &["-pass", "env:WORD", "-out", &made][..]].concat(),
    );
    fs::set_permissions(&made, fs::Permissions::from_mode(0o600)).unwrap();
    let file = SecretFile::read(Path::new(&made)).unwrap();
    let opened = file.open(Some(&passphrase(WORD))).unwrap();
    let public = openssl_public(&made, &["-passin", "env:WORD"]);
    assert_eq!(public_pem(&opened.public()).unwrap(), public);
}

#[test]
fn weft_refuses_other_kinds_of_keys_in_the_same_wrapping() {
    if !has(
        "openssl",
        "weft_refuses_other_kinds_of_keys_in_the_same_wrapping",
    ) {
        return;
    }
    let folder = Folder::new();
    let made = folder.text("x25519");
    let words = ["genpkey", "-algorithm", "x25519", "-aes-256-cbc"];
    run(
        "openssl",
        &[&words, &["-pass", "env:WORD", "-out", &made][..]].concat(),
    );
    fs::set_permissions(&made, fs::Permissions::from_mode(0o600)).unwrap();
    let file = SecretFile::read(Path::new(&made)).unwrap();
    let refused = file.open(Some(&passphrase(WORD))).unwrap_err();
    assert!(
        matches!(refused, KeyFileError::NotASecretKey { .. }),
        "{refused}"
    );
}

#[test]
fn weft_reads_the_keys_of_ssh_keygen() {
    if !has("ssh-keygen", "weft_reads_the_keys_of_ssh_keygen") {
        return;
    }
    let folder = Folder::new();
    let ciphers = ["aes256-ctr", "aes256-cbc", "aes256-gcm@openssh.com"];
    let public = |name: &str| load_public(&folder.path(&format!("{name}.pub"))).unwrap();
    run(
        "ssh-keygen",
        &[
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "me@here",
            "-f",
            &folder.text("plain"),
        ],
    );
    let plain = load_secret(&folder.path("plain")).unwrap();
    assert_eq!(plain.public(), public("plain"));
    let written = fs::read_to_string(folder.path("plain.pub")).unwrap();
    assert_eq!(
        public_line(&plain.public(), "me@here").unwrap(),
        written.trim_end()
    );
    for cipher in ciphers {
        let words = [
            "-q", "-t", "ed25519", "-N", WORD, "-a", "2", "-Z", cipher, "-f",
        ];
        run(
            "ssh-keygen",
            &[&words[..], &[&folder.text(cipher)]].concat(),
        );
        let file = SecretFile::read(&folder.path(cipher)).unwrap();
        let opened = file.open(Some(&passphrase(WORD))).unwrap();
        assert_eq!(opened.public(), public(cipher), "{cipher}");
        opens(&folder.path(cipher), &opened);
    }
    let ecdsa = folder.text("ecdsa");
    run("ssh-keygen", &["-q", "-t", "ecdsa", "-N", "", "-f", &ecdsa]);
    let refused = load_secret(Path::new(&ecdsa)).unwrap_err();
    assert!(
        matches!(refused, KeyFileError::NotASecretKey { .. }),
        "{refused}"
    );
    let refused = load_public(&folder.path("ecdsa.pub")).unwrap_err();
    assert!(
        matches!(refused, KeyFileError::NotAPublicKey { .. }),
        "{refused}"
    );
    fs::set_permissions(folder.path("plain"), fs::Permissions::from_mode(0o644)).unwrap();
    let loose = load_secret(&folder.path("plain")).unwrap_err();
    assert!(matches!(loose, KeyFileError::LooseMode { .. }), "{loose}");
}
