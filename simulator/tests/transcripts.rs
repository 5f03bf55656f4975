//! What the command prints, word for word: help, and every mistake in a scenario.
//!
//! The files in `transcripts/` hold what a user types and sees, from the folder `bad/`.
//! `WEFT_TRANSCRIPTS=write` renews them.

use std::{fmt::Write as _, fs, path::Path, process::Command};

#[test]
fn help() {
    check("help.md");
}

#[test]
fn errors() {
    check("errors.md");
}

#[test]
fn every_bad_scenario_is_told_in_three_lines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|kind| kind == "toml")
        })
        .collect();
    names.sort();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let output = weft_sim(&format!(" run {name}"));
        assert_eq!(output.status.code(), Some(2), "{name}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 3, "{told}");
        assert!(lines[0].starts_with(&format!("error: {name}:")), "{told}");
        assert!(lines[1].starts_with("  why: "), "{told}");
        assert!(lines[2].starts_with("  next: "), "{told}");
    }
}

/// Runs every `$ weft-sim …` line of a file and compares the exit code and all that is
/// printed.
fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/transcripts")
        .join(name);
    let expected = fs::read_to_string(&path).unwrap();
    let mut actual = String::from("```console\n");
    let mut runs = 0;
    for line in expected.lines() {
        if let Some(words) = line.strip_prefix("$ weft-sim") {
            let output = weft_sim(words);
            let _ = writeln!(actual, "{line}");
            let code = output.status.code().unwrap();
            if code != 0 {
                let _ = writeln!(actual, "? {code}");
            }
            for stream in [&output.stdout, &output.stderr] {
                for line in String::from_utf8_lossy(stream).lines() {
                    let _ = writeln!(actual, "{}", line.trim_end());
                }
            }
            actual.push('\n');
            runs += 1;
        }
    }
    actual.push_str("```\n");
    assert!(runs > 0, "{name} runs nothing");
    if std::env::var_os("WEFT_TRANSCRIPTS").is_some_and(|value| value == "write") {
        fs::write(&path, actual).unwrap();
        return;
    }
    let mut lines = expected.lines().zip(actual.lines());
    let differs = lines.find(|(expected, actual)| expected != actual);
    assert!(
        expected == actual,
        "{name} is not what weft-sim prints, first at {differs:?}; now it prints:\n{actual}"
    );
}

fn weft_sim(words: &str) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_weft-sim"))
        .args(words.split_whitespace())
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad"))
        .output()
        .unwrap()
}
