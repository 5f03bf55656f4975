//! Which path holds what. Names from a release become paths only here, checked.

use std::path::{Component, Path, PathBuf};

use weft_core::SlotPlan;
use weft_record::Hash;

use crate::error::StoreError;

/// Paths of one store.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
    pub(crate) files: PathBuf,
    pub(crate) blobs: PathBuf,
    pub(crate) slots: PathBuf,
    pub(crate) temporary: PathBuf,
    pub(crate) meta: PathBuf,
    pub(crate) format: PathBuf,
    pub(crate) lock: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            files: root.join("files"),
            blobs: root.join("blobs"),
            slots: root.join("slots"),
            temporary: root.join("tmp"),
            meta: root.join("meta"),
            format: root.join("format"),
            lock: root.join("lock"),
        }
    }

    /// Names that may lie in the store's folder.
    pub(crate) const NAMES: [&str; 7] =
        ["files", "blobs", "slots", "tmp", "meta", "format", "lock"];

    pub(crate) fn file(&self, file: &Hash) -> PathBuf {
        sharded(&self.files, file)
    }

    pub(crate) fn blob(&self, blob: &Hash) -> PathBuf {
        sharded(&self.blobs, blob)
    }

    pub(crate) fn channel(&self, plan: &SlotPlan) -> PathBuf {
        // a name is never `.`, `..` or anything with a separator
        self.slots.join(plan.channel.as_str())
    }

    pub(crate) fn slot(&self, plan: &SlotPlan) -> PathBuf {
        self.channel(plan).join(slot_name(plan))
    }
}

/// Release and variant: what is inside never differs between two slots of that name.
pub(crate) fn slot_name(plan: &SlotPlan) -> String {
    format!("{}-{}", plan.release, plan.variant)
}

/// 256 folders keep each one short on file systems that search them linearly.
fn sharded(folder: &Path, hash: &Hash) -> PathBuf {
    let name = hash.to_string();
    folder.join(&name[..2]).join(name)
}

/// A path inside a slot: only plain names, so that it cannot leave it.
pub(crate) fn inside(path: &str) -> Result<&Path, StoreError> {
    let checked = Path::new(path);
    let plain = checked
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    // `components` swallows `//` and `/./`: compare, so that one file has one path
    let canonical = checked.components().collect::<PathBuf>();
    if path.is_empty()
        || !plain
        || canonical.as_os_str() != checked.as_os_str()
        || path.contains('\0')
    {
        return Err(StoreError::Refused(format!(
            "{path:?} is no path inside a slot"
        )));
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for good in ["a", "a/b.gguf", "a/b/c"] {
            assert!(inside(good).is_ok(), "{good}");
        }
        for bad in [
            "", "/", "/a", "..", "a/../b", "./a", "a//b", "a/./b", "a/", "a\0",
        ] {
            assert!(inside(bad).is_err(), "{bad:?}");
        }
    }
}
