//! How large runs are and how fast they go, as figures.

use std::time::Instant;

use weft_record::Hash;

use super::{Script, play};

/// Least, middle and most of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Spread {
    /// The least.
    pub least: u64,
    /// The middle.
    pub median: u64,
    /// The most.
    pub most: u64,
}

/// What some seeds gave.
#[derive(Clone, Debug, serde::Serialize)]
pub struct FuzzFigures {
    /// Runs.
    pub runs: u64,
    /// Of these, with violations.
    pub violations: u64,
    /// Sites of a run.
    pub sites: Spread,
    /// Nodes.
    pub nodes: Spread,
    /// Chunks of a release.
    pub chunks: Spread,
    /// Faults.
    pub faults: Spread,
    /// Inputs that the nodes' cores handled, with the events that they told.
    pub events: Spread,
    /// Runs a second, on one thread.
    pub runs_per_sec: f64,
    /// A hash over all runs' event logs, in the order of the seeds.
    pub trace: Hash,
}

/// Runs these seeds, one after the other.
pub fn measure(seeds: impl Iterator<Item = u64>) -> FuzzFigures {
    let started = Instant::now();
    let mut sizes = Sizes::default();
    let (mut violations, mut trace) = (0, blake3::Hasher::new());
    for seed in seeds {
        let script = Script::draw(seed);
        let verdict = play(&script);
        violations += u64::from(!verdict.violations.is_empty());
        trace.update(verdict.hash.as_bytes());
        sizes.add(&script, verdict.events);
    }
    let runs = sizes.runs();
    FuzzFigures {
        runs,
        violations,
        sites: spread(&mut sizes.sites),
        nodes: spread(&mut sizes.nodes),
        chunks: spread(&mut sizes.chunks),
        faults: spread(&mut sizes.faults),
        events: spread(&mut sizes.events),
        runs_per_sec: runs as f64 / started.elapsed().as_secs_f64(),
        trace: Hash(*trace.finalize().as_bytes()),
    }
}

/// Sizes of many runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Sizes {
    sites: Vec<u64>,
    nodes: Vec<u64>,
    chunks: Vec<u64>,
    faults: Vec<u64>,
    events: Vec<u64>,
}

impl Sizes {
    pub(super) fn add(&mut self, script: &Script, events: u64) {
        self.sites.push(script.sites.len() as u64);
        self.nodes.push(script.nodes.len() as u64);
        self.chunks.push(u64::from(script.releases[0].chunks));
        self.faults.push(script.faults.len() as u64);
        self.events.push(events);
    }

    pub(super) fn append(&mut self, mut other: Self) {
        self.sites.append(&mut other.sites);
        self.nodes.append(&mut other.nodes);
        self.chunks.append(&mut other.chunks);
        self.faults.append(&mut other.faults);
        self.events.append(&mut other.events);
    }

    pub(super) fn runs(&self) -> u64 {
        self.events.len() as u64
    }

    pub(super) fn total_events(&self) -> u64 {
        self.events.iter().sum()
    }

    /// One line a kind.
    pub(super) fn lines(&mut self) -> Vec<(&'static str, Spread)> {
        vec![
            ("sites", spread(&mut self.sites)),
            ("nodes", spread(&mut self.nodes)),
            ("chunks", spread(&mut self.chunks)),
            ("faults", spread(&mut self.faults)),
            ("events", spread(&mut self.events)),
        ]
    }
}

fn spread(values: &mut [u64]) -> Spread {
    values.sort_unstable();
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    Spread {
        least: at(0),
        median: at(values.len() / 2),
        most: at(values.len().saturating_sub(1)),
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (least, median, most) = (self.least, self.median, self.most);
        write!(formatter, "{least} / {median} / {most}")
    }
}
