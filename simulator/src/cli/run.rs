//! `weft-sim run`

use std::{path::PathBuf, process::ExitCode};

use weft_sim::report::{Report, page, summary};

use super::{
    failure::{FAILED, Failure, INTERRUPTED},
    interrupt,
    progress::Bar,
    say::say,
    source::{Chosen, Loaded},
};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weft-sim run clinic-chain --html report.html
  weft-sim run fleet.toml --seed 7 --set site.clinic.uplink=\"5 Mbit/s\"

Exit code 1 if an assert does not hold. Ctrl-C gives what there is.")]
pub(crate) struct Options {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    files: Files,
}

/// Where reports go.
#[derive(clap::Args)]
pub(crate) struct Files {
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let loaded = Loaded::read(&options.chosen.scenario, &options.chosen.how)?;
    interrupt::watch();
    let bar = Bar::of_run();
    let report = loaded.rehearse(loaded.options, &mut |progress| {
        bar.show(progress);
        !interrupt::came()
    })?;
    drop(bar);
    say(&summary(&report));
    options.files.write(&report)?;
    Ok(match (report.head.partial, report.holds()) {
        (true, _) => ExitCode::from(INTERRUPTED),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::from(FAILED),
    })
}

impl Files {
    fn write(&self, report: &Report) -> Result<(), Failure> {
        if let Some(path) = &self.json {
            write(path, &report.json())?;
        }
        if let Some(path) = &self.html {
            write(path, &page(report))?;
        }
        Ok(())
    }
}

/// Writes a file and says so.
pub(crate) fn write(path: &PathBuf, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::unwritten(path, &error))?;
    say(&format!("  wrote {}\n", path.display()));
    Ok(())
}
