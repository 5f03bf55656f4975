//! Couriers over real processes: a release spread over sticks, and one through a pipe.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::Write as _,
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;
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

fn told(told: &Value, field: &str) -> u64 {
    told[field]
        .as_u64()
        .unwrap_or_else(|| panic!("no {field}: {told}"))
}

/// Has a node take this in through a pipe that ends after it.
fn import_bytes(site: &Site, home: &str, flags: &[&str], bytes: &[u8]) -> Output {
    let mut import = Command::new(weft());
    import.arg("--dir").arg(site.path(home)).args(flags);
    import.args(["bundle", "import", "-"]);
    import
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut import = import.spawn().unwrap();
    let mut pipe = import.stdin.take().unwrap();
    // it may have seen enough before the end
    let _ = pipe.write_all(bytes);
    drop(pipe);
    import.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

#[test]
fn two_sticks_bring_a_release_and_no_chunk_twice() {
    let site = apart();
    let [whole, first, second] = ["whole", "first", "second"].map(|name| path(&site, name));
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

#[test]
fn a_site_that_has_the_base_is_brought_the_delta_alone() {
    let site = apart();
    let (before, whole) = (path(&site, "before"), path(&site, "whole"));
    site.json("a", &["bundle", "export", &before]);
    site.json("island", &["bundle", "import", &before]);
    // what the site has travels as a list
    let list = site.weft("island", &["bundle", "wants"]).expect(0).stdout;
    fs::write(site.path("island.wants"), &list).unwrap();
    let node = site.up("a", &[]);
    let update = site.pack_on("1.1.0", &path(&site, "1.0.0.weft"));
    site.publish("a", &update).expect(0);
    site.wait_active("a", "1.1.0");
    let all = site.json("a", &["bundle", "export", &whole]);
    let stick = path(&site, "for-island");
    let wants = path(&site, "island.wants");
    let export = ["bundle", "export", &stick, "--for", &wants];
    let part = site.json("a", &export);
    assert!(
        told(&part, "bytes") * 2 < told(&all, "bytes"),
        "{part} {all}"
    );
    // a node that runs the version has the same
    let again = path(&site, "for-any-with-the-base");
    let export = ["bundle", "export", &again, "--delta-from", "1.0.0"];
    let same = site.json("a", &export);
    assert_eq!(
        told(&same, "chunks"),
        told(&part, "chunks"),
        "{same} {part}"
    );
    node.kill();
    let taken = site.json("island", &["bundle", "import", &stick]);
    assert_eq!(taken["channels"][0]["outcome"], "activated", "{taken}");
    assert_eq!(
        told(&taken, "chunks_taken"),
        told(&part, "chunks"),
        "{taken}"
    );
    let _island = site.up("island", &[]);
    site.wait_active("island", "1.1.0");
}

#[test]
fn a_list_that_is_none_or_of_another_mesh_is_refused() {
    let site = apart();
    site.init("elsewhere");
    let list = site
        .weft("elsewhere", &["bundle", "wants"])
        .expect(0)
        .stdout;
    fs::write(site.path("other.wants"), &list).unwrap();
    fs::write(site.path("no.wants"), "{\"schema\":1}").unwrap();
    let stick = path(&site, "stick");
    for (name, exit) in [("other.wants", 6), ("no.wants", 5), ("missing.wants", 4)] {
        let wants = path(&site, name);
        let export = ["bundle", "export", &stick, "--for", &wants];
        let refused = site.weft("a", &export).expect(exit);
        assert_eq!(refused.stderr.lines().count(), 3, "{}", refused.stderr);
    }
    let export = ["bundle", "export", &stick, "--delta-from", "0.9.0"];
    let refused = site.weft("a", &export).expect(4);
    assert!(refused.stderr.contains("0.9.0"), "{}", refused.stderr);
    assert!(!site.path("stick").exists());
}

#[test]
fn a_pipe_that_breaks_off_leaves_what_was_verified() {
    for runs in [false, true] {
        let site = apart();
        let whole = path(&site, "whole");
        site.json("a", &["bundle", "export", &whole]);
        let bytes = fs::read(&whole).unwrap();
        let node = runs.then(|| site.up("island", &[]));
        let broken = import_bytes(&site, "island", &[], &bytes[..bytes.len() * 2 / 3]);
        let said = String::from_utf8_lossy(&broken.stderr);
        assert_eq!(code(&broken), 7, "{said}");
        assert!(
            said.contains("breaks off") && said.contains("bytes are here"),
            "{said}"
        );
        let rest = import_bytes(&site, "island", &["--json"], &bytes);
        assert_eq!(code(&rest), 0, "{rest:?}");
        let taken: Value = serde_json::from_slice(&rest.stdout).unwrap();
        let total = bytes.len() as u64;
        assert!(told(&taken, "bytes_taken") < total / 2, "{taken}");
        assert_eq!(taken["channels"][0]["outcome"], "activated", "{taken}");
        drop(node);
    }
}

#[test]
fn a_pipe_of_something_else_is_refused_in_three_lines() {
    let site = apart();
    for (bytes, exit) in [
        (&b""[..], 7),
        (b"no bundle at all, and longer than its head", 5),
    ] {
        let ended = import_bytes(&site, "island", &[], bytes);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(code(&ended), exit, "{said}");
        assert_eq!(said.lines().count(), 3, "{said}");
    }
}

#[test]
fn a_slow_pipe_is_taken_in_while_it_comes() {
    let site = apart();
    let whole = path(&site, "whole");
    site.json("a", &["bundle", "export", &whole]);
    let bytes = fs::read(&whole).unwrap();
    let node = site.up("island", &[]);
    let mut import = Command::new(weft());
    import.arg("--dir").arg(site.path("island"));
    import.args(["--json", "bundle", "import", "-"]);
    let import = import.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut import = import.spawn().unwrap();
    let mut pipe = import.stdin.take().unwrap();
    let (front, rest) = bytes.split_at(bytes.len() / 2);
    pipe.write_all(front).unwrap();
    let held = |status: &Value| status["channels"][0]["fetch"]["bytes_held"].as_u64();
    // what has come is here before the rest comes
    site.wait("island", "half of it", |status| {
        held(status).is_some_and(|held| held > front.len() as u64 / 2)
    });
    thread::sleep(Duration::from_secs(3));
    pipe.write_all(rest).unwrap();
    drop(pipe);
    let ended = import.wait_with_output().unwrap();
    assert_eq!(code(&ended), 0, "{ended:?}");
    site.wait_active("island", "1.0.0");
    let left = fs::read_dir(site.path("island")).unwrap();
    let mut names = left.map(|entry| entry.unwrap().file_name());
    assert!(!names.any(|name| name.to_string_lossy().starts_with(".import")));
    drop(node);
}

#[test]
fn a_courier_is_expected_over_a_restart_and_cancelled() {
    let site = apart();
    let expect = |flags: &[&str]| {
        let told = site.json("island", &[&["bundle", "expect"], flags].concat());
        told["couriers"].clone()
    };
    let refused = site
        .weft("island", &["bundle", "expect", "--in", "6h"])
        .expect(3);
    assert_eq!(refused.stderr.lines().count(), 3, "{}", refused.stderr);
    let island = site.up("island", &[]);
    assert_eq!(expect(&[]), serde_json::json!([]));
    let couriers = expect(&["--in", "6h"]);
    assert_eq!(couriers[0]["channel"], "stable", "{couriers}");
    let in_s = couriers[0]["in_s"].as_u64().unwrap();
    assert!((6 * 3_600 - 60..=6 * 3_600).contains(&in_s), "{couriers}");
    let other = ["bundle", "expect", "--in", "6h", "--channel", "other"];
    let refused = site.weft("island", &other).expect(4);
    assert_eq!(refused.stderr.lines().count(), 3, "{}", refused.stderr);
    site.weft("island", &["bundle", "expect", "--in", "31d"])
        .expect(6);
    site.weft("island", &["bundle", "expect", "--in", "soon"])
        .expect(2);
    drop(island);
    let island = site.up("island", &[]);
    let kept = expect(&[]);
    assert!(kept[0]["in_s"].as_u64().unwrap() <= in_s, "{kept}");
    assert_eq!(expect(&["--cancel"]), serde_json::json!([]));
    drop(island);
    let _island = site.up("island", &[]);
    assert_eq!(expect(&[]), serde_json::json!([]));
}

#[test]
fn what_a_courier_brings_while_the_network_brings_it_comes_once() {
    let site = Site::new();
    site.init("a");
    let source = site.up("a", &[]);
    site.publish("a", &site.pack("1.0.0")).expect(0);
    site.wait_active("a", "1.0.0");
    let whole = path(&site, "whole");
    site.json("a", &["bundle", "export", &whole]);
    site.join("b", "a", &[site.address("a")]);
    // a third of it would take longer than the test waits for anything
    let node = site.up("b", &["--lan-fetch-cap", "20kB/s"]);
    site.weft("b", &["bundle", "expect", "--in", "1h"])
        .expect(0);
    let fetch = |status: &Value| status["channels"][0]["fetch"].clone();
    let status = site.wait("b", "some of it over the network", |status| {
        fetch(status)["bytes_held"].as_u64() > Some(100_000)
    });
    let before = told(&fetch(&status), "bytes_held");
    assert!(
        before * 2 < told(&fetch(&status), "bytes_total"),
        "{status}"
    );
    let taken = site.json("b", &["bundle", "import", &whole]);
    assert_eq!(taken["channels"][0]["outcome"], "activated", "{taken}");
    let status = site.wait_active("b", "1.0.0");
    let (total, fetch) = (told(&fetch(&status), "bytes_total"), fetch(&status));
    assert_eq!(told(&fetch, "bytes_held"), total, "{fetch}");
    assert_eq!(
        told(&fetch, "bytes_fetched"),
        total,
        "a chunk came twice: {fetch}"
    );
    assert_eq!(told(&fetch, "bytes_duplicate"), 0, "{fetch}");
    assert!(told(&taken, "bytes_taken") <= total - before, "{taken}");
    assert!(told(&taken, "bytes_taken") > 0, "{taken}");
    // the courier has come
    let expected = site.json("b", &["bundle", "expect"]);
    assert_eq!(expected["couriers"], serde_json::json!([]));
    drop((source, node));
}
