//! A channel's floor never falls at a node, but by a reset, or where its disk had refused
//! records when it went down.

use std::collections::{BTreeMap, BTreeSet};

use weft_record::Name;

use super::{Checker, View};
use crate::journal::{Change, Entry};

pub(super) struct Floor {
    channel: Name,
    /// Epoch and floor, as they were looked at last.
    floors: BTreeMap<usize, (u64, u64)>,
    /// Nodes that hold more than their disks.
    forgetful: BTreeSet<usize>,
}

impl Floor {
    pub(super) fn new(channel: Name) -> Self {
        Self {
            channel,
            floors: BTreeMap::new(),
            forgetful: BTreeSet::new(),
        }
    }
}

impl Checker for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn changed(&mut self, entry: &Entry, view: &View<'_>) -> Result<(), String> {
        match &entry.change {
            Change::Stopped(_) => {
                if self.forgetful.remove(&entry.node) {
                    self.floors.remove(&entry.node);
                }
                return Ok(());
            }
            Change::Records { kept: false, .. } => {
                self.forgetful.insert(entry.node);
            }
            Change::Records { .. } | Change::Started(_) => {}
            _ => return Ok(()),
        }
        let Some(node) = view.world.node(entry.node) else {
            return Ok(());
        };
        let trust = node.trust();
        let now = (trust.epoch(&self.channel), trust.floor(&self.channel));
        match self.floors.insert(entry.node, now) {
            Some(before) if before > now => Err(format!("its floor is {now:?} after {before:?}")),
            _ => Ok(()),
        }
    }
}
