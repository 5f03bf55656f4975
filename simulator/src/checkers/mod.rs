//! What must hold in every run, whatever the faults. Apart from what they check: they look
//! at disks, at what was sent and told, and at what was signed.
//!
//! Safety is looked at after every event ([`Watch`]); what must hold in the end, once all
//! is healed, by [`converged`], [`agreed`] and [`uplinks`].

mod acceptance;
mod activation;
mod agreement;
mod blame;
mod chunks;
mod claims;
mod convergence;
mod floor;
mod kept;
mod knowledge;
mod membership;
mod order;
mod refetch;
mod retry;
mod slots;
mod uplink;
mod working;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_core::Event;
use weft_record::{ChunkMap, Hash, Name, RecordId};

use crate::{journal::Entry, world::World};

pub use agreement::agreed;
pub use convergence::{Oracle, converged};
pub use knowledge::{Held, Knowledge};
pub use refetch::no_refetch;
pub use uplink::uplinks;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Who found it.
    pub checker: &'static str,
    /// When.
    pub at_us: u64,
    /// What was broken.
    pub text: String,
}

/// What is known of a run apart from its nodes.
#[derive(Debug, Default)]
pub struct Subject {
    /// Chunks of every file that any release names.
    pub maps: BTreeMap<Hash, Arc<ChunkMap>>,
    /// Releases that fail their probe.
    pub bad: BTreeSet<RecordId>,
    /// Releases that fail once they are active.
    pub failing: BTreeSet<RecordId>,
    /// Nodes that keep to the rules, on disks that do not rot.
    pub honest: BTreeSet<usize>,
    /// Peers that are no nodes: they say what the run makes them say.
    pub puppets: BTreeSet<usize>,
}

/// What a checker may look at.
pub struct View<'a> {
    /// All nodes, as they are after the event.
    pub world: &'a World,
    /// What is known apart from them.
    pub subject: &'a Subject,
    /// What each of them accepted.
    pub knowledge: &'a Knowledge,
}

/// Looks for one kind of broken promise while a run goes on.
trait Checker {
    fn name(&self) -> &'static str;

    /// A disk changed, or something was sent.
    fn changed(&mut self, _entry: &Entry, _view: &View<'_>) -> Result<(), String> {
        Ok(())
    }

    /// A node told something.
    fn told(&mut self, _node: usize, _event: &Event, _view: &View<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// All safety checkers, on every event.
pub struct Watch {
    checkers: Vec<Box<dyn Checker>>,
    /// What each node accepted.
    pub knowledge: Knowledge,
    entries: usize,
    events: usize,
    heard: usize,
}

impl Watch {
    /// Nothing was seen yet.
    pub fn new(channel: Name) -> Self {
        let checkers: Vec<Box<dyn Checker>> = vec![
            Box::new(activation::Activation),
            Box::new(working::Working),
            Box::new(slots::Slots),
            Box::new(order::Order::default()),
            Box::new(retry::Retry::default()),
            Box::new(chunks::Chunks),
            Box::new(claims::Claims::default()),
            Box::new(membership::Membership),
            Box::new(floor::Floor::new(channel)),
            Box::new(refetch::Refetch),
            Box::new(blame::Blame),
            Box::new(kept::Kept::default()),
        ];
        Self {
            checkers,
            knowledge: Knowledge::default(),
            entries: 0,
            events: 0,
            heard: 0,
        }
    }

    /// Looks at what happened since it was last called: the first broken promise, if any.
    pub fn look(&mut self, world: &World, subject: &Subject) -> Option<Violation> {
        let at_us = world.now_us();
        let violation = |checker, text| {
            Some(Violation {
                checker,
                at_us,
                text,
            })
        };
        let entries = world.journal.as_ref().map_or(&[][..], |one| one.entries());
        while let Some(entry) = entries.get(self.entries) {
            self.entries += 1;
            let accepted = self.knowledge.learn(entry);
            let held = self.knowledge.of(entry.node);
            if let Err(text) = acceptance::look(entry.node, held, &accepted) {
                return violation("acceptance", text);
            }
            let view = View {
                world,
                subject,
                knowledge: &self.knowledge,
            };
            for checker in &mut self.checkers {
                if let Err(text) = checker.changed(entry, &view) {
                    return violation(checker.name(), format!("node {}: {text}", entry.node));
                }
            }
        }
        let view = View {
            world,
            subject,
            knowledge: &self.knowledge,
        };
        while let Some((_, node, event)) = world.events.get(self.events) {
            self.events += 1;
            for checker in &mut self.checkers {
                if let Err(text) = checker.told(*node, event, &view) {
                    return violation(checker.name(), format!("node {node}: {text}"));
                }
            }
        }
        // by the node's own reading of its records
        if let Some(text) = world.unasked.first() {
            return violation("activation", text.clone());
        }
        while let Some((puppet, from, message)) = world.heard.get(self.heard) {
            self.heard += 1;
            if let Err(text) = membership::heard(*puppet, message, *from, &view) {
                return violation("membership", format!("node {from}: {text}"));
            }
        }
        None
    }
}
