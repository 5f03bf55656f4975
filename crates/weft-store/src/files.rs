//! Files of models, chunk by chunk, in their final layout.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use weft_core::{ChunkRef, ChunkSource, FoundChunk};
use weft_record::{ChunkMap, Hash};

use crate::{
    bitmap::Bitmap,
    entries::{self, FileEntry, prefix},
    error::StoreError,
    meta::Batch,
    store::{Store, lock_of, sync_folder},
    vfs::{SyncPoint, VfsFile, read_exact_at},
};

/// Bytes read at once to hash a whole file.
const HASH_BYTES: usize = 1 << 20;

/// All files this process knows.
#[derive(Default)]
pub(crate) struct Files {
    held: HashMap<Hash, Arc<Held>>,
    /// Where a chunk lies. Made from maps and bitmaps, so it cannot disagree with them.
    index: HashMap<Hash, ChunkRef>,
    /// Chunk maps whose blob is durable.
    durable_maps: HashSet<Hash>,
    /// When each came or was last in a slot.
    used_s: HashMap<Hash, u64>,
}

/// One file.
pub(crate) struct Held {
    pub(crate) length: u64,
    pub(crate) map: Arc<ChunkMap>,
    map_hash: Hash,
    offsets: Vec<u64>,
    handle: Box<dyn VfsFile>,
    progress: Mutex<Progress>,
    /// One sync of a file at a time.
    syncing: Mutex<()>,
}

struct Progress {
    /// Chunks that lie in the file.
    written: Bitmap,
    /// Of these, the ones that metadata says are durable.
    durable: Bitmap,
    complete: bool,
    /// Metadata knows the file with this map, and its name is durable.
    recorded: bool,
    /// A sync failed: the system has dropped what it could not write and calls it
    /// clean, so the next sync must write it again first.
    sync_failed: bool,
}

impl Files {
    pub(crate) fn all(&self) -> impl Iterator<Item = (Hash, &Held)> {
        self.held.iter().map(|(file, held)| (*file, &**held))
    }

    /// Every chunk that lies in a file.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = Hash> {
        self.index.keys().copied()
    }

    pub(crate) fn get(&self, file: &Hash) -> Option<Arc<Held>> {
        self.held.get(file).cloned()
    }

    fn put(&mut self, file: Hash, held: Arc<Held>) {
        self.index_all(file, &held);
        self.held.insert(file, held);
    }

    fn index_all(&mut self, file: Hash, held: &Held) {
        let progress = lock_of(&held.progress);
        for (index, chunk) in held.map.chunks.iter().enumerate() {
            if progress.written.get(index) {
                self.index.entry(chunk.hash).or_insert(ChunkRef {
                    file,
                    index: index as u32,
                });
            }
        }
    }

    /// When a file came or was last in a slot, in seconds since 1970; 0: not known.
    pub(crate) fn used_s(&self, file: &Hash) -> u64 {
        self.used_s.get(file).copied().unwrap_or_default()
    }

    /// Marks those of these files that are here as used now. The mark rises with each use,
    /// also where a clock was set back. It goes with what it is written with: where that is
    /// lost, the file only counts as older than it is.
    pub(crate) fn mark_used(&mut self, files: &BTreeSet<Hash>, now_s: u64, batch: &mut Batch) {
        let newest_s = self.used_s.values().max();
        let used_s = now_s.max(newest_s.map_or(0, |newest_s| newest_s.saturating_add(1)));
        for file in files {
            if self.held.contains_key(file) {
                self.used_s.insert(*file, used_s);
                batch.insert(entries::used_key(file), used_s.to_le_bytes().to_vec());
            }
        }
    }

    /// Forgets files, and returns the chunk maps that no other file has.
    pub(crate) fn forget(&mut self, files: &[Hash]) -> Vec<Hash> {
        let mut maps = Vec::new();
        for file in files {
            self.used_s.remove(file);
            maps.extend(self.held.remove(file).map(|held| held.map_hash));
        }
        self.index.clear();
        let held = self
            .held
            .iter()
            .map(|(file, held)| (*file, held.clone()))
            .collect::<Vec<_>>();
        for (file, held) in held {
            maps.retain(|map| *map != held.map_hash);
            self.index_all(file, &held);
        }
        self.durable_maps.retain(|map| !maps.contains(map));
        maps
    }
}

