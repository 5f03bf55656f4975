//! `weft-sim replay`: one run again, from its seed or from a file.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
};

use weft_sim::fuzz::{self, Script, Verdict};

use super::fuzz::MOST_SEED;

/// What to run again.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A seed, or a file that `weft-sim shrink` wrote.
    subject: Subject,
}

/// A seed, or a file with a script.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    Seed(u64),
    File(PathBuf),
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::File(text.into()));
        }
        let seed = text.parse().ok().filter(|seed| *seed <= MOST_SEED);
        seed.map(Self::Seed)
            .ok_or(format!("seeds end at {MOST_SEED}"))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed(seed) => write!(formatter, "seed {seed}"),
            Self::File(path) => write!(formatter, "{}", path.display()),
        }
    }
}

impl Subject {
    /// The script; else what went wrong was told.
    pub(crate) fn script(&self) -> Result<Script, ExitCode> {
        let path = match self {
            Self::Seed(seed) => return Ok(Script::draw(*seed)),
            Self::File(path) => path,
        };
        let bad = |error: &dyn fmt::Display| {
            failed(path, "could not be read", error);
            ExitCode::from(2)
        };
        let text = std::fs::read_to_string(path).map_err(|error| bad(&error))?;
        Script::from_toml(&text).map_err(|error| bad(&error))
    }
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let script = match options.subject.script() {
        Ok(script) => script,
        Err(code) => return code,
    };
    let verdict = fuzz::play(&script);
    tell(&verdict);
    if verdict.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How a run ended.
pub(crate) fn tell(verdict: &Verdict) {
    let (hash, events) = (verdict.hash, verdict.events);
    println!(
        "hash {hash} events {events} virtual {} ms",
        verdict.virtual_us / 1_000
    );
    for violation in &verdict.violations {
        let at_ms = violation.at_us / 1_000;
        println!("{} at {at_ms} ms: {}", violation.checker, violation.text);
    }
}

/// What went wrong with a file, why, and what to do.
pub(crate) fn failed(path: &Path, what: &str, why: &dyn fmt::Display) -> ExitCode {
    eprintln!(
        "{} {what}\n{why}\nnext: weft-sim shrink SEED --out FILE writes such a file",
        path.display()
    );
    ExitCode::FAILURE
}
