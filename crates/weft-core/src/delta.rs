//! A file made from one that is here and a delta, where that is less to fetch. The delta comes
//! chunk by chunk, as any file does, and what it makes counts by its digests alone: whatever it
//! does not give is fetched.

use std::sync::Arc;

use weft_record::{Delta, Hash};

use crate::{
    bounds,
    file::{FilePhase, FileState},
    install::is,
    io::{DeltaPlan, Disk, Event, Outcome},
    members::Standing,
    message::Payload,
    node::Node,
    pending::Pending,
};

/// What a file has to do with deltas.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum DeltaUse {
    /// None was chosen yet.
    #[default]
    Open,
    /// This one is on its way.
    Awaited {
        base: Hash,
        delta: Hash,
        /// What was here of it when it was looked at last.
        seen_bytes: u64,
        /// When it is looked at next.
        due_us: u64,
    },
    /// One was tried: each file tries one.
    Over,
}

impl DeltaUse {
    /// The delta that is on its way.
    pub(crate) fn awaited(&self) -> Option<Hash> {
        match self {
            Self::Awaited { delta, .. } => Some(*delta),
            Self::Open | Self::Over => None,
        }
    }
}

impl FileState {
    pub(crate) fn delta_due_us(&self) -> Option<u64> {
        match self.delta {
            DeltaUse::Awaited { due_us, .. } => Some(due_us),
            DeltaUse::Open | DeltaUse::Over => None,
        }
    }
}

impl<P: Payload> Node<P> {
    /// Takes the file's shortest delta from a file that is here, if that is less than what is
    /// lacking; false if there is none.
    pub(crate) fn defer_to_delta(&mut self, file: Hash) -> bool {
        let Some((delta, lacking_bytes)) = self.shortest_delta(&file) else {
            return false;
        };
        let due_us = self.now_us + bounds::DELTA_PATIENCE_US;
        let Some(state) = self.files.get_mut(&file) else {
            return false;
        };
        state.phase = FilePhase::Deferred;
        state.delta = DeltaUse::Awaited {
            base: delta.base,
            delta: delta.blake3,
            seen_bytes: 0,
            due_us,
        };
        self.due_us = self.due_us.min(due_us);
        self.event(Event::DeltaChosen {
            file,
            base: delta.base,
            bytes: delta.length,
            bytes_saved: lacking_bytes - delta.length,
        });
        self.fetch_started(&file);
        for peer in self.wanting(&file) {
            self.tell_bits(peer, file);
        }
        self.require_file(delta.blake3, delta.length, delta.chunk_map);
        if is(&self.files, delta.blake3, FilePhase::Complete) {
            self.delta_came(delta.blake3);
        }
        true
    }

    /// With what is lacking of the file.
    fn shortest_delta(&self, file: &Hash) -> Option<(Delta, u64)> {
        let state = self.files.get(file)?;
        if !matches!(state.delta, DeltaUse::Open) {
            return None;
        }
        let lacking_bytes = state.length.saturating_sub(state.figures.bytes_held);
        let targets = self.channels.values().filter_map(|one| one.target.as_ref());
        let deltas = targets.flat_map(|target| &target.deltas).filter(|delta| {
            delta.target == *file && is(&self.files, delta.base, FilePhase::Complete)
        });
        let shortest = deltas.min_by_key(|delta| (delta.length, delta.base))?;
        (shortest.length < lacking_bytes).then(|| (shortest.clone(), lacking_bytes))
    }

    /// A file is whole: those that it is the delta of can be made.
    pub(crate) fn delta_came(&mut self, came: Hash) {
        let awaiting = self
            .files
            .iter()
            .filter_map(|(file, state)| match state.delta {
                DeltaUse::Awaited { base, delta, .. } if delta == came => Some((*file, base)),
                _ => None,
            });
        for (file, base) in awaiting.collect::<Vec<_>>() {
            let Some(state) = self.files.get_mut(&file) else {
                continue;
            };
            state.delta = DeltaUse::Over;
            if state.phase != FilePhase::Deferred {
                continue;
            }
            let lacking = (0..state.map.chunks.len() as u32).filter(|index| !state.holds(*index));
            let plan = DeltaPlan {
                file,
                length: state.length,
                lacking: lacking.collect(),
                map: Arc::clone(&state.map),
                base,
                delta: came,
            };
            let pending = Pending::ApplyDelta {
                file,
                base,
                delta: came,
            };
            self.disk(pending, Disk::ApplyDelta(plan));
        }
    }

