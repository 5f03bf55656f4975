//! A disk without bytes: what was written, and what of it was synced.

use std::{collections::BTreeSet, sync::Arc};

use weft_core::{
    ChunkRef, ChunkSource, DeltaPlan, Disk, Failure, FailureKind, FoundChunk, Outcome, Restored,
    RestoredFile, SlotPlan, Slots,
};
use weft_record::{ChunkMap, Hash, Name, RecordId, TimeFloor};

use crate::{chunks::ChunkSet, mesh::VirtualRelease, payload::Virtual, pool::Pool};

/// One node's disk. A node has few blobs, files and channels, so they stand in lists; what
/// many disks hold alike they share.
#[derive(Clone, Debug, Default)]
pub struct VirtualDisk {
    records: Vec<Arc<[u8]>>,
    blobs: Vec<(Hash, Virtual)>,
    files: Vec<VirtualFile>,
    channels: Vec<VirtualSlots>,
    clock: Option<TimeFloor>,
    rotted: bool,
    /// Files were used so many times: the marks of the last uses.
    uses: u64,
    /// Writes fail with "no space" while this is set.
    pub full: bool,
    /// Most bytes of all files together; none: no bound.
    pub quota_bytes: Option<u64>,
    /// Chunk writes since the beginning.
    pub chunk_writes: u64,
    /// Of these, chunks whose durability had been acknowledged and that were whole.
    pub durable_rewrites: u64,
}

#[derive(Clone, Debug)]
struct VirtualFile {
    file: Hash,
    length: u64,
    map: Arc<ChunkMap>,
    present: ChunkSet,
    synced: ChunkSet,
    /// Chunks that are present and not what the map says, and what they are.
    strange: Vec<(u32, Hash)>,
    complete: bool,
    /// Of the use that it had last.
    used: u64,
}

#[derive(Clone, Debug)]
struct VirtualSlots {
    channel: Name,
    active: Option<Arc<SlotPlan>>,
    previous: Option<Arc<SlotPlan>>,
    staged: Option<Arc<SlotPlan>>,
    failed: Vec<RecordId>,
}

impl VirtualDisk {
    /// Lays a whole release on the disk, as if it had been imported.
    pub fn preload(&mut self, release: &VirtualRelease) {
        let blob = Virtual::blob(release.map.encode());
        self.put_blob(release.chunk_map_hash(), blob);
        let chunks = release.map.chunks.len();
        let file = VirtualFile {
            file: release.file,
            length: release.length,
            map: Arc::clone(&release.map),
            present: ChunkSet::full(chunks),
            synced: ChunkSet::full(chunks),
            strange: Vec::new(),
            complete: true,
            used: 0,
        };
        self.files.retain(|other| other.file != release.file);
        self.files.push(file);
        for delta in release.delta_files() {
            self.preload(&delta);
        }
    }

    /// Lays records on the disk, as if they had been accepted in an earlier run.
    pub fn save(&mut self, records: Vec<Vec<u8>>) {
        self.records.extend(records.into_iter().map(Arc::from));
    }

    /// Shares what others hold alike from now on.
    pub(crate) fn share(&mut self, pool: &mut Pool) {
        for record in &mut self.records {
            *record = pool.record(record);
        }
        self.records.shrink_to_fit();
        for file in &mut self.files {
            file.map = pool.file(file.file, &file.map).1;
        }
    }

    /// What a node finds when it starts from this disk.
    pub fn restore(&self) -> Restored {
        let files = self.files.iter().map(|state| RestoredFile {
            file: state.file,
            length: state.length,
            map: Arc::clone(&state.map),
            complete: state.complete,
            used_s: state.used,
        });
        let mut files: Vec<RestoredFile> = files.collect();
        files.sort_by_key(|file| file.file);
        let records = self.records.iter().map(|record| record.to_vec());
        let slots = self.channels.iter();
        Restored {
            records: records.collect(),
            slots: slots
                .map(|slots| (slots.channel.clone(), slots.told()))
                .collect(),
            files,
            clock: self.clock,
        }
    }

