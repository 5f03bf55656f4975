//! What goes wrong at a real site, over real processes.
#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf};

use weft_tests::{Node, Site, active};

/// Two nodes, the second capped.
fn pair(site: &Site, cap: &[&str]) -> (Node, Node) {
    site.init("a");
    let first = site.up("a", &[]);
    site.join("b", "a", &[site.address("a")]);
    (first, site.up("b", cap))
}

#[test]
fn a_fetch_killed_again_and_again_resumes_and_fetches_nothing_durable_twice() {
    let site = Site::new();
    let (_first, mut second) = pair(&site, &["--lan-fetch-cap", "300KB/s"]);
    site.publish("a", &site.pack("1.0.0")).expect(0);
    let mut held = 0;
    for _ in 0..3 {
        let status = site.wait("b", "some more chunks", |status| {
            let fetch = &status["channels"][0]["fetch"];
            active(status) == "1.0.0" || fetch["bytes_held"].as_u64().unwrap_or(0) > held
        });
        let before = status["channels"][0]["fetch"]["bytes_held"]
            .as_u64()
            .unwrap_or(0);
        second.kill();
        second = site.up("b", &["--lan-fetch-cap", "300KB/s"]);
        let status = site.wait("b", "the file is open again", |status| {
            status["channels"][0]["fetch"]["chunks_total"]
                .as_u64()
                .unwrap_or(0)
                > 0
        });
        let fetch = &status["channels"][0]["fetch"];
        held = fetch["bytes_held"].as_u64().unwrap();
        // killed is not a power cut: everything that was written is still there
        assert!(
            held >= before,
            "{held} of {before} bytes were left: {fetch}"
        );
    }
    drop(second);
    let _second = site.up("b", &[]);
    site.wait_active("b", "1.0.0");
}

#[test]
fn killed_around_an_activation_a_node_always_answers_with_a_whole_model() {
    let site = Site::new();
    let (_first, second) = pair(&site, &[]);
    site.publish("a", &site.pack("1.0.0")).expect(0);
    site.wait_active("b", "1.0.0");
    let next = site.pack("1.1.0");
    site.publish("a", &next).expect(0);
    let mut second = Some(second);
    for pause_ms in [30, 60, 120, 240, 480] {
        std::thread::sleep(std::time::Duration::from_millis(pause_ms));
        drop(second.take());
        second = Some(site.up("b", &[]));
        let status = site.wait("b", "some version answers", |status| {
            !active(status).is_empty()
        });
        assert!(["1.0.0", "1.1.0"].contains(&active(&status)), "{status}");
    }
    site.wait_active("b", "1.1.0");
}

#[test]
fn a_signed_model_that_misses_its_probes_is_not_activated() {
    let site = Site::new();
    let (_first, _second) = pair(&site, &[]);
    site.publish("a", &site.pack("1.0.0")).expect(0);
    site.wait_active("b", "1.0.0");
    let wrong = with_wrong_probes(&site.pack("1.1.0"));
    let publish = site.publish("a", &wrong);
    assert_ne!(
        publish.code, 0,
        "the publishing node says that it refuses: {}",
        publish.stdout
    );
    let status = site.wait("b", "the release is refused", |status| {
        status["channels"][0]["phase"] == "refused"
    });
    assert_eq!(active(&status), "1.0.0");
    let reason = status["channels"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("probe answers match"), "{reason}");
}

#[test]
fn an_active_model_that_rots_on_disk_goes_back() {
    let site = Site::new();
    let (_first, second) = pair(&site, &[]);
    site.publish("a", &site.pack("1.0.0")).expect(0);
    site.wait_active("b", "1.0.0");
    site.publish("a", &site.pack("1.1.0")).expect(0);
    let status = site.wait("b", "the soak is over", |status| {
        active(status) == "1.1.0" && status["channels"][0]["phase"] == "active"
    });
    let release = status["models"][0]["active"]["release"]
        .as_str()
        .unwrap()
        .to_owned();
    second.kill();
    let model = model_file(&site.path("b"), &release);
    let mut bytes = fs::read(&model).unwrap();
    // weights, not the header: the file still loads and answers nonsense
    let middle = bytes.len() / 2;
    for byte in &mut bytes[middle..middle + 200_000] {
        *byte = byte.wrapping_mul(31).wrapping_add(97);
    }
    fs::write(&model, bytes).unwrap();
    let _second = site.up("b", &[]);
    let status = site.wait_active("b", "1.0.0");
    let channel = &status["channels"][0];
    assert_eq!(channel["phase"], "refused", "{channel}");
}

/// The model's file of a slot, whatever its folder is called.
fn model_file(home: &std::path::Path, release: &str) -> PathBuf {
    let mut open = vec![home.join("store").join("slots")];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().contains(release)
                && path.extension().is_some_and(|e| e == "gguf")
            {
                return path;
            }
        }
    }
    panic!("no model of {release} in {}", home.display());
}

/// The same bundle with other expected answers in its release.
fn with_wrong_probes(bundle: &str) -> String {
    weft_tests_bundle::rewrite(bundle, |release| {
        for probe in &mut release.probe_set.probes {
            for answer in &mut probe.expected {
                answer.reverse();
                answer.push(1);
                answer.truncate(probe.max_tokens as usize);
            }
        }
        release.probe_set.limits.min_match_bp = 10_000;
    })
}

#[path = "support/bundle.rs"]
mod weft_tests_bundle;
