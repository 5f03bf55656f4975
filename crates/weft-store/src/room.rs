//! How much of the disk files of models may take.

use std::{path::Path, sync::atomic::Ordering};

use weft_record::Hash;

use crate::{
    error::StoreError,
    store::{RESERVE_BYTES, Store, lock_of},
};

/// What the owner lets files of models take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Most bytes of all files together; none: what the disk has.
    pub quota_bytes: Option<u64>,
    /// So much of the disk stays free for others.
    pub keep_free_bytes: u64,
}

impl Store {
    /// From now on.
    pub fn set_room(&self, room: Room) {
        let quota_bytes = room.quota_bytes.unwrap_or(u64::MAX);
        self.quota_bytes.store(quota_bytes, Ordering::Relaxed);
        let keep_free_bytes = room.keep_free_bytes;
        self.keep_free_bytes
            .store(keep_free_bytes, Ordering::Relaxed);
    }

    /// The quota holds all of a file, before its first byte: what cannot fit is not begun.
    /// What the disk has free comes and goes, so that is looked at with every chunk.
    pub(crate) fn ensure_quota(
        &self,
        file: &Hash,
        length: u64,
        path: &Path,
    ) -> Result<(), StoreError> {
        let files = lock_of(&self.files);
        let others = files.all().filter(|(other, _)| other != file);
        let others_bytes: u64 = others.map(|(_, held)| held.length).sum();
        let quota_bytes = self.quota_bytes.load(Ordering::Relaxed);
        let lacking_bytes = others_bytes
            .saturating_add(length)
            .saturating_sub(quota_bytes);
        if lacking_bytes == 0 {
            return Ok(());
        }
        let reason = format!(
            "a file of {length} bytes beside {others_bytes} that are needed, and the quota is \
             {quota_bytes}; give more in `store.quota` of node.toml, or unpin a release"
        );
        Err(no_room(path, reason, lacking_bytes))
    }

    /// Room for so much of a file of a model, beside what has to stay free.
    pub(crate) fn ensure_free(&self, path: &Path, bytes: u64) -> Result<(), StoreError> {
        let keep_free_bytes = self.keep_free_bytes.load(Ordering::Relaxed);
        self.ensure_beside(path, bytes, keep_free_bytes.max(RESERVE_BYTES))
    }

    /// Room for so much of anything else.
    pub(crate) fn ensure_space(&self, path: &Path, bytes: u64) -> Result<(), StoreError> {
        self.ensure_beside(path, bytes, RESERVE_BYTES)
    }

    fn ensure_beside(&self, path: &Path, bytes: u64, keep_bytes: u64) -> Result<(), StoreError> {
        let free = self.vfs.free_bytes(&self.layout.root);
        let free = free.map_err(|error| StoreError::io("measure", &self.layout.root, error))?;
        let lacking_bytes = bytes.saturating_add(keep_bytes).saturating_sub(free);
        if lacking_bytes == 0 {
            return Ok(());
        }
        let reason = format!("{bytes} bytes to write, {free} free, {keep_bytes} of them kept back");
        Err(no_room(path, reason, lacking_bytes))
    }
}

fn no_room(path: &Path, reason: String, lacking_bytes: u64) -> StoreError {
    StoreError::Full {
        action: "write",
        path: path.to_owned(),
        reason,
        lacking_bytes: Some(lacking_bytes),
    }
}