impl Held {
    fn new(length: u64, map: Arc<ChunkMap>, map_hash: Hash, handle: Box<dyn VfsFile>) -> Self {
        let empty = Bitmap::new(map.len());
        let progress = Progress {
            written: empty.clone(),
            durable: empty,
            complete: false,
            recorded: false,
            sync_failed: false,
        };
        let offsets = map.offsets().collect();
        Self {
            length,
            map,
            map_hash,
            offsets,
            handle,
            progress: Mutex::new(progress),
            syncing: Mutex::default(),
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        lock_of(&self.progress).complete
    }

    pub(crate) fn held_bytes(&self) -> u64 {
        let progress = lock_of(&self.progress);
        let chunks = self.map.chunks.iter().enumerate();
        chunks
            .filter(|(index, _)| progress.written.get(*index))
            .map(|(_, chunk)| u64::from(chunk.length))
            .sum()
    }

    pub(crate) fn handle(&self) -> &dyn VfsFile {
        &*self.handle
    }

    fn read(&self, index: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.map.chunks[index].length as usize];
        read_exact_at(&*self.handle, &mut bytes, self.offsets[index])?;
        Ok(bytes)
    }
}

impl Store {
    /// Reads what metadata says about files. One that is damaged is forgotten, not
    /// fatal: opening it again finds its chunks on the disk.
    pub(crate) fn load_files(&self) -> Result<(), StoreError> {
        let mut files = lock_of(&self.files);
        for (key, value) in self.scan(&[prefix::FILE])? {
            let Some(file) = entries::key_hash(&key) else {
                continue;
            };
            match self.load_file(&file, &value)? {
                Ok(held) => {
                    files.durable_maps.insert(held.map_hash);
                    files.put(file, Arc::new(held));
                }
                Err(reason) => tracing::warn!(%file, reason, "a file is forgotten"),
            }
        }
        for (key, value) in self.scan(&[prefix::USED])? {
            if let (Some(file), Ok(used_s)) = (entries::key_hash(&key), value.try_into()) {
                files.used_s.insert(file, u64::from_le_bytes(used_s));
            }
        }
        Ok(())
    }

