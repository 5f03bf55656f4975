//! A disk without bytes: what was written, and what of it was synced.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_core::{
    ChunkRef, ChunkSource, Disk, Failure, FailureKind, FoundChunk, Outcome, Restored, RestoredFile,
    Slots,
};
use weft_record::{ChunkMap, Hash, Name, TimeFloor};

use crate::{mesh::VirtualRelease, payload::Virtual};

/// One node's disk.
#[derive(Clone, Debug, Default)]
pub struct VirtualDisk {
    records: Vec<Vec<u8>>,
    blobs: BTreeMap<Hash, Virtual>,
    files: BTreeMap<Hash, VirtualFile>,
    slots: BTreeMap<Name, Slots>,
    clock: Option<TimeFloor>,
    rotted: bool,
    /// Writes fail with "no space" while this is set.
    pub full: bool,
    /// Chunk writes since the beginning.
    pub chunk_writes: u64,
    /// Of these, chunks whose durability had been acknowledged and that were whole.
    pub durable_rewrites: u64,
}

#[derive(Clone, Debug)]
struct VirtualFile {
    length: u64,
    map: Arc<ChunkMap>,
    present: BTreeMap<u32, Hash>,
    synced: BTreeSet<u32>,
    complete: bool,
}

impl VirtualDisk {
    /// Lays a whole release on the disk, as if it had been imported.
    pub fn preload(&mut self, release: &VirtualRelease) {
        self.blobs.insert(
            release.chunk_map_hash(),
            Virtual::blob(release.map.encode()),
        );
        let chunks = release.map.chunks.iter().enumerate();
        let present: BTreeMap<u32, Hash> = chunks
            .map(|(index, chunk)| (index as u32, chunk.hash))
            .collect();
        let file = VirtualFile {
            length: release.length,
            map: Arc::clone(&release.map),
            synced: present.keys().copied().collect(),
            present,
            complete: true,
        };
        self.files.insert(release.file, file);
    }

    /// Lays records on the disk, as if they had been accepted in an earlier run.
    pub fn save(&mut self, records: Vec<Vec<u8>>) {
        self.records.extend(records);
    }

    /// What a node finds when it starts from this disk.
    pub fn restore(&self) -> Restored {
        let files = self.files.iter().map(|(file, state)| RestoredFile {
            file: *file,
            length: state.length,
            map: Arc::clone(&state.map),
            complete: state.complete,
        });
        Restored {
            records: self.records.clone(),
            slots: self
                .slots
                .iter()
                .map(|(name, slots)| (name.clone(), slots.clone()))
                .collect(),
            files: files.collect(),
            clock: self.clock,
        }
    }

    /// The power fails: what was not synced is gone. (Records and slots are durable
    /// when they are acknowledged.)
    pub fn lose_unsynced(&mut self) {
        for file in self.files.values_mut() {
            file.present.retain(|index, _| file.synced.contains(index));
        }
    }

    /// A bit rots in one chunk.
    pub fn rot(&mut self, chunk: ChunkRef) {
        if let Some(file) = self.files.get_mut(&chunk.file) {
            file.present.insert(chunk.index, Hash::of(b"rotten"));
            self.rotted = true;
        }
    }

    /// Whether the file is whole, but for what rotted on purpose.
    pub fn was_whole(&self, file: &Hash) -> bool {
        self.rotted || self.holds_whole(file)
    }

    /// Whether every chunk of the file is there and right.
    pub fn holds_whole(&self, file: &Hash) -> bool {
        self.files.get(file).is_some_and(|state| {
            let chunks = state.map.chunks.iter().enumerate();
            chunks
                .into_iter()
                .all(|(i, chunk)| state.present.get(&(i as u32)) == Some(&chunk.hash))
        })
    }

    /// Slots of a channel.
    pub fn slots(&self, channel: &Name) -> Slots {
        self.slots.get(channel).cloned().unwrap_or_default()
    }