    /// The power fails: what was not synced is gone. (Records and slots are durable
    /// when they are acknowledged.)
    pub fn lose_unsynced(&mut self) {
        for file in &mut self.files {
            file.present.copy_from(&file.synced);
            let present = &file.present;
            file.strange.retain(|(index, _)| present.contains(*index));
        }
    }

    /// A bit rots in one chunk.
    pub fn rot(&mut self, chunk: ChunkRef) {
        if let Some(file) = self.file_mut(&chunk.file) {
            file.put(chunk.index, Hash::of(b"rotten"));
            self.rotted = true;
        }
    }

    /// Whether the file is whole, but for what rotted on purpose.
    pub fn was_whole(&self, file: &Hash) -> bool {
        self.rotted || self.holds_whole(file)
    }

    /// Whether every chunk of the file is there and right.
    pub fn holds_whole(&self, file: &Hash) -> bool {
        self.file(file).is_some_and(|state| {
            let chunks = state.map.chunks.iter().enumerate();
            chunks
                .into_iter()
                .all(|(i, chunk)| state.digest(i as u32) == Some(chunk.hash))
        })
    }

    /// Whether a chunk lies on the disk, right or wrong.
    pub fn holds(&self, file: &Hash, index: u32) -> bool {
        let state = self.file(file);
        state.is_some_and(|state| state.present.contains(index))
    }

    /// Whether a power cut would leave the file whole.
    pub fn is_durable(&self, file: &Hash) -> bool {
        let state = self.file(file);
        state.is_some_and(|state| {
            let mut chunks = 0..state.map.chunks.len() as u32;
            state.complete && chunks.all(|index| state.synced.contains(index))
        })
    }

    /// What lies on the disk of a chunk.
    pub fn chunk(&self, file: &Hash, index: u32) -> Option<Hash> {
        self.file(file)?.digest(index)
    }

    /// Whether some file has a chunk of these bytes.
    pub fn holds_bytes(&self, digest: &Hash) -> bool {
        let mut held = self.files.iter().flat_map(VirtualFile::digests);
        held.any(|held| held == *digest)
    }

    /// Whether a file was begun.
    pub fn knows(&self, file: &Hash) -> bool {
        self.file(file).is_some()
    }

    /// Whether a chunk map lies on the disk.
    pub fn holds_blob(&self, hash: &Hash) -> bool {
        self.blobs.iter().any(|(held, _)| held == hash)
    }

    /// The first chunk of a file that is there, at or after an index.
    pub fn present_from(&self, file: &Hash, index: u32) -> Option<u32> {
        let state = self.file(file)?;
        let mut chunks = index..state.map.chunks.len() as u32;
        chunks.find(|index| state.present.contains(*index))
    }

    /// Slots of all channels.
    pub fn all_slots(&self) -> impl Iterator<Item = Slots> {
        self.channels.iter().map(VirtualSlots::told)
    }

    /// Slots of a channel.
    pub fn slots(&self, channel: &Name) -> Slots {
        let slots = self.slots_of(channel);
        slots.map(VirtualSlots::told).unwrap_or_default()
    }

    /// The release in the active slot of a channel.
    pub fn active(&self, channel: &Name) -> Option<RecordId> {
        let active = self.slots_of(channel)?.active.as_ref();
        active.map(|slot| slot.release)
    }

    /// What a delta gives of a file: nothing where it or its base is not whole.
    fn make(&mut self, plan: &DeltaPlan) -> Vec<FoundChunk> {
        if !self.holds_whole(&plan.base) || !self.holds_whole(&plan.delta) {
            return Vec::new();
        }
        let mut made = Vec::new();
        for &index in &plan.lacking {
            let Some(chunk) = plan.map.chunks.get(index as usize) else {
                continue;
            };
            let (file, digest) = (plan.file, chunk.hash);
            self.write(ChunkRef { file, index }, digest);
            made.push(FoundChunk {
                index,
                digest,
                source: ChunkSource::Made,
            });
        }
        made
    }