    fn load_file(
        &self,
        file: &Hash,
        value: &[u8],
    ) -> Result<Result<Held, &'static str>, StoreError> {
        let Some(entry) = FileEntry::decode(value) else {
            return Ok(Err("its entry is damaged"));
        };
        let map = self
            .read_blob(&entry.map)?
            .filter(|bytes| Hash::of(bytes) == entry.map);
        let Some(map) = map.and_then(|bytes| ChunkMap::decode(&bytes, entry.length).ok()) else {
            return Ok(Err("its chunk map is missing or damaged"));
        };
        let path = self.layout.file(file);
        let handle = match self.vfs.open(&path) {
            Ok(handle) => handle,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Err("it is missing"));
            }
            Err(error) => return Err(StoreError::io("open", &path, error)),
        };
        let held = Held::new(entry.length, Arc::new(map), entry.map, handle);
        let mut progress = lock_of(&held.progress);
        for (key, page) in self.scan(&entries::bits_prefix(file))? {
            let number = <[u8; 2]>::try_from(&key[33..]).map(u16::from_be_bytes);
            if !number.is_ok_and(|number| progress.durable.restore_page(number, &page)) {
                tracing::warn!(%file, "a page of its bitmap is damaged");
            }
        }
        progress.written = progress.durable.clone();
        progress.complete = entry.complete && progress.written.is_full();
        progress.recorded = true;
        drop(progress);
        Ok(Ok(held))
    }

    pub(crate) fn open_file(
        &self,
        file: Hash,
        length: u64,
        map: Arc<ChunkMap>,
    ) -> Result<Vec<FoundChunk>, StoreError> {
        let path = self.layout.file(&file);
        self.ensure_quota(&file, length, &path)?;
        let held = self.hold(file, length, map, &path)?;
        let mut found = find_present(&held, &path)?;
        self.find_elsewhere(&held, &path, &mut found)?;
        found.sort_by_key(|chunk| chunk.index);
        let mut files = lock_of(&self.files);
        files.put(file, held);
        Ok(found)
    }

    fn hold(
        &self,
        file: Hash,
        length: u64,
        map: Arc<ChunkMap>,
        path: &Path,
    ) -> Result<Arc<Held>, StoreError> {
        let encoded = map.encode();
        ChunkMap::decode(&encoded, length).map_err(|error| {
            StoreError::Refused(format!("the chunk map of file {file}: {error}"))
        })?;
        let map_hash = Hash::of(&encoded);
        let known = lock_of(&self.files).get(&file);
        let held = match known {
            Some(held) if held.map_hash == map_hash => held,
            known => {
                if known.is_none() {
                    self.forget_stale_entry(&file)?;
                }
                self.make_shard(&self.layout.files, path)?;
                let handle = self
                    .vfs
                    .create(path)
                    .map_err(|error| StoreError::io("open", path, error))?;
                Arc::new(Held::new(length, map, map_hash, handle))
            }
        };
        let sized = held.handle.length().and_then(|now| {
            if now == length {
                Ok(())
            } else {
                held.handle.set_length(length)
            }
        });
        sized.map_err(|error| StoreError::io("size", path, error))?;
        Ok(held)
    }

    /// Metadata may know a file that somebody deleted, or whose map is damaged: its
    /// claims must be gone before the file is made anew.
    fn forget_stale_entry(&self, file: &Hash) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let entry = self.scan(&entries::file_key(file))?;
        for (key, _) in entry
            .into_iter()
            .chain(self.scan(&entries::bits_prefix(file))?)
        {
            batch.remove(key);
        }
        if batch.changes.is_empty() {
            Ok(())
        } else {
            self.commit(&batch, SyncPoint::FileFlush)
        }
    }

    /// Copies missing chunks that other files, or this one, hold.
    fn find_elsewhere(
        &self,
        held: &Arc<Held>,
        path: &Path,
        found: &mut Vec<FoundChunk>,
    ) -> Result<(), StoreError> {
        for (index, chunk) in held.map.chunks.iter().enumerate() {
            if lock_of(&held.progress).written.get(index) {
                continue;
            }
            let source = {
                let files = lock_of(&self.files);
                let place = files.index.get(&chunk.hash).copied();
                place.and_then(|place| Some((files.get(&place.file)?, place.index as usize)))
            };
            let Some((source, place)) = source else {
                continue;
            };
            // an unreadable or rotten source is no reason to fail: peers have the chunk
            let Ok(bytes) = source.read(place) else {
                continue;
            };
            let digest = Hash::of(&bytes);
            if digest != chunk.hash || bytes.len() != chunk.length as usize {
                continue;
            }
            self.ensure_free(path, bytes.len() as u64)?;
            let written = held.handle.write_at(&bytes, held.offsets[index]);
            written.map_err(|error| StoreError::io("write", path, error))?;
            lock_of(&held.progress).written.set(index, true);
            found.retain(|chunk| chunk.index != index as u32);
            found.push(FoundChunk {
                index: index as u32,
                digest,
                source: ChunkSource::Reused,
            });
        }
        Ok(())
    }

    pub(crate) fn write_chunk(&self, chunk: ChunkRef, bytes: &[u8]) -> Result<(), StoreError> {
        let held = self.held(&chunk.file)?;
        let index = chunk.index as usize;
        let Some(entry) = held
            .map
            .chunks
            .get(index)
            .filter(|entry| entry.length as usize == bytes.len())
        else {
            let text = format!(
                "{} bytes are not chunk {index} of file {}",
                bytes.len(),
                chunk.file
            );
            return Err(StoreError::Refused(text));
        };
        if lock_of(&held.progress).written.get(index) {
            return Ok(());
        }
        let path = self.layout.file(&chunk.file);
        self.ensure_free(&path, bytes.len() as u64)?;
        let written = held.handle.write_at(bytes, held.offsets[index]);
        written.map_err(|error| StoreError::io("write", &path, error))?;
        lock_of(&held.progress).written.set(index, true);
        lock_of(&self.files)
            .index
            .entry(entry.hash)
            .or_insert(chunk);
        Ok(())
    }

    /// Data first, names next, metadata last: metadata never claims what a power
    /// cut could still take.
    pub(crate) fn sync_file(&self, file: &Hash, complete: bool) -> Result<(), StoreError> {
        let held = self.held(file)?;
        let _one_at_a_time = lock_of(&held.syncing);
        let path = self.layout.file(file);
        if lock_of(&held.progress).sync_failed {
            rewrite_unsynced(&held, &path)?;
        }
        let (written, durable, was_complete, recorded) = {
            let progress = lock_of(&held.progress);
            (
                progress.written.clone(),
                progress.durable.clone(),
                progress.complete,
                progress.recorded,
            )
        };
        if complete && !written.is_full() {
            return Err(StoreError::Refused(format!(
                "file {file} still lacks chunks"
            )));
        }
        if !recorded && !lock_of(&self.files).durable_maps.contains(&held.map_hash) {
            self.write_blob(&held.map_hash, &held.map.encode())?;
            lock_of(&self.files).durable_maps.insert(held.map_hash);
        }
        held.handle.sync(SyncPoint::FileData).map_err(|error| {
            lock_of(&held.progress).sync_failed = true;
            StoreError::io("sync", &path, error)
        })?;
        if !recorded {
            let shard = path.parent().expect("a sharded path has a folder");
            sync_folder(&*self.vfs, shard, SyncPoint::FileEntry)?;
        }

        let complete = complete || was_complete;
        let mut batch = Batch::default();
        if !recorded || complete != was_complete {
            let entry = FileEntry {
                complete,
                length: held.length,
                map: held.map_hash,
            };
            batch.insert(entries::file_key(file), entry.encode());
            let used = BTreeSet::from([*file]);
            lock_of(&self.files).mark_used(&used, self.vfs.now_s(), &mut batch);
        }
        // a file that was known with another map may have other pages there
        let before = if recorded {
            durable
        } else {
            self.forget_pages(file, &written, &mut batch)?
        };
        for (page, bytes) in written.changed_pages(&before) {
            batch.insert(entries::bits_key(file, page), bytes.to_vec());
        }
        if !batch.changes.is_empty() {
            self.commit(&batch, SyncPoint::FileFlush)?;
        }
        let mut progress = lock_of(&held.progress);
        progress.durable = written;
        progress.complete = complete;
        progress.recorded = true;
        Ok(())
    }

    /// Removes stored pages that the new bitmap does not overwrite.
    fn forget_pages(
        &self,
        file: &Hash,
        written: &Bitmap,
        batch: &mut Batch,
    ) -> Result<Bitmap, StoreError> {
        let empty = written.emptied();
        let kept = written
            .changed_pages(&empty)
            .map(|(page, _)| entries::bits_key(file, page));
        let kept = kept.collect::<HashSet<_>>();
        for (key, _) in self.scan(&entries::bits_prefix(file))? {
            if !kept.contains(&key) {
                batch.remove(key);
            }
        }
        Ok(empty)
    }

    pub(crate) fn hash_file(&self, file: &Hash) -> Result<Hash, StoreError> {
        let held = self.held(file)?;
        let mut hasher = blake3::Hasher::new();
        let (mut buffer, mut offset) = (vec![0; HASH_BYTES], 0);
        loop {
            let read = held.handle.read_at(&mut buffer, offset);
            let count =
                read.map_err(|error| StoreError::io("read", &self.layout.file(file), error))?;
            if count == 0 {
                return Ok(Hash(*hasher.finalize().as_bytes()));
            }
            hasher.update(&buffer[..count]);
            offset += count as u64;
        }
    }

    pub(crate) fn read_chunk(&self, chunk: ChunkRef) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(held) = lock_of(&self.files).get(&chunk.file) else {
            return Ok(None);
        };
        let index = chunk.index as usize;
        if index >= held.map.len() || !lock_of(&held.progress).written.get(index) {
            return Ok(None);
        }
        let bytes = held.read(index);
        bytes
            .map(Some)
            .map_err(|error| StoreError::io("read", &self.layout.file(&chunk.file), error))
    }

    fn held(&self, file: &Hash) -> Result<Arc<Held>, StoreError> {
        let held = lock_of(&self.files).get(file);
        held.ok_or_else(|| StoreError::Refused(format!("file {file} is not open")))
    }
}

