//! Room on the disk. What no channel needs any more stays, for neighbours and for going
//! back further, until the room is needed.

use std::collections::BTreeSet;

use weft_record::Hash;

use crate::{
    bounds,
    delta::DeltaUse,
    io::{Disk, Event, Failure, FailureKind, Outcome},
    message::Payload,
    node::Node,
    pending::Pending,
};

impl<P: Payload> Node<P> {
    /// The disk had no room: what nobody needs makes some, but not again at every try.
    pub(crate) fn free_disk(&mut self, outcome: &Outcome<P>) {
        let full = |failure: &Failure| failure.kind == FailureKind::DiskFull;
        if matches!(outcome, Outcome::Failed(failure) if full(failure))
            && self.collect_after_us <= self.now_us
        {
            self.collect();
        }
    }

    /// Has everything deleted that [`Self::needed`] does not name.
    fn collect(&mut self) {
        self.collect_after_us = self.now_us + bounds::DISK_RETRY_US;
        let keep = self.needed();
        // before it is gone: nothing may be told or served of it from here on
        self.files.retain(|file, _| keep.contains(file));
        self.disk(Pending::Collect, Disk::Collect { keep });
    }

    pub(crate) fn collected(&mut self, outcome: &Outcome<P>) {
        match outcome {
            Outcome::Collected { files, bytes } if *files > 0 => {
                let (files, bytes) = (*files, *bytes);
                self.event(Event::Collected { files, bytes });
            }
            Outcome::Collected { .. } => {}
            // what it left is found the next time
            _ => self.trouble(outcome),
        }
    }

    /// Files of what is active, of what can be gone back to, of what is on its way, and of
    /// releases that the owner pinned.
    fn needed(&self) -> BTreeSet<Hash> {
        let mut needed = BTreeSet::new();
        for channel in self.channels.values() {
            for plan in channel.slots.plans() {
                needed.extend(plan.files.iter().map(|(_, file)| *file));
            }
            if let Some(target) = &channel.target {
                needed.extend(target.files.iter().map(|file| file.blake3));
            }
        }
        let files = self.files.iter();
        let under_way = files.filter(|(_, state)| state.phase.is_open());
        for (file, state) in under_way {
            needed.insert(*file);
            if let DeltaUse::Awaited { base, delta, .. } = state.delta {
                needed.extend([base, delta]);
            }
        }
        for release in &self.config.pinned {
            if let Some(release) = self.trust.release(release) {
                needed.extend(release.files().map(|file| file.blake3));
            }
        }
        needed
    }
}
