//! The next root: keys that go and come, channels that are taken back, forks that end.

use crate::harness::Mesh;

/// Two nodes whose channel is at 1.1.0, by the heads 0 and 1 of one key.
fn with_two_heads() -> Mesh {
    let mesh = Mesh::new();
    mesh.pack("1.0.0", "one.pack");
    mesh.pack("1.1.0", "two.pack");
    mesh.node("a");
    for pack in ["one.pack", "two.pack"] {
        publish(&mesh, "a", pack, "head-a");
    }
    mesh.node("b");
    mesh.object_at("a", &["bundle", "export", "both.weft"]);
    mesh.object_at("b", &["bundle", "import", "both.weft"]);
    mesh
}

fn publish(mesh: &Mesh, node: &str, pack: &str, head_key: &str) {
    let keys = ["--key", "release-a", "--key", "release-b"];
    let words = ["release", "publish", pack, "--head-key", head_key];
    mesh.object_at(node, &[&words[..], &keys].concat());
}

fn does(report: &serde_json::Value) -> String {
    let lines = report["does"].as_array().unwrap().iter();
    let lines: Vec<&str> = lines.map(|line| line.as_str().unwrap()).collect();
    lines.join("\n")
}

#[test]
fn a_stolen_key_goes_by_stick_and_the_channel_goes_back() {
    let mesh = with_two_heads();
    let (stolen, new) = (mesh.public("head-a"), mesh.public("head-c"));
    let add = format!("head={new}");
    let rotate = [
        "trust", "rotate", "--remove", &stolen, "--add", &add, "--reset", "stable=0", "--key",
        "root-a",
    ];
    let dry = mesh.object_at("a", &[&rotate[..], &["--dry-run"]].concat());
    let says =
        "channel stable goes back to head 0, release incident 1.0.0; head 1 no longer counts";
    assert!(does(&dry).contains(says), "{}", does(&dry));
    mesh.refused_at("a", &rotate, 6, "would lack 1 more signature");
    let made = mesh.object_at("a", &[&rotate[..], &["--out", "rotation.weft"]].concat());
    assert!(does(&made).contains(says));
    // whoever signs it on, with no node, reads the same
    let cosign = ["trust", "cosign", "rotation.weft", "--key", "root-c"];
    let made = mesh.object(&cosign);
    assert!(does(&made).contains(says), "{}", does(&made));
    assert_eq!(made["complete"], true);
    for node in ["a", "b"] {
        mesh.object_at(node, &["bundle", "import", "rotation.weft"]);
        let shown = mesh.object_at(node, &["trust", "show"]);
        assert_eq!(shown["roots"].as_array().unwrap().len(), 2);
        assert_eq!(shown["channels"][0]["epoch"], 1);
        assert_eq!(shown["channels"][0]["head"]["seq"], 0);
        assert_eq!(
            shown["channels"][0]["head"]["release_name"],
            "incident 1.0.0"
        );
    }
    let again = [
        "release",
        "publish",
        "two.pack",
        "--key",
        "release-a",
        "--head-key",
    ];
    mesh.refused_at("a", &[&again[..], &["head-a"]].concat(), 6, "does not let");
    publish(&mesh, "a", "two.pack", "head-c");
    let shown = mesh.object_at("a", &["trust", "show"]);
    assert_eq!(
        shown["channels"][0]["head"]["release_name"],
        "incident 1.1.0"
    );
}

#[test]
fn a_channel_begins_anew_at_its_newest_head_unless_told_otherwise() {
    let mesh = with_two_heads();
    let (gone, new) = (mesh.public("head-a"), mesh.public("head-c"));
    let add = format!("head={new}");
    let rotate = |more: &[&str]| {
        let words = [
            "trust",
            "rotate",
            "--remove",
            &gone,
            "--add",
            &add,
            "--dry-run",
        ];
        does(&mesh.object_at("a", &[&words[..], more].concat()))
    };
    let newest = "channel stable begins anew at its newest head 1, release incident 1.1.0";
    assert!(rotate(&[]).contains(newest), "{}", rotate(&[]));
    assert!(!rotate(&["--no-reset", "stable"]).contains("channel stable"));
    let none = "channel stable begins anew with nothing";
    assert!(rotate(&["--reset", "stable=none"]).contains(none));
    assert!(rotate(&["--time-reset"]).contains("nodes set the least time"));
    // a key that signs neither heads nor releases leaves channels alone
    let enroll = mesh.public("enroll");
    let replaced = format!("enroll={new}");
    let words = ["trust", "rotate", "--remove", &enroll, "--add", &replaced];
    let told = does(&mesh.object_at("a", &[&words[..], &["--dry-run"]].concat()));
    assert!(!told.contains("channel stable"), "{told}");
}

