//! How well a real node keeps to what it is allowed: ten peers behind uplinks of their own
//! give to it, or take from it. It is measured from inside, by the bytes of chunks that the
//! node tells, and from outside, by the kernel's count of what passed its uplink.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    api, case::Case, cases::alone, interrupt, lab::Lab, real::Fleet, release::PackedRelease,
};

/// Peers of the node that is limited.
const PEERS: usize = 10;
/// The cap that is held, and the one that it is changed to.
const CAP_BYTES_PER_SEC: u64 = 1_000_000;
const OTHER_CAP_BYTES_PER_SEC: u64 = 4_000_000;
/// For so long the cap is held...
const HOLDS: Duration = Duration::from_secs(30);
/// ...and each change is looked at.
const CHANGED: Duration = Duration::from_secs(6);
/// The windows that a cap is held in.
const WINDOW: Duration = Duration::from_secs(10);
/// A change has taken effect when windows of this length keep to it...
const CHANGE_WINDOW: Duration = Duration::from_millis(500);
/// ...within this share.
const CHANGE_SHARE: f64 = 0.1;
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);
/// Everybody has the release by then, or is begun to fetch.
const PATIENCE: Duration = Duration::from_mins(2);

/// Which way the bytes of the limited node go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It fetches from ten peers.
    Fetch,
    /// It serves ten peers.
    Serve,
}

/// How well a cap was kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The cap.
    pub cap_bytes_per_sec: u64,
    /// Of all windows of ten seconds the least and the most, as shares of the cap: bytes of
    /// chunks.
    pub inside: [f64; 2],
    /// The same for all that passed the uplink, with every header.
    pub outside: [f64; 2],
    /// From the call until windows of half a second keep to a lower cap within a tenth.
    pub lowered: Duration,
    /// The same for a higher cap.
    pub raised: Duration,
}

/// What had passed when.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    inside: u64,
    outside: u64,
}

/// Measures it with this binary. The release must be larger than what passes meanwhile, some
/// 70 MB.
pub fn cap_kept(way: Way, weft: &Path, release: &PackedRelease) -> Result<Kept> {
    interrupt::watch();
    let case = case(way);
    let folder = tempfile::tempdir()?;
    let lab = Lab::new(&case, 1)?;
    let mut fleet = Fleet::enroll(&case, &lab, weft, folder.path())?;
    let limited = match way {
        Way::Fetch => PEERS,
        Way::Serve => 0,
    };
    let mut bench = match way {
        Way::Fetch => {
            fleet.prepare()?;
            fleet.settle(release)?;
            fleet.node_mut(limited).start(&lab)?;
            Bench::new(way, &lab, fleet, limited)
        }
        Way::Serve => Bench::new(way, &lab, fleet, limited),
    };
    lab.limit(&case)?;
    bench.set(CAP_BYTES_PER_SEC)?;
    let _publishing = match way {
        Way::Fetch => None,
        Way::Serve => Some(bench.fleet.publish(release)?),
    };
    bench.measure()
}

/// The limited node comes later where it fetches, and knows everybody then.
fn case(way: Way) -> Case {
    let case = alone(PEERS + 1, 100);
    match way {
        Way::Fetch => Case {
            late: vec![PEERS],
            meet_all: vec![PEERS],
            ..case
        },
        Way::Serve => case,
    }
}

struct Bench<'a> {
    way: Way,
    lab: &'a Lab,
    fleet: Fleet<'a>,
    limited: usize,
}

impl<'a> Bench<'a> {
    fn new(way: Way, lab: &'a Lab, fleet: Fleet<'a>, limited: usize) -> Self {
        Self {
            way,
            lab,
            fleet,
            limited,
        }
    }

    fn measure(&mut self) -> Result<Kept> {
        let end = Instant::now() + PATIENCE;
        while self.sample()?.inside < CAP_BYTES_PER_SEC {
            ensure!(Instant::now() < end, "nothing moves");
            interrupt::sleep_until(Instant::now() + LOOK)?;
        }
        let steady = self.watch(HOLDS)?;
        let raised = self.change(OTHER_CAP_BYTES_PER_SEC)?;
        let lowered = self.change(CAP_BYTES_PER_SEC)?;
        Ok(Kept {
            cap_bytes_per_sec: CAP_BYTES_PER_SEC,
            inside: windows(&steady, WINDOW, |sample| sample.inside)?,
            outside: windows(&steady, WINDOW, |sample| sample.outside)?,
            lowered,
            raised,
        })
    }

