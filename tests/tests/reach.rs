//! Nodes behind routers that let nobody in, over real processes in namespaces.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use weft_tests::{Site, streets};

/// Where a host in the open is dialled.
fn there(site: &Site, home: &str, number: usize) -> String {
    let status = site.status(home).unwrap();
    let peer_id = status["peer_id"].as_str().unwrap();
    format!("/ip4/{}/tcp/4001/p2p/{peer_id}", streets::outside(number))
}

#[test]
fn who_can_only_dial_out_gets_a_release_and_serves_it() {
    let name = "who_can_only_dial_out_gets_a_release_and_serves_it";
    streets::among(name, &["p", "a:nat", "c"], || {
        let site = Site::in_namespaces();
        site.init("p");
        let publisher = site.up("p", &[]);
        let known = [there(&site, "p", 0)];
        site.join("c", "p", &known);
        let other = site.up("c", &[]);
        site.wait_member("c");
        let address = there(&site, "c", 2);
        other.kill();

        // it dials both of them, and neither reaches it
        site.join("a", "p", &known);
        let _behind = site.up("a", &["--bootstrap", &address]);
        assert!(!streets::connects("p", &streets::outside(1)));
        assert!(!streets::connects("p", "10.9.2.2"));
        site.publish("p", &site.pack("1.0.0")).expect(0);
        site.wait_active("a", "1.0.0");
        publisher.kill();

        // whoever comes back is dialled again and has nobody else to ask
        let _other = site.up("c", &[]);
        site.wait_active("c", "1.0.0");
        let served = site.status("a").unwrap();
        let bytes = served["traffic"]["uplink_bytes_out"].as_u64().unwrap();
        assert!(bytes > 100_000, "{served}");
    });
}

/// Two behind routers and one in the open, which gives neither of them anything but its word.
fn meet(site: &Site) -> [weft_tests::Node; 3] {
    let channel = ["--channel", "other"];
    site.init_following("p", &channel);
    let middle = site.up("p", &[]);
    let known = [there(site, "p", 0)];
    let [first, second] = ["a", "c"].map(|home| {
        site.join(home, "p", &known);
        site.up(home, &[])
    });
    for home in ["a", "c"] {
        site.wait_member(home);
    }
    [middle, first, second]
}

fn reachability(status: &Value) -> &str {
    status["reachability"]["way"].as_str().unwrap()
}

/// Publishes at a node with the first node's key.
fn publish_at(site: &Site, home: &str) {
    let key = site.path("p").join("admin.key");
    let key = key.to_str().unwrap();
    let bundle = site.pack("1.0.0");
    let publish = ["--json", "release", "publish", &bundle, "--key", key];
    site.weft(home, &publish).expect(0);
}

#[test]
fn two_that_cannot_be_dialled_find_each_other_and_a_direct_way() {
    let name = "two_that_cannot_be_dialled_find_each_other_and_a_direct_way";
    streets::among(name, &["p", "a:nat", "c:nat"], || {
        let site = Site::in_namespaces();
        let _nodes = meet(&site);
        let status = site.wait("p", "it relays", |status| {
            status["reachability"]["relays"] == true
        });
        assert_eq!(reachability(&status), "direct");
        for home in ["a", "c"] {
            site.wait(home, "it is reached through a relay", |status| {
                reachability(status) == "relayed"
            });
            site.wait(home, "it knows both others", |status| {
                status["members"] == 2
            });
        }
        for home in ["a", "c"] {
            site.wait(home, "the two speak directly", |status| {
                let links = &status["reachability"]["links"];
                links["uplink"] == 2 && links["relayed"] == 0
            });
        }
        publish_at(&site, "a");
        site.wait_active("c", "1.0.0");
        let text = site.weft("c", &["status"]).expect(0).stdout;
        assert!(text.contains("through a relay"), "{text}");
        assert!(text.contains("2 (2 over the uplink)"), "{text}");
    });
}

#[test]
fn where_no_direct_way_is_a_release_still_comes() {
    let name = "where_no_direct_way_is_a_release_still_comes";
    streets::among(name, &["p", "a:maze", "c:maze"], || {
        let site = Site::in_namespaces();
        let _nodes = meet(&site);
        for home in ["a", "c"] {
            site.wait(home, "it knows both others", |status| {
                status["members"] == 2
            });
        }
        site.wait("c", "it is carried", |status| {
            status["reachability"]["links"]["relayed"] == 1
        });
        publish_at(&site, "a");
        let status = site.wait_active("c", "1.0.0");
        assert_eq!(status["reachability"]["links"]["relayed"], 1, "{status}");
    });
}
