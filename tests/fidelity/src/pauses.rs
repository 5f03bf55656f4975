//! What happens to chunks that are under way when the uplink becomes metered: two nodes, each
//! behind an uplink of its own, of which one says so in the middle of a fetch.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    api, cases::alone, interrupt, lab::Lab, limits::Way, real::Fleet, release::PackedRelease,
};

/// So slow that a small release is not over before it was looked at.
const CAP_BYTES_PER_SEC: u64 = 200_000;
/// For so long nothing may pass.
const PAUSED: Duration = Duration::from_secs(10);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);
/// Anything that is waited for is there by then.
const PATIENCE: Duration = Duration::from_mins(1);

/// How a pause was kept.
#[derive(Clone, Debug)]
pub struct Paused {
    /// From the call until the last byte of a chunk.
    pub stopped: Duration,
    /// All that passed the uplink from a second after the call on, in ten seconds.
    pub outside_bytes: u64,
    /// From its publication until a head was heard of meanwhile.
    pub heard: Duration,
    /// From the call that ends it until the next byte of a chunk.
    pub resumed: Duration,
}

/// Measures it with this binary and a release of at least 2 MB.
pub fn pause_kept(way: Way, weft: &Path, release: &PackedRelease) -> Result<Paused> {
    interrupt::watch();
    let case = alone(2, 16);
    let folder = tempfile::tempdir()?;
    let lab = Lab::new(&case, 1)?;
    let fleet = Fleet::enroll(&case, &lab, weft, folder.path())?;
    lab.limit(&case)?;
    let limited = match way {
        Way::Fetch => 1,
        Way::Serve => 0,
    };
    let mut bench = Bench {
        lab: &lab,
        fleet,
        limited,
        release: &release.path,
    };
    bench.limit(1, false)?;
    let _publishing = bench.fleet.publish(release)?;
    bench.until("chunks pass", |inside| inside > CAP_BYTES_PER_SEC)?;
    bench.measure()
}

struct Bench<'a> {
    lab: &'a Lab,
    fleet: Fleet<'a>,
    limited: usize,
    release: &'a Path,
}

impl Bench<'_> {
    fn measure(&mut self) -> Result<Paused> {
        let called = Instant::now();
        self.limit(self.limited, true)?;
        let (mut stopped, mut last) = (called, self.inside()?);
        let mut outside_before = None;
        while called.elapsed() < PAUSED + Duration::from_secs(1) {
            let inside = self.inside()?;
            if inside != last {
                (stopped, last) = (Instant::now(), inside);
            }
            if outside_before.is_none() && called.elapsed() >= Duration::from_secs(1) {
                outside_before = Some(self.outside()?);
            }
            interrupt::sleep_until(Instant::now() + LOOK)?;
        }
        let outside_before = outside_before.context("no look after a second")?;
        let outside_bytes = self.outside()? - outside_before;
        let heard = self.hear()?;
        ensure!(self.inside()? == last, "chunks passed while the head came");
        let called_again = Instant::now();
        self.limit(self.limited, false)?;
        let resumed = self.until("chunks pass again", |inside| inside > last)?;
        Ok(Paused {
            stopped: stopped - called,
            outside_bytes,
            heard,
            resumed: resumed - called_again,
        })
    }

    /// The publisher signs one more head; until the other has accepted it.
    fn hear(&mut self) -> Result<Duration> {
        let node = self.fleet.node(0);
        let key = node.home().join("admin.key");
        let key = key.to_string_lossy().into_owned();
        let words = ["release", "publish", "--again", "--key", &key];
        let path = self.release.to_string_lossy().into_owned();
        let published = Instant::now();
        self.fleet
            .node(0)
            .call(self.lab, &[&words[..], &[&path]].concat())?;
        let is_next = |event: &Value| event["seq"].as_u64() == Some(1);
        while published.elapsed() < PATIENCE {
            let event = self
                .fleet
                .node_mut(1)
                .event(self.lab, "head_accepted", is_next)?;
            if event.is_some() {
                return Ok(published.elapsed());
            }
            interrupt::sleep_until(Instant::now() + LOOK)?;
        }
        anyhow::bail!("no head came over the metered uplink within {PATIENCE:?}")
    }

    fn until(&self, what: &str, hoped: impl Fn(u64) -> bool) -> Result<Instant> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if hoped(self.inside()?) {
                return Ok(Instant::now());
            }
            interrupt::sleep_until(Instant::now() + LOOK)?;
        }
        anyhow::bail!("{what}: not within {PATIENCE:?}")
    }

    fn limit(&self, node: usize, metered: bool) -> Result<()> {
        let home = self.fleet.node(node).home();
        let caps = json!({ "fetch_bytes_per_sec": CAP_BYTES_PER_SEC });
        let limits = json!({ "caps": caps, "metered": metered });
        api::post(self.lab.node(node), home, "/weft/v1/limit", &limits)?;
        Ok(())
    }

    /// Bytes of chunks that came to the one that fetches.
    fn inside(&self) -> Result<u64> {
        let home = self.fleet.node(1).home();
        let status = api::get(self.lab.node(1), home, "/weft/v1/status")?;
        let count = status["traffic"]["uplink_bytes_in"].as_u64();
        count.context("no traffic told")
    }

    fn outside(&self) -> Result<u64> {
        let bytes = self.lab.bytes()?[1];
        Ok(bytes.up + bytes.down)
    }
}
