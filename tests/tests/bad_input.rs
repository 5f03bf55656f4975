//! Bad input over real processes: each is refused in three lines with its exit code,
//! and whatever was there before still answers.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::Duration,
};

use weft_tests::{Ended, Node, Site, active, asset};

/// What the command said: this exit code, and what, why and next.
fn refused(ended: Ended, code: i32, says: &str) {
    let text = ended.expect(code).stderr;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (line, begins) in lines.iter().zip(["error: ", "  why: ", "  next: "]) {
        assert!(
            line.strip_prefix(begins)
                .is_some_and(|rest| !rest.is_empty()),
            "{text}"
        );
    }
    assert!(text.contains(says), "`{says}` is not in:\n{text}");
}

/// A mesh of one node that answers from 1.0.0.
fn answering(site: &Site) -> Node {
    site.init("a");
    let node = site.up("a", &[]);
    site.publish("a", &site.pack("1.0.0")).expect(0);
    site.wait_active("a", "1.0.0");
    node
}

/// The node still answers from the version it had.
fn still_answers(site: &Site, home: &str, version: &str) {
    let status = site.status(home).unwrap();
    assert_eq!(active(&status), version, "{status}");
    let answer = site.weft(home, &["run", "incident", "FAN-7 vib 9mm/s>4"]);
    assert!(answer.expect(0).stdout.contains("component="));
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Exports what the node has; the bundle's path.
fn exported(site: &Site, home: &str, name: &str) -> String {
    let bundle = text(&site.path(name));
    site.json(home, &["bundle", "export", &bundle]);
    bundle
}

#[test]
fn a_bundle_with_a_changed_chunk_is_refused_and_the_whole_one_still_goes_in() {
    let site = Site::new();
    let _node = answering(&site);
    let whole = exported(&site, "a", "whole.weft");
    let changed = text(&site.path("changed.weft"));
    let mut bytes = fs::read(&whole).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&changed, bytes).unwrap();
    // a running node, one that does not run, and no node at all
    let import = ["bundle", "import", &changed];
    refused(
        site.weft("a", &import),
        5,
        "is not the one that its hash names",
    );
    still_answers(&site, "a", "1.0.0");
    site.join("island", "a", &[]);
    refused(
        site.weft("island", &import),
        5,
        "is not the one that its hash names",
    );
    refused(
        site.weft("none", &["release", "inspect", &changed]),
        5,
        "is not a whole bundle",
    );
    site.json("island", &["bundle", "import", &whole]);
    let _island = site.up("island", &[]);
    site.wait_active("island", "1.0.0");
}

/// A port that was free a moment ago: a node that comes back must be where it was.
fn free_port() -> u16 {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    taken.local_addr().unwrap().port()
}

#[test]
fn chunks_that_rotted_at_a_peer_are_refused_and_come_from_another() {
    let site = Site::new();
    site.init("a");
    let listen = format!("/ip4/127.0.0.1/tcp/{}", free_port());
    let first = site.up("a", &["--listen", &listen]);
    let honest = site.address("a");
    site.join("b", "a", std::slice::from_ref(&honest));
    let _second = site.up("b", &[]);
    site.wait_member("b");
    // it is enrolled while the admin's node is there, and learns of nothing yet
    site.join("c", "a", &[site.address("b"), honest]);
    let third = site.up("c", &[]);
    site.wait_member("c");
    third.kill();
    site.publish("a", &site.pack("1.0.0")).expect(0);
    let status = site.wait_active("b", "1.0.0");
    let total = status["channels"][0]["fetch"]["bytes_total"].clone();
    first.kill();
    rot(&site.path("b").join("store").join("files"));
    let _third = site.up("c", &[]);
    // the only peer has every chunk, some of them changed
    site.wait("c", "some chunks came from the peer", |status| {
        let refusals = site.status("b").unwrap()["chunks_corrupt"]
            .as_u64()
            .unwrap_or(0)
            + status["chunks_corrupt"].as_u64().unwrap_or(0);
        refusals > 0
    });
    let log = fs::read_to_string(site.path("c.log")).unwrap()
        + &fs::read_to_string(site.path("b.log")).unwrap();
    assert!(log.contains("ChunkCorrupt"), "nobody named the chunk");
    assert_eq!(active(&site.status("c").unwrap()), "");
    let _first = site.up("a", &["--listen", &listen]);
    let status = site.wait_active("c", "1.0.0");
    let fetch = &status["channels"][0]["fetch"];
    assert_eq!(fetch["bytes_held"], total, "{fetch}");
    still_answers(&site, "c", "1.0.0");
}

/// Changes one byte in the middle of every model file, in place.
fn rot(files: &Path) {
    let mut rotted = 0;
    for folder in fs::read_dir(files).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let middle = fs::metadata(&path).unwrap().len() / 2;
            let byte = fs::read(&path).unwrap()[usize::try_from(middle).unwrap()];
            let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.seek(SeekFrom::Start(middle)).unwrap();
            file.write_all(&[byte ^ 0x55]).unwrap();
            rotted += 1;
        }
    }
    assert!(rotted > 0, "no model file in {}", files.display());
}

