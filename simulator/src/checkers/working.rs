//! A working model is never given up: only a failed probe, a revocation or a reset ends an
//! active slot. No clock, no fork, no unreachable admin does.

use super::{Checker, View};
use crate::journal::{Change, Entry};

pub(super) struct Working;

impl Checker for Working {
    fn name(&self) -> &'static str {
        "working"
    }

    fn changed(&mut self, entry: &Entry, view: &View<'_>) -> Result<(), String> {
        let Change::Dropped { slot, failed, .. } = &entry.change else {
            return Ok(());
        };
        let subject = view.subject;
        // with a previous slot that may not answer, a failed one is withdrawn too
        let fails = subject.bad.contains(&slot.release) || subject.failing.contains(&slot.release);
        if fails || (*failed && !subject.honest.contains(&entry.node)) {
            return Ok(());
        }
        if *failed {
            return Err(format!("gives up {}, which works", slot.release));
        }
        let held = view.knowledge.of(entry.node);
        let void = held.is_some_and(|held| {
            held.is_revoked(&slot.release, true) || held.epoch(&slot.channel).0 > slot.epoch
        });
        if void {
            return Ok(());
        }
        Err(format!("withdraws {}, which nobody revoked", slot.release))
    }
}
