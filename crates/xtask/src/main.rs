//! The chores of the repository: `cargo xtask check | gen | bench | fuzz | mutants`.
// a chore's output is its purpose
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod check;
mod fuzz;
mod generate;
mod mutants;
mod shell;

use clap::{Parser, Subcommand};

/// Chores of the repository.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Everything that must hold before a change lands; ends with one line of counts.
    Check(check::Options),
    /// Writes the generated files, or with --check only compares them.
    Gen {
        /// Compare instead of writing.
        #[arg(long)]
        check: bool,
    },
    /// Measures; the last line is one JSON object.
    Bench(bench::Options),
    /// Searches for inputs that break a decoder; see tests/fuzz/README.md.
    Fuzz(fuzz::Options),
    /// Breaks the core on purpose, one way at a time, and demands that the simulator notices.
    Mutants(mutants::Options),
}

fn main() -> anyhow::Result<std::process::ExitCode> {
    // cargo runs an alias where it was called; every path below is the root's
    std::env::set_current_dir(shell::root())?;
    match Arguments::parse().chore {
        Chore::Check(options) => check::run(&options),
        Chore::Gen { check } => generate::run(check),
        Chore::Bench(options) => bench::run(&options),
        Chore::Fuzz(options) => fuzz::run(&options),
        Chore::Mutants(options) => mutants::run(&options),
    }
}
