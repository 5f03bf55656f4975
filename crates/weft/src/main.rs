//! The command `weft`: one file a verb, and how its results look.

mod bundle_file;
mod bundle_lack;
mod bundle_part;
mod bundle_pipe;
mod context;
mod demo;
mod failure;
mod interrupt;
mod keys;
mod limits;
mod output;
mod pack;
mod packing;
mod progress;
mod refusals;
mod signing;
mod style;
mod verbs;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};

use crate::{
    context::Context,
    failure::{Exit, Failure},
    output::Output,
    style::ColorChoice,
    verbs::{
        bundle, completions, gc, key, limit, list, mesh, model, node, pin, release, run, show,
        status, trust, up, version,
    },
};

/// Moves small language models to the edge, peer to peer: signed by an admin,
/// fetched in verified chunks, proven on each node before they answer.
#[derive(Parser)]
#[command(
    name = "weft",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Begin with `weft demo`: a mesh of five nodes on this machine, in two minutes."
)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Everywhere")]
struct Global {
    /// The node's folder [default: WEFT_DIR, else weft in this user's data folder]
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print one JSON object a result, errors too
    #[arg(long, global = true)]
    json: bool,
    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Log more to standard error; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// When to use colour (NO_COLOR turns it off too)
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

#[derive(Subcommand)]
enum Verb {
    Demo(demo::Demo),
    Run(run::Run),
    List(list::List),
    Show(show::Show),
    Up(up::Up),
    Status(status::Status),
    Limit(limit::Limit),
    Gc(gc::Gc),
    Pin(pin::Pin),
    Unpin(pin::Unpin),
    /// Make or join a mesh
    #[command(subcommand)]
    Mesh(mesh::Mesh),
    /// Make, convert or look at a key file
    #[command(subcommand)]
    Key(key::Key),
    /// Pack, sign, publish or look at a release
    #[command(subcommand)]
    Release(release::Release),
    /// Carry releases in files, where there is no network
    #[command(subcommand)]
    Bundle(bundle::Bundle),
    /// See and change who may sign what
    #[command(subcommand)]
    Trust(trust::Trust),
    /// Let nodes into a mesh, or take them out
    #[command(subcommand)]
    Node(node::Node),
    /// Work with model files
    #[command(subcommand)]
    Model(model::Model),
    Completions(completions::Completions),
    Version(version::Version),
}

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let arguments = match Arguments::try_parse_from(&words) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error, &words),
    };
    let Global {
        dir,
        json,
        quiet,
        verbose,
        color,
    } = arguments.global;
    let output = Output::new(json, quiet, color);
    let node = matches!(arguments.verb, Verb::Up(_));
    let result = Context::new(output, dir, verbose, node)
        .and_then(|context| dispatch(arguments.verb, &context));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn dispatch(verb: Verb, context: &Context) -> Result<(), Failure> {
    match verb {
        Verb::Demo(verb) => verb.run(context),
        Verb::Run(verb) => verb.run(context),
        Verb::List(verb) => verb.run(context),
        Verb::Show(verb) => verb.run(context),
        Verb::Up(verb) => verb.run(context),
        Verb::Status(verb) => verb.run(context),
        Verb::Limit(verb) => verb.run(context),
        Verb::Gc(verb) => verb.run(context),
        Verb::Pin(verb) => verb.run(context),
        Verb::Unpin(verb) => verb.run(context),
        Verb::Mesh(verb) => verb.run(context),
        Verb::Key(verb) => verb.run(context),
        Verb::Release(verb) => verb.run(context),
        Verb::Bundle(verb) => verb.run(context),
        Verb::Trust(verb) => verb.run(context),
        Verb::Node(verb) => verb.run(context),
        Verb::Model(verb) => verb.run(context),
        Verb::Completions(verb) => verb.run(context),
        Verb::Version(verb) => verb.run(context),
    }
}

/// A command line that clap did not take, or one that only asks for help.
fn usage(error: &clap::Error, words: &[OsString]) -> ExitCode {
    let asked = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let json = words
        .iter()
        .skip(1)
        .take_while(|word| *word != "--")
        .any(|word| word == "--json");
    if asked || !json {
        // a closed pipe is no reason to complain
        let _ = error.print();
        return ExitCode::from(if asked {
            Exit::Done as u8
        } else {
            Exit::Usage as u8
        });
    }
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (mut what, mut why) = (Vec::new(), "");
    for line in lines {
        match line.strip_prefix("Usage: ") {
            Some(usage) => why = usage,
            None if why.is_empty() && !line.starts_with("For more information") => what.push(line),
            None => {}
        }
    }
    let what = what.join(" ").trim_start_matches("error: ").to_owned();
    let failure = Failure::new(Exit::Usage, what, why, "weft --help");
    Output::new(true, false, ColorChoice::Never).failure(&failure);
    ExitCode::from(Exit::Usage as u8)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example() {
        fn check(command: &clap::Command) {
            if command.has_subcommands() {
                command
                    .get_subcommands()
                    .filter(|sub| sub.get_name() != "help")
                    .for_each(check);
                return;
            }
            let after = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                after.contains("Example"),
                "`{}` has no example",
                command.get_name()
            );
        }
        check(&Arguments::command());
    }
}
