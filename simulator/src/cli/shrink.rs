//! `weft-sim shrink`

use std::{path::PathBuf, process::ExitCode, time::Duration};

use weft_sim::shrink::{Budget, Shrunk, shrink};

use super::{
    failure::Failure,
    say::say,
    script::{self, tell},
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The number of a fuzz seed, or a file that this command wrote before
    what: String,
    /// Where the smaller run is written
    #[arg(long, value_name = "FILE", default_value = "repro.toml")]
    out: PathBuf,
    /// Runs, at most
    #[arg(long, default_value_t = Budget::default().runs)]
    runs: u64,
    /// Begin no further run after so many seconds
    #[arg(long, default_value_t = Budget::default().time.as_secs())]
    seconds: u64,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let what = &options.what;
    let whole = script::read(what)?.ok_or_else(|| {
        Failure::usage(
            format!("{what} is no fault script"),
            "it is neither a seed nor a file that can be read as one",
            "weft-sim fuzz   (names seeds that break a promise)",
        )
    })?;
    let budget = Budget {
        runs: options.runs,
        time: Duration::from_secs(options.seconds),
    };
    let small = shrink(&whole, budget).ok_or_else(|| {
        Failure::failed(
            format!("{what} breaks no promise"),
            "only a run in which a checker finds something can be made smaller",
            "weft-sim fuzz --count 1000",
        )
    })?;
    script::write(&options.out, &small.script)?;
    tell(&small.verdict);
    let Shrunk {
        script: least,
        runs,
        is_least,
        ..
    } = &small;
    let sizes = [
        ("faults", least.faults.len(), whole.faults.len()),
        ("nodes", least.nodes.len(), whole.nodes.len()),
        ("sites", least.sites.len(), whole.sites.len()),
        (
            "chunks",
            least.releases[0].chunks as usize,
            whole.releases[0].chunks as usize,
        ),
    ];
    let sizes = sizes.map(|(name, least, whole)| format!("{least} of {whole} {name}"));
    let spent = if *is_least {
        ""
    } else {
        ", no more were allowed"
    };
    say(&format!(
        "{}; {runs} runs{spent}\nreplay with: weft-sim replay {}\n",
        sizes.join(", "),
        options.out.display()
    ));
    Ok(ExitCode::SUCCESS)
}
