//! Room on the disk. What no channel needs any more stays, for neighbours and for going
//! back further, until the room is needed or the owner says so; what was used longest ago
//! goes first, and no more than makes the room.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weft_record::{Hash, Name, RecordId};

use crate::{
    bounds,
    delta::DeltaUse,
    file::{FilePhase, FileState},
    install::is,
    io::{Disk, Event, FailureKind, Outcome, SlotPlan, Wish},
    message::Payload,
    node::Node,
    pending::Pending,
};

/// Why a file stays whatever room is needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Kept {
    /// It answers prompts.
    Active {
        /// Where.
        channel: Name,
    },
    /// It can be gone back to.
    Previous {
        /// Where.
        channel: Name,
    },
    /// It is on its way, or is needed for what is, or waits for its proof.
    InFlight {
        /// Whose newest release it is of; none: it is a delta, or what one is taken from.
        channel: Option<Name>,
    },
    /// The owner pinned this release of it.
    Pinned {
        /// Which.
        release: RecordId,
    },
    /// It is in a slot of a channel that the node no longer follows.
    Unfollowed,
}

/// A file that lies on the disk, and what is to become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its BLAKE3.
    pub file: Hash,
    /// Length of the whole, of which not all may be here.
    pub length: u64,
    /// When it came or was last in a slot, in seconds since 1970; 0: not known.
    pub used_s: u64,
    /// Why it stays; nothing: nothing needs it.
    pub kept: BTreeSet<Kept>,
    /// Whether it goes.
    pub goes: bool,
}

impl<P: Payload> Node<P> {
    /// What lies on the disk, and what would go if this were wished: that first, in the order
    /// in which it goes.
    pub fn stock(&self, wish: &Wish) -> Vec<Stored> {
        let mut needed = self.needed();
        let going = self.going(&needed, wish);
        let mut stock: Vec<Stored> = Vec::with_capacity(self.files.len());
        let staying = self.files.keys().filter(|file| !going.contains(file));
        for file in going.iter().chain(staying) {
            let Some(state) = self.files.get(file) else {
                continue;
            };
            stock.push(Stored {
                file: *file,
                length: state.length,
                used_s: state.used_s,
                kept: needed.remove(file).unwrap_or_default(),
                goes: stock.len() < going.len(),
            });
        }
        stock
    }

    /// The owner pins these releases, and no others any more.
    pub(crate) fn pin(&mut self, releases: BTreeSet<RecordId>) {
        self.pinned.retain(|release, _| releases.contains(release));
        self.config.pinned = releases;
        self.learn_pinned();
    }

    /// Looks which files pinned releases have. That is remembered: a release may lose its
    /// signers, and the owner's word stays.
    pub(crate) fn learn_pinned(&mut self) {
        for id in &self.config.pinned {
            if self.pinned.contains_key(id) {
                continue;
            }
            if let Some(release) = self.trust.release_known(id) {
                let files = release.files().map(|file| file.blake3);
                self.pinned.insert(*id, files.collect());
            }
        }
    }

    /// The disk had no room: what nobody needs makes some, but not again at every try.
    pub(crate) fn free_disk(&mut self, outcome: &Outcome<P>) {
        let Outcome::Failed(failure) = outcome else {
            return;
        };
        if failure.kind != FailureKind::DiskFull || self.collect_after_us > self.now_us {
            return;
        }
        let all = self.going(&self.needed(), &Wish::default());
        let spare_bytes: u64 = all.iter().map(|file| self.length_of(file)).sum();
        // what is not enough would be lost in vain; where nobody knows, one goes at a time
        let bytes = match failure.lacking_bytes {
            Some(lacking_bytes) if lacking_bytes > spare_bytes => 0,
            Some(lacking_bytes) => lacking_bytes,
            None => 1,
        };
        self.collect(&Wish {
            bytes: Some(bytes),
            unused_since_s: None,
        });
    }

    /// Has deleted what nothing needs, as far as that is wished.
    pub(crate) fn collect(&mut self, wish: &Wish) {
        self.collect_after_us = self.now_us + bounds::DISK_RETRY_US;
        let needed = self.needed();
        let going = self.going(&needed, wish);
        // before it is gone: nothing may be told or served of it from here on
        self.files.retain(|file, _| !going.contains(file));
        for peer in self.peers.values_mut() {
            // should it be fetched again, an answer to an old request is none to a new one
            for file in &going {
                peer.forget_asked(file);
            }
            peer.drop_idle_files();
        }
        let stays = self.files.keys().copied();
        let keep = stays.chain(needed.into_keys()).collect();
        self.disk(Pending::Collect, Disk::Collect { keep });
    }

