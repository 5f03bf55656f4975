//! The scenarios that come with the program: each holds what it asserts, and the same
//! seed gives the same events.

use std::{fs, path::Path};

use weft_sim::{
    Options, rehearse,
    report::{Report, page},
    scenario::{READY, Scenario, Share, Source},
};

fn run(name: &str, scale: Share) -> Report {
    let ready = weft_sim::scenario::ready(name).unwrap();
    let source = Source {
        name,
        text: ready.text,
    };
    let scenario = Scenario::read(source).unwrap();
    let options = Options {
        seed: scenario.seed,
        scale,
        is_one_of_many: false,
    };
    rehearse(&scenario, options, &mut |_| true).unwrap()
}

/// Large ones at a part of their size.
fn scale_of(name: &str) -> Share {
    match name {
        "factory-floor" => Share { ppm: 200_000 },
        _ => Share::ALL,
    }
}

#[test]
fn every_ready_scenario_holds_and_has_its_page() {
    for ready in READY {
        let report = run(ready.name, scale_of(ready.name));
        assert!(!report.asserts.is_empty(), "{}", ready.name);
        for assert in &report.asserts {
            assert!(assert.holds, "{}: {assert:?}", ready.name);
        }
        assert!(!report.head.partial);
        assert!(page(&report).len() < 2 << 20, "{}", ready.name);
        let text = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs/scenarios")
            .join(format!("{}.md", ready.name));
        let text = fs::read_to_string(text).unwrap();
        assert!(text.contains(&format!("weft-sim run {}", ready.name)));
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_gives_another() {
    let tenth = Share { ppm: 100_000 };
    let one = run("hostile-peers", tenth);
    let two = run("hostile-peers", tenth);
    assert_eq!(one.json(), two.json());
    let text = weft_sim::scenario::ready("hostile-peers").unwrap().text;
    let scenario = Scenario::read(Source { name: "it", text }).unwrap();
    let options = Options {
        seed: 2,
        scale: tenth,
        is_one_of_many: false,
    };
    let other = rehearse(&scenario, options, &mut |_| true).unwrap();
    assert_ne!(other.head.trace_hash, one.head.trace_hash);
}

#[test]
fn an_interrupted_run_says_so() {
    let text = weft_sim::scenario::ready("stolen-key").unwrap().text;
    let scenario = Scenario::read(Source { name: "it", text }).unwrap();
    let options = Options {
        seed: 1,
        scale: Share { ppm: 100_000 },
        is_one_of_many: false,
    };
    let mut looks = 0;
    let report = rehearse(&scenario, options, &mut |_| {
        looks += 1;
        looks < 10
    })
    .unwrap();
    assert!(report.head.partial);
    assert!(
        report.answer[0].starts_with("This run was interrupted"),
        "{:?}",
        report.answer
    );
    assert!(page(&report).contains("This run was interrupted"));
}
