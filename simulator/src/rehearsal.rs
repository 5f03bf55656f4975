//! A scenario carried out: the fleet is built, time runs, what was planned goes wrong,
//! and what the nodes told is gathered.

mod asserts;
mod build;
mod figures;
mod metrics;
mod puppets;
mod stragglers;
mod timeline;
mod wires;

use std::{collections::BTreeMap, ops::Range};

use weft_record::{Name, RecordId};

use crate::{
    fleet::Fleet,
    mesh::{Admin, VirtualRelease},
    report::Report,
    scenario::{Bad, Scenario, Share, Until},
    world::World,
};
use metrics::Metrics;
use puppets::Puppets;
use timeline::Timeline;
use wires::Wires;

/// How a scenario is rehearsed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// In place of the scenario's own seed.
    pub seed: u64,
    /// A part of the fleet.
    pub scale: Share,
    /// Others are rehearsed beside it: it keeps to one thread.
    pub is_one_of_many: bool,
}

/// How far a rehearsal came.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Virtual time.
    pub now_us: u64,
    /// The scenario's time limit.
    pub limit_us: u64,
    /// Honest nodes that have what they should.
    pub done: usize,
    /// Honest nodes.
    pub nodes: usize,
}

/// The scenario describes a fleet that cannot be built.
#[derive(Debug)]
pub struct Unbuildable {
    /// The place in the file.
    pub span: Range<usize>,
    /// Why.
    pub why: String,
    /// What to write instead.
    pub next: String,
}

/// Virtual time between two looks at what nodes told.
const LOOK_US: u64 = 1_000_000;

/// Carries the scenario out. `watch` is told now and then how far it came; once it says
/// no, the report is made of what there is.
pub fn rehearse(
    scenario: &Scenario,
    options: Options,
    watch: &mut dyn FnMut(Progress) -> bool,
) -> Result<Report, Unbuildable> {
    let fleet = Fleet::new(scenario, options.seed, options.scale);
    let fleet = fleet.map_err(|unlinked| Unbuildable {
        span: unlinked.span,
        why: unlinked.why,
        next: unlinked.next,
    })?;
    let mut run = Run::new(scenario, fleet, options);
    let partial = !run.until_the_end(watch);
    Ok(run.report(partial))
}

/// What is published, by whomever.
pub(crate) struct Published {
    pub(crate) version: String,
    pub(crate) release: VirtualRelease,
    /// Bytes that a node with the release before it has to fetch.
    pub(crate) new_bytes: u64,
    pub(crate) at_us: u64,
    pub(crate) by_thief: bool,
    pub(crate) bad: Bad,
    /// Once it is published.
    pub(crate) id: Option<RecordId>,
}

/// One rehearsal under way.
struct Run<'a> {
    scenario: &'a Scenario,
    options: Options,
    fleet: Fleet,
    world: World,
    admin: Admin,
    channel: Name,
    /// In the order of the file: releases, then what thieves sign.
    published: Vec<Published>,
    by_id: BTreeMap<RecordId, usize>,
    /// Heads that counted before each theft.
    bases: Vec<Option<RecordId>>,
    timeline: Timeline,
    wires: Wires,
    puppets: Puppets,
    metrics: Metrics,
    limit_us: u64,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, fleet: Fleet, options: Options) -> Self {
        let mut admin = Admin::with_threshold(options.seed, *scenario.mesh.threshold.get_ref());
        let published = build::releases(scenario);
        let (mut world, puppets) = build::world(scenario, &fleet, options.seed, &mut admin);
        if options.is_one_of_many {
            world.keep_to_one_thread();
        }
        let timeline = Timeline::of(scenario, &fleet, options.seed);
        let wires = Wires::new(&fleet, options.seed);
        let metrics = Metrics::new(&fleet, published.len());
        let channel = admin.channel();
        Self {
            scenario,
            options,
            fleet,
            world,
            admin,
            channel,
            published,
            by_id: BTreeMap::new(),
            bases: vec![None; scenario.theft.len()],
            timeline,
            wires,
            puppets,
            metrics,
            limit_us: scenario.time_limit.get_ref().us,
        }
    }

    /// True if it came to its own end.
    fn until_the_end(&mut self, watch: &mut dyn FnMut(Progress) -> bool) -> bool {
        let mut look_us = 0;
        loop {
            let now_us = self.world.now_us();
            while let Some(action) = self.timeline.due(now_us) {
                self.carry_out(action);
            }
            if now_us >= look_us {
                look_us = now_us + LOOK_US;
                self.gather();
                let (done, nodes) = (self.done(), self.metrics.honest());
                let progress = Progress {
                    now_us,
                    limit_us: self.limit_us,
                    done,
                    nodes,
                };
                if !watch(progress) {
                    return false;
                }
                let settled = self.scenario.until == Until::Settled
                    && done == nodes
                    && self.timeline.is_over();
                if settled || now_us >= self.limit_us {
                    return true;
                }
            }
            let next_us = look_us
                .min(self.timeline.next_us())
                .min(self.limit_us)
                .max(now_us);
            let (world, puppets) = (&mut self.world, &self.puppets);
            if puppets.any() {
                world.run(next_us - now_us, |world| !world.heard.is_empty());
                self.puppets.answer(&mut self.world, &self.admin);
            } else {
                world.run(next_us - now_us, |_| false);
            }
        }
    }

    /// Reads what nodes told since the last look.
    fn gather(&mut self) {
        let events = std::mem::take(&mut self.world.events);
        for (at_us, node, event) in events {
            self.metrics.told(at_us, node, &event, &self.by_id);
            if Metrics::moves_slots(&event) {
                let active = self.world.active(node, &self.channel);
                let active = active.and_then(|id| self.by_id.get(&id).copied());
                self.metrics.runs(at_us, node, active);
            }
        }
    }

    /// Honest nodes that have what they should by now.
    fn done(&self) -> usize {
        let wanted = self.expected();
        match wanted {
            Some(wanted) if self.published[wanted].bad != Bad::No => self.metrics.tried(wanted),
            Some(wanted) => self.metrics.running(wanted),
            None => 0,
        }
    }

    /// The release that the admin's records ask for now.
    fn expected(&self) -> Option<usize> {
        match self.admin.trust().verdict(&self.channel) {
            weft_record::Verdict::Go(head) => self.by_id.get(&head.release).copied(),
            _ => None,
        }
    }
}