    pub(crate) fn collected(&mut self, outcome: &Outcome<P>) {
        match outcome {
            Outcome::Collected { files, bytes } if *files > 0 => {
                let (files, bytes) = (*files, *bytes);
                self.event(Event::Collected { files, bytes });
                // there is room: what waited for it goes on at once
                for state in self.files.values_mut() {
                    state.retry_us = state.retry_us.map(|due_us| due_us.min(self.now_us));
                }
            }
            Outcome::Collected { .. } => {}
            // what it left is found the next time
            _ => self.trouble(outcome),
        }
    }

    /// These left their slots: they were of use until now.
    pub(crate) fn retire(&mut self, plans: impl IntoIterator<Item = SlotPlan>) {
        let used_s = self.used_now_s();
        for (_, file) in plans.into_iter().flat_map(|plan| plan.files) {
            if let Some(state) = self.files.get_mut(&file) {
                state.used_s = used_s;
            }
        }
    }

    /// The time, as what is used is marked with it: it rises also where a clock was set back.
    pub(crate) fn used_now_s(&self) -> u64 {
        let newest_s = self.files.values().map(|state| state.used_s).max();
        let after_s = newest_s.map_or(0, |newest_s| newest_s.saturating_add(1));
        self.wall_s().max(after_s)
    }

    /// Files that make the room that is wished, in the order in which they go.
    fn going(&self, needed: &BTreeMap<Hash, BTreeSet<Kept>>, wish: &Wish) -> Vec<Hash> {
        let bases = self.bases_to_come();
        let files = self.files.iter();
        let spare = files.filter(|(file, _)| !needed.contains_key(file));
        let spare = spare.map(|(file, state)| Spare {
            is_base: bases.contains(file),
            used_s: state.used_s,
            file: *file,
            length: state.length,
        });
        choose(spare.collect(), wish)
    }

    fn length_of(&self, file: &Hash) -> u64 {
        self.files.get(file).map_or(0, |state| state.length)
    }

    /// Files of what is active, of what can be gone back to, of what is on its way, and of
    /// releases that the owner pinned; each with why.
    fn needed(&self) -> BTreeMap<Hash, BTreeSet<Kept>> {
        let mut needed: BTreeMap<Hash, BTreeSet<Kept>> = BTreeMap::new();
        let mut need = |file: Hash, kept: Kept| {
            needed.entry(file).or_default().insert(kept);
        };
        let on_its_way = Kept::InFlight { channel: None };
        for (name, channel) in self.channels.iter() {
            let (active, previous, in_flight) = (
                Kept::Active {
                    channel: name.clone(),
                },
                Kept::Previous {
                    channel: name.clone(),
                },
                Kept::InFlight {
                    channel: Some(name.clone()),
                },
            );
            let slots = &channel.slots;
            for (slot, kept) in [
                (&slots.active, &active),
                (&slots.previous, &previous),
                (&slots.staged, &in_flight),
            ] {
                for (_, file) in slot.iter().flat_map(|plan| &plan.files) {
                    need(*file, kept.clone());
                }
            }
            let target = channel.target.as_ref().filter(|target| !target.done);
            for file in target.iter().flat_map(|target| &target.files) {
                need(file.blake3, in_flight.clone());
            }
        }
        for file in &self.unfollowed {
            need(*file, Kept::Unfollowed);
        }
        let files = self.files.iter();
        for (file, state) in files.filter(|(_, state)| state.phase.is_open()) {
            need(*file, on_its_way.clone());
            if let DeltaUse::Awaited { base, delta, .. } = state.delta {
                need(base, on_its_way.clone());
                need(delta, on_its_way.clone());
            }
        }
        // its chunk map is: the bytes may lie here from an earlier run
        for blob in self.blobs.values() {
            need(blob.file, on_its_way.clone());
        }
        // what the disk is at work on: its outcome would be taken for that of a new file
        for pending in self.operations.all() {
            for file in files_of(pending) {
                need(file, on_its_way.clone());
            }
        }
        for (release, files) in &self.pinned {
            for file in files {
                need(*file, Kept::Pinned { release: *release });
            }
        }
        // it says nothing beside another reason
        for kept in needed.values_mut().filter(|kept| kept.len() > 1) {
            kept.remove(&on_its_way);
        }
        needed
    }

    /// What a delta of a release on its way is taken from, where none was chosen yet: nobody
    /// relies on it, and still it may spare most of the fetch.
    fn bases_to_come(&self) -> BTreeSet<Hash> {
        let is_open = |file: &Hash| {
            let is_open = |state: &FileState| matches!(state.delta, DeltaUse::Open);
            self.files.get(file).is_none_or(is_open) && !is(&self.files, *file, FilePhase::Complete)
        };
        let targets = self.channels.values().filter_map(|one| one.target.as_ref());
        let deltas = targets
            .filter(|target| !target.done)
            .flat_map(|target| &target.deltas);
        deltas
            .filter(|delta| is_open(&delta.target))
            .map(|delta| delta.base)
            .collect()
    }
}

