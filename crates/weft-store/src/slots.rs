//! Slots: what answers prompts, what it can go back to, what is being tried.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use weft_core::{SlotPlan, Slots};
use weft_record::{Hash, Name, RecordId};

use crate::{
    entries::{self, versioned},
    error::StoreError,
    layout::{inside, slot_name},
    meta::Batch,
    store::{Store, lock_of, make_folder, sync_folder},
    vfs::{SyncPoint, Vfs, VfsFile},
};

/// Failed heads remembered for each channel: as many failed attempts in a row are
/// beyond what an admin would sign.
const MAX_FAILED: usize = 64;
/// Bytes copied at once where links do not work.
const COPY_BYTES: usize = 1 << 20;

impl Store {
    /// Names and data of the slot are durable before metadata points to it.
    pub(crate) fn stage(&self, plan: SlotPlan) -> Result<(), StoreError> {
        let mut all = lock_of(&self.slots);
        let mut slots = all.get(&plan.channel).cloned().unwrap_or_default();
        for (path, file) in &plan.files {
            inside(path)?;
            let complete = lock_of(&self.files)
                .get(file)
                .is_some_and(|held| held.is_complete());
            if !complete {
                return Err(StoreError::Refused(format!(
                    "{path} cannot be staged: file {file} is not complete"
                )));
            }
        }
        let in_use = slots
            .plans()
            .any(|other| slot_name(other) == slot_name(&plan));
        if !in_use {
            // what an earlier attempt left
            remove_tree(&*self.vfs, &self.layout.slot(&plan))?;
        }
        self.build(&plan)?;
        let before = slots.staged.replace(plan.clone());
        self.put_slots(&plan.channel, &slots, before.as_slice())?;
        all.insert(plan.channel, slots);
        Ok(())
    }

    fn build(&self, plan: &SlotPlan) -> Result<(), StoreError> {
        let (channel, slot) = (self.layout.channel(plan), self.layout.slot(plan));
        make_folder(&*self.vfs, &channel)?;
        make_folder(&*self.vfs, &slot)?;
        let mut folders = BTreeSet::from([slot.clone()]);
        for (path, file) in &plan.files {
            let target = slot.join(inside(path)?);
            let mut between = target
                .ancestors()
                .skip(1)
                .take_while(|folder| *folder != slot)
                .collect::<Vec<_>>();
            between.reverse();
            for folder in between {
                if folders.insert(folder.to_owned()) {
                    make_folder(&*self.vfs, folder)?;
                }
            }
            self.place(&self.layout.file(file), &target)?;
        }
        for folder in &folders {
            sync_folder(&*self.vfs, folder, SyncPoint::SlotFolder)?;
        }
        sync_folder(&*self.vfs, &channel, SyncPoint::SlotParent)?;
        sync_folder(&*self.vfs, &self.layout.slots, SyncPoint::SlotParent)
    }

    /// Gives the file its name in the slot, or copies it where links do not work.
    fn place(&self, original: &Path, target: &Path) -> Result<(), StoreError> {
        let error = match self.vfs.link(original, target) {
            Ok(()) => return Ok(()),
            // only ever linked, or moved there when its bytes were durable
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => error,
        };
        if error.kind() == io::ErrorKind::NotFound || crate::error::is_full(&error) {
            return Err(StoreError::io("link", target, error));
        }
        tracing::debug!(%error, path = %target.display(), "copied, since it cannot be linked");
        let source = self
            .vfs
            .open(original)
            .map_err(|error| StoreError::io("open", original, error))?;
        let length = source
            .length()
            .map_err(|error| StoreError::io("read", original, error))?;
        self.ensure_space(target, length)?;
        self.write_aside(target, SyncPoint::SlotCopy, |copy| copy_all(&*source, copy))
    }

    pub(crate) fn activate(&self, channel: &Name) -> Result<(), StoreError> {
        self.change(channel, |slots| {
            let staged = slots.staged.take().ok_or("nothing is staged")?;
            let active = slots.active.replace(staged);
            let retired = std::mem::replace(&mut slots.previous, active);
            Ok(retired.into_iter().collect())
        })
    }

