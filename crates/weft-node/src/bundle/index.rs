//! A bundle's file, read once to its end, and then by offset.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use weft_core::ChunkRef;
use weft_record::{
    ChunkMap, Envelope, FileEntry, Hash, Head, Kind, MAX_RECORD_BYTES, MeshId, Name, RecordId,
    Release,
    bundle::{Decoder, Frame},
    codec,
};

use super::ImportError;

/// Read at once while the bundle is looked through.
const READ_BYTES: usize = 1024 * 1024;
/// Records kept in memory: far more than a mesh makes in years.
const RECORDS: usize = 65_536;
/// Places of chunks and blobs kept in memory, about 60 bytes each: a terabyte of
/// large chunks.
const PLACES: usize = 1 << 20;
/// Bytes of a frame before a blob's or chunk's own: tag, length, hash.
const BEFORE_BYTES: u64 = 1 + 4 + 32;
/// Bytes of a frame that are not its payload: tag, length.
const PREFIX_BYTES: u64 = 1 + 4;
/// Magic and mesh id.
const HEADER_BYTES: u64 = 8 + 32;

/// A bundle whose bytes were read and held against their own hashes.
#[derive(Debug)]
pub(crate) struct OpenBundle {
    path: PathBuf,
    file: File,
    contents: Contents,
    blobs: BTreeMap<Hash, Place>,
    chunks: BTreeMap<Hash, Place>,
    /// Chunk maps of the files that its releases name, where it holds them.
    maps: BTreeMap<Hash, ChunkMap>,
}

/// Where bytes lie in the file.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    length: usize,
}

/// What is said about it in full.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) mesh_id: MeshId,
    /// Encoded Root envelopes, as they came.
    pub(super) roots: Vec<Vec<u8>>,
    /// All other envelopes, as they came.
    pub(super) records: Vec<Vec<u8>>,
    /// The newest head of each channel. Not verified: what it says is held against
    /// what the core accepts.
    pub(super) heads: Vec<BundledHead>,
}

/// A head as the bundle has it.
#[derive(Clone, Debug)]
pub(super) struct BundledHead {
    pub(super) channel: Name,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) head: RecordId,
    pub(super) release: RecordId,
}

