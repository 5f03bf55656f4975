//! Members that do not play by the rules, and neighbours that go: over real processes.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use false_member::{FalseMember, Manner};
use serde_json::Value;
use weft_record::MeshId;
use weft_tests::{Node, Site, active, free_address};

/// A publisher, a node that will fetch, and the key of a member whose program is another.
fn mesh(site: &Site) -> (MeshId, Node, Node) {
    let mesh_id = site.init("a").parse().unwrap();
    let first = site.up("a", &[]);
    site.join("m", "a", &[site.address("a")]);
    let member = site.up("m", &[]);
    site.wait_member("m");
    member.kill();
    site.join("b", "a", &[site.address("a")]);
    let second = site.up("b", &[]);
    site.wait_member("b");
    (mesh_id, first, second)
}

/// Has the member say that it has the next release, before that is published.
fn false_member(site: &Site, mesh_id: MeshId, manner: Manner, pack: &str) -> FalseMember {
    site.publish("a", &site.pack("1.0.0")).expect(0);
    site.wait_active("b", "1.0.0");
    let known = site.path("known.weft").to_string_lossy().into_owned();
    site.weft("a", &["bundle", "export", &known]).expect(0);
    let key = weft_keys::load_secret(&site.path("m").join("node.key")).unwrap();
    let address = site.address("b");
    let member = FalseMember::meet(key, mesh_id, &address, manner, pack, &known);
    site.wait("b", "it counts as a member", |status| {
        status["members"] == 2
    });
    member
}

/// Everything came, and each byte that is counted as fetched once.
fn assert_whole(status: &Value) {
    let fetch = &status["channels"][0]["fetch"];
    let bytes = |key: &str| fetch[key].as_u64().unwrap();
    assert_eq!(bytes("bytes_held"), bytes("bytes_total"), "{fetch}");
    let moved = bytes("bytes_fetched") + bytes("bytes_reused") + bytes("bytes_resumed");
    assert_eq!(moved, bytes("bytes_total"), "{fetch}");
}

#[test]
fn who_serves_garbage_is_let_go_and_the_release_comes_from_others() {
    let site = Site::new();
    let (mesh_id, _a, _b) = mesh(&site);
    let pack = site.pack("1.1.0");
    let liar = false_member(&site, mesh_id, Manner::Garbage, &pack);
    site.publish("a", &pack).expect(0);
    let status = site.wait_active("b", "1.1.0");
    assert_whole(&status);
    assert!(liar.end() > 0, "nobody asked the liar");
    let status = site.wait("b", "the liar is let go", |status| {
        status["peers_let_go"].as_u64() > Some(0)
    });
    assert_eq!(status["peers_let_go"], 1, "one is let go once: {status}");
    // no more than it was asked for at first
    let corrupt = status["chunks_corrupt"].as_u64().unwrap();
    assert!((1..=4).contains(&corrupt), "{status}");
    let answer = site.weft("b", &["run", "incident", "FAN-7 vib 9mm/s>4"]);
    assert!(answer.expect(0).stdout.contains("component="));
}

#[test]
fn who_delivers_later_than_anybody_waits_is_not_waited_for() {
    let site = Site::new();
    let (mesh_id, _a, _b) = mesh(&site);
    let pack = site.pack("1.1.0");
    // a request is late after 22 s
    let manner = Manner::Late(Duration::from_secs(40));
    let slow = false_member(&site, mesh_id, manner, &pack);
    site.publish("a", &pack).expect(0);
    let begun = Instant::now();
    let status = site.wait_active("b", "1.1.0");
    assert!(begun.elapsed() < Duration::from_secs(38), "{status}");
    assert_whole(&status);
    assert_eq!(status["peers_let_go"], 0, "slow is no crime: {status}");
    assert!(slow.end() > 0, "nobody asked the slow one");
}

#[test]
fn who_delivers_drop_by_drop_gives_little_and_delays_little() {
    let site = Site::new();
    let (mesh_id, _a, _b) = mesh(&site);
    let pack = site.pack("1.1.0");
    let manner = Manner::Late(Duration::from_secs(3));
    let slow = false_member(&site, mesh_id, manner, &pack);
    site.publish("a", &pack).expect(0);
    let begun = Instant::now();
    let status = site.wait_active("b", "1.1.0");
    assert_whole(&status);
    let asked = slow.end();
    // what it is asked for at first, and a few more before it is known
    assert!((1..=8).contains(&asked), "asked {asked} times: {status}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{status}");
    assert_eq!(status["channels"][0]["fetch"]["bytes_duplicate"], 0);
}

#[test]
fn when_the_seeder_dies_halfway_the_others_share_what_they_have_and_go_on_when_it_is_back() {
    let site = Site::new();
    site.init("a");
    // it must be where it was when it comes back
    let listen = free_address();
    let up = ["--listen", &*listen, "--lan-serve-cap", "250KB/s"];
    let a = site.up("a", &up);
    let mut others = Vec::new();
    for (index, home) in ["b", "c", "d"].into_iter().enumerate() {
        let mut members = vec![site.address("a")];
        members.extend(
            ["b", "c", "d"][..index]
                .iter()
                .map(|home| site.address(home)),
        );
        site.join(home, "a", &members);
        others.push(site.up(home, &[]));
        site.wait_member(home);
    }
    for home in ["b", "c", "d"] {
        site.wait(home, "all know each other", |status| status["members"] == 3);
    }
    site.publish("a", &site.pack("1.0.0")).expect(0);
    site.wait("b", "half of it is there", |status| {
        let fetch = &status["channels"][0]["fetch"];
        let held = fetch["bytes_held"].as_u64().unwrap_or(0);
        let total = fetch["bytes_total"].as_u64().unwrap_or(0);
        total > 0 && held * 2 >= total
    });
    a.kill();
    // together they have what each lacks, as far as it ever left the seeder
    let held = |status: &Value| {
        let fetch = &status["channels"][0]["fetch"];
        fetch["bytes_held"].as_u64().unwrap_or(0)
    };
    let most = ["b", "c", "d"].map(|home| held(&site.status(home).unwrap()));
    let most = most.into_iter().max().unwrap();
    for home in ["b", "c", "d"] {
        let status = site.wait(home, "it has what the others have", |status| {
            held(status) >= most
        });
        assert_ne!(active(&status), "1.0.0", "nobody has all: {status}");
    }
    let _a = site.up("a", &["--listen", &*listen]);
    for home in ["b", "c", "d"] {
        let status = site.wait_active(home, "1.0.0");
        assert_whole(&status);
        let fetch = &status["channels"][0]["fetch"];
        assert_eq!(fetch["bytes_duplicate"], 0, "{home}: {fetch}");
    }
    drop(others);
}

#[path = "support/false_member.rs"]
mod false_member;
#[path = "support/stranger.rs"]
mod stranger;
