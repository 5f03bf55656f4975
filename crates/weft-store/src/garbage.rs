//! Gives back the space of what nobody needs any more.

use std::{collections::BTreeSet, io};

use weft_core::{SlotPlan, Slots};
use weft_record::Hash;

use crate::{
    entries::{self, prefix, versioned},
    error::StoreError,
    layout::slot_name,
    meta::Batch,
    slots::{files_of, remove_tree},
    store::{Store, lock_of},
    vfs::SyncPoint,
};

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Slots.
    pub slots: u64,
    /// Files, whole or not.
    pub files: u64,
    /// Bytes of their chunks.
    pub bytes: u64,
}

impl Store {
    /// Deletes slots that were active, previous or staged once and are no longer, and every
    /// file that is neither in a slot nor among these. It runs in the order of the writes:
    /// what is opened after it is made anew.
    pub fn collect(&self, keep: &BTreeSet<Hash>) -> Result<Collected, StoreError> {
        let slots = lock_of(&self.slots);
        let mut files = lock_of(&self.files);
        let retired = self.scan(&[prefix::RETIRED])?;
        let (mut doomed, mut done) = (Vec::<SlotPlan>::new(), Batch::default());
        for (key, value) in retired {
            let plan = self
                .value(&value)?
                .and_then(|bytes| versioned::decode::<SlotPlan>(&bytes));
            doomed.extend(plan);
            done.remove(key);
        }
        let used = || slots.values().flat_map(Slots::plans);
        doomed.retain(|plan| {
            !used()
                .any(|other| other.channel == plan.channel && slot_name(other) == slot_name(plan))
        });
        let in_slots = files_of(used());
        let unused: Vec<Hash> = files
            .all()
            .map(|(file, _)| file)
            .filter(|file| !keep.contains(file) && !in_slots.contains(file))
            .collect();

        // metadata forgets them first: it must never claim a chunk that is gone
        let (mut batch, mut collected) = (Batch::default(), Collected::default());
        for file in &unused {
            batch.remove(entries::file_key(file));
            for (key, _) in self.scan(&entries::bits_prefix(file))? {
                batch.remove(key);
            }
            if let Some(held) = files.get(file) {
                collected.files += 1;
                collected.bytes += held.held_bytes();
            }
        }
        if !batch.changes.is_empty() {
            self.commit(&batch, SyncPoint::GarbageFlush)?;
        }
        let maps = files.forget(&unused);
        for plan in &doomed {
            remove_tree(&*self.vfs, &self.layout.slot(plan))?;
            collected.slots += 1;
        }
        let paths = unused.iter().map(|file| self.layout.file(file));
        for path in paths.chain(maps.iter().map(|map| self.layout.blob(map))) {
            match self.vfs.remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", &path, error));
                }
                _ => {}
            }
        }
        // last and not flushed: if it is lost, the next time finds nothing left to do
        self.apply(&done)?;
        Ok(collected)
    }
}
