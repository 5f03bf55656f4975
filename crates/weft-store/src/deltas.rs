//! Makes a file of the store from another one and a delta.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    sync::Arc,
};

use weft_core::{ChunkRef, ChunkSource, DeltaPlan, FoundChunk};
use weft_model::{ApplyError, ReadAt, apply_delta};
use weft_record::{ChunkMap, Hash};

use crate::{
    error::StoreError,
    files::Held,
    store::{Store, lock_of},
    vfs::read_exact_at,
};

impl Store {
    /// Writes each lacking chunk that comes out as its map says, and returns these. A delta
    /// that is damaged or of other files is no failure: what it does not give, peers have.
    pub(crate) fn make(&self, plan: DeltaPlan) -> Result<Vec<FoundChunk>, StoreError> {
        let whole = |file: &Hash| {
            let held = lock_of(&self.files).get(file);
            held.filter(|held| held.is_complete())
                .ok_or_else(|| StoreError::Refused(format!("file {file} is not whole")))
        };
        let (base, delta) = (whole(&plan.base)?, whole(&plan.delta)?);
        let mut chunks = Chunks {
            store: self,
            file: plan.file,
            map: &plan.map,
            lacking: plan.lacking.into_iter().collect(),
            index: 0,
            gathered: Vec::new(),
            found: Vec::new(),
            failure: None,
        };
        let (base_bytes, delta) = (base.length, Sequential { held: delta, at: 0 });
        let applied = apply_delta(&Base(base), base_bytes, delta, plan.length, &mut chunks);
        if let Some(failure) = chunks.failure {
            return Err(failure);
        }
        if let Err(error) = applied {
            let error: ApplyError = error;
            tracing::warn!(file = %plan.file, delta = %plan.delta, %error, "a delta is of no use");
        }
        Ok(chunks.found)
    }
}

struct Base(Arc<Held>);

impl ReadAt for Base {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        read_exact_at(self.0.handle(), buffer, offset)
    }
}

/// A file from its beginning to its end.
struct Sequential {
    held: Arc<Held>,
    at: u64,
}

impl Read for Sequential {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.held.handle().read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Takes a file's bytes in order, a chunk at a time.
struct Chunks<'a> {
    store: &'a Store,
    file: Hash,
    map: &'a ChunkMap,
    lacking: BTreeSet<u32>,
    /// The chunk that is being gathered.
    index: u32,
    gathered: Vec<u8>,
    found: Vec<FoundChunk>,
    /// What the store said when a chunk could not be written.
    failure: Option<StoreError>,
}

impl Chunks<'_> {
    fn finish_chunk(&mut self, expected: Hash) -> io::Result<()> {
        let (file, index) = (self.file, self.index);
        self.index += 1;
        let bytes = std::mem::take(&mut self.gathered);
        if !self.lacking.contains(&index) {
            return Ok(());
        }
        let digest = Hash::of(&bytes);
        if digest != expected {
            return Ok(());
        }
        if let Err(error) = self.store.write_chunk(ChunkRef { file, index }, &bytes) {
            self.failure = Some(error);
            return Err(io::Error::other("the store failed"));
        }
        self.found.push(FoundChunk {
            index,
            digest,
            source: ChunkSource::Made,
        });
        Ok(())
    }
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(chunk) = self.map.chunks.get(self.index as usize) else {
            return Err(io::Error::other("more bytes than the file has"));
        };
        let room = chunk.length as usize - self.gathered.len();
        let taken = room.min(bytes.len());
        self.gathered.extend_from_slice(&bytes[..taken]);
        if taken == room {
            self.finish_chunk(chunk.hash)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
