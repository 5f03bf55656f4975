//! Runs one target of `weft-fuzz-targets` under libFuzzer. The target is named by
//! the variable `WEFT_FUZZ_TARGET`, all arguments are libFuzzer's. With
//! `WEFT_FUZZ_SEEDS` it only writes the target's seeds into that folder.
#![no_main]

mod limit;

use std::{
    ffi::OsStr,
    fs, panic,
    path::Path,
    process,
    sync::{LazyLock, Mutex},
};

use libfuzzer_sys::fuzz_target;
use weft_fuzz_targets::{TARGETS, Target, target};

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("WEFT_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        panic!(
            "WEFT_FUZZ_TARGET is {name:?}, targets are {}",
            names.join(", ")
        )
    })
});

fuzz_target!(
    init: {
        if let Some(folder) = std::env::var_os("WEFT_FUZZ_SEEDS") {
            write_seeds(&folder);
            process::exit(0);
        }
        // what is built once is not charged to the first input
        for seed in (TARGET.seeds)() {
            (TARGET.run)(&seed);
        }
        remember_panics();
    },
    |input: &[u8]| {
        if input.len() <= TARGET.input_bytes {
            limit::start(TARGET.memory_bytes);
            let outcome = panic::catch_unwind(|| (TARGET.run)(input));
            limit::stop();
            if outcome.is_err() {
                eprintln!("{}", LAST_PANIC.lock().map_or(String::new(), |text| text.clone()));
                process::abort();
            }
        }
    }
);

/// libFuzzer's own hook aborts at once, also where a panic of a library is caught and
/// made an error. Only those that come out of a target are findings.
fn remember_panics() {
    panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = LAST_PANIC.lock() {
            *last = info.to_string();
        }
    }));
}

static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

fn write_seeds(folder: &OsStr) {
    for (number, seed) in (TARGET.seeds)().iter().enumerate() {
        let path = Path::new(folder).join(format!("seed-{number:02}"));
        fs::write(path, seed).expect("the folder can be written");
    }
}
