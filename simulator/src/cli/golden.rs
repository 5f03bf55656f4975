//! `weft-sim golden`

use std::process::ExitCode;

use weft_sim::fuzz;

use super::{failure::Failure, say::say};

/// Seeds whose trace hashes are committed.
const GOLDEN_SEEDS: std::ops::Range<u64> = 1..9;
/// Where they are.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden.txt");

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Renew the file: the core changed on purpose
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let lines: Vec<String> = GOLDEN_SEEDS
        .map(|seed| format!("{seed} {}\n", fuzz::run(seed).hash))
        .collect();
    let text = lines.concat();
    if options.write {
        std::fs::write(GOLDEN, &text)
            .map_err(|error| Failure::unwritten(GOLDEN.as_ref(), &error))?;
        return Ok(ExitCode::SUCCESS);
    }
    let expected = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    for (line, wanted) in lines.iter().zip(expected.lines()) {
        let same = line.trim_end() == wanted;
        let told = if same { "same " } else { "OTHER" };
        say(&format!("{told} {}\n", line.trim_end()));
    }
    if text == expected {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::failed(
        "the trace hashes are not those of simulator/golden.txt",
        "the core or the simulator does something else than before",
        "weft-sim golden --write   (if that was on purpose)",
    ))
}
