//! Making room by hand, over real processes: what goes, what stays, and what answers after.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use serde_json::Value;
use weft_tests::Site;

/// Versions that went, or would, and those that stay with why; sorted by version.
fn versions(rows: &Value) -> Vec<(String, Vec<String>)> {
    let row = |row: &Value| {
        let version = row["release"]["version"].as_str().unwrap_or("?").to_owned();
        let why = row["kept"].as_array().unwrap().iter();
        let why = why.map(|why| why["because"].as_str().unwrap().to_owned());
        (version, why.collect())
    };
    let mut rows: Vec<(String, Vec<String>)> = rows.as_array().unwrap().iter().map(row).collect();
    rows.sort();
    rows
}

fn went(rows: &Value) -> Vec<String> {
    versions(rows)
        .into_iter()
        .map(|(version, _)| version)
        .collect()
}

/// Bytes of all files of models in a node's store.
fn bytes_on_disk(site: &Site, home: &str) -> u64 {
    fn of(folder: &Path) -> u64 {
        let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        let bytes = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
            found if found.is_dir() => of(&entry.path()),
            found => found.len(),
        };
        entries.map(bytes).sum()
    }
    of(&site.path(home).join("store/files"))
}

fn answers(site: &Site, home: &str) {
    let answer = site.weft(home, &["run", "incident", "FAN-7 vib 9mm/s>4"]);
    assert!(answer.expect(0).stdout.contains("component="));
}

fn why(kept: &[&str]) -> Vec<String> {
    kept.iter().map(ToString::to_string).collect()
}

#[test]
fn what_nothing_needs_goes_and_what_is_needed_stays() {
    let site = Site::new();
    site.init("a");
    let _first = site.up("a", &[]);
    site.join("b", "a", &[site.address("a")]);
    let second = site.up("b", &[]);
    let mut bundles = Vec::new();
    for (version, of, quantization) in [
        ("1.0.0", "1.0.0", "q8_0"),
        ("1.1.0", "1.1.0", "q8_0"),
        ("1.2.0", "1.0.0", "q4_0"),
        ("1.3.0", "1.1.0", "q4_0"),
    ] {
        let bundle = site.pack_as(version, of, quantization);
        site.publish("a", &bundle).expect(0);
        site.wait_active("b", version);
        bundles.push(bundle);
    }
    let all_bytes = bytes_on_disk(&site, "b");

    // what would go, in words and for programs; nothing goes
    let told = site.weft("b", &["gc", "--dry-run"]).expect(0).stdout;
    for part in ["would go", "last used", "stay", "can go back to it"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    site.json("b", &["pin", "incident@1.0.0"]);
    let would = site.json("b", &["gc", "--dry-run"]);
    assert_eq!(went(&would["goes"]), ["1.1.0"], "{would}");
    let stays = versions(&would["stays"]);
    let expected = [
        ("1.0.0".to_owned(), why(&["pinned"])),
        ("1.2.0".to_owned(), why(&["previous"])),
        ("1.3.0".to_owned(), why(&["active"])),
    ];
    assert_eq!(stays, expected, "{would}");
    assert_eq!(bytes_on_disk(&site, "b"), all_bytes);

    // it goes, and only that
    let collected = site.json("b", &["gc"]);
    assert_eq!(went(&collected["goes"]), ["1.1.0"]);
    assert_eq!(collected["bytes"], would["bytes"]);
    let freed = collected["bytes"].as_u64().unwrap();
    assert!(freed > 1_000_000);
    assert_eq!(bytes_on_disk(&site, "b"), all_bytes - freed);
    answers(&site, "b");

    // a pin outlasts the process, and is shown
    second.kill();
    let listed = site.json("b", &["list"]);
    let pinned = |listed: &Value, version: &str| {
        let mut rows = listed["releases"].as_array().unwrap().iter();
        let row = rows.find(|row| row["version"] == version).unwrap();
        row["pinned"].clone()
    };
    assert_eq!(pinned(&listed, "1.0.0"), "command");
    assert!(pinned(&listed, "1.1.0").is_null());
    let second = site.up("b", &[]);
    let status = site.wait_active("b", "1.3.0");
    assert_eq!(status["pins"][0]["named"]["version"], "1.0.0");
    assert_eq!(site.json("b", &["gc"])["files"], 0);

    // what could be gone back to is here: going back fetches nothing
    site.publish("a", &bundles[2]).expect(0);
    let status = site.wait_active("b", "1.2.0");
    let fetch = &status["channels"][0]["fetch"];
    assert_eq!(fetch["bytes_fetched"].as_u64().unwrap_or(0), 0, "{status}");
    answers(&site, "b");

    // while it is down the same holds
    second.kill();
    site.json("b", &["unpin", "incident@1.0.0"]);
    let would = site.json("b", &["gc", "-n"]);
    assert_eq!(went(&would["goes"]), ["1.0.0"], "{would}");
    assert_eq!(went(&site.json("b", &["gc"])["goes"]), ["1.0.0"]);
    let _second = site.up("b", &[]);
    site.wait_active("b", "1.2.0");
    answers(&site, "b");
}

#[test]
fn what_cannot_be_done_says_so() {
    let site = Site::new();
    site.init("a");
    let check = |home: &str, words: &[&str], code: i32, part: &str| {
        let ended = site.weft(home, words).expect(code);
        assert!(ended.stderr.contains(part), "{words:?}: {}", ended.stderr);
    };
    let unknown = "ab".repeat(32);
    for is_up in [false, true] {
        let _node = is_up.then(|| site.up("a", &[]));
        if !is_up {
            assert_eq!(site.json("a", &["gc"])["files"], 0);
        }
        check(
            "a",
            &["pin", "incident"],
            4,
            "there is no release `incident`",
        );
        check("a", &["unpin", &unknown], 4, "is not pinned");
        check(
            "a",
            &["gc", "--keep-free", "9000TB"],
            8,
            "free, not 9000 TB",
        );
        check("a", &["gc", "--older-than", "soon"], 2, "such as 7d");
    }
    check("nowhere", &["gc"], 4, "there is no node");

    // what node.toml pins only its owner unpins
    site.publish("a", &site.pack("1.0.0")).expect(0);
    let listed = site.json("a", &["list"]);
    let id = listed["releases"][0]["release"].as_str().unwrap();
    let settings = site.path("a").join("node.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let pinned = text.replace("pinned = []", &format!("pinned = [\"{id}\"]"));
    assert_ne!(text, pinned);
    std::fs::write(&settings, pinned).unwrap();
    check("a", &["unpin", "incident"], 6, "node.toml");
    let told = site.weft("a", &["pin"]).expect(0).stdout;
    assert!(told.contains("node.toml"), "{told}");
    let _node = site.up("a", &[]);
    check("a", &["unpin", "incident"], 6, "node.toml");
    let stays = site.json("a", &["gc", "--dry-run"])["stays"].clone();
    let why = &versions(&stays)[0].1;
    assert_eq!(why, &["active", "pinned"], "{stays}");
}