    /// What is in the staged slot of a channel.
    pub(crate) fn staged(&self, channel: &Name) -> Option<Arc<SlotPlan>> {
        self.slots_of(channel)?.staged.clone()
    }

    /// Carries out one operation.
    pub fn execute(&mut self, disk: Disk<Virtual>) -> Outcome<Virtual> {
        self.execute_sharing(disk, &mut Pool::default())
    }

    /// The same, where others hold much of the same.
    pub(crate) fn execute_sharing(
        &mut self,
        disk: Disk<Virtual>,
        pool: &mut Pool,
    ) -> Outcome<Virtual> {
        match disk {
            Disk::ReadBlob(hash) => {
                let found = self.blobs.iter().find(|(other, _)| *other == hash);
                Outcome::Blob(found.map(|(_, blob)| blob.clone()))
            }
            Disk::ReadChunk(chunk) => Outcome::Chunk(self.read(chunk)),
            Disk::HashFile(file) => {
                let whole = self.holds_whole(&file);
                Outcome::Digest(if whole { file } else { Hash::of(b"torn") })
            }
            Disk::Collect { keep } => self.collect(&keep),
            _ if self.full => no_room(None),
            Disk::SaveRecords(envelopes) => {
                let shared = envelopes.iter().map(|envelope| pool.record(envelope));
                self.records.extend(shared);
                Outcome::Saved
            }
            Disk::WriteBlob(hash, payload) => {
                self.put_blob(hash, payload);
                Outcome::Written
            }
            Disk::OpenFile { file, length, map } => match self.lacking_bytes(&file, length) {
                0 => Outcome::Opened(self.open(file, length, pool.file(file, &map).1)),
                lacking_bytes => no_room(Some(lacking_bytes)),
            },
            Disk::ApplyDelta(plan) => Outcome::Opened(self.make(&plan)),
            // as the real one does
            Disk::WriteChunk { chunk, .. } if self.file(&chunk.file).is_none() => {
                Outcome::Failed(Failure {
                    kind: FailureKind::Disk,
                    lacking_bytes: None,
                    text: format!("file {} is not open", chunk.file),
                })
            }
            Disk::WriteChunk { chunk, payload } => {
                self.write(chunk, payload.digest);
                Outcome::Written
            }
            Disk::SyncFile(file) => {
                self.sync(&file);
                Outcome::Synced
            }
            Disk::CompleteFile(file) => {
                self.sync(&file);
                self.mark_used(&[file]);
                if let Some(state) = self.file_mut(&file) {
                    state.complete = true;
                }
                Outcome::Synced
            }
            Disk::Stage(plan) => {
                let channel = plan.channel.clone();
                let before = self.slots_mut(channel).staged.replace(pool.plan(plan));
                self.retire(before);
                Outcome::Staged
            }
            Disk::Activate(channel) => {
                let slots = self.slots_mut(channel);
                let active = std::mem::replace(&mut slots.active, slots.staged.take());
                let retired = std::mem::replace(&mut slots.previous, active);
                self.retire(retired);
                Outcome::Switched
            }
            Disk::GoBack(channel) => {
                let slots = self.slots_mut(channel);
                let dropped = slots.active.take();
                slots.failed.extend(dropped.iter().map(|slot| slot.head));
                slots.active = slots.previous.take();
                self.retire(dropped);
                Outcome::Switched
            }
            Disk::Withdraw {
                channel,
                both,
                failed,
            } => {
                let slots = self.slots_mut(channel);
                let dropped = slots.active.take();
                let failed = dropped.iter().filter(|_| failed);
                slots.failed.extend(failed.map(|slot| slot.head));
                let mut previous = slots.previous.take();
                if !both {
                    slots.active = previous.take();
                }
                self.retire(dropped.into_iter().chain(previous));
                Outcome::Switched
            }
            Disk::SaveClock(clock) => {
                self.clock = Some(clock);
                Outcome::Saved
            }
            Disk::DropStaged(channel) => {
                let slots = self.slots_mut(channel);
                let dropped = slots.staged.take();
                slots.failed.extend(dropped.iter().map(|slot| slot.head));
                self.retire(dropped);
                Outcome::Switched
            }
        }
    }