/// Files that an operation under way is about, but for those that are only read to be served.
fn files_of<P>(pending: &Pending<P>) -> impl Iterator<Item = Hash> {
    let files = match pending {
        Pending::OpenFile(file)
        | Pending::SyncFile(file)
        | Pending::HashFile(file)
        | Pending::CompleteFile(file) => [Some(*file), None, None],
        Pending::VerifyChunk { chunk, .. } | Pending::WriteChunk { chunk, .. } => {
            [Some(chunk.file), None, None]
        }
        Pending::ApplyDelta { file, base, delta } => [Some(*file), Some(*base), Some(*delta)],
        _ => [None; 3],
    };
    files.into_iter().flatten()
}

/// A file that nothing needs; the least useful is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Spare {
    /// A delta of a release on its way is taken from it.
    is_base: bool,
    used_s: u64,
    file: Hash,
    length: u64,
}

/// Those that make the room that is wished, the least useful first, and no further ones.
fn choose(mut spare: Vec<Spare>, wish: &Wish) -> Vec<Hash> {
    let unused_since_s = wish.unused_since_s.unwrap_or(u64::MAX);
    spare.retain(|one| one.used_s <= unused_since_s);
    spare.sort_unstable();
    let mut bytes = 0_u64;
    let chosen = spare.into_iter().take_while(|one| {
        let is_lacking = wish.bytes.is_none_or(|wished| bytes < wished);
        bytes = bytes.saturating_add(one.length);
        is_lacking
    });
    chosen.map(|one| one.file).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spare(number: u8, used_s: u64, length: u64) -> Spare {
        Spare {
            is_base: false,
            used_s,
            file: Hash([number; 32]),
            length,
        }
    }

    fn check(spare: &[Spare], bytes: Option<u64>, unused_since_s: Option<u64>, gone: &[u8]) {
        let wish = Wish {
            bytes,
            unused_since_s,
        };
        let gone: Vec<Hash> = gone.iter().map(|number| Hash([*number; 32])).collect();
        assert_eq!(choose(spare.to_vec(), &wish), gone);
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_no_more_than_it_takes() {
        let files = [spare(1, 30, 10), spare(2, 10, 10), spare(3, 20, 10)];
        check(&files, Some(0), None, &[]);
        check(&files, Some(1), None, &[2]);
        check(&files, Some(10), None, &[2]);
        check(&files, Some(11), None, &[2, 3]);
        check(&files, Some(99), None, &[2, 3, 1]);
        check(&files, None, None, &[2, 3, 1]);
        check(&files, None, Some(20), &[2, 3]);
        check(&files, Some(1), Some(5), &[]);
    }

    #[test]
    fn what_a_delta_is_taken_from_goes_last() {
        let base = Spare {
            is_base: true,
            ..spare(1, 1, 10)
        };
        check(&[base, spare(2, 50, 10)], Some(10), None, &[2]);
        check(&[base, spare(2, 50, 10)], None, None, &[2, 1]);
    }

    proptest! {
        /// Whatever lies there: nothing that stays was used before something that goes, and
        /// without the last that goes the room would not be there.
        #[test]
        fn the_order_holds_and_nothing_goes_in_vain(
            files in prop::collection::vec((any::<bool>(), 0..20_u64, 1..100_u64), 0..40),
            bytes in prop::option::of(0..2_000_u64),
            unused_since_s in prop::option::of(0..20_u64),
        ) {
            let files: Vec<Spare> = files
                .into_iter()
                .enumerate()
                .map(|(place, (is_base, used_s, length))| Spare {
                    is_base,
                    used_s,
                    file: Hash([place as u8; 32]),
                    length,
                })
                .collect();
            let wish = Wish { bytes, unused_since_s };
            let gone = choose(files.clone(), &wish);
            let of = |file: &Hash| files[usize::from(file.0[0])];
            let stays = files.iter().filter(|one| !gone.contains(&one.file));
            let may_go = |one: &&Spare| unused_since_s.is_none_or(|since_s| one.used_s <= since_s);
            prop_assert!(gone.iter().all(|file| may_go(&&of(file))));
            for stays in stays.filter(may_go) {
                for file in &gone {
                    let goes = of(file);
                    prop_assert!((goes.is_base, goes.used_s) <= (stays.is_base, stays.used_s));
                }
            }
            let freed = |files: &[Hash]| files.iter().map(|file| of(file).length).sum::<u64>();
            if let Some((_, before)) = gone.split_last() {
                prop_assert!(bytes.is_none_or(|bytes| freed(before) < bytes));
            }
            let all: u64 = files.iter().filter(may_go).map(|one| one.length).sum();
            prop_assert!(freed(&gone) >= bytes.unwrap_or(u64::MAX).min(all));
        }
    }
}
