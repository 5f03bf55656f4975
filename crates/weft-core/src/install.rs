//! From whole files to an active model: stage, probe, activate.

use weft_record::{Hash, Name};

use crate::{
    bounds,
    config::Phase,
    file::{FilePhase, FileState},
    io::{Disk, Event, Outcome, SlotKind},
    message::Payload,
    node::Node,
    pending::Pending,
    table::Table,
    target::remember_failed,
};

impl<P: Payload> Node<P> {
    pub(crate) fn advance_all(&mut self) {
        for channel in self.channels.keys().cloned().collect::<Vec<_>>() {
            self.advance(&channel);
        }
    }

    /// Takes the next step of a channel whose files are whole.
    pub(crate) fn advance(&mut self, name: &Name) {
        let target = self.channels.get(name).and_then(|ch| ch.target.as_ref());
        if !target.is_some_and(|target| self.is_wanted(&target.plan)) {
            return;
        }
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        let Some(target) = channel.target.as_mut() else {
            return;
        };
        if target.busy || target.done || channel.switching || channel.retry_us.is_some() {
            return;
        }
        if target
            .files
            .iter()
            .any(|file| is(&self.files, file.blake3, FilePhase::Contradictory))
        {
            let reason = "a file does not match the release's own chunk map".to_owned();
            self.refuse_unstaged(name, reason);
            return;
        }
        let files = &self.files;
        if !target
            .files
            .iter()
            .all(|file| is(files, file.blake3, FilePhase::Complete))
        {
            return;
        }
        target.busy = true;
        let plan = target.plan.clone();
        let bytes_fetched = self
            .fetch_status(name)
            .map_or(0, |fetch| fetch.bytes_fetched);
        self.event(Event::FetchCompleted {
            channel: name.clone(),
            release: plan.release,
            bytes_fetched,
        });
        self.set_phase(name, Phase::Staging, "");
        self.disk(Pending::Stage(name.clone()), Disk::Stage(plan));
    }

    pub(crate) fn staged(&mut self, name: Name, outcome: Outcome<P>) {
        if !matches!(outcome, Outcome::Staged) {
            self.step_failed(&name, &outcome);
            return;
        }
        let Some(channel) = self.channels.get_mut(&name) else {
            return;
        };
        let Some(target) = &channel.target else {
            return;
        };
        let plan = target.plan.clone();
        let before = channel.slots.staged.replace(plan.clone());
        self.retire(before);
        self.set_phase(&name, Phase::Probing, "");
        self.probe(SlotKind::Staged, plan);
    }

    pub(crate) fn probed_staged(&mut self, name: Name, asked: usize, outcome: Outcome<P>) {
        let Some(plan) = self
            .channels
            .get(&name)
            .and_then(|channel| channel.slots.staged.clone())
        else {
            return;
        };
        if self.was_asked_less(&plan, asked) {
            self.probe(SlotKind::Staged, plan);
            return;
        }
        let verdict = self.judge_probe(&name, &plan, outcome);
        let switching = self.channels.get(&name).is_some_and(|ch| ch.switching);
        match verdict {
            // contended, replaced or withdrawn since: what is staged waits, or is staged over
            Ok(()) if switching || !self.is_wanted(&plan) => {
                if let Some(target) = self.target_mut(&name) {
                    target.busy = false;
                }
                self.retarget(&name);
                self.advance(&name);
            }
            Ok(()) => {
                let pending = Pending::Activate(name.clone());
                self.switch(&name, pending, Disk::Activate(name.clone()));
            }
            Err(reason) => {
                self.set_phase(&name, Phase::Refused, &reason);
                let pending = Pending::DropStaged {
                    channel: name.clone(),
                };
                self.switch(&name, pending, Disk::DropStaged(name.clone()));
            }
        }
    }

    pub(crate) fn activated(&mut self, name: Name, outcome: Outcome<P>) {
        if let Some(channel) = self.channels.get_mut(&name) {
            channel.switching = false;
        }
        if !matches!(outcome, Outcome::Switched) {
            self.step_failed(&name, &outcome);
            return;
        }
        let soak_due_us = self.now_us + bounds::SOAK_US;
        let Some(channel) = self.channels.get_mut(&name) else {
            return;
        };
        let active = std::mem::replace(&mut channel.slots.active, channel.slots.staged.take());
        let retired = std::mem::replace(&mut channel.slots.previous, active);
        channel.soak_due_us = Some(soak_due_us);
        let Some(target) = channel.target.as_mut() else {
            return;
        };
        target.busy = false;
        target.done = true;
        let (release, seq) = (target.plan.release, target.seq);
        self.retire(retired);
        self.set_phase(&name, Phase::Soaking, "");
        self.event(Event::Activated {
            channel: name.clone(),
            release,
            seq,
        });
        self.retarget(&name);
        self.advance(&name);
    }

    pub(crate) fn dropped_staged(&mut self, name: Name, outcome: Outcome<P>) {
        if !matches!(outcome, Outcome::Switched) {
            self.trouble(&outcome);
        }
        let Some(channel) = self.channels.get_mut(&name) else {
            return;
        };
        channel.switching = false;
        let dropped = channel.slots.staged.take();
        if let Some(slot) = &dropped {
            remember_failed(&mut channel.slots, slot.head);
        }
        channel.target = None;
        self.retire(dropped);
        self.retarget(&name);
        self.advance(&name);
    }

    /// The release's bytes contradict each other: nothing was staged, nothing is lost.
    pub(crate) fn refuse_unstaged(&mut self, name: &Name, reason: String) {
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        let Some(target) = channel.target.take() else {
            return;
        };
        remember_failed(&mut channel.slots, target.plan.head);
        let release = target.plan.release;
        self.set_phase(name, Phase::Refused, &reason);
        self.event(Event::Probed {
            channel: name.clone(),
            release,
            passed: false,
            reason,
        });
    }

    pub(crate) fn contradictory(&mut self, file: Hash) {
        if let Some(state) = self.files.get_mut(&file) {
            state.phase = FilePhase::Contradictory;
            self.unwant(file);
            self.advance_all();
            return;
        }
        let concerned: Vec<Name> = self
            .channels
            .iter()
            .filter(|(_, channel)| {
                let target = channel.target.as_ref();
                target.is_some_and(|target| target.files.iter().any(|entry| entry.blake3 == file))
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in concerned {
            self.refuse_unstaged(
                &name,
                "a chunk map does not fit its file's length".to_owned(),
            );
        }
    }

    /// A slot step that the disk refused is taken again later.
    pub(crate) fn step_failed(&mut self, name: &Name, outcome: &Outcome<P>) {
        self.trouble(outcome);
        let retry_us = self.now_us + bounds::DISK_RETRY_US;
        if let Some(channel) = self.channels.get_mut(name) {
            channel.retry_us = Some(retry_us);
            if let Some(target) = channel.target.as_mut() {
                target.busy = false;
            }
        }
    }
}

/// Whether a file is known and stands there.
pub(crate) fn is(files: &Table<Hash, FileState>, file: Hash, phase: FilePhase) -> bool {
    files.get(&file).is_some_and(|state| state.phase == phase)
}
