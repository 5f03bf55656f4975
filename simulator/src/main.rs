//! `weft-sim`: golden seeds and random faults, from the command line.
// printing is this program's purpose
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use weft_sim::{fuzz, scale};

/// Seeds whose event-log hashes are committed.
const GOLDEN_SEEDS: std::ops::Range<u64> = 1..9;
/// Where they are.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden.txt");

const USAGE: &str = "usage: weft-sim golden [--write] | fuzz [--count N] [--seed S] | replay SEED | scale [--nodes N] [--chunks N] [--sites N] [--neighbours N] [--seed S]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["golden"] => golden(false),
        ["golden", "--write"] => golden(true),
        ["replay", seed] => match seed.parse() {
            Ok(seed) => replay(seed),
            Err(_) => usage(),
        },
        ["fuzz", options @ ..] => match fuzz_options(options) {
            Some((count, seed)) => fuzz_many(count, seed),
            None => usage(),
        },
        ["scale", options @ ..] => match scale_spec(options) {
            Some(spec) => scale_up(&spec),
            None => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn fuzz_options(options: &[&str]) -> Option<(u64, u64)> {
    let (mut count, mut seed) = (100, 1_000);
    for pair in options.chunks(2) {
        match pair {
            ["--count", value] => count = value.parse().ok()?,
            ["--seed", value] => seed = value.parse().ok()?,
            _ => return None,
        }
    }
    Some((count, seed))
}

fn scale_spec(options: &[&str]) -> Option<scale::ScaleSpec> {
    let mut spec = scale::ScaleSpec::default();
    for pair in options.chunks(2) {
        let [name, value] = pair else { return None };
        match *name {
            "--nodes" => spec.nodes = value.parse().ok()?,
            "--chunks" => spec.chunks = value.parse().ok()?,
            "--sites" => spec.sites = value.parse().ok()?,
            "--neighbours" => spec.neighbours = value.parse().ok()?,
            "--seed" => spec.seed = value.parse().ok()?,
            _ => return None,
        }
    }
    Some(spec)
}

/// One rollout to a large fleet; prints one JSON object.
fn scale_up(spec: &scale::ScaleSpec) -> ExitCode {
    let start = std::time::Instant::now();
    let report = scale::run(spec);
    println!("{}", report.json(start.elapsed().as_secs_f64()));
    if report.active == u64::from(spec.nodes) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn golden(write: bool) -> ExitCode {
    let lines: Vec<String> = GOLDEN_SEEDS
        .map(|seed| format!("{seed} {}\n", fuzz::run(seed).hash))
        .collect();
    let text = lines.concat();
    if write {
        return match std::fs::write(GOLDEN, &text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("could not write {GOLDEN}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let expected = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    for (line, wanted) in lines.iter().zip(expected.lines()) {
        let same = line.trim_end() == wanted;
        println!(
            "{} {}",
            if same { "same " } else { "OTHER" },
            line.trim_end()
        );
    }
    if text == expected {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "the event logs are not those of simulator/golden.txt; if the core changed on purpose: weft-sim golden --write"
    );
    ExitCode::FAILURE
}

fn fuzz_many(count: u64, first: u64) -> ExitCode {
    let start = std::time::Instant::now();
    let (mut events, mut failed) = (0, 0_u64);
    for seed in first..first + count {
        let verdict = fuzz::run(seed);
        events += verdict.events;
        if !verdict.violations.is_empty() {
            failed += 1;
            println!("seed {seed}:");
            for violation in &verdict.violations {
                println!("  {}", violation.0);
            }
            println!("  replay with: weft-sim replay {seed}");
        }
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    println!("{count} runs, {events} events, {rate:.0} runs a second, {failed} with violations");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn replay(seed: u64) -> ExitCode {
    let verdict = fuzz::run(seed);
    println!(
        "seed {seed} hash {} events {} virtual {} ms",
        verdict.hash,
        verdict.events,
        verdict.virtual_us / 1_000
    );
    for violation in &verdict.violations {
        println!("{}", violation.0);
    }
    if verdict.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
