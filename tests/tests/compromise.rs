//! Stolen keys, over real processes.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;

use serde_json::Value;
use weft_keys::{SecretKey, load_secret};
use weft_tests::{Node, Site, active, asset};

#[path = "support/thief.rs"]
mod thief;

/// A mesh of three admins, of whom two must sign a root and `role_threshold` a release or a
/// head; its first node, which enrolls, listens where it will listen again.
fn mesh(site: &Site, role_threshold: &str) -> (String, Node) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("/ip4/127.0.0.1/tcp/{}", port.local_addr().unwrap().port());
    drop(port);
    let keys = site.path("keys").to_string_lossy().into_owned();
    let admins = ["--admins", "3", "--threshold", "2", "--keys", &keys];
    let node = ["--no-mdns", "--listen", &listen];
    let role = ["--role-threshold", role_threshold];
    site.json(
        "a",
        &[&["mesh", "init"][..], &admins, &role, &node].concat(),
    );
    let first = site.up("a", &[]);
    (site.address("a"), first)
}

/// One more node, enrolled, that knows the first and these.
fn join(site: &Site, home: &str, peers: &[String]) -> Node {
    let made = site.json("a", &["mesh", "invite"]);
    let invitation = made["invitation"].as_str().unwrap().to_owned();
    let node = ["--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"];
    let mut arguments = [&["mesh", "join", &invitation][..], &node].concat();
    for peer in peers {
        arguments.extend(["--peer", peer]);
    }
    site.json(home, &arguments);
    let started = site.up(home, &[]);
    site.wait(home, "it is enrolled", |status| {
        status["standing"] == "member"
    });
    started
}

fn key(site: &Site, admin: u8, name: &str) -> String {
    let path = site.path(&format!("keys/admin-{admin}/{name}"));
    path.to_string_lossy().into_owned()
}

fn secret(site: &Site, admin: u8, name: &str) -> SecretKey {
    load_secret(std::path::Path::new(&key(site, admin, name))).unwrap()
}

/// Publishes with one admin's pair of keys.
fn publish(site: &Site, home: &str, bundle: &str, admin: u8) -> i32 {
    let (release, head) = (
        key(site, admin, "release.key"),
        key(site, admin, "head.key"),
    );
    let keys = ["--key", &release, "--head-key", &head];
    let verb = ["release", "publish", bundle];
    site.weft(home, &[&verb[..], &keys].concat()).code
}

/// A model that the admins never saw, under a version that says so.
fn malware(site: &Site, version: &str) -> String {
    let bundle = site.path(&format!("malware-{version}.weft"));
    let bundle = bundle.to_string_lossy().into_owned();
    let source = asset("1.1.0").to_string_lossy().into_owned();
    let name = ["--name", "incident", "--version", version];
    let flags = ["--quantization", "q8_0", "--out", &bundle];
    let verb = ["release", "pack", &source];
    site.json("pack", &[&verb[..], &name, &flags].concat());
    bundle
}

fn root_version(status: &Value) -> u64 {
    status["root_version"].as_u64().unwrap_or(0)
}

