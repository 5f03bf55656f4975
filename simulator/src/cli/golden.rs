//! `weft-sim golden`: seeds whose event logs must stay as they are.

use std::process::ExitCode;

use weft_sim::fuzz;

/// What to do.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write what the core gives today, after a change on purpose.
    #[arg(long)]
    write: bool,
}

/// Seeds whose event-log hashes are committed.
const SEEDS: std::ops::Range<u64> = 1..9;
/// Where they are.
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden.txt");

pub(crate) fn run(options: &Options) -> ExitCode {
    let lines: Vec<String> = SEEDS
        .map(|seed| format!("{seed} {}\n", fuzz::run(seed).hash))
        .collect();
    let text = lines.concat();
    if options.write {
        return match std::fs::write(PATH, &text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("could not write {PATH}\n{error}\nnext: run it inside the repository");
                ExitCode::FAILURE
            }
        };
    }
    let expected = std::fs::read_to_string(PATH).unwrap_or_default();
    for (line, wanted) in lines.iter().zip(expected.lines()) {
        let same = line.trim_end() == wanted;
        let word = if same { "same " } else { "OTHER" };
        println!("{word} {}", line.trim_end());
    }
    if text == expected {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "the event logs are not those of simulator/golden.txt\nthe core, the simulator or a seed's script changed\nnext: if that was on purpose, weft-sim golden --write"
    );
    ExitCode::FAILURE
}
