//! Heads and releases that were accepted once and no longer count.
//!
//! A later root may name one of them as what a channel begins with again, or more admins
//! may sign it. Were they thrown away, one admin who revokes a key would make every node
//! forget the very heads that the next root goes back to.

use std::collections::BTreeMap;

use crate::{Envelope, Head, RecordId, Release, Verified, bounds::MAX_FALLEN};

/// Bounded; the first to fall stay, since what a thief signed comes last.
#[derive(Clone, Debug, Default)]
pub(super) struct Fallen {
    pub(super) heads: BTreeMap<RecordId, Verified<Head>>,
    pub(super) releases: BTreeMap<RecordId, Verified<Release>>,
}

impl Fallen {
    pub(super) fn keep_head(&mut self, head: Verified<Head>) {
        keep(&mut self.heads, head);
    }

    pub(super) fn keep_release(&mut self, release: Verified<Release>) {
        keep(&mut self.releases, release);
    }

    pub(super) fn forget(&mut self, id: &RecordId) {
        self.heads.remove(id);
        self.releases.remove(id);
    }

    pub(super) fn find(&self, id: &RecordId) -> Option<&Envelope> {
        let head = self.heads.get(id).map(Verified::envelope);
        head.or_else(|| self.releases.get(id).map(Verified::envelope))
    }
}

fn keep<T>(held: &mut BTreeMap<RecordId, Verified<T>>, record: Verified<T>) {
    if held.len() < MAX_FALLEN || held.contains_key(&record.id()) {
        held.insert(record.id(), record);
    }
}
