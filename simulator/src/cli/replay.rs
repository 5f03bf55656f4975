//! `weft-sim replay`

use std::process::ExitCode;

use weft_sim::{fuzz, report::summary};

use super::{
    failure::{FAILED, Failure},
    progress::Bar,
    say::say,
    script::{self, tell},
    source::{How, Loaded},
};

#[derive(clap::Args)]
#[command(
    after_help = "Every report ends with the line that replays it. Examples:
  weft-sim replay clinic-chain --seed 7 --expect HASH
  weft-sim replay 1042
  weft-sim replay repro.toml"
)]
pub(crate) struct Options {
    /// A scenario file, the name of a ready one, the number of a fuzz seed, or a file that
    /// `weft-sim shrink` wrote
    what: String,
    #[command(flatten)]
    how: How,
    /// The trace hash that it must have
    #[arg(long, value_name = "HASH")]
    expect: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let (hash, held) = if let Some(script) = script::read(&options.what)? {
        let verdict = fuzz::play(&script);
        tell(&verdict);
        (verdict.hash.to_string(), verdict.violations.is_empty())
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
    let report = loaded.rehearse(loaded.options, &mut |progress| {
        bar.show(progress);
        true
    })?;
    drop(bar);
    say(&summary(&report));
    Ok((report.head.trace_hash.clone(), report.holds()))
}