#[test]
fn more_signatures_from_now_on_void_nothing_that_stands() {
    let mesh = with_two_heads();
    let threshold = [
        "trust",
        "threshold",
        "head",
        "2",
        "--key",
        "root-a",
        "--key",
        "root-b",
    ];
    let told = does(&mesh.object_at("a", &threshold));
    assert!(
        told.contains("role head needs 2 signatures instead of 1"),
        "{told}"
    );
    let shown = mesh.object_at("a", &["trust", "show"]);
    assert_eq!(shown["channels"][0]["epoch"], 1);
    assert_eq!(
        shown["channels"][0]["head"]["release_name"],
        "incident 1.1.0"
    );
    let publish = [
        "release",
        "publish",
        "one.pack",
        "--key",
        "release-a",
        "--head-key",
    ];
    let one = [&publish[..], &["head-a"]].concat();
    mesh.refused_at("a", &one, 6, "would lack 1 more signature");
    let both = [&one[..], &["--head-key", "head-b"]].concat();
    assert_eq!(mesh.object_at("a", &both)["seq"], 0);
}

#[test]
fn what_cannot_be_a_root_is_refused_with_its_reason() {
    let mesh = with_two_heads();
    let (stranger, head) = (mesh.public("head-c"), mesh.public("head-a"));
    let refused = |words: &[&str], exit: i32, says: &str| {
        let words = [&["trust", "rotate", "--dry-run"], words].concat();
        mesh.refused_at("a", &words, exit, says);
    };
    refused(&["--remove", &stranger], 6, "has no role");
    refused(&["--add", &format!("head={head}")], 6, "already");
    refused(
        &["--add", &format!("emperor={head}")],
        2,
        "no role `emperor`",
    );
    refused(&["--threshold", "head=3"], 6, "would have 2 keys");
    refused(&["--threshold", "root=0"], 6, "would have 3 keys");
    refused(&["--threshold", "king=1"], 6, "no role king");
    refused(&["--reset", "stable=9"], 4, "no head `9`");
    refused(&["--reset", "beta=1"], 4, "no head `1`");
    refused(&["--no-reset", "beta"], 4, "no channel beta");
    refused(&["--keep", "0123456789"], 4, "names no record");
    let enroll = mesh.public("enroll");
    refused(&["--remove", &enroll], 6, "would have 0 keys");
    let twice = ["--reset", "stable=0", "--reset", "stable=1"];
    refused(&twice, 6, "reset twice");
    let nobody = ["trust", "threshold", "head", "2"];
    mesh.refused_at("a", &nobody, 2, "no root key is given");
    let wrong = [&nobody[..], &["--key", "head-a", "--out", "w.weft"]].concat();
    mesh.refused_at("a", &wrong, 6, "does not let");
}

#[test]
fn a_fork_is_shown_and_ended_by_a_head_over_both() {
    let mesh = Mesh::new();
    mesh.pack("1.0.0", "one.pack");
    mesh.pack("1.1.0", "two.pack");
    mesh.node("a");
    mesh.node("b");
    publish(&mesh, "a", "one.pack", "head-a");
    publish(&mesh, "b", "two.pack", "head-b");
    mesh.object_at("b", &["bundle", "export", "b.weft"]);
    let join = |key: &'static str| {
        let words = [
            "trust",
            "join-fork",
            "stable",
            "--release",
            "incident@1.1.0",
        ];
        [&words[..], &["--key", key]].concat()
    };
    mesh.refused_at("b", &join("head-b"), 6, "has no fork");
    let output = mesh.refused_import("a", "b.weft");
    assert!(
        output,
        "an import of the other branch says that something contends"
    );
    let shown = mesh.object_at("a", &["trust", "show"]);
    assert_eq!(shown["channels"][0]["fork"].as_array().unwrap().len(), 2);
    mesh.refused_at("a", &join("release-a"), 6, "does not let");
    let made = mesh.object_at("a", &join("head-a"));
    assert!(does(&made).contains("after both branches"));
    let shown = mesh.object_at("a", &["trust", "show"]);
    assert_eq!(shown["channels"][0]["fork"], serde_json::json!([]));
    assert_eq!(shown["channels"][0]["head"]["seq"], 1);
}

#[test]
fn a_reset_needs_no_node_and_ends_at_every_node() {
    let mesh = with_two_heads();
    let reset = [
        "trust",
        "reset",
        "stable",
        "--to",
        "0",
        "--from",
        "both.weft",
        "--key",
        "root-b",
        "--key",
        "root-c",
        "--out",
        "reset.weft",
    ];
    let made = mesh.object(&reset);
    assert_eq!(made["complete"], true);
    mesh.object_at("b", &["bundle", "import", "reset.weft"]);
    let shown = mesh.object_at("b", &["trust", "show"]);
    assert_eq!(
        shown["channels"][0]["head"]["release_name"],
        "incident 1.0.0"
    );
    let nowhere = &reset[..reset.len() - 2];
    mesh.refused(nowhere, 2, "has nowhere to go");
}
