//! Couriers over real processes: a release spread over sticks, and one through a pipe.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};

use weft_tests::{Site, weft};

/// A mesh whose only node has the release, and no longer runs; a site without a network.
fn apart() -> Site {
    let site = Site::new();
    site.init("a");
    let node = site.up("a", &[]);
    site.publish("a", &site.pack("1.0.0")).expect(0);
    site.wait_active("a", "1.0.0");
    node.kill();
    site.join("island", "a", &[]);
    site
}

fn path(site: &Site, name: &str) -> String {
    site.path(name).to_str().unwrap().to_owned()
}

#[test]
fn two_sticks_bring_a_release_and_no_chunk_twice() {
    let site = apart();
    let [whole, first, second] = ["whole", "first", "second"].map(|name| path(&site, name));
    let told = |told: &serde_json::Value, field: &str| told[field].as_u64().unwrap();
    let all = site.json("a", &["bundle", "export", &whole]);
    assert_eq!(told(&all, "chunks_left"), 0, "{all}");
    let most = (told(&all, "bytes") * 2 / 3).to_string();
    let one = site.json("a", &["bundle", "export", &first, "--max-bytes", &most]);
    assert!(told(&one, "chunks_left") > 0, "{one}");
    assert!(one["bytes"].as_u64() <= most.parse().ok(), "{one}");
    let rest = ["bundle", "export", &second, "--without", &first];
    let two = site.json("a", &rest);
    assert_eq!(told(&two, "chunks"), told(&one, "chunks_left"), "{two}");
    assert_eq!(
        told(&one, "chunks") + told(&two, "chunks"),
        told(&all, "chunks")
    );
    // part of it is there, and stays; what is told says how it goes on
    let came = site.weft("island", &["bundle", "import", &first]).expect(7);
    let lines: Vec<&str> = came.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{}", came.stderr);
    assert!(lines[1].contains("bytes are here"), "{}", came.stderr);
    let taken = site.json("island", &["bundle", "import", &second]);
    assert_eq!(taken["channels"][0]["outcome"], "activated", "{taken}");
    assert_eq!(
        told(&taken, "chunks_taken"),
        told(&two, "chunks"),
        "{taken}"
    );
    let _island = site.up("island", &[]);
    site.wait_active("island", "1.0.0");
}

#[test]
fn a_stick_without_room_for_a_chunk_is_left_unwritten() {
    let site = apart();
    let stick = path(&site, "stick");
    let export = ["bundle", "export", &stick, "--max-bytes", "2kB"];
    let refused = site.weft("a", &export).expect(6);
    assert!(refused.stderr.contains("--max-bytes"), "{}", refused.stderr);
    assert!(!site.path("stick").exists());
}

#[test]
fn a_pipe_carries_what_the_stick_left() {
    let site = apart();
    let first = path(&site, "first");
    let whole = site.json("a", &["bundle", "export", &path(&site, "whole")]);
    let most = (whole["bytes"].as_u64().unwrap() / 2).to_string();
    site.json("a", &["bundle", "export", &first, "--max-bytes", &most]);
    site.weft("island", &["bundle", "import", &first]).expect(7);
    let mut export = Command::new(weft());
    export.arg("--dir").arg(site.path("a"));
    export.args(["bundle", "export", "-", "--without", &first]);
    let mut export = export.stdout(Stdio::piped()).spawn().unwrap();
    let mut import = Command::new(weft());
    import.arg("--dir").arg(site.path("island"));
    import.args(["--json", "bundle", "import", "-"]);
    let import = import
        .stdin(export.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(export.wait().unwrap().success());
    assert!(import.status.success(), "{import:?}");
    let _island = site.up("island", &[]);
    site.wait_active("island", "1.0.0");
}
