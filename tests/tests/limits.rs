//! What transfers may take, over real processes.
#![allow(clippy::unwrap_used)]

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use weft_tests::{Site, active};

/// Low enough that the demo's model takes a while.
const CAP: &str = "100KB/s";
const CAP_BYTES_PER_SEC: f64 = 100_000.0;

/// Bytes of chunks that came over the LAN, with what is half here.
fn received(status: &Value) -> u64 {
    status["traffic"]["lan_bytes_in"].as_u64().unwrap()
}

/// Bytes of chunks a second that this node counts there, over about this time.
fn rate(site: &Site, home: &str, count: &str, time: Duration) -> f64 {
    let look = || {
        let status = site.status(home).unwrap();
        (status["traffic"][count].as_u64().unwrap(), Instant::now())
    };
    let (before, start) = look();
    sleep(time);
    let (after, end) = look();
    (after - before) as f64 / (end - start).as_secs_f64()
}

#[test]
fn a_cap_holds_and_is_changed_while_a_chunk_is_under_way() {
    let site = Site::new();
    site.init("a");
    let _first = site.up("a", &[]);
    site.join("b", "a", &[site.address("a")]);
    let _second = site.up("b", &["--lan-fetch-cap", CAP]);
    site.publish("a", &site.pack("1.0.0")).expect(0);
    let status = site.wait("b", "it fetches", |status| received(status) > 0);
    let told = &status["limits"]["caps"];
    assert_eq!(told["lan_fetch_bytes_per_sec"], 100_000);
    assert!(told["fetch_bytes_per_sec"].is_null());
    let of_cap = rate(&site, "b", "lan_bytes_in", Duration::from_secs(3)) / CAP_BYTES_PER_SEC;
    assert!((0.9..1.1).contains(&of_cap), "{of_cap} of the cap");

    // half of it, from one look to the next
    site.json("b", &["limit", "--lan-fetch-cap", "50KB/s"]);
    let of_cap = rate(&site, "b", "lan_bytes_in", Duration::from_secs(3)) / CAP_BYTES_PER_SEC;
    assert!((0.4..0.6).contains(&of_cap), "{of_cap} of the first cap");

    // a cap of the uplink changes nothing here
    let told = site.json("b", &["limit", "--fetch-cap", "1B/s"]);
    let caps = &told["limits"]["caps"];
    assert_eq!(caps["fetch_bytes_per_sec"], 1);
    assert_eq!(caps["lan_fetch_bytes_per_sec"], 50_000);

    let status = site.status("b").unwrap();
    assert_ne!(active(&status), "1.0.0", "it was fetched before the end");
    site.json("b", &["limit", "--lan-fetch-cap", "none"]);
    let start = Instant::now();
    site.wait("b", "all bytes are here", |status| {
        let fetch = &status["channels"][0]["fetch"];
        active(status) == "1.0.0" || fetch["bytes_held"] == fetch["bytes_total"]
    });
    assert!(start.elapsed() < Duration::from_secs(10));
    site.wait_active("b", "1.0.0");
}

#[test]
fn whoever_serves_may_cap_it_too() {
    let site = Site::new();
    site.init("a");
    let _first = site.up("a", &["--lan-serve-cap", CAP]);
    site.join("b", "a", &[site.address("a")]);
    let _second = site.up("b", &[]);
    site.publish("a", &site.pack("1.0.0")).expect(0);
    site.wait("b", "it fetches", |status| received(status) > 0);
    let of_cap = rate(&site, "a", "lan_bytes_out", Duration::from_secs(4)) / CAP_BYTES_PER_SEC;
    assert!((0.9..1.1).contains(&of_cap), "{of_cap} of the cap");
    site.json("a", &["limit", "--lan-serve-cap", "none"]);
    site.wait_active("b", "1.0.0");
}

#[test]
fn limits_that_cannot_be_meant_are_refused() {
    let site = Site::new();
    site.init("a");
    let refused = site.weft("a", &["limit"]).expect(3);
    assert_eq!(refused.stderr.lines().count(), 3, "{}", refused.stderr);
    let refused = site.weft("a", &["limit", "--serve-cap", "0MB/s"]).expect(2);
    assert!(refused.stderr.contains("would never move anything"));

    let settings = site.path("a").join("node.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(
        &settings,
        text.replace("[limit]", "[limit]\nserve = \"2MB\""),
    )
    .unwrap();
    let refused = site.weft("a", &["up"]).expect(2);
    assert_eq!(refused.stderr.lines().count(), 3, "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .contains("`limit.serve`: `2MB` is not a rate")
    );
}

#[test]
fn a_site_may_have_more_networks_than_the_machine_is_attached_to() {
    let site = Site::new();
    site.init("a");
    let settings = site.path("a").join("node.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let with = |lan: &str| {
        let text = text.replace("[network]", &format!("[network]\nlan = {lan}"));
        std::fs::write(&settings, text).unwrap();
    };
    with("[\"10.1.2.3/16\"]");
    let refused = site.weft("a", &["up"]).expect(2);
    assert_eq!(refused.stderr.lines().count(), 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("`network.lan`: `10.1.2.3/16`"));
    assert!(refused.stderr.contains("write 10.1.0.0/16"));
    with("[\"10.1.0.0/16\", \"fd00:1::/32\"]");
    drop(site.up("a", &[]));
}
