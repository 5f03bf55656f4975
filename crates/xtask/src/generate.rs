//! `cargo xtask gen`: files that are made from others.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::shell;

/// Writes, or with `check` compares.
pub(crate) fn run(check: bool) -> Result<ExitCode> {
    let mut current = true;
    for (path, content) in [("docs/reference.md", reference()?)] {
        if std::fs::read_to_string(path).is_ok_and(|old| old == content) {
            continue;
        }
        if check {
            println!("{path} is not what `cargo xtask gen` makes");
            current = false;
        } else {
            std::fs::write(path, content).with_context(|| format!("could not write {path}"))?;
            println!("wrote {path}");
        }
    }
    Ok(if current {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The command reference, from the command's own help.
fn reference() -> Result<String> {
    let weft = shell::weft()?;
    let weft = weft.to_str().context("a path that is not UTF-8")?;
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
