//! Gives back the space of what nobody needs any more.

use std::{collections::BTreeSet, io, path::Path};

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
    /// Bytes of their chunks, as far as they were known.
    pub bytes: u64,
}

impl Store {
    /// Deletes slots that were active, previous or staged once and are no longer, and every
    /// file that is neither in a slot nor among these, known or left by an earlier run. It
    /// runs in the order of the writes: what is opened after it is made anew.
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
        let known = files.all().map(|(file, _)| file);
        let strays = self.files_on_disk()?.into_iter().chain(self.noted_files()?);
        let unused: BTreeSet<Hash> = known
            .chain(strays)
            .filter(|file| !keep.contains(file) && !in_slots.contains(file))
            .collect();
        let unused: Vec<Hash> = unused.into_iter().collect();

        // metadata forgets them first: it must never claim a chunk that is gone
        let (mut batch, mut collected) = (Batch::default(), Collected::default());
        for file in &unused {
            let keys = [entries::file_key(file), entries::used_key(file)];
            let noted = keys.map(|key| self.scan(&key)).into_iter();
            let pages = self.scan(&entries::bits_prefix(file));
            for pairs in noted.chain([pages]) {
                for (key, _) in pairs? {
                    batch.remove(key);
                }
            }
            collected.files += 1;
            collected.bytes += files.get(file).map_or(0, |held| held.held_bytes());
        }
        if !batch.changes.is_empty() {
            self.commit(&batch, SyncPoint::GarbageFlush)?;
        }
        let maps = files.forget(&unused);
        // whoever only reads does not wait for the disk
        drop(files);
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

    /// Files whose bytes lie here: a crash leaves some that metadata does not know.
    fn files_on_disk(&self) -> Result<Vec<Hash>, StoreError> {
        let mut found = Vec::new();
        let list = |path: &Path| {
            let listed = self.vfs.list(path);
            listed.map_err(|error| StoreError::io("list", path, error))
        };
        for shard in list(&self.layout.files)? {
            if !shard.is_folder {
                continue;
            }
            for entry in list(&self.layout.files.join(&shard.name))? {
                // only what the store itself names so
                let file = entry.name.parse::<Hash>().ok();
                let is_own = |file: &Hash| !entry.is_folder && file.to_string() == entry.name;
                found.extend(file.filter(is_own));
            }
        }
        Ok(found)
    }

    /// Files that metadata knows, also those that were forgotten when it was read, for they
    /// were damaged.
    fn noted_files(&self) -> Result<Vec<Hash>, StoreError> {
        let noted = self.scan(&[prefix::FILE])?.into_iter();
        Ok(noted
            .filter_map(|(key, _)| entries::key_hash(&key))
            .collect())
    }
}
