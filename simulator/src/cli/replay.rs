//! `weft-sim replay`

use std::process::ExitCode;

use weft_sim::{fuzz, report::summary};

use super::{
    failure::{FAILED, Failure},
    progress::Bar,
    say::say,
    source::{How, Loaded},
};

#[derive(clap::Args)]
#[command(
    after_help = "Every report ends with the line that replays it. Examples:
  weft-sim replay clinic-chain --seed 7 --expect HASH
  weft-sim replay 1042"
)]
pub(crate) struct Options {
    /// A scenario file, the name of a ready one, or the number of a fuzz seed
    what: String,
    #[command(flatten)]
    how: How,
    /// The trace hash that it must have
    #[arg(long, value_name = "HASH")]
    expect: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let (hash, held) = if let Ok(seed) = options.what.parse() {
        replay_fuzz(seed)
    } else {
        replay_scenario(options)?
    };
    if let Some(expected) = &options.expect {
        if *expected != hash {
            return Err(Failure::failed(
                format!("the trace hash is {hash}"),
                format!("{expected} was expected"),
                "check out the commit that the report names; the scenario must be the same too",
            ));
        }
        say("  the trace hash is the expected one\n");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn replay_scenario(options: &Options) -> Result<(String, bool), Failure> {
    let loaded = Loaded::read(&options.what, &options.how)?;
    let bar = Bar::of_run();
    let report = loaded.rehearse(loaded.options.seed, &mut |progress| {
        bar.show(progress);
        true
    })?;
    drop(bar);
    say(&summary(&report));
    Ok((report.head.trace_hash.clone(), report.holds()))
}

fn replay_fuzz(seed: u64) -> (String, bool) {
    let verdict = fuzz::run(seed);
    say(&format!(
        "seed {seed} hash {} events {} virtual {} ms\n",
        verdict.hash,
        verdict.events,
        verdict.virtual_us / 1_000
    ));
    for violation in &verdict.violations {
        say(&format!("{}\n", violation.0));
    }
    (verdict.hash.to_string(), verdict.violations.is_empty())
}