#[test]
fn a_changed_record_is_refused_though_its_bundle_is_whole() {
    let site = Site::new();
    let _node = answering(&site);
    let whole = exported(&site, "a", "whole.weft");
    // the frames and their sums are right, the release is not what was signed
    let changed = bundle::rewrite_signed(&whole, |release| release.counter += 1);
    site.join("island", "a", &[]);
    for home in ["a", "island"] {
        refused(
            site.weft(home, &["bundle", "import", &changed]),
            5,
            "was not taken in",
        );
    }
    still_answers(&site, "a", "1.0.0");
    let listed = site.json("island", &["list"]);
    assert_eq!(listed["releases"].as_array().unwrap().len(), 0, "{listed}");
    site.json("island", &["bundle", "import", &whole]);
    let _island = site.up("island", &[]);
    site.wait_active("island", "1.0.0");
}

#[test]
fn a_node_of_another_mesh_gets_nothing() {
    let site = Site::new();
    let _node = answering(&site);
    site.init("other");
    let bundle = exported(&site, "a", "a.weft");
    site.join("b", "other", &[site.address("a")]);
    let import = ["bundle", "import", &bundle];
    refused(site.weft("b", &import), 5, "this node belongs to mesh");
    let stranger = site.up("b", &[]);
    refused(site.weft("b", &import), 5, "this node belongs to mesh");
    // time for several dials and digests: a member's first chunk takes far less
    std::thread::sleep(Duration::from_secs(4));
    for home in ["a", "b"] {
        assert_eq!(site.status(home).unwrap()["members"], 0, "{home}");
    }
    refused(
        site.weft("b", &["run", "incident", "hello"]),
        4,
        "`incident` is not active",
    );
    stranger.kill();
    assert_eq!(site.json("b", &["list"])["releases"], serde_json::json!([]));
    still_answers(&site, "a", "1.0.0");
}

/// Model files that lie about their length are packed by nobody.
fn not_packed(site: &Site, source: &Path, says: &str) {
    let (source, out) = (text(source), site.path("bad.weft"));
    let out_text = text(&out);
    let words = ["--name", "incident", "--version", "2.0.0", "--out"];
    let pack = [&["release", "pack", &source][..], &words, &[&out_text]].concat();
    refused(site.weft("none", &pack), 5, says);
    assert!(!out.exists());
    refused(site.weft("none", &["model", "inspect", &source]), 5, says);
    let logits = ["model", "logits", &source, "--tokens", "1,2"];
    refused(site.weft("none", &logits), 5, says);
}

#[test]
fn a_truncated_gguf_is_packed_by_nobody() {
    let site = Site::new();
    let _node = answering(&site);
    let model = site.path("model.gguf");
    let words = [&text(&asset("1.0.0")), &text(&model), "--to", "q8_0"];
    site.json("none", &[&["model", "quantize"][..], &words].concat());
    let whole = fs::read(&model).unwrap();
    // in the weights, in the header, in the magic
    for length in [whole.len() - 1, 200, 3] {
        fs::write(&model, &whole[..length]).unwrap();
        not_packed(&site, &model, "model.gguf");
    }
    fs::write(&model, &whole[..whole.len() / 2]).unwrap();
    not_packed(&site, &model, "truncated");
    still_answers(&site, "a", "1.0.0");
}

#[test]
fn a_safetensors_header_that_lies_is_packed_by_nobody() {
    let site = Site::new();
    let _node = answering(&site);
    let model = site.path("model");
    fs::create_dir(&model).unwrap();
    for entry in fs::read_dir(asset("1.0.0")).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
    }
    let weights = model.join("model.safetensors");
    let honest = fs::read(&weights).unwrap();
    let length = honest.len() as u64;
    for lie in [u64::MAX, length, length - 9, 8, 0] {
        let mut bytes = honest.clone();
        bytes[..8].copy_from_slice(&lie.to_le_bytes());
        fs::write(&weights, bytes).unwrap();
        not_packed(&site, &model, "model.safetensors");
    }
    still_answers(&site, "a", "1.0.0");
}

#[test]
fn a_port_in_use_hurts_neither_node() {
    let site = Site::new();
    let _node = answering(&site);
    site.join("b", "a", &[site.address("a")]);
    let status = site.status("a").unwrap();
    let api = status["api"].as_str().unwrap().replace("http://", "");
    let address = site.address("a");
    let listen = address.split("/p2p/").next().unwrap();
    let up = ["-q", "up", "--api", &api];
    refused(site.weft("b", &up), 7, &api);
    refused(site.weft("b", &["-q", "up", "--listen", listen]), 7, listen);
    refused(site.weft("a", &["-q", "up"]), 6, "already runs");
    still_answers(&site, "a", "1.0.0");
    let _second = site.up("b", &[]);
    site.wait_active("b", "1.0.0");
}

#[test]
fn a_key_that_others_can_read_signs_and_starts_nothing() {
    let site = Site::new();
    let node = answering(&site);
    let mode = |name: &str, mode| {
        let path = site.path("a").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let (next, key) = (site.pack("1.1.0"), text(&site.path("a").join("admin.key")));
    let publish = ["release", "publish", &next, "--key", &key];
    for loose in [0o644, 0o640, 0o604, 0o620] {
        mode("admin.key", loose);
        let says = format!("its mode is {loose:04o}");
        refused(site.weft("a", &publish), 6, &says);
        refused(site.weft("a", &["key", "show", &key]), 6, &says);
    }
    still_answers(&site, "a", "1.0.0");
    node.kill();
    mode("node.key", 0o644);
    refused(site.weft("a", &["-q", "up"]), 6, "its mode is 0644");
    mode("node.key", 0o600);
    mode("admin.key", 0o600);
    let _node = site.up("a", &[]);
    site.wait_active("a", "1.0.0");
    site.publish("a", &next).expect(0);
    site.wait_active("a", "1.1.0");
}

#[path = "support/bundle.rs"]
mod bundle;
