//! The cases of TUF's client conformance suite, as far as they apply, as tables: what a
//! verifier is shown step by step, and what it must say.
//!
//! `cases.json` holds the cases, `not-applicable.json` those that have no meaning here, each
//! with its reason. A step's fields are explained where they are read.
#![allow(clippy::unwrap_used)]

// the mesh and its keys that the verifier's own tests use; not all of them are needed here
#[allow(dead_code)]
#[path = "../../../crates/weft-record/tests/records/mesh.rs"]
mod mesh;

mod steps;

use std::collections::BTreeSet;

use serde_json::Value;
use steps::Table;

const CASES: &str = include_str!("cases.json");
const NOT_APPLICABLE: &str = include_str!("not-applicable.json");

fn rows(text: &str) -> Vec<Value> {
    let value: Value = serde_json::from_str(text).unwrap();
    value.as_array().unwrap().clone()
}

#[test]
fn every_case_ends_as_it_says() {
    for case in rows(CASES) {
        let mut table = Table::new(case["name"].as_str().unwrap());
        for step in case["steps"].as_array().unwrap() {
            table.take(step);
        }
        table.end();
    }
}

#[test]
fn every_case_says_what_it_is_like_and_has_a_name_of_its_own() {
    let cases = rows(CASES);
    assert!(cases.len() >= 40, "only {} cases", cases.len());
    let names: BTreeSet<&str> = cases
        .iter()
        .map(|case| case["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), cases.len());
    for case in &cases {
        assert!(case["like"].is_string(), "{case}");
        assert!(!case["steps"].as_array().unwrap().is_empty(), "{case}");
    }
    for case in rows(NOT_APPLICABLE) {
        assert!(
            case["like"].is_string() && case["because"].is_string(),
            "{case}"
        );
    }
}

#[test]
fn a_case_that_expects_something_else_fails() {
    let wrong = serde_json::json!({ "root": { "signed_by": [1] }, "expect": "new" });
    let outcome = std::panic::catch_unwind(|| Table::new("wrong").take(&wrong));
    assert!(outcome.is_err());
}
