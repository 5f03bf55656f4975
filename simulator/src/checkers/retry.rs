//! A head whose release failed here is not tried again here.

use std::collections::BTreeSet;

use weft_record::RecordId;

use super::{Checker, View};
use crate::journal::{Change, Entry};

#[derive(Default)]
pub(super) struct Retry {
    failed: BTreeSet<(usize, RecordId)>,
}

impl Checker for Retry {
    fn name(&self) -> &'static str {
        "retry"
    }

    fn changed(&mut self, entry: &Entry, _: &View<'_>) -> Result<(), String> {
        match &entry.change {
            Change::Refused(slot)
            | Change::Dropped {
                slot, failed: true, ..
            } => {
                self.failed.insert((entry.node, slot.head));
                Ok(())
            }
            Change::Staged(slot) if self.failed.contains(&(entry.node, slot.head)) => Err(format!(
                "stages head {} again, which failed here",
                slot.head
            )),
            _ => Ok(()),
        }
    }
}