    pub(crate) fn delta_applied(&mut self, file: Hash, outcome: Outcome<P>) {
        let Some(state) = self.files.get(&file) else {
            return;
        };
        if state.phase != FilePhase::Deferred {
            return;
        }
        if let Outcome::Opened(_) = outcome {
            let before = state.figures.bytes_made;
            self.file_opened(file, outcome);
            let made = self
                .files
                .get(&file)
                .map_or(0, |file| file.figures.bytes_made);
            let bytes_made = made - before;
            self.event(Event::DeltaApplied { file, bytes_made });
        } else {
            self.trouble(&outcome);
            self.leave_delta(file, "it could not be applied");
        }
    }

    /// A delta of which nothing comes is no way: nobody here may have it.
    pub(crate) fn run_delta_timers(&mut self) {
        let now_us = self.now_us;
        let due = self
            .files
            .iter()
            .filter_map(|(file, state)| match state.delta {
                DeltaUse::Awaited {
                    base,
                    delta,
                    seen_bytes,
                    due_us,
                } if due_us <= now_us => Some((*file, base, delta, seen_bytes)),
                _ => None,
            });
        for (file, base, delta, seen_bytes) in due.collect::<Vec<_>>() {
            let held = self
                .files
                .get(&delta)
                .map_or(0, |one| one.figures.bytes_held);
            if held == seen_bytes {
                self.leave_delta(file, "nothing came of it");
                continue;
            }
            if let Some(state) = self.files.get_mut(&file) {
                state.delta = DeltaUse::Awaited {
                    base,
                    delta,
                    seen_bytes: held,
                    due_us: now_us + bounds::DELTA_PATIENCE_US,
                };
            }
        }
    }

    fn leave_delta(&mut self, file: Hash, reason: &str) {
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        let was = std::mem::replace(&mut state.delta, DeltaUse::Over);
        if state.phase != FilePhase::Deferred {
            return;
        }
        self.event(Event::DeltaLeft {
            file,
            reason: reason.to_owned(),
        });
        if let DeltaUse::Awaited { delta, .. } = was
            && is(&self.files, delta, FilePhase::Fetching)
        {
            self.rest(delta);
        }
        self.fetch_rest(file);
    }

    /// A bundle went. What it did not bring of the deltas that are of no use here is not
    /// fetched from others either.
    pub(crate) fn leave_kept_deltas(&mut self) {
        let is_bundle = |standing| standing == Standing::Bundle;
        if self.peers.values().any(|peer| is_bundle(peer.standing)) {
            return;
        }
        let targets = self.channels.values().filter_map(|one| one.target.as_ref());
        let deltas = targets.flat_map(|target| target.deltas.clone());
        for Delta { blake3, .. } in deltas.collect::<Vec<_>>() {
            let awaits = |state: &FileState| match state.delta {
                DeltaUse::Awaited { delta, .. } => delta == blake3,
                DeltaUse::Open | DeltaUse::Over => false,
            };
            if self.files.values().any(awaits) {
                continue;
            }
            self.blobs.retain(|_, blob| blob.file != blake3);
            if is(&self.files, blake3, FilePhase::Fetching) {
                self.rest(blake3);
            }
        }
    }

    /// Whoever takes a release from a bundle takes its deltas too, also where they are of no
    /// use here: others get them from nobody else.
    pub(crate) fn keep_deltas(&mut self) {
        let is_bundle = |standing| standing == Standing::Bundle;
        if !self.peers.values().any(|peer| is_bundle(peer.standing)) {
            return;
        }
        let targets = self.channels.values().filter_map(|one| one.target.as_ref());
        let deltas = targets.flat_map(|target| target.deltas.clone());
        for delta in deltas.collect::<Vec<_>>() {
            self.require_file(delta.blake3, delta.length, delta.chunk_map);
        }
    }
}
