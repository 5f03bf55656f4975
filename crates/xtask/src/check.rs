//! `cargo xtask check`: what continuous integration runs, step by step, with one
//! line of counts at the end.

use std::{
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result};

use crate::{generate, shell};

/// Which steps.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these steps (format, lint, audit, generated, test, demo, fuzz, mutants).
    steps: Vec<String>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

type Step = (&'static str, fn() -> Result<Counts>);

const STEPS: &[Step] = &[
    ("format", format),
    ("lint", lint),
    ("audit", audit),
    ("generated", generated),
    ("test", test),
    ("demo", demo),
    ("fuzz", fuzz),
    ("mutants", mutants),
];

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    for step in &options.steps {
        anyhow::ensure!(
            STEPS.iter().any(|(name, _)| name == step),
            "there is no step {step:?}; steps are {}",
            STEPS.map_names()
        );
    }
    let mut total = Counts::default();
    let chosen = STEPS
        .iter()
        .filter(|(name, _)| options.steps.is_empty() || options.steps.iter().any(|s| s == name));
    for (name, step) in chosen {
        println!("== {name}");
        let counts = step().unwrap_or_else(|error| {
            println!("{name}: {error:#}");
            Counts {
                failed: 1,
                ..Counts::default()
            }
        });
        println!("== {name}: {}", line(counts));
        total.passed += counts.passed;
        total.failed += counts.failed;
        total.skipped += counts.skipped;
    }
    println!("{}", line(total));
    Ok(if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

trait Names {
    fn map_names(&self) -> String;
}

impl Names for &[Step] {
    fn map_names(&self) -> String {
        self.iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn line(counts: Counts) -> String {
    format!(
        "{} passed, {} failed, {} skipped",
        counts.passed, counts.failed, counts.skipped
    )
}

fn one(passed: bool) -> Counts {
    Counts {
        passed: u64::from(passed),
        failed: u64::from(!passed),
        skipped: 0,
    }
}

fn format() -> Result<Counts> {
    Ok(one(shell::succeeds("cargo", &["fmt", "--all", "--check"])?))
}

fn lint() -> Result<Counts> {
    // the same profile as everything else, so that build scripts and macros are built once
    let arguments = [
        "clippy",
        "--release",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    Ok(one(shell::succeeds("cargo", &arguments)?))
}

fn audit() -> Result<Counts> {
    let deny = |checks: &[&str]| {
        let common = [
            "deny",
            "--offline",
            "--locked",
            "--config",
            ".config/deny.toml",
            "check",
        ];
        shell::succeeds("cargo", &[&common[..], checks].concat()).map(one)
    };
    let mut counts = deny(&["licenses", "bans", "sources"])?;
    // the advisory database is a repository of its own, which not every machine can fetch
    let home = std::env::var("CARGO_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))?;
    let has_database = std::fs::read_dir(format!("{home}/advisory-dbs"))
        .is_ok_and(|mut entries| entries.next().is_some());
    if has_database {
        println!("advisories: checked against the database in {home}/advisory-dbs");
        let passed = deny(&["advisories"])?;
        counts.passed += passed.passed;
        counts.failed += passed.failed;
    } else {
        println!("SKIPPED advisories: no advisory database on this machine");
        counts.skipped += 1;
    }
    Ok(counts)
}

fn generated() -> Result<Counts> {
    Ok(one(generate::run(true)? == ExitCode::SUCCESS))
}

/// The README's test command. Tests that this machine does not allow say so by name.
fn test() -> Result<Counts> {
    let arguments = [
        "nextest",
        "run",
        "--release",
        "--locked",
        "--workspace",
        "--success-output",
        "final",
    ];
    println!("$ cargo {}", arguments.join(" "));
    let mut child = Command::new("cargo")
        .args(arguments)
        .env("NEXTEST_STATUS_LEVEL", "slow")
        .env("NEXTEST_HIDE_PROGRESS_BAR", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("could not run cargo nextest")?;
    let stderr = child.stderr.take().context("no standard error")?;
    let (mut counts, mut skipped) = (None, std::collections::BTreeSet::new());
    for text in BufReader::new(stderr).lines() {
        let text = text?;
        if let Some(skip) = text.find("SKIPPED ").map(|at| &text[at..]) {
            skipped.insert(skip.to_owned());
            continue;
        }
        println!("{text}");
        counts = summary(&text).or(counts);
    }
    let status = child.wait()?;
    for skip in &skipped {
        println!("{skip}");
    }
    let mut counts = counts.context("the test runner printed no summary")?;
    // a test that had to skip returns normally and was counted as passed
    let by_name = skipped.len() as u64;
    counts.passed = counts.passed.saturating_sub(by_name);
    counts.skipped += by_name;
    if !status.success() && counts.failed == 0 {
        counts.failed = 1;
    }
    Ok(counts)
}

/// Reads nextest's closing line, such as
/// `Summary [ 1.2s] 30 tests run: 28 passed (1 slow), 2 failed, 1 skipped`.
fn summary(text: &str) -> Option<Counts> {
    let rest = &text[text.find("Summary [")?..];
    let rest = &rest[rest.find("run: ")? + 5..];
    let count = |word: &str| {
        rest.split(", ").find_map(|part| {
            let (number, kind) = part.trim().split_once(' ')?;
            kind.starts_with(word).then(|| number.parse::<u64>().ok())?
        })
    };
    let failed = count("failed").unwrap_or(0) + count("timed out").unwrap_or(0);
    Some(Counts {
        passed: count("passed")?,
        failed,
        skipped: count("skipped").unwrap_or(0),
    })
}

/// A short end-to-end run over real processes.
fn demo() -> Result<Counts> {
    let weft = shell::weft()?;
    let dir = tempfile::tempdir()?;
    let folder = dir.path().join("mesh");
    let folder = shell::utf8(&folder)?;
    let weft = shell::utf8(&weft)?;
    Ok(one(shell::succeeds(
        weft,
        &["demo", "--json", "--dir", folder],
    )?))
}

/// Golden seeds twice, in processes of their own, then fresh seeds.
fn fuzz() -> Result<Counts> {
    let simulator = shell::simulator()?;
    let simulator = shell::utf8(&simulator)?;
    let mut counts = Counts::default();
    for verb in [&["golden"][..], &["golden"], &["fuzz", "--count", "200"]] {
        let passed = one(shell::succeeds(simulator, verb)?);
        counts.passed += passed.passed;
        counts.failed += passed.failed;
    }
    Ok(counts)
}

/// Every patch applies, and one mutant of each crate is caught; `cargo xtask mutants` looks
/// at all of them.
fn mutants() -> Result<Counts> {
    let mut counts = Counts::default();
    for arguments in [&["--apply-only"][..], &["stranger-served", "fork-ignored"]] {
        let passed = one(shell::succeeds(
            "cargo",
            &[&["xtask", "mutants"][..], arguments].concat(),
        )?);
        counts.passed += passed.passed;
        counts.failed += passed.failed;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn reads_the_runners_closing_line() {
        let text = "     Summary [   4.1s] 30 tests run: 28 passed (1 slow), 2 failed, 3 skipped";
        let counts = summary(text).expect("a summary");
        assert_eq!((counts.passed, counts.failed, counts.skipped), (28, 2, 3));
        assert!(summary("running 3 tests").is_none());
    }
}
