//! `weft bundle wants`

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use weft_node::{Home, report::WantsReport};

use super::short;
use crate::{
    context::Context,
    failure::{Exit, Failure},
    output::written,
    refusals,
};

/// List what is here already, for who brings the rest.
///
/// Whoever writes a bundle for this site leaves that out, and a file that can be made from one
/// that is here comes as its difference.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  weft bundle wants > site.wants\n  weft bundle export stick.weft --for site.wants   (where the release is)"
)]
pub(crate) struct Wants {}

/// A list is for programs alone: it looks the same with and without --json.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let list = list(context, &context.home()?, None)?;
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &list).map_err(|error| written(&error.into()))?;
    writeln!(out).map_err(|error| written(&error))
}

/// What is here or, with a version, what a site that runs it has.
pub(super) fn list(
    context: &Context,
    home: &Home,
    version: Option<&str>,
) -> Result<WantsReport, Failure> {
    match home.running() {
        None => weft_node::wants_offline(home, version)
            .map_err(|error| refusals::export(context, &error)),
        Some(_) => context
            .client()?
            .wants(version)
            .map_err(|error| context.client_refused(&error)),
    }
}

pub(super) fn read(context: &Context, home: &Home, path: &Path) -> Result<WantsReport, Failure> {
    let failed =
        |error: &io::Error| Failure::file(format!("{} cannot be read", path.display()), error);
    let mut text = String::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(WANTS_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| failed(&error))?;
    let next = "weft bundle wants > LIST   (at the site that lacks the release)";
    let list: WantsReport = serde_json::from_str(&text).map_err(|error| {
        let what = format!("{} is no list of what a site has", path.display());
        Failure::new(Exit::Verification, what, error.to_string(), next)
    })?;
    if list.mesh_id != home.settings().mesh_id {
        let what = format!("{} is the list of another mesh", path.display());
        let why = format!(
            "it is of {}, this node is of {}",
            short(&list.mesh_id.to_string()),
            short(&home.settings().mesh_id.to_string())
        );
        return Err(Failure::new(
            Exit::Refused,
            what,
            why,
            context.command("status"),
        ));
    }
    Ok(list)
}

/// Longest list that is read: the chunks of a terabyte.
const WANTS_BYTES: u64 = 256 * 1024 * 1024;
