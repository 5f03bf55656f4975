//! `weft-sim`: virtual meshes from the command line.
// printing is this program's purpose
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod cli;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Rehearses releases on virtual meshes of weft's own node code, and looks for bugs in it.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs random faults from many seeds while checkers watch.
    Fuzz(cli::fuzz::Options),
    /// Runs one seed or script again.
    Replay(cli::replay::Options),
    /// Looks for a smaller run that breaks the same promise.
    Shrink(cli::shrink::Options),
    /// Holds the event logs of a few seeds against those that are committed.
    Golden(cli::golden::Options),
    /// One rollout to a large fleet; prints one JSON object.
    Scale(cli::scale::Options),
}

fn main() -> ExitCode {
    match Arguments::parse().verb {
        Verb::Fuzz(options) => cli::fuzz::run(&options),
        Verb::Replay(options) => cli::replay::run(&options),
        Verb::Shrink(options) => cli::shrink::run(&options),
        Verb::Golden(options) => cli::golden::run(&options),
        Verb::Scale(options) => cli::scale::run(&options),
    }
}
