//! What nodes told, boiled down: when each was complete and ran what, what went wrong.

use std::collections::{BTreeMap, BTreeSet};

use weft_core::{Event, Peer};
use weft_record::RecordId;

use crate::{fleet::Fleet, report::Happened};

/// Not yet.
pub(super) const NEVER: u64 = u64::MAX;

pub(super) struct Metrics {
    honest: Vec<bool>,
    honest_count: usize,
    /// Of each release, of each node: when it had begun to fetch, held all and ran it first.
    pub(super) began_us: Vec<Vec<u64>>,
    pub(super) complete_us: Vec<Vec<u64>>,
    pub(super) active_us: Vec<Vec<u64>>,
    /// Of each release, of each node: its probe failed.
    failed: Vec<Vec<bool>>,
    /// What each node runs now.
    running: Vec<Option<u32>>,
    running_count: Vec<usize>,
    tried_count: Vec<usize>,
    /// Every change of what an honest node runs: time, node, release.
    pub(super) changes: Vec<(u64, u32, Option<u32>)>,
    /// What each node told last of what hinders it.
    pub(super) trouble: BTreeMap<usize, String>,
    /// Peers that some honest node let go.
    pub(super) let_go: BTreeSet<Peer>,
    pub(super) let_go_count: u64,
    pub(super) chunks_corrupt: u64,
    pub(super) records_refused: u64,
    pub(super) strangers_dropped: u64,
    pub(super) joined: u64,
    pub(super) forked: usize,
    pub(super) withdrawn: usize,
    pub(super) went_back: usize,
    /// When each node was down, and each place's link.
    pub(super) downs: Spans,
    pub(super) closures: Spans,
    pub(super) falls: u64,
    pub(super) switched_on: usize,
    pub(super) happened: Vec<Happened>,
}

impl Metrics {
    pub(super) fn new(fleet: &Fleet, releases: usize) -> Self {
        let nodes = fleet.nodes.len();
        let honest: Vec<bool> = (0..nodes).map(|node| fleet.is_honest(node)).collect();
        let times = || vec![vec![NEVER; nodes]; releases];
        Self {
            honest_count: honest.iter().filter(|honest| **honest).count(),
            honest,
            began_us: times(),
            complete_us: times(),
            active_us: times(),
            failed: vec![Vec::new(); releases],
            running: vec![None; nodes],
            running_count: vec![0; releases],
            tried_count: vec![0; releases],
            changes: Vec::new(),
            trouble: BTreeMap::new(),
            let_go: BTreeSet::new(),
            let_go_count: 0,
            chunks_corrupt: 0,
            records_refused: 0,
            strangers_dropped: 0,
            joined: 0,
            forked: 0,
            withdrawn: 0,
            went_back: 0,
            downs: Spans::default(),
            closures: Spans::default(),
            falls: 0,
            switched_on: 0,
            happened: Vec::new(),
        }
    }

    pub(super) fn honest(&self) -> usize {
        self.honest_count
    }

    /// Honest nodes that run this release now.
    pub(super) fn running(&self, release: usize) -> usize {
        self.running_count[release]
    }

    /// Honest nodes that tried it in vain.
    pub(super) fn tried(&self, release: usize) -> usize {
        self.tried_count[release]
    }

    /// Whether an event may change what is active.
    pub(super) fn moves_slots(event: &Event) -> bool {
        matches!(
            event,
            Event::Activated { .. } | Event::WentBack { .. } | Event::Withdrawn { .. }
        )
    }

