//! The whole line over real processes: publish, fetch, prove, activate, answer.
#![allow(clippy::unwrap_used)]

use weft_tests::Site;

/// A mesh of three: the first makes it, the others know only the first.
fn three(site: &Site) -> Vec<weft_tests::Node> {
    site.init("a");
    let mut nodes = vec![site.up("a", &[])];
    let address = site.address("a");
    for home in ["b", "c"] {
        site.join(home, "a", std::slice::from_ref(&address));
        nodes.push(site.up(home, &[]));
    }
    nodes
}

#[test]
fn a_release_is_answered_from_on_every_node_and_the_next_one_reuses_chunks() {
    let site = Site::new();
    let _nodes = three(&site);
    site.publish("a", &site.pack("1.0.0")).expect(0);
    for home in ["a", "b", "c"] {
        site.wait_active(home, "1.0.0");
        let line = "03:12 PMP-204 brg temp 96C>85";
        let answer = site.weft(home, &["run", "incident", line]).expect(0).stdout;
        assert!(answer.contains("component="), "{home} answered {answer:?}");
    }
    site.publish("a", &site.pack("1.1.0")).expect(0);
    for home in ["b", "c"] {
        let status = site.wait_active(home, "1.1.0");
        let fetch = &status["channels"][0]["fetch"];
        let (total, reused) = (
            fetch["bytes_total"].as_u64().unwrap(),
            fetch["bytes_reused"].as_u64().unwrap(),
        );
        assert!(reused > 0 && reused < total, "{fetch}");
        assert_eq!(fetch["bytes_held"].as_u64(), Some(total), "{fetch}");
    }
}

#[test]
fn whoever_has_the_release_before_fetches_the_difference() {
    let site = Site::new();
    let _nodes = three(&site);
    let first = site.pack("1.0.0");
    site.publish("a", &first).expect(0);
    for home in ["a", "b", "c"] {
        site.wait_active(home, "1.0.0");
    }
    let second = site.pack_on("1.1.0", &first);
    let diff = site.json("a", &["release", "diff", &first, &second]);
    let file = &diff["files"][0];
    assert_eq!(file["way"], "delta", "{diff}");
    let (promised, bytes) = (
        file["bytes_fetched"].as_u64().unwrap(),
        file["bytes"].as_u64().unwrap(),
    );
    assert!(promised < bytes, "{diff}");
    site.publish("a", &second).expect(0);
    for home in ["b", "c"] {
        let status = site.wait_active(home, "1.1.0");
        let fetch = &status["channels"][0]["fetch"];
        let figure = |name: &str| fetch[name].as_u64().unwrap();
        assert!(figure("bytes_made") > 0, "{fetch}");
        assert_eq!(figure("bytes_held"), figure("bytes_total"), "{fetch}");
        let line = "03:12 PMP-204 brg temp 96C>85";
        let answer = site.weft(home, &["run", "incident", line]).expect(0).stdout;
        assert!(answer.contains("component="), "{home} answered {answer:?}");
    }
}

#[test]
fn a_bundle_gives_a_node_without_a_network_everything() {
    let site = Site::new();
    site.init("a");
    let node = site.up("a", &[]);
    site.publish("a", &site.pack("1.0.0")).expect(0);
    site.wait_active("a", "1.0.0");
    let stick = site.path("stick.weft").to_string_lossy().into_owned();
    site.json("a", &["bundle", "export", &stick]);
    node.kill();
    site.join("island", "a", &[]);
    site.json("island", &["bundle", "import", &stick]);
    let _island = site.up("island", &[]);
    site.wait_active("island", "1.0.0");
    let answer = site
        .weft("island", &["run", "incident", "FAN-7 vib 9mm/s>4"])
        .expect(0)
        .stdout;
    assert!(answer.contains("component="), "{answer:?}");
}
