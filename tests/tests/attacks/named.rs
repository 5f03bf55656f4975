//! `docs/threat-model.md` names a test for every attack: each must exist.

use std::{fs, path::Path};

/// Names in the document look like `tests/tests/attacks/keys.rs::equivocation`.
fn named(text: &str) -> Vec<(String, String)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|quoted| quoted.split_once(".rs::"))
        .map(|(path, test)| (format!("{path}.rs"), test.to_owned()))
        .collect()
}

/// The tests of a source file: functions after `#[test]`, also inside `proptest!`.
fn tests_of(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut after_mark = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" {
            after_mark = true;
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| after_mark) {
            found.extend(rest.split('(').next().map(str::to_owned));
            after_mark = false;
        }
    }
    found
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("docs/threat-model.md")).unwrap();
    let named = named(&text);
    assert!(named.len() > 30, "only {} tests are named", named.len());
    for (path, test) in &named {
        let source = fs::read_to_string(root.join(path));
        let source = source.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(
            tests_of(&source).contains(test),
            "{path} has no test {test}"
        );
    }
    // and every attack of this suite is in the document
    let suite = root.join("tests/tests/attacks");
    for entry in fs::read_dir(suite).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        if file == "named.rs" {
            continue;
        }
        for test in tests_of(&fs::read_to_string(&path).unwrap()) {
            let is_named = named
                .iter()
                .any(|(path, name)| path.ends_with(&format!("attacks/{file}")) && *name == test);
            assert!(
                is_named,
                "docs/threat-model.md does not name {file}::{test}"
            );
        }
    }
}