    pub(crate) fn go_back(&self, channel: &Name) -> Result<(), StoreError> {
        self.change(channel, |slots| {
            let dropped = slots.active.take().ok_or("nothing is active")?;
            slots.active = slots.previous.take();
            remember_failed(slots, dropped.head);
            Ok(vec![dropped])
        })
    }

    /// What is active may no longer answer, nor, if `both`, what was before it; if `failed`,
    /// its head is remembered.
    pub(crate) fn withdraw(
        &self,
        channel: &Name,
        both: bool,
        failed: bool,
    ) -> Result<(), StoreError> {
        self.change(channel, |slots| {
            let mut dropped: Vec<SlotPlan> = slots.active.take().into_iter().collect();
            if let Some(active) = dropped.first().filter(|_| failed) {
                remember_failed(slots, active.head);
            }
            let previous = slots.previous.take();
            if both {
                dropped.extend(previous);
            } else {
                slots.active = previous;
            }
            Ok(dropped)
        })
    }

    pub(crate) fn drop_staged(&self, channel: &Name) -> Result<(), StoreError> {
        self.change(channel, |slots| {
            let dropped = slots.staged.take();
            if let Some(dropped) = &dropped {
                remember_failed(slots, dropped.head);
            }
            Ok(dropped.into_iter().collect())
        })
    }

    /// One value in metadata is all of a channel's slots: they change together or not at all.
    fn change(
        &self,
        channel: &Name,
        change: impl FnOnce(&mut Slots) -> Result<Vec<SlotPlan>, &'static str>,
    ) -> Result<(), StoreError> {
        let mut all = lock_of(&self.slots);
        let mut slots = all.get(channel).cloned().unwrap_or_default();
        let retired = change(&mut slots)
            .map_err(|reason| StoreError::Refused(format!("channel {channel}: {reason}")))?;
        self.put_slots(channel, &slots, &retired)?;
        all.insert(channel.clone(), slots);
        Ok(())
    }

    fn put_slots(
        &self,
        channel: &Name,
        slots: &Slots,
        retired: &[SlotPlan],
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.insert(
            entries::slots_key(channel),
            self.place_value(versioned::encode(slots))?,
        );
        for plan in retired {
            batch.insert(
                entries::retired_key(plan),
                self.place_value(versioned::encode(plan))?,
            );
        }
        // they were of use until now
        let files = files_of(retired.iter());
        lock_of(&self.files).mark_used(&files, self.vfs.now_s(), &mut batch);
        self.commit(&batch, SyncPoint::SlotFlush)
    }
}

/// All files of some plans.
pub(crate) fn files_of<'a>(plans: impl Iterator<Item = &'a SlotPlan>) -> BTreeSet<Hash> {
    plans
        .flat_map(|plan| plan.files.iter().map(|(_, file)| *file))
        .collect()
}

fn remember_failed(slots: &mut Slots, head: RecordId) {
    slots.failed.retain(|failed| *failed != head);
    slots.failed.push(head);
    let surplus = slots.failed.len().saturating_sub(MAX_FAILED);
    slots.failed.drain(..surplus);
}

fn copy_all(source: &dyn VfsFile, copy: &dyn VfsFile) -> io::Result<()> {
    let (mut buffer, mut offset) = (vec![0; COPY_BYTES], 0);
    loop {
        let count = source.read_at(&mut buffer, offset)?;
        if count == 0 {
            return Ok(());
        }
        copy.write_at(&buffer[..count], offset)?;
        offset += count as u64;
    }
}

/// Removes a folder and what is in it, if it is there.
pub(crate) fn remove_tree(vfs: &dyn Vfs, folder: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::io("remove", folder, error);
    // a list, not recursion: the depth of a folder that someone tampered with is unknown
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut next = 0;
    while next < folders.len() {
        let current = folders[next].clone();
        next += 1;
        let entries = match vfs.list(&current) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && next == 1 => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let path = current.join(entry.name);
            if entry.is_folder {
                folders.push(path);
            } else {
                vfs.remove_file(&path).map_err(failed)?;
            }
        }
    }
    folders
        .iter()
        .rev()
        .try_for_each(|folder| vfs.remove_folder(folder))
        .map_err(failed)
}
