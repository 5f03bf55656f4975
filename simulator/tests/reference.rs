//! The documentation of the scenario format is that of the code.

use std::{collections::BTreeSet, fs, path::Path};

use weft_sim::scenario::{Scenario, Source, reference};

const BEGIN: &str = "<!-- reference -->\n";
const END: &str = "<!-- end reference -->\n";

#[test]
fn the_reference_in_the_documentation_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulator.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    if std::env::var_os("WEFT_TRANSCRIPTS").is_some_and(|value| value == "write") {
        let renewed = format!("{before}{BEGIN}{}{END}{after}", reference());
        fs::write(&path, renewed).unwrap();
        return;
    }
    assert_eq!(written, reference(), "WEFT_TRANSCRIPTS=write renews it");
}

/// The keys that a table of the reference names.
fn documented(table: &str) -> BTreeSet<String> {
    let text = reference();
    let title = match table {
        "" => "#### At the top of the file".to_owned(),
        "mesh" => "#### `[mesh]`".to_owned(),
        name => format!("#### `[[{name}]]`"),
    };
    let (_, rest) = text.split_once(&format!("{title}\n")).unwrap();
    let section = rest.split("####").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap().to_owned())
        .collect()
}

/// The keys that the reader takes there: it names them when it finds another.
fn accepted(table: &str) -> BTreeSet<String> {
    let text = match table {
        "" => "zzz = 1\n".to_owned(),
        "mesh" => "[mesh]\nzzz = 1\n".to_owned(),
        name => format!("[[{name}]]\nzzz = 1\n"),
    };
    let mistake = Scenario::read(Source {
        name: "it",
        text: &text,
    })
    .unwrap_err();
    let list = mistake.next.split("here go: ").nth(1).unwrap();
    list.trim_end_matches(')')
        .split(", ")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_key_is_documented_and_no_other() {
    for table in [
        "",
        "mesh",
        "site",
        "class",
        "release",
        "outage",
        "partition",
        "courier",
        "churn",
        "late",
        "adversary",
        "theft",
        "assert",
    ] {
        assert_eq!(documented(table), accepted(table), "table {table:?}");
    }
}