    /// Carries out one operation.
    pub fn execute(&mut self, disk: Disk<Virtual>) -> Outcome<Virtual> {
        match disk {
            Disk::ReadBlob(hash) => Outcome::Blob(self.blobs.get(&hash).cloned()),
            Disk::ReadChunk(chunk) => Outcome::Chunk(self.read(chunk)),
            Disk::HashFile(file) => {
                let whole = self.holds_whole(&file);
                Outcome::Digest(if whole { file } else { Hash::of(b"torn") })
            }
            _ if self.full => Outcome::Failed(Failure {
                kind: FailureKind::DiskFull,
                text: "the virtual disk is full".to_owned(),
            }),
            Disk::SaveRecords(envelopes) => {
                self.records.extend(envelopes);
                Outcome::Saved
            }
            Disk::WriteBlob(hash, payload) => {
                self.blobs.insert(hash, payload);
                Outcome::Written
            }
            Disk::OpenFile { file, length, map } => Outcome::Opened(self.open(file, length, map)),
            Disk::WriteChunk { chunk, payload } => {
                self.chunk_writes += 1;
                if let Some(file) = self.files.get_mut(&chunk.file) {
                    let durable = file.synced.contains(&chunk.index);
                    let whole = file.present.get(&chunk.index) == Some(&payload.digest);
                    self.durable_rewrites += u64::from(durable && whole);
                    file.present.insert(chunk.index, payload.digest);
                }
                Outcome::Written
            }
            Disk::SyncFile(file) => {
                self.sync(&file);
                Outcome::Synced
            }
            Disk::CompleteFile(file) => {
                self.sync(&file);
                if let Some(state) = self.files.get_mut(&file) {
                    state.complete = true;
                }
                Outcome::Synced
            }
            Disk::Stage(plan) => {
                let channel = plan.channel.clone();
                self.slots.entry(channel).or_default().staged = Some(plan);
                Outcome::Staged
            }
            Disk::Activate(channel) => {
                let slots = self.slots.entry(channel).or_default();
                slots.previous = slots.active.take();
                slots.active = slots.staged.take();
                Outcome::Switched
            }
            Disk::GoBack(channel) => {
                let slots = self.slots.entry(channel).or_default();
                slots
                    .failed
                    .extend(slots.active.take().map(|slot| slot.head));
                slots.active = slots.previous.take();
                Outcome::Switched
            }
            Disk::Withdraw { channel, both } => {
                let slots = self.slots.entry(channel).or_default();
                let previous = slots.previous.take();
                slots.active = previous.filter(|_| !both);
                Outcome::Switched
            }
            Disk::SaveClock(clock) => {
                self.clock = Some(clock);
                Outcome::Saved
            }
            Disk::DropStaged(channel) => {
                let slots = self.slots.entry(channel).or_default();
                slots
                    .failed
                    .extend(slots.staged.take().map(|slot| slot.head));
                Outcome::Switched
            }
        }
    }

    fn read(&self, chunk: ChunkRef) -> Option<Virtual> {
        let file = self.files.get(&chunk.file)?;
        let digest = *file.present.get(&chunk.index)?;
        let length = u64::from(file.map.chunks.get(chunk.index as usize)?.length);
        Some(Virtual::chunk(digest, length))
    }

    fn open(&mut self, file: Hash, length: u64, map: Arc<ChunkMap>) -> Vec<FoundChunk> {
        let elsewhere: BTreeSet<Hash> = self
            .files
            .iter()
            .filter(|(other, _)| **other != file)
            .flat_map(|(_, state)| state.present.values().copied())
            .collect();
        let state = self.files.entry(file).or_insert_with(|| VirtualFile {
            length,
            map: Arc::clone(&map),
            present: BTreeMap::new(),
            synced: BTreeSet::new(),
            complete: false,
        });
        let mut found = Vec::new();
        for (index, chunk) in map.chunks.iter().enumerate() {
            let index = index as u32;
            if let Some(digest) = state.present.get(&index) {
                let source = ChunkSource::Resumed;
                found.push(FoundChunk {
                    index,
                    digest: *digest,
                    source,
                });
            } else if elsewhere.contains(&chunk.hash) {
                state.present.insert(index, chunk.hash);
                let source = ChunkSource::Reused;
                found.push(FoundChunk {
                    index,
                    digest: chunk.hash,
                    source,
                });
            }
        }
        found
    }

    fn sync(&mut self, file: &Hash) {
        if let Some(state) = self.files.get_mut(file) {
            state.synced = state.present.keys().copied().collect();
        }
    }
}
