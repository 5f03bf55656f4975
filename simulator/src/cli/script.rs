//! What fuzz runs: a seed, or a file with a fault script.

use std::{fs, path::Path};

use weft_sim::fuzz::{Script, Verdict};

use super::{failure::Failure, say::say};

/// Scripts are written as TOML, whose numbers end here.
pub(crate) const MOST_SEED: u64 = i64::MAX as u64;
/// A key that every script has and no scenario.
const MARK: &str = "chaos_us = ";

/// The script, unless it is the name or the file of something else.
pub(crate) fn read(what: &str) -> Result<Option<Script>, Failure> {
    if let Ok(seed) = what.parse::<u64>() {
        if seed > MOST_SEED {
            let why = format!("seeds end at {MOST_SEED}");
            return Err(Failure::usage(
                "there is no such seed",
                why,
                "choose another",
            ));
        }
        return Ok(Some(Script::draw(seed)));
    }
    let Ok(text) = fs::read_to_string(what) else {
        return Ok(None);
    };
    if !text.lines().any(|line| line.starts_with(MARK)) {
        return Ok(None);
    }
    let script = Script::from_toml(&text).map_err(|error| {
        Failure::usage(
            format!("{what} cannot be played"),
            error.to_string(),
            "weft-sim shrink SEED --out FILE   (writes such a file)",
        )
    })?;
    Ok(Some(script))
}

/// Writes a script to a file.
pub(crate) fn write(path: &Path, script: &Script) -> Result<(), Failure> {
    let text = script.to_toml().map_err(|error| {
        let what = format!("{} cannot be written", path.display());
        Failure::failed(what, error.to_string(), "choose a seed below 2^63")
    })?;
    fs::write(path, text).map_err(|error| Failure::unwritten(path, &error))
}

/// How a run ended.
pub(crate) fn tell(verdict: &Verdict) {
    say(&format!(
        "hash {} events {} virtual {} ms\n",
        verdict.hash,
        verdict.events,
        verdict.virtual_us / 1_000
    ));
    tell_violations(verdict, "");
}

pub(crate) fn tell_violations(verdict: &Verdict, indent: &str) {
    for violation in &verdict.violations {
        let at_ms = violation.at_us / 1_000;
        say(&format!(
            "{indent}{} at {at_ms} ms: {}\n",
            violation.checker, violation.text
        ));
    }
}