/// Hashes what lies in the file, but for holes that nothing claims.
fn find_present(held: &Held, path: &Path) -> Result<Vec<FoundChunk>, StoreError> {
    let failed = |error| StoreError::io("read", path, error);
    let (mut found, mut next_data) = (Vec::new(), 0);
    for (index, chunk) in held.map.chunks.iter().enumerate() {
        let (start, end) = (
            held.offsets[index],
            held.offsets[index] + u64::from(chunk.length),
        );
        if next_data < start || index == 0 {
            next_data = held.handle.next_data(start).map_err(failed)?;
        }
        let claimed = lock_of(&held.progress).written.get(index);
        if next_data >= end && !claimed {
            continue;
        }
        let digest = Hash::of(&held.read(index).map_err(failed)?);
        let good = digest == chunk.hash;
        let mut progress = lock_of(&held.progress);
        progress.written.set(index, good);
        if !good && progress.complete {
            // rotten: the next sync says so in metadata
            progress.complete = false;
            progress.recorded = false;
        }
        drop(progress);
        found.push(FoundChunk {
            index: index as u32,
            digest,
            source: ChunkSource::Resumed,
        });
    }
    Ok(found)
}

/// Makes dirty again what a failed sync may have marked clean without writing it.
fn rewrite_unsynced(held: &Held, path: &Path) -> Result<(), StoreError> {
    let mut lost = Vec::new();
    for (index, chunk) in held.map.chunks.iter().enumerate() {
        let unsynced = {
            let progress = lock_of(&held.progress);
            progress.written.get(index) && !progress.durable.get(index)
        };
        if !unsynced {
            continue;
        }
        let bytes = held
            .read(index)
            .map_err(|error| StoreError::io("read", path, error))?;
        if Hash::of(&bytes) == chunk.hash {
            let written = held.handle.write_at(&bytes, held.offsets[index]);
            written.map_err(|error| StoreError::io("write", path, error))?;
        } else {
            lock_of(&held.progress).written.set(index, false);
            lost.push(index);
        }
    }
    lock_of(&held.progress).sync_failed = false;
    if lost.is_empty() {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "{}: chunks {lost:?} were lost by a failed sync",
        path.display()
    )))
}
