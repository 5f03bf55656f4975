//! Opening a store, what it held, and its operations.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use weft_core::{Disk, Outcome, Restored, RestoredFile, SlotPlan, Slots};
use weft_record::{Hash, Name, TimeFloor};

use crate::{
    entries::{self, Value, prefix, versioned},
    error::{OpenError, StoreError},
    files::{Files, Held},
    layout::Layout,
    meta::{Batch, MAX_VALUE_BYTES, Meta, MetaError, Pair},
    real::RealVfs,
    sled_meta::SledMeta,
    vfs::{Lock, LockError, SyncPoint, Vfs, read_exact_at},
};

/// Version of the layout.
pub const FORMAT: u32 = 1;
/// Chunks and blobs leave this much of the disk alone, so that metadata and the
/// switch of a slot still have room when it is full.
pub const RESERVE_BYTES: u64 = 4 << 20;

const FORMAT_WORD: &str = "weft-store";
/// The setting that holds what the node knows of time.
const CLOCK: &str = "clock";
/// Longest `format` that is read: the word and a number.
const MAX_FORMAT_BYTES: usize = 64;
/// Longest blob that is read: the map of the longest file has 2.25 MiB.
const MAX_BLOB_BYTES: u64 = 16 << 20;

/// What a node keeps on its disk. All methods block; reads of chunks and blobs
/// wait for no write.
pub struct Store {
    pub(crate) layout: Layout,
    pub(crate) vfs: Arc<dyn Vfs>,
    meta: Box<dyn Meta>,
    pub(crate) files: Mutex<Files>,
    pub(crate) slots: Mutex<BTreeMap<Name, Slots>>,
    records: Mutex<Records>,
    /// Shard folders whose name was synced since this process started.
    shards: Mutex<HashSet<PathBuf>>,
    /// Numbers temporary files.
    temporary: AtomicU64,
    pub(crate) quota_bytes: AtomicU64,
    pub(crate) keep_free_bytes: AtomicU64,
    // last: another process may come in when all else is closed
    _lock: Lock,
}

/// Where the next record goes, and which are there.
#[derive(Default)]
struct Records {
    next: u64,
    seen: HashSet<Hash>,
}

/// What is in the store, in no order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldContent {
    /// Files that are whole.
    pub files: Vec<Hash>,
    /// Chunks that were written, of these and of other files.
    pub chunks: Vec<Hash>,
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Files known, complete or not.
    pub files: u64,
    /// Bytes of chunks held in them.
    pub held_bytes: u64,
    /// Bytes that may still be written to this disk.
    pub free_bytes: u64,
}

