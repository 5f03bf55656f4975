//! Metadata in sled, and the only module that knows sled.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use crate::{
    meta::{Batch, Meta, MetaError, Pair},
    vfs::SyncPoint,
};

/// The metadata of a store with a hundred files is a few hundred kilobytes.
const CACHE_BYTES: u64 = 8 << 20;
/// sled's threads let go of its file a moment after it was dropped: tries to open
/// it again, and the pause between two.
const REOPEN_TRIES: u32 = 40;
const REOPEN_PAUSE: Duration = Duration::from_millis(50);

/// sled in one folder.
pub struct SledMeta {
    folder: PathBuf,
    /// `None` after a failure, until the next use opens it again: sled refuses
    /// everything once a write has failed, also when there is space again.
    open: Mutex<Option<Open>>,
}

#[derive(Clone)]
struct Open {
    database: sled::Db,
    /// sled's own log file, see [`Meta::flush`] below.
    log: std::sync::Arc<File>,
}

impl SledMeta {
    /// Opens or makes it.
    pub fn open(folder: &Path) -> Result<Self, MetaError> {
        let open = open(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            open: Mutex::new(Some(open)),
        })
    }

    fn with<T>(&self, action: impl FnOnce(&Open) -> Result<T, MetaError>) -> Result<T, MetaError> {
        let current = {
            let mut slot = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            if slot.is_none() {
                *slot = Some(open(&self.folder)?);
            }
            slot.clone().expect("was filled above")
        };
        let result = action(&current);
        if result.is_err() {
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        result
    }
}

impl Meta for SledMeta {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, MetaError> {
        self.with(|open| {
            Ok(open
                .database
                .get(key)
                .map_err(explain)?
                .map(|value| value.to_vec()))
        })
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, MetaError> {
        self.with(|open| {
            let pairs = open.database.scan_prefix(prefix);
            pairs
                .map(|pair| {
                    pair.map(|(key, value)| (key.to_vec(), value.to_vec()))
                        .map_err(explain)
                })
                .collect()
        })
    }

    fn apply(&self, batch: &Batch) -> Result<(), MetaError> {
        let mut changes = sled::Batch::default();
        for (key, value) in &batch.changes {
            match value {
                Some(value) => changes.insert(key.as_slice(), value.as_slice()),
                None => changes.remove(key.as_slice()),
            }
        }
        self.with(|open| open.database.apply_batch(changes).map_err(explain))
    }

    fn flush(&self, _point: SyncPoint) -> Result<(), MetaError> {
        self.with(|open| {
            open.database.flush().map_err(explain)?;
            // On Linux sled's flush is sync_file_range(2), which syncs neither the
            // file's new length and extents nor the drive's own cache.
            open.log.sync_data().map_err(|error| explain_io(&error))
        })
    }
}

fn open(folder: &Path) -> Result<Open, MetaError> {
    let mut tries = 0;
    let database = loop {
        let configuration = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            // every acknowledgement flushes by itself
            .flush_every_ms(None);
        match configuration.open() {
            Ok(database) => break database,
            Err(error) if tries < REOPEN_TRIES && is_locked(&error) => {
                tries += 1;
                thread::sleep(REOPEN_PAUSE);
            }
            Err(error) => return Err(explain(error)),
        }
    };
    let log = OpenOptions::new()
        .read(true)
        .write(true)
        .open(folder.join("db"));
    let log = log.map_err(|error| explain_io(&error))?;
    // sled never syncs the file with its parameters
    let parameters = File::open(folder.join("conf")).and_then(|file| file.sync_all());
    parameters.map_err(|error| explain_io(&error))?;
    Ok(Open {
        database,
        log: std::sync::Arc::new(log),
    })
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error)
        if error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("WouldBlock"))
}

fn explain(error: sled::Error) -> MetaError {
    match error {
        sled::Error::Io(error) => explain_io(&error),
        other => MetaError::Broken(other.to_string()),
    }
}

fn explain_io(error: &io::Error) -> MetaError {
    if crate::error::is_full(error) {
        return MetaError::Full(error.to_string());
    }
    MetaError::Broken(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn batches_last_and_scan_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let meta = SledMeta::open(folder.path()).unwrap();
        let mut batch = Batch::default();
        batch.insert(b"a2".to_vec(), vec![2]);
        batch.insert(b"a1".to_vec(), vec![1]);
        batch.insert(b"b".to_vec(), vec![3]);
        meta.apply(&batch).unwrap();
        let mut removal = Batch::default();
        removal.remove(b"b".to_vec());
        meta.apply(&removal).unwrap();
        meta.flush(SyncPoint::RecordFlush).unwrap();
        drop(meta);

        let meta = SledMeta::open(folder.path()).unwrap();
        let expected = vec![(b"a1".to_vec(), vec![1]), (b"a2".to_vec(), vec![2])];
        assert_eq!(meta.scan(b"a").unwrap(), expected);
        assert_eq!(meta.get(b"b").unwrap(), None);
    }

    #[test]
    fn it_opens_again_after_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let meta = SledMeta::open(folder.path()).unwrap();
        let mut batch = Batch::default();
        batch.insert(b"a".to_vec(), vec![1]);
        meta.apply(&batch).unwrap();
        meta.flush(SyncPoint::RecordFlush).unwrap();
        let failed: Result<(), _> = meta.with(|_| Err(MetaError::Broken("as if".to_owned())));
        assert!(failed.is_err());
        assert_eq!(meta.get(b"a").unwrap(), Some(vec![1]));
    }
}
