//! Runs that once broke a promise, made small and kept: they hold now, and must go on to.

use weft_sim::{
    fuzz::{self, Action, Script},
    shrink::{Budget, shrink},
};

fn scripts() -> Vec<(String, Script)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/regressions");
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let read = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let script = Script::from_toml(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, script)
    });
    read.collect()
}

#[test]
fn what_was_mended_stays_mended() {
    let scripts = scripts();
    assert!(!scripts.is_empty());
    for (name, script) in scripts {
        let verdict = fuzz::play(&script);
        assert!(verdict.violations.is_empty(), "{name}: {verdict:?}");
    }
}

#[test]
fn a_script_says_itself_again_and_plays_alike() {
    for seed in [1, 2, 3, 77, i64::MAX as u64] {
        let script = Script::draw(seed);
        let again = Script::from_toml(&script.to_toml().unwrap()).unwrap();
        assert_eq!(again, script);
        assert_eq!(fuzz::play(&again).hash, fuzz::run(seed).hash);
    }
}

#[test]
fn a_script_that_makes_no_mesh_is_refused_with_its_reason() {
    let script = Script {
        threshold: 1,
        ..Script::draw(1)
    };
    let text = script.to_toml().unwrap();
    let broken = [
        ("threshold = 1", "threshold = 9", "threshold 9"),
        (
            "chunk_bytes = 65536",
            "chunk_bytes = 0",
            "chunks of 0 bytes",
        ),
        ("[[node]]\nsite = 0", "[[node]]\nsite = 70", "site 70"),
        ("role = \"honest\"", "role = \"spy\"", "the first node"),
        ("seed = 1", "seed = 1\nsede = 2", "sede"),
    ];
    for (held, put, reason) in broken {
        assert!(text.contains(held), "{held}");
        let error = Script::from_toml(&text.replacen(held, put, 1)).unwrap_err();
        assert!(error.to_string().contains(reason), "{put}: {error}");
    }
}

/// Whatever is left out of a script, it can still be played: else it could not be shrunk.
#[test]
fn half_of_a_script_can_be_played() {
    for seed in 0..6 {
        let mut script = Script::draw(seed);
        script.nodes.truncate(5);
        script.links.retain(|(a, b)| *a.max(b) < 5);
        let mut place = 0;
        script.faults.retain(|_| {
            place += 1;
            place % 2 == seed as usize % 2
        });
        let verdict = fuzz::play(&script);
        let panics = |checker: &str| checker == "panic";
        let mut found = verdict.violations.iter();
        assert!(
            !found.any(|one| panics(one.checker)),
            "seed {seed}: {verdict:?}"
        );
    }
}

#[test]
fn a_run_that_holds_is_not_made_smaller() {
    let mut script = Script::draw(5);
    script
        .faults
        .retain(|fault| matches!(fault.action, Action::Publish { .. }));
    assert!(shrink(&script, Budget::default()).is_none());
}