    /// By how much too little the quota leaves for a file of this length.
    fn lacking_bytes(&self, file: &Hash, length: u64) -> u64 {
        let others = self.files.iter().filter(|other| other.file != *file);
        let others_bytes: u64 = others.map(|other| other.length).sum();
        let quota_bytes = self.quota_bytes.unwrap_or(u64::MAX);
        others_bytes
            .saturating_add(length)
            .saturating_sub(quota_bytes)
    }

    /// They were of use until now.
    fn retire(&mut self, plans: impl IntoIterator<Item = Arc<SlotPlan>>) {
        for plan in plans {
            let files: Vec<Hash> = plan.files.iter().map(|(_, file)| *file).collect();
            self.mark_used(&files);
        }
    }

    fn mark_used(&mut self, files: &[Hash]) {
        self.uses += 1;
        let used = self.uses;
        let states = self.files.iter_mut();
        for state in states.filter(|state| files.contains(&state.file)) {
            state.used = used;
        }
    }

    /// Files that would go if only these were kept, but for what lies in slots.
    pub(crate) fn files_beside(&self, keep: &BTreeSet<Hash>) -> Vec<Hash> {
        let files = self.files.iter().map(|state| state.file);
        files.filter(|file| !keep.contains(file)).collect()
    }

    fn collect(&mut self, keep: &BTreeSet<Hash>) -> Outcome<Virtual> {
        let slots = self.channels.iter();
        let plans = slots.flat_map(|slots| [&slots.active, &slots.previous, &slots.staged]);
        let plans = plans.flatten().flat_map(|plan| &plan.files);
        let in_slots: BTreeSet<Hash> = plans.map(|(_, file)| *file).collect();
        let (mut files, mut bytes) = (0, 0);
        self.files.retain(|state| {
            let stays = keep.contains(&state.file) || in_slots.contains(&state.file);
            if !stays {
                files += 1;
                bytes += state.length;
            }
            stays
        });
        Outcome::Collected { files, bytes }
    }

    /// One chunk, as it lies there.
    pub(crate) fn read(&self, chunk: ChunkRef) -> Option<Virtual> {
        let file = self.file(&chunk.file)?;
        let digest = file.digest(chunk.index)?;
        let length = u64::from(file.map.chunks.get(chunk.index as usize)?.length);
        Some(Virtual::chunk(digest, length))
    }

    /// Reads what lies so many pointers away, before it is needed.
    pub(crate) fn warm(&self, step: u32) -> u64 {
        let files = self.files.iter();
        let fold = |sum, one| sum ^ one;
        match step {
            0 => self.chunk_writes ^ self.files.len() as u64,
            1 => files.map(|file| file.length).fold(0, fold),
            2 => files.map(|file| file.present.warm()).fold(0, fold),
            _ => 0,
        }
    }

    /// Memory that it holds, without what is shared.
    pub(crate) fn heap_bytes(&self) -> usize {
        let files = self.files.iter();
        let bits = files.map(|file| file.present.heap_bytes() + file.synced.heap_bytes());
        self.records.capacity() * size_of::<Arc<[u8]>>()
            + self.blobs.capacity() * size_of::<(Hash, Virtual)>()
            + self.files.capacity() * size_of::<VirtualFile>()
            + self.channels.capacity() * size_of::<VirtualSlots>()
            + bits.sum::<usize>()
    }

    fn write(&mut self, chunk: ChunkRef, digest: Hash) {
        self.chunk_writes += 1;
        let Some(file) = self.file_mut(&chunk.file) else {
            return;
        };
        let durable = file.synced.contains(chunk.index);
        let rewritten = durable && file.digest(chunk.index) == Some(digest);
        file.put(chunk.index, digest);
        self.durable_rewrites += u64::from(rewritten);
    }

    fn put_blob(&mut self, hash: Hash, payload: Virtual) {
        self.blobs.retain(|(other, _)| *other != hash);
        self.blobs.reserve_exact(1);
        self.blobs.push((hash, payload));
    }

