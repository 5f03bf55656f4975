//! `weft-sim`: rehearsals, golden seeds and random faults, from the command line.
// printing is this program's purpose
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
