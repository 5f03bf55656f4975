//! `weft-sim from-csv`

use std::{path::PathBuf, process::ExitCode};

use weft_sim::scenario::{Bytes, Scenario, Source, from_csv};

use super::{failure::Failure, say::say};

#[derive(clap::Args)]
#[command(
    after_help = "The first line names the columns: name and nodes, and any of count, uplink, downlink,
wan_round_trip, loss, dials_only (yes or no), open (hours, parted by spaces). The first site
is the publisher's.

Example:
  weft-sim from-csv sites.csv --size \"256 MiB\" > fleet.toml"
)]
pub(crate) struct Options {
    /// The table
    table: PathBuf,
    /// Size of the release
    #[arg(long, value_name = "AMOUNT", default_value = "256 MiB")]
    size: Bytes,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let text = std::fs::read_to_string(&options.table)
        .map_err(|error| Failure::unread(&options.table, &error))?;
    let name = options.table.display().to_string();
    let source = Source {
        name: &name,
        text: &text,
    };
    let scenario = from_csv(source, &options.size.to_string())?;
    // what the table says may still contradict itself
    Scenario::read(Source {
        name: "the scenario of this table",
        text: &scenario,
    })?;
    say(&scenario);
    Ok(ExitCode::SUCCESS)
}