impl Store {
    /// Opens the store in a folder, or makes one there.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        if let Some(above) = folder
            .parent()
            .filter(|above| !above.as_os_str().is_empty())
        {
            fs::create_dir_all(above).map_err(|error| StoreError::io("make", above, error))?;
        }
        Self::open_with(folder, Arc::new(RealVfs), |path| {
            Ok(Box::new(SledMeta::open(path)?))
        })
    }

    /// The same on another file system and metadata store; `open_meta` gets the
    /// folder that the metadata has to itself. The folder above the store exists.
    pub fn open_with(
        folder: &Path,
        vfs: Arc<dyn Vfs>,
        open_meta: impl FnOnce(&Path) -> Result<Box<dyn Meta>, MetaError>,
    ) -> Result<Self, OpenError> {
        let layout = Layout::new(folder);
        make_folder(&*vfs, &layout.root)?;
        sync_parent(&*vfs, &layout.root)?;
        let lock = lock(&*vfs, &layout)?;
        let found = read_format(&*vfs, &layout)?;
        if let Some(found) = found
            && found > FORMAT
        {
            return Err(OpenError::Newer {
                path: layout.root,
                found,
                known: FORMAT,
            });
        }
        for path in [
            &layout.meta,
            &layout.files,
            &layout.blobs,
            &layout.slots,
            &layout.temporary,
        ] {
            make_folder(&*vfs, path)?;
        }
        let broken = |source| StoreError::Meta {
            path: layout.meta.clone(),
            source,
        };
        let meta = open_meta(&layout.meta).map_err(broken)?;
        sync_folder(&*vfs, &layout.meta, SyncPoint::MetaFolder)?;
        if found.is_none() {
            write_format(&*vfs, &layout)?;
        }
        // also when it was there before: a process that was killed may have made it
        sync_folder(&*vfs, &layout.root, SyncPoint::Root)?;
        empty_folder(&*vfs, &layout.temporary)?;

        let store = Self {
            layout,
            vfs,
            meta,
            files: Mutex::default(),
            slots: Mutex::default(),
            records: Mutex::default(),
            shards: Mutex::default(),
            temporary: AtomicU64::new(0),
            quota_bytes: AtomicU64::new(u64::MAX),
            keep_free_bytes: AtomicU64::new(0),
            _lock: lock,
        };
        store.load()?;
        Ok(store)
    }

    fn load(&self) -> Result<(), StoreError> {
        for (key, value) in self.scan(&[prefix::SLOTS])? {
            let channel = String::from_utf8_lossy(&key[1..]).into_owned();
            let damaged =
                || StoreError::Refused(format!("the slots of channel {channel:?} are damaged"));
            let name = channel.parse::<Name>().map_err(|_| damaged())?;
            let bytes = self.value(&value)?.ok_or_else(damaged)?;
            lock_of(&self.slots).insert(name, versioned::decode(&bytes).ok_or_else(damaged)?);
        }
        let mut records = lock_of(&self.records);
        for (key, value) in self.scan(&[prefix::RECORD])? {
            if let Ok(sequence) = <[u8; 8]>::try_from(&key[1..]) {
                records.next = u64::from_be_bytes(sequence) + 1;
            }
            if let Some(bytes) = self.value(&value)? {
                records.seen.insert(Hash::of(&bytes));
            }
        }
        drop(records);
        self.load_files()
    }

    /// What was durable when the store was opened, and what came since.
    pub fn restore(&self) -> Result<Restored, OpenError> {
        let mut records = Vec::new();
        for (key, value) in self.scan(&[prefix::RECORD])? {
            if let Some(bytes) = self.value(&value)? {
                records.push(bytes);
            } else {
                tracing::error!(?key, "a record's blob is missing or damaged");
            }
        }
        let slots = lock_of(&self.slots).clone().into_iter().collect();
        let known = lock_of(&self.files);
        let restored = |(file, held): (Hash, &Held)| RestoredFile {
            file,
            length: held.length,
            map: held.map.clone(),
            complete: held.is_complete(),
            used_s: known.used_s(&file),
        };
        let mut files = known.all().map(restored).collect::<Vec<_>>();
        drop(known);
        files.sort_by_key(|file| file.file);
        // a note that is damaged is as good as none: time is learned again
        let clock = self.setting(CLOCK)?;
        let clock = clock.and_then(|bytes| versioned::decode::<TimeFloor>(&bytes));
        Ok(Restored {
            records,
            slots,
            files,
            clock,
        })
    }

    /// Carries out one operation.
    pub fn execute(&self, disk: Disk<Bytes>) -> Outcome<Bytes> {
        let outcome = match disk {
            Disk::SaveRecords(records) => self.save_records(records).map(|()| Outcome::Saved),
            Disk::ReadBlob(blob) => self
                .read_blob(&blob)
                .map(|bytes| Outcome::Blob(bytes.map(Bytes::from))),
            Disk::WriteBlob(blob, bytes) => {
                self.write_blob(&blob, &bytes).map(|()| Outcome::Written)
            }
            Disk::OpenFile { file, length, map } => {
                self.open_file(file, length, map).map(Outcome::Opened)
            }
            Disk::ApplyDelta(plan) => self.make(plan).map(Outcome::Opened),
            Disk::WriteChunk { chunk, payload } => {
                self.write_chunk(chunk, &payload).map(|()| Outcome::Written)
            }
            Disk::SyncFile(file) => self.sync_file(&file, false).map(|()| Outcome::Synced),
            Disk::HashFile(file) => self.hash_file(&file).map(Outcome::Digest),
            Disk::CompleteFile(file) => self.sync_file(&file, true).map(|()| Outcome::Synced),
            Disk::ReadChunk(chunk) => self
                .read_chunk(chunk)
                .map(|bytes| Outcome::Chunk(bytes.map(Bytes::from))),
            Disk::Stage(plan) => self.stage(plan).map(|()| Outcome::Staged),
            Disk::Activate(channel) => self.activate(&channel).map(|()| Outcome::Switched),
            Disk::GoBack(channel) => self.go_back(&channel).map(|()| Outcome::Switched),
            Disk::DropStaged(channel) => self.drop_staged(&channel).map(|()| Outcome::Switched),
            Disk::Withdraw {
                channel,
                both,
                failed,
            } => self
                .withdraw(&channel, both, failed)
                .map(|()| Outcome::Switched),
            Disk::SaveClock(clock) => self
                .set_setting(CLOCK, &versioned::encode(&clock))
                .map(|()| Outcome::Saved),
            Disk::Collect { keep } => self.collect(&keep).map(|collected| Outcome::Collected {
                files: collected.files,
                bytes: collected.bytes,
            }),
        };
        outcome.unwrap_or_else(|error| {
            tracing::warn!(%error, "the store failed");
            Outcome::Failed(error.failure())
        })
    }

    /// Where the files of a slot lie.
    pub fn slot_dir(&self, plan: &SlotPlan) -> PathBuf {
        self.layout.slot(plan)
    }

    /// A setting of the node.
    pub fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self
            .meta
            .get(&entries::setting_key(name))
            .map_err(|error| self.meta_error(error))?;
        found.map_or(Ok(None), |value| self.value(&value))
    }

    /// Keeps a setting, durable when this returns.
    pub fn set_setting(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.insert(
            entries::setting_key(name),
            self.place_value(value.to_vec())?,
        );
        self.commit(&batch, SyncPoint::SettingFlush)
    }

    /// Which files are whole, and which chunks lie in these and in others.
    pub fn content(&self) -> HeldContent {
        let files = lock_of(&self.files);
        let whole = files.all().filter(|(_, held)| held.is_complete());
        HeldContent {
            files: whole.map(|(file, _)| file).collect(),
            chunks: files.chunks().collect(),
        }
    }

    /// Bytes of chunks that are here of each file, complete or not.
    pub fn held_bytes(&self) -> BTreeMap<Hash, u64> {
        let files = lock_of(&self.files);
        let held = files.all().map(|(file, held)| (file, held.held_bytes()));
        held.collect()
    }

    /// How full it is.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let free_bytes = self.vfs.free_bytes(&self.layout.root);
        let free_bytes =
            free_bytes.map_err(|error| StoreError::io("measure", &self.layout.root, error))?;
        let files = lock_of(&self.files);
        let held_bytes = files.all().map(|(_, held)| held.held_bytes()).sum();
        Ok(Usage {
            files: files.all().count() as u64,
            held_bytes,
            free_bytes,
        })
    }

    fn save_records(&self, encoded: Vec<Vec<u8>>) -> Result<(), StoreError> {
        let mut records = lock_of(&self.records);
        let (mut batch, mut next, mut new) = (Batch::default(), records.next, HashSet::new());
        for record in encoded {
            let hash = Hash::of(&record);
            if records.seen.contains(&hash) || !new.insert(hash) {
                continue;
            }
            batch.insert(entries::record_key(next), self.place_value(record)?);
            next += 1;
        }
        if !new.is_empty() {
            self.commit(&batch, SyncPoint::RecordFlush)?;
        }
        records.next = next;
        records.seen.extend(new);
        Ok(())
    }

    pub(crate) fn read_blob(&self, blob: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.layout.blob(blob);
        let read = || {
            let file = self.vfs.open(&path)?;
            let length = file.length()?;
            if length > MAX_BLOB_BYTES {
                return Err(io::Error::other(format!("{length} bytes are no blob")));
            }
            let mut bytes = vec![0; length as usize];
            read_exact_at(&*file, &mut bytes, 0)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("read", &path, error)),
        }
    }

    /// Durable when this returns.
    pub(crate) fn write_blob(&self, blob: &Hash, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.layout.blob(blob);
        let shard = self.make_shard(&self.layout.blobs, &path)?;
        self.ensure_space(&path, bytes.len() as u64)?;
        self.write_aside(&path, SyncPoint::BlobData, |file| file.write_at(bytes, 0))?;
        sync_folder(&*self.vfs, &shard, SyncPoint::BlobEntry)
    }

    /// Writes a temporary file, syncs it and moves it to its place.
    pub(crate) fn write_aside(
        &self,
        path: &Path,
        point: SyncPoint,
        write: impl FnOnce(&dyn crate::vfs::VfsFile) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.layout.temporary.join(number.to_string());
        let written = (|| {
            let file = self.vfs.create(&temporary)?;
            write(&*file)?;
            file.sync(point)?;
            self.vfs.rename(&temporary, path)
        })();
        written.map_err(|error| {
            // the next start empties the folder, should this not work
            let _ = self.vfs.remove_file(&temporary);
            StoreError::io("write", path, error)
        })
    }

    /// The folder of a sharded path, made and its name durable.
    pub(crate) fn make_shard(&self, above: &Path, path: &Path) -> Result<PathBuf, StoreError> {
        let shard = path
            .parent()
            .expect("a sharded path has a folder")
            .to_owned();
        let mut shards = lock_of(&self.shards);
        if !shards.contains(&shard) {
            make_folder(&*self.vfs, &shard)?;
            sync_folder(&*self.vfs, above, SyncPoint::Shard)?;
            shards.insert(shard.clone());
        }
        Ok(shard)
    }

    /// Metadata as it goes in: long values lie in a blob, durable before this returns.
    pub(crate) fn place_value(&self, bytes: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        if bytes.len() < MAX_VALUE_BYTES {
            return Ok(Value::Here(bytes).encode());
        }
        let hash = Hash::of(&bytes);
        self.write_blob(&hash, &bytes)?;
        Ok(Value::Blob(hash).encode())
    }

    /// What [`Self::place_value`] put in; `None` if it is damaged.
    pub(crate) fn value(&self, stored: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match Value::decode(stored) {
            Some(Value::Here(bytes)) => Ok(Some(bytes)),
            Some(Value::Blob(hash)) => Ok(self
                .read_blob(&hash)?
                .filter(|bytes| Hash::of(bytes) == hash)),
            None => Ok(None),
        }
    }

    pub(crate) fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, StoreError> {
        self.meta
            .scan(prefix)
            .map_err(|error| self.meta_error(error))
    }

    /// Applies and flushes.
    pub(crate) fn commit(&self, batch: &Batch, point: SyncPoint) -> Result<(), StoreError> {
        self.apply(batch)?;
        self.meta
            .flush(point)
            .map_err(|error| self.meta_error(error))
    }

    /// Applies what may be lost without harm.
    pub(crate) fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        self.meta
            .apply(batch)
            .map_err(|error| self.meta_error(error))
    }

    fn meta_error(&self, source: MetaError) -> StoreError {
        StoreError::Meta {
            path: self.layout.meta.clone(),
            source,
        }
    }
}

