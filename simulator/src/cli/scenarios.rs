//! `weft-sim scenarios`

use std::process::ExitCode;

use weft_sim::scenario::{READY, Scenario, Source};

use super::{failure::Failure, say::say};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  weft-sim scenarios
  weft-sim scenarios clinic-chain > mine.toml")]
pub(crate) struct Options {
    /// Print the text of this one
    name: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    if let Some(name) = &options.name {
        let ready = weft_sim::scenario::ready(name).ok_or_else(|| {
            Failure::usage(
                format!("there is no scenario {name:?}"),
                "none of this name comes with the program",
                "weft-sim scenarios",
            )
        })?;
        say(ready.text);
        return Ok(ExitCode::SUCCESS);
    }
    for ready in READY {
        let source = Source {
            name: ready.name,
            text: ready.text,
        };
        let scenario = Scenario::read(source)?;
        say(&format!(
            "{:<16} {}\n{:<16} {}\n\n",
            ready.name, scenario.title, "", scenario.question
        ));
    }
    Ok(ExitCode::SUCCESS)
}