    /// One event of a node.
    pub(super) fn told(
        &mut self,
        at_us: u64,
        node: usize,
        event: &Event,
        by_id: &BTreeMap<RecordId, usize>,
    ) {
        if !self.honest[node] {
            return;
        }
        let known = |id: &RecordId| by_id.get(id).copied();
        match event {
            Event::ChunkCorrupt { .. } => self.chunks_corrupt += 1,
            Event::FetchStarted { release, .. } => {
                if let Some(release) = known(release) {
                    let began_us = &mut self.began_us[release][node];
                    *began_us = (*began_us).min(at_us);
                }
            }
            Event::FetchCompleted { release, .. } => {
                if let Some(release) = known(release) {
                    let complete_us = &mut self.complete_us[release][node];
                    *complete_us = (*complete_us).min(at_us);
                    self.trouble.remove(&node);
                }
            }
            Event::Activated { release, .. } => {
                if let Some(release) = known(release) {
                    for times in [&mut self.complete_us, &mut self.active_us] {
                        let first_us = &mut times[release][node];
                        *first_us = (*first_us).min(at_us);
                    }
                    self.trouble.remove(&node);
                }
            }
            Event::Probed {
                release,
                passed: false,
                reason,
                ..
            } => {
                self.trouble
                    .insert(node, format!("its probe failed: {reason}"));
                if let Some(release) = known(release) {
                    let nodes = self.running.len();
                    let failed = &mut self.failed[release];
                    failed.resize(nodes, false);
                    if !std::mem::replace(&mut failed[node], true) {
                        self.tried_count[release] += 1;
                    }
                }
            }
            Event::WentBack { .. } => self.went_back += 1,
            Event::Withdrawn { .. } => self.withdrawn += 1,
            Event::Forked { .. } => {
                self.forked += 1;
                let text = "two heads contend, so it activates nothing new";
                self.trouble.insert(node, text.to_owned());
            }
            Event::NoVariant { reason, .. } => {
                self.trouble
                    .insert(node, format!("the release does not fit it: {reason}"));
            }
            Event::DiskTrouble { text, .. } => {
                self.trouble
                    .insert(node, format!("its disk refuses: {text}"));
            }
            Event::JoinRefused { reason } => {
                self.trouble
                    .insert(node, format!("it was not enrolled: {reason}"));
            }
            Event::PeerLetGo { peer, .. } => {
                self.let_go_count += 1;
                self.let_go.insert(*peer);
            }
            Event::RecordRefused { .. } => self.records_refused += 1,
            Event::StrangerDropped { .. } => self.strangers_dropped += 1,
            Event::Enrolled { .. } => self.joined += 1,
            _ => {}
        }
    }

    /// What an honest node runs from now on.
    pub(super) fn runs(&mut self, at_us: u64, node: usize, release: Option<usize>) {
        let release = release.map(|release| release as u32);
        let before = std::mem::replace(&mut self.running[node], release);
        if before == release || !self.honest[node] {
            return;
        }
        if let Some(before) = before {
            self.running_count[before as usize] -= 1;
        }
        if let Some(now) = release {
            self.running_count[now as usize] += 1;
        }
        self.changes.push((at_us, node as u32, release));
    }

    pub(super) fn down(&mut self, node: usize, now_us: u64) {
        self.falls += 1;
        self.downs.begin(node, now_us);
    }

    pub(super) fn up(&mut self, node: usize, now_us: u64) {
        self.downs.end(node, now_us);
    }

    pub(super) fn close(&mut self, places: &[usize], now_us: u64) {
        for place in places {
            self.closures.begin(*place, now_us);
        }
    }

    pub(super) fn open(&mut self, places: &[usize], now_us: u64) {
        for place in places {
            self.closures.end(*place, now_us);
        }
    }
}

/// Stretches of time, of many things.
#[derive(Default)]
pub(super) struct Spans {
    of: BTreeMap<usize, Vec<(u64, u64)>>,
    /// Under way: since when, and how many at once.
    under_way: BTreeMap<usize, (u64, u32)>,
}

impl Spans {
    fn begin(&mut self, what: usize, now_us: u64) {
        self.under_way.entry(what).or_insert((now_us, 0)).1 += 1;
    }

    fn end(&mut self, what: usize, now_us: u64) {
        let Some((since_us, count)) = self.under_way.get_mut(&what) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            let span = (*since_us, now_us);
            self.under_way.remove(&what);
            self.of.entry(what).or_default().push(span);
        }
    }

    /// How much of the time from one moment to another.
    pub(super) fn within(&self, what: usize, from_us: u64, until_us: u64) -> u64 {
        let over = self.of.get(&what).into_iter().flatten().copied();
        let now = self.under_way.get(&what);
        let now = now.map(|(since_us, _)| (*since_us, NEVER));
        let cut = |(begin, end): (u64, u64)| end.min(until_us).saturating_sub(begin.max(from_us));
        over.chain(now).map(cut).sum()
    }

    /// All of it, of all, up to a moment.
    pub(super) fn total(&self, until_us: u64) -> u64 {
        let keys = self.of.keys().chain(self.under_way.keys());
        let mut keys: Vec<usize> = keys.copied().collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .map(|what| self.within(what, 0, until_us))
            .sum()
    }
}
