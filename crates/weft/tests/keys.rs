//! Key files through the real command: encrypted ones, OpenSSL's and OpenSSH's.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

const WORD: &str = "correct horse";

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A file of mode 0600.
    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        self.text(name)
    }

    fn weft(&self, words: &[&str], environment: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_weft"))
            .arg("--dir")
            .arg(self.path("node"))
            .args(words)
            .env_remove("WEFT_LOG")
            .env_remove("WEFT_PASSPHRASE")
            .env_remove("WEFT_PASSPHRASE_FILE")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs weft, which must succeed; its object.
    fn object(&self, words: &[&str], environment: &[(&str, &str)]) -> serde_json::Value {
        let output = self.weft(&[&["--json"], words].concat(), environment);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{words:?}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Runs weft, which must fail with this code and say something like this in three lines.
    fn refused(&self, words: &[&str], environment: &[(&str, &str)], exit: i32, says: &str) {
        let output = self.weft(words, environment);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{words:?}: {text}");
        assert!(text.contains(says), "{words:?}: {text}");
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(!text.contains(WORD), "{text}");
        assert!(output.stdout.is_empty());
    }
}

#[allow(clippy::print_stderr)]
fn has(program: &str, test: &str) -> bool {
    let there = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    });
    if !there {
        eprintln!("SKIPPED weft::keys {test}: no {program}");
    }
    there
}

fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program)
        .args(words)
        .env("WORD", WORD)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_encrypted_key_opens_by_variable_or_file_and_by_nothing_else() {
    let desk = Desk::new();
    let key = desk.text("root.key");
    let word = desk.write("word", &format!("{WORD}\n"));
    let made = desk.object(&["key", "new", &key, "--passphrase-file", &word], &[]);
    assert_eq!(made["encrypted"], true);
    let text = fs::read_to_string(&key).unwrap();
    assert!(text.contains("ENCRYPTED PRIVATE KEY"), "{text}");
    let show = ["key", "show", &key];
    for environment in [("WEFT_PASSPHRASE", WORD), ("WEFT_PASSPHRASE_FILE", &word)] {
        let shown = desk.object(&show, &[environment]);
        assert_eq!(shown["public_key"], made["public_key"]);
        assert_eq!(shown["encrypted"], true);
    }
    desk.refused(&show, &[], 6, "WEFT_PASSPHRASE_FILE are not set");
    desk.refused(&show, &[("WEFT_PASSPHRASE", "")], 6, "are not set");
    let wrong = [("WEFT_PASSPHRASE", "wrong")];
    desk.refused(&show, &wrong, 5, "the passphrase does not open it");
    let loose = desk.text("word");
    fs::set_permissions(&loose, fs::Permissions::from_mode(0o644)).unwrap();
    let loose = [("WEFT_PASSPHRASE_FILE", &*loose)];
    desk.refused(&show, &loose, 6, "others can read it");
    let missing = desk.text("missing");
    let missing = [("WEFT_PASSPHRASE_FILE", &*missing)];
    desk.refused(&show, &missing, 4, "the passphrase cannot be used");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let right = [("WEFT_PASSPHRASE", WORD)];
    desk.refused(&show, &right, 6, "its mode is 0640");
}

#[test]
fn a_new_key_is_not_encrypted_with_nothing() {
    let desk = Desk::new();
    let key = desk.text("a.key");
    let new = ["key", "new", &key, "--passphrase"];
    desk.refused(&new, &[], 6, "nobody to ask");
    let empty = desk.write("empty", "\n");
    let words = ["key", "new", &key, "--passphrase-file", &empty];
    desk.refused(&words, &[], 2, "the passphrase is empty");
    assert!(!desk.path("a.key").exists());
    let made = desk.object(&new, &[("WEFT_PASSPHRASE", WORD)]);
    assert_eq!(made["encrypted"], true);
}

#[test]
fn an_encrypted_key_signs_what_a_mesh_begins_with() {
    let desk = Desk::new();
    let key = desk.text("admin.key");
    let right = [("WEFT_PASSPHRASE", WORD)];
    desk.object(&["key", "new", &key, "--passphrase"], &right);
    let init = ["mesh", "init", "--no-mdns", "--key", &key];
    desk.refused(&init, &[], 6, "it is encrypted");
    desk.object(&init, &right);
}

