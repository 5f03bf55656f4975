//! Replays every input that the fuzzer kept: what must hold for any input holds for
//! these, also where nobody fuzzes.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use weft_fuzz_targets::{TARGETS, target};

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// Names the input when it fails: nothing else tells which one it was.
struct Named(PathBuf);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}

fn replay(name: &str) {
    let target = target(name).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(corpora().join(name)).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        let _named = Named(path);
        (target.run)(&input);
        count += 1;
    }
    assert!(count > 0, "the corpus of {name} is empty");
    for seed in (target.seeds)() {
        (target.run)(&seed);
    }
}

macro_rules! replays {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed() {
            let replayed = BTreeSet::from([$(stringify!($name)),*]);
            let all: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(replayed, all);
        }
    };
}

replays!(
    body,
    bundle,
    chunk_map,
    config,
    control,
    delta,
    envelope,
    gguf,
    keys,
    safetensors,
    template,
    text,
    tokenizer,
    vocabulary,
);
