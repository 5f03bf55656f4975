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
    ChunkMap, FileEntry, Hash,
    bundle::{Decoder, Frame},
};

use super::{ImportError, contents::Contents};

/// Read at once while the bundle is looked through.
const READ_BYTES: usize = 1024 * 1024;
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
                self.contents
                    .note_record(bytes, files)
                    .map_err(|reason| self.broken(reason))?;
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
