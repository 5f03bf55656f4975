//! Smaller runs that break the same promise: delta debugging over the faults (Zeller's
//! ddmin), then fewer nodes, sites and chunks and less time, until nothing more can go.

use std::time::{Duration, Instant};

use crate::fuzz::{Action, Part, Script, Verdict, play};

/// How much a search may cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Runs, at most.
    pub runs: u64,
    /// Time after which no further run is begun. A search that ends by it may be larger on a
    /// slower machine; one that ends before is the same everywhere.
    pub time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            runs: 2_000,
            time: Duration::from_mins(2),
        }
    }
}

/// What a search came to.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest run that was found.
    pub script: Script,
    /// How it ends.
    pub verdict: Verdict,
    /// Runs that it took.
    pub runs: u64,
    /// Whether nothing more could be taken away; else the budget was used up.
    pub is_least: bool,
}

/// Makes a run smaller that breaks a promise: whatever is kept, the same checker finds
/// something. None if the run breaks none.
pub fn shrink(script: &Script, budget: Budget) -> Option<Shrunk> {
    let verdict = play(script);
    let checker = verdict.violations.first()?.checker;
    let mut search = Search {
        checker,
        script: script.clone(),
        verdict,
        runs: 1,
        budget,
        started: Instant::now(),
        spent: false,
    };
    search.end_early();
    loop {
        let before = search.script.clone();
        search.drop_faults();
        search.drop_nodes();
        search.merge_sites();
        search.halve_chunks();
        search.halve_time();
        search.plain();
        if search.script == before || search.spent {
            break;
        }
    }
    Some(Shrunk {
        is_least: !search.spent,
        script: search.script,
        verdict: search.verdict,
        runs: search.runs,
    })
}

struct Search {
    checker: &'static str,
    /// The smallest so far.
    script: Script,
    verdict: Verdict,
    runs: u64,
    budget: Budget,
    started: Instant,
    spent: bool,
}

impl Search {
    /// Takes a smaller script's place if the same checker finds something in it.
    fn keeps(&mut self, smaller: Script) -> bool {
        if smaller == self.script {
            return false;
        }
        self.spent |= self.runs >= self.budget.runs || self.started.elapsed() >= self.budget.time;
        if self.spent {
            return false;
        }
        self.runs += 1;
        let verdict = play(&smaller);
        let mut violations = verdict.violations.iter();
        let same = violations.any(|violation| violation.checker == self.checker);
        if same {
            (self.script, self.verdict) = (smaller, verdict);
        }
        same
    }

    fn with(&self, change: impl FnOnce(&mut Script)) -> Script {
        let mut script = self.script.clone();
        change(&mut script);
        script
    }

    /// What comes after the promise was broken did not break it.
    fn end_early(&mut self) {
        let Some(violation) = self.verdict.violations.first() else {
            return;
        };
        let at_us = violation.at_us;
        let cut = self.with(|script| script.faults.retain(|fault| fault.at_us <= at_us));
        self.keeps(cut);
    }

    /// Ever finer parts of the faults are left out, until not even one can be.
    fn drop_faults(&mut self) {
        let mut parts = 2;
        while !self.script.faults.is_empty() {
            let count = self.script.faults.len();
            let length = count.div_ceil(parts);
            let mut dropped = false;
            let mut from = 0;
            while from < self.script.faults.len() {
                let to = (from + length).min(self.script.faults.len());
                let fewer = self.with(|script| {
                    script.faults.drain(from..to);
                });
                if self.keeps(fewer) {
                    dropped = true;
                } else {
                    from = to;
                }
            }
            if length == 1 && !dropped {
                break;
            }
            parts = if dropped {
                parts.saturating_sub(1).max(2)
            } else {
                (parts * 2).min(self.script.faults.len().max(2))
            };
            if self.spent {
                break;
            }
        }
    }

    /// The last half of the nodes goes, then a quarter and so on; then puppets and parts one
    /// by one.
    fn drop_nodes(&mut self) {
        let mut length = self.script.nodes.len() / 2;
        while length > 0 {
            let kept = self.script.nodes.len().saturating_sub(length).max(2);
            let fewer = self.with(|script| keep_nodes(script, kept));
            if !self.keeps(fewer) {
                length /= 2;
            }
            length = length.min(self.script.nodes.len() / 2);
            if self.spent {
                return;
            }
        }
        for index in 1..self.script.nodes.len() {
            let plain = self.with(|script| script.nodes[index].role = Part::Honest);
            self.keeps(plain);
        }
    }

    /// All nodes at one site; else as few sites as can be.
    fn merge_sites(&mut self) {
        let mut count = 1;
        while count < self.script.sites.len() {
            let fewer = self.with(|script| {
                script.sites.truncate(count);
                for node in &mut script.nodes {
                    node.site %= count;
                }
            });
            if self.keeps(fewer) {
                return;
            }
            count *= 2;
        }
    }

    fn halve_chunks(&mut self) {
        loop {
            let fewer = self.with(|script| {
                for release in &mut script.releases {
                    release.chunks = (release.chunks / 2).max(1);
                    release.shared = release.shared.min(release.chunks);
                }
            });
            if !self.keeps(fewer) {
                return;
            }
        }
    }

    /// Everything happens in half the time.
    fn halve_time(&mut self) {
        loop {
            let sooner = self.with(|script| {
                script.chaos_us /= 2;
                for fault in &mut script.faults {
                    fault.at_us /= 2;
                }
            });
            if !self.keeps(sooner) {
                return;
            }
        }
    }

    /// What is plainer is easier to read: one key instead of two, no bounded uplinks, no
    /// sides of a partition that are not needed.
    fn plain(&mut self) {
        let one_key = self.with(|script| script.threshold = 1);
        self.keeps(one_key);
        let unbounded = self.with(|script| {
            for site in &mut script.sites {
                site.uplink_bytes_per_sec = 0;
            }
        });
        self.keeps(unbounded);
        let apart = self.with(drop_absent);
        self.keeps(apart);
    }
}

fn keep_nodes(script: &mut Script, kept: usize) {
    script.nodes.truncate(kept);
    script.links.retain(|(a, b)| *a.max(b) < kept);
}

/// Sides of partitions name only nodes that are there.
fn drop_absent(script: &mut Script) {
    let nodes = script.nodes.len();
    for fault in &mut script.faults {
        if let Action::Partition { side } = &mut fault.action {
            side.retain(|node| *node < nodes);
        }
    }
}