#[test]
fn keys_of_openssl_and_openssh_are_taken_over_and_never_overwrite() {
    if !has(
        "openssl",
        "keys_of_openssl_and_openssh_are_taken_over_and_never_overwrite",
    ) || !has(
        "ssh-keygen",
        "keys_of_openssl_and_openssh_are_taken_over_and_never_overwrite",
    ) {
        return;
    }
    let desk = Desk::new();
    let right = [("WEFT_PASSPHRASE", WORD)];
    let openssl = desk.text("openssl.pem");
    let words = ["genpkey", "-algorithm", "ed25519", "-aes-256-cbc"];
    run(
        "openssl",
        &[&words[..], &["-pass", "env:WORD", "-out", &openssl]].concat(),
    );
    fs::set_permissions(&openssl, fs::Permissions::from_mode(0o600)).unwrap();
    let openssh = desk.text("id");
    run(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", WORD, "-a", "2", "-f", &openssh],
    );
    let plain = desk.text("plain");
    run(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-f", &plain],
    );
    for (from, encrypted) in [(&openssl, true), (&openssh, true), (&plain, false)] {
        let to = format!("{from}.key");
        let took = desk.object(&["key", "import", from, &to], &right);
        assert_eq!(took["encrypted"], encrypted, "it stays as it was");
        let was = desk.object(&["key", "show", from], &right);
        let is = desk.object(&["key", "show", &to], &right);
        assert_eq!(was["public_key"], is["public_key"]);
        desk.refused(
            &["key", "import", from, &to],
            &right,
            6,
            "never overwritten",
        );
        let open = format!("{from}.open");
        let took = desk.object(&["key", "import", from, &open, "--no-passphrase"], &right);
        assert_eq!(took["encrypted"], false);
        assert_eq!(
            desk.object(&["key", "show", &open], &[])["public_key"],
            was["public_key"]
        );
    }
    let public = format!("{openssh}.pub");
    let shown = desk.object(&["key", "show", &public], &[]);
    assert_eq!(shown["secret"], false);
    let line = fs::read_to_string(&public).unwrap();
    assert!(
        line.starts_with(shown["openssh"].as_str().unwrap()),
        "{line}"
    );
}

#[test]
fn other_programs_read_what_is_exported() {
    if !has("openssl", "other_programs_read_what_is_exported")
        || !has("ssh-keygen", "other_programs_read_what_is_exported")
    {
        return;
    }
    let desk = Desk::new();
    let key = desk.text("admin.key");
    let made = desk.object(&["key", "new", &key], &[]);
    let export = |format: &str| {
        let words = ["key", "export", &key, "--format", format];
        let output = desk.weft(&words, &[]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let spki = run("openssl", &["pkey", "-in", &key, "-pubout"]);
    assert_eq!(export("public"), spki);
    let line = desk.write("line.pub", &export("openssh-public"));
    let told = run("ssh-keygen", &["-l", "-f", &line]);
    assert!(told.trim().ends_with("admin (ED25519)"), "{told}");
    let shown = desk.object(&["key", "show", &line], &[]);
    assert_eq!(shown["public_key"], made["public_key"]);
    assert!(export("allowed-signers").starts_with("admin ssh-ed25519 AAAA"));
    let secret = ["key", "export", &key, "--format", "pkcs8"];
    desk.refused(&secret, &[], 2, "not written to standard output");
    let out = desk.text("out.pem");
    let words = [&secret[..], &["--out", &out, "--passphrase"]].concat();
    desk.object(&words, &[("WEFT_PASSPHRASE", WORD)]);
    assert_eq!(
        run(
            "openssl",
            &["pkey", "-in", &out, "-passin", "env:WORD", "-pubout"]
        ),
        spki
    );
    let mode = fs::metadata(&out).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    let public = desk.text("admin.pub");
    let words = [
        "key", "export", &key, "--format", "public", "--out", &public,
    ];
    desk.object(&words, &[]);
    desk.refused(&words, &[], 6, "cannot be written");
    // the public half does for a public format
    let again = ["key", "export", &public, "--format", "allowed-signers"];
    let named = [&again[..], &["--identity", "me@site"]].concat();
    let output = desk.weft(&named, &[]);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("me@site ssh-ed25519 "));
    let named = [&again[..], &["--identity", "me and you"]].concat();
    desk.refused(&named, &[], 2, "give --identity NAME");
}

/// A terminal of one's own: what is typed twice encrypts, and is not shown.
#[test]
fn a_terminal_is_asked() {
    if !has("script", "a_terminal_is_asked") {
        return;
    }
    let desk = Desk::new();
    let key = desk.text("typed.key");
    let weft = env!("CARGO_BIN_EXE_weft");
    let ask = |words: &str, typed: &str| {
        let mut child = Command::new("script")
            .args(["-qec", &format!("{weft} key {words}"), "/dev/null"])
            .env_remove("WEFT_PASSPHRASE")
            .env_remove("WEFT_PASSPHRASE_FILE")
            .env("HOME", desk.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        drop(input);
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let new = format!("new {key} --passphrase");
    let (done, told) = ask(&new, "horse\nhorses\n");
    assert!(!done && told.contains("differ"), "{told}");
    let (done, told) = ask(&new, &format!("{WORD}\n{WORD}\n"));
    assert!(done && told.contains("New passphrase for"), "{told}");
    let (done, told) = ask(&format!("show {key}"), &format!("{WORD}\n"));
    assert!(done && told.contains("secret key, encrypted"), "{told}");
    let shown = desk.object(&["key", "show", &key], &[("WEFT_PASSPHRASE", WORD)]);
    assert_eq!(shown["encrypted"], true);
}