    /// From the call until the new cap is kept.
    fn change(&mut self, cap: u64) -> Result<Duration> {
        let called = Instant::now();
        self.set(cap)?;
        let samples = self.watch(CHANGED)?;
        let goal = cap as f64 / CAP_BYTES_PER_SEC as f64;
        // the start of the first window after the last one that is off
        let mut kept_since = called;
        for (index, first) in samples.iter().enumerate() {
            let window = samples[index..]
                .iter()
                .find(|s| s.at >= first.at + CHANGE_WINDOW);
            let Some(last) = window else { break };
            let share = share(first, last, |sample| sample.inside) / goal;
            if (share - 1.0).abs() > CHANGE_SHARE {
                kept_since = samples[index + 1].at;
            }
        }
        Ok(kept_since - called)
    }

    fn set(&self, bytes_per_sec: u64) -> Result<()> {
        let cap = match self.way {
            Way::Fetch => "fetch_bytes_per_sec",
            Way::Serve => "serve_bytes_per_sec",
        };
        let limits = json!({ "caps": { cap: bytes_per_sec } });
        let home = self.fleet.node(self.limited).home();
        api::post(self.lab.node(self.limited), home, "/weft/v1/limit", &limits)?;
        Ok(())
    }

    fn watch(&mut self, time: Duration) -> Result<Vec<Sample>> {
        let end = Instant::now() + time;
        let mut samples = Vec::new();
        while Instant::now() < end {
            samples.push(self.sample()?);
            interrupt::sleep_until(Instant::now() + LOOK)?;
        }
        Ok(samples)
    }

    fn sample(&mut self) -> Result<Sample> {
        let outside = self.lab.bytes()?[self.limited];
        let home = self.fleet.node(self.limited).home();
        let status: Value = api::get(self.lab.node(self.limited), home, "/weft/v1/status")?;
        let count = |key: &str| status["traffic"][key].as_u64().context("no traffic told");
        let (inside, outside) = match self.way {
            Way::Fetch => (count("uplink_bytes_in")?, outside.down),
            Way::Serve => (count("uplink_bytes_out")?, outside.up),
        };
        Ok(Sample {
            at: Instant::now(),
            inside,
            outside,
        })
    }
}

/// The least and the most of all windows of this length, as shares of the cap.
fn windows(samples: &[Sample], length: Duration, count: fn(&Sample) -> u64) -> Result<[f64; 2]> {
    let mut range = [f64::INFINITY, 0.0_f64];
    for (index, first) in samples.iter().enumerate() {
        let Some(last) = samples[index..].iter().find(|s| s.at >= first.at + length) else {
            break;
        };
        let share = share(first, last, count);
        range = [range[0].min(share), range[1].max(share)];
    }
    ensure!(range[0].is_finite(), "not one window was seen");
    Ok(range)
}

fn share(first: &Sample, last: &Sample, count: fn(&Sample) -> u64) -> f64 {
    let bytes = (count(last) - count(first)) as f64;
    bytes / (last.at - first.at).as_secs_f64() / CAP_BYTES_PER_SEC as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_windows_are_found() {
        let start = Instant::now();
        let sample = |second: u64, inside: u64| Sample {
            at: start + Duration::from_secs(second),
            inside,
            outside: 0,
        };
        // a second too fast, a second of nothing, else as it should be
        let bytes = [0, 1, 2, 4, 4, 5, 6, 7].map(|mb| mb * CAP_BYTES_PER_SEC);
        let samples: Vec<Sample> = (0..)
            .zip(bytes)
            .map(|(at, bytes)| sample(at, bytes))
            .collect();
        let found = windows(&samples, Duration::from_secs(2), |s| s.inside).expect("windows");
        assert!(
            (found[0] - 0.5).abs() < 1e-9 && (found[1] - 1.5).abs() < 1e-9,
            "{found:?}"
        );
        assert!(windows(&samples, Duration::from_mins(1), |s| s.inside).is_err());
    }
}
