//! What the command prints, word for word: help, version and wrong command lines.
//!
//! The files beside this one hold what a user types and sees. `WEFT_TRANSCRIPTS=write`
//! renews them. (A harness of its own, because the ready-made one would have everything
//! below the command built a second time, with other features, for the tests alone.)

#![allow(clippy::unwrap_used)]

use std::{fmt::Write as _, fs, path::Path, process::Command};

#[test]
fn version() {
    check("version.md");
}

#[test]
fn help() {
    check("help.md");
}

#[test]
fn usage() {
    check("usage.md");
}

#[test]
fn errors() {
    check("errors.md");
}

/// Runs every `$ weft …` line of a file and compares the exit code and all that is printed.
fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/transcripts")
        .join(name);
    let expected = fs::read_to_string(&path).unwrap();
    let mut actual = String::from("```console\n");
    let mut runs = 0;
    for line in expected.lines() {
        if let Some(words) = line.strip_prefix("$ weft") {
            run(words, &mut actual);
            runs += 1;
        }
    }
    actual.push_str("```\n");
    assert!(runs > 0, "{name} runs nothing");
    if std::env::var_os("WEFT_TRANSCRIPTS").is_some_and(|value| value == "write") {
        fs::write(&path, actual).unwrap();
        return;
    }
    let differs = expected
        .lines()
        .zip(actual.lines())
        .find(|(expected, actual)| expected != actual);
    assert!(
        expected == actual,
        "{name} is not what weft prints, first at {differs:?}; now it prints:\n{actual}"
    );
}

/// Runs one command line away from the user's own folders and adds its transcript.
fn run(words: &str, transcript: &mut String) {
    let nowhere = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_weft"))
        .args(words.split_whitespace())
        .current_dir(nowhere.path())
        .env("HOME", "/nonexistent")
        .env("XDG_DATA_HOME", "")
        .env("WEFT_DIR", "")
        .env_remove("WEFT_LOG")
        .output()
        .unwrap();
    let _ = writeln!(transcript, "$ weft{words}");
    let code = output.status.code().unwrap();
    if code != 0 {
        let _ = writeln!(transcript, "? {code}");
    }
    for stream in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(stream);
        for line in text.lines() {
            let _ = writeln!(transcript, "{}", line.trim_end());
        }
    }
    transcript.push('\n');
}
