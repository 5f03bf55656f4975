//! The smallest story, told by both sides.
//!
//! Held loosely: this machine may be busy. `cargo xtask bench fidelity` measures.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use weft_fidelity::{Comparison, Summary, run_real, run_simulated, smallest};
use weft_sim::NetworkModel;

/// One side may take this many times as long as the other.
const FACTOR: f64 = 2.0;
/// Bytes over an uplink hardly depend on how busy the machine is, but somewhat on chance:
/// the two nodes of a site ask for some chunks at the same time.
const BYTES_PERCENT: f64 = 35.0;
/// Simulated runs of which the middle counts.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=9;

#[test]
fn a_small_mesh_takes_about_as_long_as_its_simulation_and_moves_as_much() {
    let Some((weft, folder)) = support::lab("smallest") else {
        return;
    };
    let release = support::pack(&weft, folder.path());
    let case = smallest();
    let releases = [release];
    let real = run_real(&case, &weft, &releases, 1).unwrap();
    let simulated: Vec<_> = SEEDS
        .map(|seed| run_simulated(&case, NetworkModel::Quantum, &releases, seed).unwrap())
        .collect();
    let factor = simulated[0].last().as_secs_f64() / real.last().as_secs_f64();
    assert!(
        (1.0 / FACTOR..=FACTOR).contains(&factor),
        "simulated {simulated:?}, real {real:?}"
    );
    let off = Comparison::of(
        &Summary::of(&simulated),
        &Summary::of(std::slice::from_ref(&real)),
    )
    .bytes_percent
    .abs();
    assert!(
        off <= BYTES_PERCENT,
        "{off} %: simulated {simulated:?}, real {real:?}"
    );
}