impl OpenBundle {
    /// Opens a bundle and reads it to its end. Blocks.
    pub(crate) fn open(path: &Path) -> Result<Self, ImportError> {
        let open_error = |source| ImportError::Open {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(open_error)?;
        if !file.metadata().map_err(open_error)?.is_file() {
            return Err(open_error(io::Error::other("it is not a regular file")));
        }
        let mut bundle = Self {
            path: path.to_owned(),
            file,
            contents: Contents::default(),
            blobs: BTreeMap::new(),
            chunks: BTreeMap::new(),
            maps: BTreeMap::new(),
        };
        let files = bundle.look_through()?;
        bundle.read_maps(files)?;
        Ok(bundle)
    }

    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    pub(crate) fn mesh_id(&self) -> MeshId {
        self.contents.mesh_id
    }

    /// Which chunks of a file it holds.
    pub(super) fn indexes(&self, file: &Hash) -> Vec<u32> {
        let chunks = self.maps.get(file).map_or(&[][..], |map| &map.chunks);
        (0..)
            .zip(chunks)
            .filter(|(_, chunk)| self.chunks.contains_key(&chunk.hash))
            .map(|(index, _)| index)
            .collect()
    }

    /// The bytes of a chunk, if it holds them.
    pub(super) fn chunk(&self, chunk: ChunkRef) -> Result<Option<Bytes>, ImportError> {
        let entry = self
            .maps
            .get(&chunk.file)
            .and_then(|map| map.chunks.get(chunk.index as usize));
        entry
            .and_then(|entry| self.chunks.get(&entry.hash))
            .map(|place| self.read(*place))
            .transpose()
    }

    /// The bytes of a blob, if it holds them.
    pub(super) fn blob(&self, hash: &Hash) -> Result<Option<Bytes>, ImportError> {
        self.blobs
            .get(hash)
            .map(|place| self.read(*place))
            .transpose()
    }

    fn read(&self, place: Place) -> Result<Bytes, ImportError> {
        let mut bytes = vec![0; place.length];
        self.file
            .read_exact_at(&mut bytes, place.at)
            .map_err(|error| self.broken(error.to_string()))?;
        Ok(Bytes::from(bytes))
    }

    /// Takes the bundle apart; returns the files that its releases name.
    fn look_through(&mut self) -> Result<Vec<FileEntry>, ImportError> {
        let mut decoder = Decoder::new();
        let mut buffer = vec![0; READ_BYTES];
        let mut files = Vec::new();
        let mut at = 0;
        loop {
            let count = (&self.file)
                .read(&mut buffer)
                .map_err(|error| self.broken(error.to_string()))?;
            let mut rest = &buffer[..count];
            loop {
                let taken = decoder.push(rest);
                rest = &rest[taken..];
                while let Some(frame) = decoder
                    .poll()
                    .map_err(|error| self.broken(error.to_string()))?
                {
                    at = self.note(frame, at, &mut files)?;
                }
                if rest.is_empty() {
                    break;
                }
            }
            if count == 0 {
                decoder
                    .finish()
                    .map_err(|error| self.broken(error.to_string()))?;
                return Ok(files);
            }
        }
    }

    /// Notes what a frame holds and where; returns where the next one begins.
    fn note(
        &mut self,
        frame: Frame,
        at: u64,
        files: &mut Vec<FileEntry>,
    ) -> Result<u64, ImportError> {
        let (places, hash, length) = match frame {
            Frame::Header { mesh_id } => {
                self.contents.mesh_id = mesh_id;
                return Ok(at + HEADER_BYTES);
            }
            Frame::Record(bytes) => {
                let next = at + PREFIX_BYTES + bytes.len() as u64;
                self.note_record(bytes, files)?;
                return Ok(next);
            }
            Frame::Blob { hash, bytes } => (&mut self.blobs, hash, bytes.len()),
            Frame::Chunk { hash, bytes } => (&mut self.chunks, hash, bytes.len()),
            Frame::End { .. } => return Ok(at),
        };
        let place = Place {
            at: at + BEFORE_BYTES,
            length,
        };
        places.insert(hash, place);
        if self.blobs.len() + self.chunks.len() > PLACES {
            return Err(self.broken(format!("more than {PLACES} chunks and chunk maps")));
        }
        Ok(at + BEFORE_BYTES + length as u64)
    }

    fn note_record(
        &mut self,
        bytes: Vec<u8>,
        files: &mut Vec<FileEntry>,
    ) -> Result<(), ImportError> {
        if self.contents.records.len() + self.contents.roots.len() >= RECORDS {
            return Err(self.broken(format!("more than {RECORDS} records")));
        }
        // What cannot be read here is left to the core, which names the reason.
        let Ok(envelope) = Envelope::decode(&bytes) else {
            self.contents.records.push(bytes);
            return Ok(());
        };
        match Kind::from_number(envelope.kind) {
            Some(Kind::Root) => {
                self.contents.roots.push(bytes);
                return Ok(());
            }
            Some(Kind::Release) => {
                if let Ok(release) = codec::decode::<Release>(&envelope.body, MAX_RECORD_BYTES) {
                    files.extend(super::all_files(&release));
                }
            }
            Some(Kind::Head) => {
                if let Ok(head) = codec::decode::<Head>(&envelope.body, MAX_RECORD_BYTES) {
                    self.note_head(head, envelope.record_id());
                }
            }
            _ => {}
        }
        self.contents.records.push(bytes);
        Ok(())
    }

    fn note_head(&mut self, head: Head, id: RecordId) {
        let bundled = BundledHead {
            channel: head.channel,
            epoch: head.epoch,
            seq: head.seq,
            head: id,
            release: head.release,
        };
        let heads = &mut self.contents.heads;
        match heads
            .iter_mut()
            .find(|known| known.channel == bundled.channel)
        {
            Some(known) if (known.epoch, known.seq) > (bundled.epoch, bundled.seq) => {}
            Some(known) => *known = bundled,
            None => heads.push(bundled),
        }
    }

    /// Reads the chunk maps, which say what chunks its releases are made of. A map
    /// that does not fit is left to the core, which refuses it.
    fn read_maps(&mut self, files: Vec<FileEntry>) -> Result<(), ImportError> {
        let wanted: BTreeSet<(Hash, u64, Hash)> = files
            .iter()
            .map(|file| (file.blake3, file.length, file.chunk_map))
            .collect();
        for (file, length, map) in wanted {
            if let Some(bytes) = self.blob(&map)?
                && let Ok(map) = ChunkMap::decode(&bytes, length)
            {
                self.maps.insert(file, map);
            }
        }
        Ok(())
    }

    fn broken(&self, reason: String) -> ImportError {
        ImportError::Bundle {
            path: self.path.clone(),
            reason,
        }
    }
}
