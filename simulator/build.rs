//! Names the commit that the program is built from.

use std::process::Command;

/// What a run's outcome depends on.
const WATCHED: [&str; 4] = [
    "simulator/src",
    "crates/weft-core",
    "crates/weft-record",
    "keys",
];

fn main() {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    let mut changed = vec!["status", "--porcelain", "--"];
    let places = WATCHED.map(|place| format!(":/{place}"));
    changed.extend(places.iter().map(String::as_str));
    let changed = git(&changed).is_some_and(|lines| !lines.is_empty());
    let name = match (commit, changed) {
        (Some(commit), false) => commit,
        (Some(commit), true) => commit + "+changes",
        (None, _) => "unknown".to_owned(),
    };
    println!("cargo:rustc-env=WEFT_SIM_COMMIT={name}");
    if let Some(head) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={head}");
    }
    for place in WATCHED {
        println!("cargo:rerun-if-changed=../{place}");
    }
}
