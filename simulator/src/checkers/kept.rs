//! Making room on a disk never takes what is active, can be gone back to, is on its way or
//! was pinned by the owner.

use std::collections::{BTreeMap, BTreeSet};

use weft_core::{Event, Phase, Slots};
use weft_record::{Hash, Name, RecordId};

use super::{Checker, View};
use crate::journal::{Change, Entry};

#[derive(Default)]
pub(super) struct Kept {
    /// What each node said that it wants, and has not activated or given up since.
    wanted: BTreeMap<(usize, Name), RecordId>,
}

impl Checker for Kept {
    fn name(&self) -> &'static str {
        "kept"
    }

    fn changed(&mut self, entry: &Entry, view: &View<'_>) -> Result<(), String> {
        let node = entry.node;
        let gone = match &entry.change {
            Change::Collected(files) => files,
            Change::Stopped(_) => {
                self.wanted.retain(|(teller, _), _| *teller != node);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let slots: Vec<Slots> = view.world.peek(node).all_slots().collect();
        let plans = slots.iter().flat_map(Slots::plans);
        let in_slots = plans.flat_map(|plan| plan.files.iter().map(|(_, file)| *file));
        may_go(gone, &in_slots.collect(), "a slot holds")?;
        let pinned = view.world.pins.get(&node).into_iter().flatten();
        for release in pinned {
            may_go(gone, &files_of(view, node, release), "is pinned")?;
        }
        let status = view.world.node(node).map(weft_core::Node::status);
        for channel in status.iter().flat_map(|status| &status.channels) {
            let wanted = self.wanted.get(&(node, channel.channel.clone()));
            let is_under_way = matches!(
                channel.phase,
                Phase::Fetching | Phase::Staging | Phase::Probing
            );
            // wanted before, and still
            if let Some(release) = wanted.filter(|one| channel.target == Some(**one))
                && is_under_way
            {
                may_go(gone, &files_of(view, node, release), "is on its way")?;
            }
        }
        Ok(())
    }

    fn told(&mut self, node: usize, event: &Event, _view: &View<'_>) -> Result<(), String> {
        match event {
            Event::HeadAccepted {
                channel, release, ..
            } => {
                self.wanted.insert((node, channel.clone()), *release);
            }
            Event::Activated { channel, .. }
            | Event::NoVariant { channel, .. }
            | Event::Probed {
                channel,
                passed: false,
                ..
            } => {
                self.wanted.remove(&(node, channel.clone()));
            }
            _ => {}
        }
        Ok(())
    }
}

fn files_of(view: &View<'_>, node: usize, release: &RecordId) -> BTreeSet<Hash> {
    let held = view.knowledge.of(node);
    let release = held.and_then(|held| held.release(release));
    let files = release.iter().flat_map(|release| release.files());
    files.map(|file| file.blake3).collect()
}

fn may_go(gone: &[Hash], needed: &BTreeSet<Hash>, why: &str) -> Result<(), String> {
    match gone.iter().find(|file| needed.contains(file)) {
        Some(file) => Err(format!("deletes file {file}, which {why}")),
        None => Ok(()),
    }
}