#[test]
fn a_half_that_runs_malware_goes_back_when_the_rotation_comes_by_usb() {
    let site = Site::new();
    let (address, first) = mesh(&site, "1");
    let _second = join(&site, "b", &[]);
    let _third = join(&site, "c", &[]);
    let fourth = join(&site, "d", &[site.address("c")]);
    let honest = site.pack("1.0.0");
    assert_eq!(publish(&site, "a", &honest, 2), 0);
    for home in ["a", "b", "c", "d"] {
        site.wait_active(home, "1.0.0");
    }

    // c and d are cut off: they know each other and the first node, which is gone. The last
    // of them is behind a link on which nothing arrives in time
    fourth.kill();
    first.kill();
    let fourth = site.up("d", &["--lan-fetch-cap", "1KB/s"]);
    // admin 1's laptop is stolen: with its two keys the thief publishes from c
    assert_eq!(publish(&site, "c", &malware(&site, "6.6.6"), 1), 0);
    site.wait_active("c", "6.6.6");
    site.wait("d", "the malware is on its way", |status| {
        let fetch = &status["channels"][0]["fetch"];
        fetch["chunks_total"].as_u64().unwrap_or(0) > 0 && active(status) == "1.0.0"
    });

    // the other two admins, offline: those keys go, the channel goes back to the last head
    // that they trust
    let stick = site.path("stick.weft").to_string_lossy().into_owned();
    let (stolen_release, stolen_head) = (key(&site, 1, "release.pub"), key(&site, 1, "head.pub"));
    let (second_root, third_root) = (key(&site, 2, "root.key"), key(&site, 3, "root.key"));
    let what = [
        "--remove",
        &stolen_release,
        "--remove",
        &stolen_head,
        "--reset",
        "stable=0",
    ];
    let who = ["--key", &second_root, "--key", &third_root];
    let verb = [&["trust", "rotate"][..], &what, &who, &["--out", &stick]].concat();
    site.weft("a", &verb).expect(0);
    site.weft("c", &["bundle", "import", &stick]).expect(0);

    // what ran goes back; what had not run yet never does
    for home in ["c", "d"] {
        let status = site.wait(home, "it is back at 1.0.0", |status| {
            active(status) == "1.0.0" && root_version(status) == 2
        });
        assert_eq!(status["channels"][0]["seq"], 0, "{status}");
    }
    drop(fourth);
    let _fourth = site.up("d", &[]);
    assert_ne!(publish(&site, "c", &malware(&site, "6.6.7"), 1), 0);
    // the thief's own program signs what weft would not
    let known = site.path("known.weft");
    site.weft("c", &["bundle", "export", known.to_str().unwrap()])
        .expect(0);
    let forged = site.path("forged.weft");
    let (release_key, head_key) = (
        secret(&site, 1, "release.key"),
        secret(&site, 1, "head.key"),
    );
    let packed = malware(&site, "6.6.8");
    thief::forge(
        &known,
        packed.as_ref(),
        &[&release_key],
        &[&head_key],
        &forged,
    );
    let refused = site.weft("d", &["bundle", "import", forged.to_str().unwrap()]);
    assert_ne!(refused.code, 0, "{}", refused.stdout);

    // the halves meet again, and go on with the keys that are left
    let _first = site.up("a", &[]);
    assert_eq!(site.address("a"), address);
    for home in ["a", "b", "c", "d"] {
        site.wait(home, "it has the second root", |status| {
            root_version(status) == 2
        });
    }
    assert_eq!(publish(&site, "a", &site.pack("1.1.0"), 2), 0);
    for home in ["a", "b", "c", "d"] {
        let status = site.wait_active(home, "1.1.0");
        assert_eq!(status["channels"][0]["seq"], 0, "{status}");
        assert_ne!(status["channels"][0]["phase"], "forked", "{status}");
    }
}

#[test]
fn a_stolen_release_key_alone_installs_nothing() {
    let site = Site::new();
    let (_, _first) = mesh(&site, "1");
    let _second = join(&site, "b", &[]);
    assert_eq!(publish(&site, "a", &site.pack("1.0.0"), 2), 0);
    site.wait_active("b", "1.0.0");
    let release_key = secret(&site, 1, "release.key");
    installs_nothing(&site, &[&release_key], &[&release_key]);
}

#[test]
fn one_admins_pair_installs_nothing_where_two_must_sign() {
    let site = Site::new();
    let (_, _first) = mesh(&site, "2");
    let _second = join(&site, "b", &[]);
    let bundle = site.pack("1.0.0");
    let mut arguments = vec!["release", "publish", &bundle];
    let keys: Vec<String> = [(1, "release.key"), (2, "release.key")]
        .map(|(admin, name)| key(&site, admin, name))
        .into();
    let heads: Vec<String> = [(1, "head.key"), (2, "head.key")]
        .map(|(admin, name)| key(&site, admin, name))
        .into();
    for key in &keys {
        arguments.extend(["--key", key]);
    }
    for key in &heads {
        arguments.extend(["--head-key", key]);
    }
    site.weft("a", &arguments).expect(0);
    site.wait_active("b", "1.0.0");
    let (release_key, head_key) = (
        secret(&site, 1, "release.key"),
        secret(&site, 1, "head.key"),
    );
    installs_nothing(&site, &[&release_key], &[&head_key]);
}

/// What these keys signed is refused at b, which goes on with what it has.
fn installs_nothing(site: &Site, release_keys: &[&SecretKey], head_keys: &[&SecretKey]) {
    let known = site.path("known.weft");
    site.weft("b", &["bundle", "export", known.to_str().unwrap()])
        .expect(0);
    let (forged, packed) = (site.path("forged.weft"), malware(site, "6.6.6"));
    thief::forge(&known, packed.as_ref(), release_keys, head_keys, &forged);
    let refused = site.weft("b", &["bundle", "import", forged.to_str().unwrap()]);
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    for home in ["a", "b"] {
        let status = site.wait(home, "it answers", |status| !active(status).is_empty());
        assert_eq!(active(&status), "1.0.0", "{home}: {}", refused.stderr);
        assert_eq!(status["channels"][0]["seq"], 0, "{status}");
    }
}
