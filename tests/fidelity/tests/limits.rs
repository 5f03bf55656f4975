//! An uplink that becomes metered in the middle of a fetch, with real nodes.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::time::Duration;

use weft_fidelity::{Way, pause_kept};

/// Control messages, probes and what TCP says without being asked, in ten seconds.
const QUIET_BYTES: u64 = 40_000;

#[test]
fn who_fetches_over_a_metered_uplink_stops_at_once_and_hears_of_heads() {
    stops_and_goes_on("fetching", Way::Fetch);
}

#[test]
fn who_serves_over_a_metered_uplink_stops_at_once_and_tells_of_heads() {
    stops_and_goes_on("serving", Way::Serve);
}

fn stops_and_goes_on(name: &str, way: Way) {
    let Some((weft, folder)) = support::lab(&format!("limits::{name}")) else {
        return;
    };
    let release = support::pack(&weft, folder.path());
    let paused = pause_kept(way, &weft, &release).unwrap();
    assert!(paused.stopped < Duration::from_secs(1), "{paused:?}");
    assert!(paused.outside_bytes < QUIET_BYTES, "{paused:?}");
    assert!(paused.heard < Duration::from_secs(30), "{paused:?}");
    assert!(paused.resumed < Duration::from_secs(10), "{paused:?}");
}