    fn file(&self, file: &Hash) -> Option<&VirtualFile> {
        self.files.iter().find(|state| state.file == *file)
    }

    fn file_mut(&mut self, file: &Hash) -> Option<&mut VirtualFile> {
        self.files.iter_mut().find(|state| state.file == *file)
    }

    fn slots_of(&self, channel: &Name) -> Option<&VirtualSlots> {
        self.channels.iter().find(|slots| slots.channel == *channel)
    }

    fn slots_mut(&mut self, channel: Name) -> &mut VirtualSlots {
        let known = self.channels.iter();
        let place = known.clone().position(|slots| slots.channel == channel);
        let place = place.unwrap_or_else(|| {
            self.channels.reserve_exact(1);
            self.channels.push(VirtualSlots {
                channel,
                active: None,
                previous: None,
                staged: None,
                failed: Vec::new(),
            });
            self.channels.len() - 1
        });
        &mut self.channels[place]
    }

    fn open(&mut self, file: Hash, length: u64, map: Arc<ChunkMap>) -> Vec<FoundChunk> {
        let others = self.files.iter().filter(|other| other.file != file);
        let elsewhere: BTreeSet<Hash> = others.flat_map(VirtualFile::digests).collect();
        if self.file(&file).is_none() {
            self.files.reserve_exact(1);
            self.files.push(VirtualFile {
                file,
                length,
                present: ChunkSet::new(map.chunks.len()),
                synced: ChunkSet::new(map.chunks.len()),
                map: Arc::clone(&map),
                strange: Vec::new(),
                complete: false,
                used: 0,
            });
        }
        let mut found = Vec::new();
        let Some(state) = self.file_mut(&file) else {
            return found;
        };
        for (index, chunk) in map.chunks.iter().enumerate() {
            let index = index as u32;
            let (digest, source) = match state.digest(index) {
                Some(digest) => (digest, ChunkSource::Resumed),
                None if elsewhere.contains(&chunk.hash) => {
                    state.put(index, chunk.hash);
                    (chunk.hash, ChunkSource::Reused)
                }
                None => continue,
            };
            found.push(FoundChunk {
                index,
                digest,
                source,
            });
        }
        found
    }

    fn sync(&mut self, file: &Hash) {
        if let Some(state) = self.file_mut(file) {
            state.synced.copy_from(&state.present);
        }
    }
}

fn no_room(lacking_bytes: Option<u64>) -> Outcome<Virtual> {
    Outcome::Failed(Failure {
        kind: FailureKind::DiskFull,
        lacking_bytes,
        text: "the virtual disk is full".to_owned(),
    })
}

impl VirtualFile {
    /// What hashing a chunk gives, if it is there.
    fn digest(&self, index: u32) -> Option<Hash> {
        if !self.present.contains(index) {
            return None;
        }
        let strange = self.strange.iter().find(|(other, _)| *other == index);
        let signed = self.map.chunks.get(index as usize);
        strange
            .map(|(_, digest)| *digest)
            .or(signed.map(|chunk| chunk.hash))
    }

    fn digests(&self) -> impl Iterator<Item = Hash> {
        (0..self.map.chunks.len() as u32).filter_map(|index| self.digest(index))
    }

    fn put(&mut self, index: u32, digest: Hash) {
        let Some(signed) = self.map.chunks.get(index as usize) else {
            return;
        };
        if !self.strange.is_empty() {
            self.strange.retain(|(other, _)| *other != index);
        }
        if signed.hash != digest {
            self.strange.push((index, digest));
        }
        self.present.insert(index);
    }
}

impl VirtualSlots {
    /// As the core knows them.
    fn told(&self) -> Slots {
        let plan = |slot: &Option<Arc<SlotPlan>>| slot.as_deref().cloned();
        Slots {
            active: plan(&self.active),
            previous: plan(&self.previous),
            staged: plan(&self.staged),
            failed: self.failed.clone(),
        }
    }
}
