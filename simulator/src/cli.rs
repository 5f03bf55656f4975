//! The command `weft-sim`: one file a verb.

mod compare;
mod failure;
mod from_csv;
mod fuzz;
mod golden;
mod interrupt;
mod large_pages;
mod many;
mod progress;
mod replay;
mod run;
mod say;
mod scale;
mod scenarios;
mod script;
mod shrink;
mod source;
mod sweep;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Rehearses releases on fleets of virtual nodes, and breaks them on purpose.
#[derive(Parser)]
#[command(
    name = "weft-sim",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Begin with `weft-sim scenarios`, then `weft-sim run clinic-chain --html report.html`."
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Rehearse a scenario and report what happened
    Run(run::Options),
    /// Rehearse a scenario with several values of a key
    Sweep(sweep::Options),
    /// Hold two scenarios against each other over the same seeds
    Compare(compare::Options),
    /// List the scenarios that come with the program
    Scenarios(scenarios::Options),
    /// Make a scenario from a table of sites
    FromCsv(from_csv::Options),
    /// Run a scenario, a fuzz seed or a fault script again and compare its trace hash
    Replay(replay::Options),
    /// Spread one release over a fleet of any size, and count: one JSON object
    Scale(scale::Options),
    /// Break random meshes while the checkers watch
    Fuzz(fuzz::Options),
    /// Look for a smaller run that breaks the same promise
    Shrink(shrink::Options),
    /// Hold the golden seeds against their committed trace hashes
    Golden(golden::Options),
}

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::usage(&error),
    };
    if matches!(arguments.verb, Verb::Run(_) | Verb::Scale(_)) {
        large_pages::ask_for();
    }
    let result = match &arguments.verb {
        Verb::Run(options) => run::run(options),
        Verb::Sweep(options) => sweep::run(options),
        Verb::Compare(options) => compare::run(options),
        Verb::Scenarios(options) => scenarios::run(options),
        Verb::FromCsv(options) => from_csv::run(options),
        Verb::Replay(options) => replay::run(options),
        Verb::Scale(options) => scale::run(options),
        Verb::Fuzz(options) => fuzz::run(options),
        Verb::Shrink(options) => shrink::run(options),
        Verb::Golden(options) => golden::run(options),
    };
    result.unwrap_or_else(|failure| failure.tell())
}
