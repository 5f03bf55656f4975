//! The command's verbs over real processes: what one prints, another repeats.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

fn weft_sim(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weft-sim"))
        .args(words)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(folder: &Path, name: &str) -> serde_json::Value {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_one_line_of_a_report_replays_it_in_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let run = [
        "run",
        "rural-network",
        "--seed",
        "7",
        "--scale",
        "20%",
        "--set",
        "site.village.uplink=3 Mbit/s",
        "--json",
        "r.json",
    ];
    let output = weft_sim(folder.path(), &run);
    assert!(output.status.success(), "{}", told(&output));
    let report = json(folder.path(), "r.json");
    let line = report["head"]["replay"].as_str().unwrap();
    // as a shell takes it
    let binary = Path::new(env!("CARGO_BIN_EXE_weft-sim"));
    let path = format!(
        "{}:{}",
        binary.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let replayed = Command::new("sh")
        .args(["-c", line])
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(replayed.status.success(), "{line}: {}", told(&replayed));
    assert!(told(&replayed).contains("the trace hash is the expected one"));
    let wrong = [
        "replay",
        "rural-network",
        "--scale",
        "20%",
        "--expect",
        "00",
    ];
    let wrong = weft_sim(folder.path(), &wrong);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).starts_with("error: the trace hash is "));
}

#[test]
fn an_assert_that_does_not_hold_is_exit_code_one() {
    let folder = tempfile::tempdir().unwrap();
    let words = [
        "run",
        "clinic-chain",
        "--scale",
        "10%",
        "--set",
        "assert.1.by=1 min",
    ];
    let output = weft_sim(folder.path(), &words);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("DOES NOT HOLD"), "{}", told(&output));
}

#[test]
fn a_sweep_shows_what_a_key_changes() {
    let folder = tempfile::tempdir().unwrap();
    let words = [
        "sweep",
        "clinic-chain",
        "--scale",
        "10%",
        "--seeds",
        "2",
        "--set",
        "time_limit=12 h",
        "--set",
        "release.1.1.0.at=6 h",
        "--set",
        "site.clinic.uplink=2 Mbit/s,10 Mbit/s",
        "--json",
        "s.json",
        "--html",
        "s.html",
    ];
    let output = weft_sim(folder.path(), &words);
    assert!(output.status.success(), "{}", told(&output));
    let sweep = json(folder.path(), "s.json");
    let median = |point: usize| {
        let figures = sweep["points"][point]["figures"].as_array().unwrap();
        let half = figures
            .iter()
            .find(|one| one["name"] == "half run it after");
        half.unwrap()["spread"][1].as_u64().unwrap()
    };
    // five times the rate: between four and six times as fast
    let ratio = median(0) * 10 / median(1);
    assert!((40..=60).contains(&ratio), "{ratio}");
    let page = fs::read_to_string(folder.path().join("s.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("2 Mbit/s"));
}

#[test]
fn a_comparison_finds_a_difference_and_none_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let common = ["--scale", "10%", "--json", "c.json", "--html", "c.html"];
    let same = [&["compare", "stolen-key", "stolen-key"][..], &common[..]].concat();
    let output = weft_sim(folder.path(), &same);
    assert!(output.status.success(), "{}", told(&output));
    let found = json(folder.path(), "c.json");
    assert_eq!(found["seeds"], 20);
    for figure in found["figures"].as_array().unwrap() {
        assert_eq!(figure["difference"]["mean"], 0, "{figure}");
        assert_eq!(figure["difference"]["high"], 0, "{figure}");
    }
    let other = [
        &["compare", "stolen-key", "stolen-key"][..],
        &["--other-set", "site.branch.uplink=5 Mbit/s"][..],
        &common[..],
    ]
    .concat();
    let output = weft_sim(folder.path(), &other);
    assert!(output.status.success(), "{}", told(&output));
    let found = json(folder.path(), "c.json");
    let figures = found["figures"].as_array().unwrap();
    let half = figures
        .iter()
        .find(|one| one["name"] == "half run it after");
    assert!(
        half.unwrap()["difference"]["low"].as_i64().unwrap() > 0,
        "{half:?}"
    );
}

#[test]
fn ctrl_c_gives_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    // far more virtual time than any machine gets through at once
    let words = [
        "run",
        "rural-network",
        "--json",
        "r.json",
        "--set",
        "until=time-limit",
        "--set",
        "time_limit=365 d",
    ];
    let mut child = Command::new(env!("CARGO_BIN_EXE_weft-sim"))
        .args(words)
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // until it has begun to listen for the signal
    thread::sleep(Duration::from_secs(2));
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let limit = Instant::now() + Duration::from_mins(1);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < limit, "it does not end");
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(130));
    let report = json(folder.path(), "r.json");
    assert_eq!(report["head"]["partial"], true);
    assert!(report["head"]["virtual_us"].as_u64().unwrap() > 0);
}
