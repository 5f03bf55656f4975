//! `weft-sim shrink`: a smaller run that breaks the same promise, as a file.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use weft_sim::shrink::{Budget, shrink};

use super::replay::{Subject, failed, tell};

/// What to make smaller.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A seed, or a file that this command wrote before.
    subject: Subject,
    /// Where the smaller run is written.
    #[arg(long, default_value = "repro.toml")]
    out: PathBuf,
    /// Runs, at most.
    #[arg(long, default_value_t = Budget::default().runs)]
    runs: u64,
    /// Seconds after which no further run is begun.
    #[arg(long, default_value_t = Budget::default().time.as_secs())]
    seconds: u64,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let script = match options.subject.script() {
        Ok(script) => script,
        Err(code) => return code,
    };
    let budget = Budget {
        runs: options.runs,
        time: Duration::from_secs(options.seconds),
    };
    let Some(small) = shrink(&script, budget) else {
        eprintln!(
            "{} breaks no promise\nonly a run in which a checker finds something can be made smaller\nnext: weft-sim fuzz --count 1000",
            options.subject
        );
        return ExitCode::FAILURE;
    };
    let text = match small.script.to_toml() {
        Ok(text) => text,
        Err(error) => return failed(&options.out, "could not be written", &error),
    };
    if let Err(error) = std::fs::write(&options.out, text) {
        return failed(&options.out, "could not be written", &error);
    }
    tell(&small.verdict);
    let (before, after) = (&script, &small.script);
    println!(
        "{} of {} faults, {} of {} nodes, {} of {} sites, {} of {} chunks, {} ms of {} ms; {} runs{}",
        after.faults.len(),
        before.faults.len(),
        after.nodes.len(),
        before.nodes.len(),
        after.sites.len(),
        before.sites.len(),
        after.releases[0].chunks,
        before.releases[0].chunks,
        after.chaos_us / 1_000,
        before.chaos_us / 1_000,
        small.runs,
        if small.is_least {
            ""
        } else {
            " (all that were allowed)"
        },
    );
    println!("replay with: weft-sim replay {}", options.out.display());
    ExitCode::SUCCESS
}
