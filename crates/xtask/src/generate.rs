//! `cargo xtask gen`: files that are made from others.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};

use crate::shell;

/// Ends what a run prints, in the page of a scenario.
const RUN_ENDS: &str = "<!-- end run -->";

/// Writes, or with `check` compares.
pub(crate) fn run(check: bool) -> Result<ExitCode> {
    let mut current = true;
    let mut files = vec![(PathBuf::from("docs/reference.md"), reference()?)];
    files.extend(scenarios()?);
    for (path, content) in files {
        let told = path.display();
        if std::fs::read_to_string(&path).is_ok_and(|old| old == content) {
            continue;
        }
        if check {
            println!("{told} is not what `cargo xtask gen` makes");
            current = false;
        } else {
            std::fs::write(&path, content).with_context(|| format!("could not write {told}"))?;
            println!("wrote {told}");
        }
    }
    Ok(if current {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The pages of the ready scenarios, each with what a run of it prints today.
fn scenarios() -> Result<Vec<(PathBuf, String)>> {
    let simulator = shell::simulator()?;
    let simulator = shell::utf8(&simulator)?;
    let mut pages = Vec::new();
    for entry in std::fs::read_dir("docs/scenarios")? {
        let path = entry?.path();
        let page = std::fs::read_to_string(&path)?;
        let name = path.file_stem().and_then(|name| name.to_str());
        let name = name.context("a scenario without a name")?;
        let begin = format!("<!-- run {name} -->\n");
        let parts = page.split_once(&begin);
        let parts = parts.and_then(|(head, rest)| Some((head, rest.split_once(RUN_ENDS)?.1)));
        let (head, tail) = parts.with_context(|| format!("{name} has no place for a run"))?;
        let run = without_commit(&shell::output(simulator, &["run", name])?);
        let page = format!("{head}{begin}```text\n{run}```\n{RUN_ENDS}{tail}");
        pages.push((path.clone(), page));
    }
    Ok(pages)
}

/// The commit is that of whoever made the page, and differs with each.
fn without_commit(run: &str) -> String {
    let lines = run.lines().map(|line| {
        let around = line.split_once(", commit ");
        let around = around.and_then(|(head, rest)| Some((head, rest.split_once(", ")?.1)));
        around.map_or_else(|| line.to_owned(), |(head, tail)| format!("{head}, {tail}"))
    });
    lines.map(|line| line + "\n").collect()
}

/// The command reference, from the command's own help.
fn reference() -> Result<String> {
    let weft = shell::weft()?;
    let weft = shell::utf8(&weft)?;
    let mut page = String::from(
        "# Command reference\n\nMade by `cargo xtask gen` from `weft --help`; do not edit.\n",
    );
    let mut open = vec![Vec::<String>::new()];
    while !open.is_empty() {
        let verb = open.remove(0);
        let mut arguments: Vec<&str> = verb.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = shell::output(weft, &arguments)?;
        let name = ["weft".to_owned()]
            .iter()
            .chain(&verb)
            .cloned()
            .collect::<Vec<_>>()
            .join(" ");
        let help_text = plain(help.trim_end());
        page.extend(["\n## ", &name, "\n\n```text\n", &help_text, "\n```\n"]);
        for sub in subcommands(&help) {
            open.push([&verb[..], &[sub]].concat());
        }
    }
    Ok(page)
}

fn plain(help: &str) -> String {
    help.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Names under the heading "Commands:".
fn subcommands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}
