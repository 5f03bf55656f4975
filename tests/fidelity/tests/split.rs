//! A site whose LAN falls into halves in the middle of a fetch, with real nodes.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use weft_fidelity::{run_real, split_site};

#[test]
fn a_site_that_falls_apart_goes_on_in_halves_and_comes_together_without_fetching_twice() {
    let Some((weft, folder)) = support::lab("split") else {
        return;
    };
    let release = support::pack(&weft, folder.path());
    let bytes = release.release.length;
    let case = split_site();
    // everybody has it all and has it active, or this is an error
    let outcome = run_real(&case, &weft, &[release], 1).unwrap();
    // each half may fetch over the uplink what the other has already, and no more than that
    let over_uplink = outcome.chunk_bytes[1];
    assert!(over_uplink >= bytes, "{outcome:?}");
    assert!(over_uplink <= 2 * bytes, "{outcome:?}");
    assert_eq!(outcome.fetched.bytes_duplicate, 0, "{outcome:?}");
    // the split fell into the fetch
    assert!(outcome.half() > case.happenings[1].0, "{outcome:?}");
}
