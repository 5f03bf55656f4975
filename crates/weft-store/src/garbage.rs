//! Gives back the space of slots that nothing refers to any more.

use std::{collections::BTreeSet, io};

use weft_core::SlotPlan;

use crate::{
    entries::{self, prefix, versioned},
    error::StoreError,
    layout::slot_name,
    meta::Batch,
    slots::{files_of, present, remove_tree},
    store::{Store, lock_of},
    vfs::SyncPoint,
};

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Slots.
    pub slots: u64,
    /// Files.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
}

impl Store {
    /// Deletes slots that were active, previous or staged once and are no longer,
    /// and the files that only they had. Does nothing while any file is
    /// incomplete: a fetch may build on what looks unused.
    pub fn gc(&self) -> Result<Collected, StoreError> {
        let slots = lock_of(&self.slots);
        let mut files = lock_of(&self.files);
        if files.all().any(|(_, held)| !held.is_complete()) {
            return Ok(Collected::default());
        }
        let retired = self.scan(&[prefix::RETIRED])?;
        let (mut doomed, mut done) = (Vec::<SlotPlan>::new(), Batch::default());
        for (key, value) in retired {
            let plan = self
                .value(&value)?
                .and_then(|bytes| versioned::decode::<SlotPlan>(&bytes));
            if plan.as_ref().is_some_and(|plan| {
                plan.files
                    .iter()
                    .any(|(_, file)| files.fresh.contains(file))
            }) {
                continue;
            }
            doomed.extend(plan);
            done.remove(key);
        }
        let used = || slots.values().flat_map(present);
        doomed.retain(|plan| {
            !used()
                .any(|other| other.channel == plan.channel && slot_name(other) == slot_name(plan))
        });
        let kept = files_of(used());
        let unused = files_of(doomed.iter());
        let unused = unused.difference(&kept).copied().collect::<BTreeSet<_>>();

        // metadata forgets them first: it must never claim a chunk that is gone
        let (mut batch, mut collected) = (Batch::default(), Collected::default());
        for file in &unused {
            batch.remove(entries::file_key(file));
            for (key, _) in self.scan(&entries::bits_prefix(file))? {
                batch.remove(key);
            }
            if let Some(held) = files.get(file) {
                collected.files += 1;
                collected.bytes += held.length;
            }
        }
        if !batch.changes.is_empty() {
            self.commit(&batch, SyncPoint::GarbageFlush)?;
        }
        let maps = files.forget(&unused.iter().copied().collect::<Vec<_>>());
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