/// A panic in another thread leaves maps of what is durable, not half a value.
pub(crate) fn lock_of<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn make_folder(vfs: &dyn Vfs, path: &Path) -> Result<(), StoreError> {
    match vfs.make_folder(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(StoreError::io("make", path, error))
        }
        _ => Ok(()),
    }
}

pub(crate) fn sync_folder(vfs: &dyn Vfs, path: &Path, point: SyncPoint) -> Result<(), StoreError> {
    vfs.sync_folder(path, point)
        .map_err(|error| StoreError::io("sync", path, error))
}

fn sync_parent(vfs: &dyn Vfs, root: &Path) -> Result<(), StoreError> {
    let above = match root.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    match vfs.sync_folder(above, SyncPoint::Parent) {
        // a folder that this user may use but not list was made by someone else
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
            Err(StoreError::io("sync", above, error))
        }
        _ => Ok(()),
    }
}

fn lock(vfs: &dyn Vfs, layout: &Layout) -> Result<Lock, OpenError> {
    vfs.lock(&layout.lock).map_err(|error| match error {
        LockError::Held(pid) => OpenError::Locked {
            path: layout.root.clone(),
            pid,
        },
        LockError::Io(error) => StoreError::io("lock", &layout.lock, error).into(),
    })
}

/// `None` in a folder that holds nothing else yet.
fn read_format(vfs: &dyn Vfs, layout: &Layout) -> Result<Option<u32>, OpenError> {
    let not_a_store = |reason: String| OpenError::NotAStore {
        path: layout.root.clone(),
        reason,
    };
    let file = match vfs.open(&layout.format) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let entries = vfs
                .list(&layout.root)
                .map_err(|error| StoreError::io("list", &layout.root, error))?;
            let stranger = entries
                .iter()
                .find(|entry| !Layout::NAMES.contains(&entry.name.as_str()));
            return stranger.map_or(Ok(None), |entry| {
                Err(not_a_store(format!(
                    "it has no file `format` and holds {:?}",
                    entry.name
                )))
            });
        }
        Err(error) => return Err(StoreError::io("open", &layout.format, error).into()),
    };
    let mut bytes = [0; MAX_FORMAT_BYTES];
    let count = file
        .read_at(&mut bytes, 0)
        .map_err(|error| StoreError::io("read", &layout.format, error))?;
    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
    let number = text
        .strip_prefix(FORMAT_WORD)
        .and_then(|rest| rest.trim().parse().ok());
    number
        .map(Some)
        .ok_or_else(|| not_a_store(format!("its file `format` says {text:?}")))
}

fn write_format(vfs: &dyn Vfs, layout: &Layout) -> Result<(), StoreError> {
    let temporary = layout.temporary.join("format");
    let text = format!("{FORMAT_WORD} {FORMAT}\n");
    let written = (|| {
        let file = vfs.create(&temporary)?;
        file.set_length(0)?;
        file.write_at(text.as_bytes(), 0)?;
        file.sync(SyncPoint::FormatData)?;
        vfs.rename(&temporary, &layout.format)
    })();
    written.map_err(|error| StoreError::io("write", &layout.format, error))
}

fn empty_folder(vfs: &dyn Vfs, path: &Path) -> Result<(), StoreError> {
    for entry in vfs
        .list(path)
        .map_err(|error| StoreError::io("list", path, error))?
    {
        let path = path.join(entry.name);
        if !entry.is_folder {
            vfs.remove_file(&path)
                .map_err(|error| StoreError::io("remove", &path, error))?;
        }
    }
    Ok(())
}
