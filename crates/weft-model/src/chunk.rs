use std::ops::Range;
use std::path::{Path, PathBuf};

use weft_record::{ChunkEntry, ChunkMap, Hash, MAX_CHUNK_BYTES, MAX_CHUNKS};

use crate::gguf::{self, GgufError, Header};
use crate::map::MappedFile;
use crate::safetensors_file;

/// A tensor of at least this size begins a chunk of its own: when it is frozen in a fine-tune, its
/// chunks stay. Smaller ones (norms, biases) are not worth 36 bytes of map and a request each.
pub const MIN_OWN_CHUNK_BYTES: usize = 4 << 10;

/// Chunk sizes inside a tensor, by the file's size: small files stay fine-grained, large ones keep
/// their maps short.
const CHUNK_SIZES: [(u64, usize); 2] = [(64 << 20, 256 << 10), (512 << 20, 512 << 10)];
/// Chunk size of every larger file, and the longest chunk there is.
const LARGEST_CHUNK_BYTES: usize = MAX_CHUNK_BYTES as usize;

/// Why a file could not be cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// The file system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file without a byte has no chunk.
    #[error("{} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file begins as a GGUF file but is none.
    #[error("{}: {source}", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: GgufError,
    },
    /// The file is called safetensors but is none.
    #[error("{}: {source}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// Why.
        source: safetensors_file::SafetensorsError,
    },
    /// More chunks than a map may have.
    #[error("{} would be cut into {count} chunks, the limit is {limit}", path.display())]
    TooManyChunks {
        /// The file.
        path: PathBuf,
        /// The count.
        count: usize,
        /// The limit.
        limit: usize,
    },
}

/// Cuts a file into chunks and hashes each.
///
/// In GGUF and safetensors files every tensor of [`MIN_OWN_CHUNK_BYTES`] or more begins a chunk
/// and is cut at a fixed size from there, so that a change in one tensor touches no other's
/// chunks. Any other file is cut at the fixed size from its beginning.
pub fn chunk_map(path: &Path) -> Result<ChunkMap, ChunkError> {
    let map = MappedFile::open(path).map_err(|source| ChunkError::Io {
        path: path.to_owned(),
        source,
    })?;
    let file = map.bytes();
    if file.is_empty() {
        return Err(ChunkError::Empty {
            path: path.to_owned(),
        });
    }
    let tensors = tensor_ranges(path, file)?;
    let lengths = cut(file.len(), tensors);
    if lengths.len() > MAX_CHUNKS {
        return Err(ChunkError::TooManyChunks {
            path: path.to_owned(),
            count: lengths.len(),
            limit: MAX_CHUNKS,
        });
    }
    let mut chunks = Vec::with_capacity(lengths.len());
    let mut rest = file;
    for length in lengths {
        let (chunk, behind) = rest.split_at(length);
        chunks.push(ChunkEntry {
            length: length as u32,
            hash: Hash(blake3::hash(chunk).into()),
        });
        rest = behind;
    }
    Ok(ChunkMap { chunks })
}

fn tensor_ranges(path: &Path, file: &[u8]) -> Result<Vec<Range<usize>>, ChunkError> {
    if file.starts_with(&gguf::MAGIC) {
        let header = Header::parse(file).map_err(|source| ChunkError::Gguf {
            path: path.to_owned(),
            source,
        })?;
        return Ok(header
            .tensors
            .into_iter()
            .map(|tensor| tensor.range)
            .collect());
    }
    if is_safetensors(path) {
        let entries =
            safetensors_file::all_entries(file).map_err(|source| ChunkError::Safetensors {
                path: path.to_owned(),
                source,
            })?;
        return Ok(entries.into_iter().map(|entry| entry.range).collect());
    }
    Ok(Vec::new())
}

/// By its name: the format has no magic number.
pub(crate) fn is_safetensors(path: &Path) -> bool {
    path.extension().is_some_and(|name| name == "safetensors")
}

/// The lengths of the chunks of a file with these tensors.
fn cut(file_bytes: usize, mut tensors: Vec<Range<usize>>) -> Vec<usize> {
    tensors.retain(|tensor| tensor.len() >= MIN_OWN_CHUNK_BYTES);
    tensors.sort_by_key(|tensor| tensor.start);
    let size = chunk_bytes(file_bytes);
    let mut lengths = Vec::new();
    let mut at = 0;
    for tensor in tensors {
        loose(&mut lengths, tensor.start - at, at > 0, size);
        fixed(&mut lengths, tensor.len(), size);
        at = tensor.end;
    }
    loose(&mut lengths, file_bytes - at, at > 0, size);
    lengths
}

/// The header, small tensors and padding up to the next large tensor. A little of it goes with
/// the end of the tensor before, if that has room.
fn loose(lengths: &mut Vec<usize>, length: usize, behind_tensor: bool, size: usize) {
    if behind_tensor
        && length < MIN_OWN_CHUNK_BYTES
        && let Some(last) = lengths.last_mut()
        && *last + length <= size
    {
        *last += length;
        return;
    }
    fixed(lengths, length, size);
}

fn fixed(lengths: &mut Vec<usize>, length: usize, size: usize) {
    lengths.extend(std::iter::repeat_n(size, length / size));
    if !length.is_multiple_of(size) {
        lengths.push(length % size);
    }
}

fn chunk_bytes(file_bytes: usize) -> usize {
    CHUNK_SIZES
        .iter()
        .find(|(below, _)| (file_bytes as u64) < *below)
        .map_or(LARGEST_CHUNK_BYTES, |(_, size)| *size)
}

#[cfg(test)]
mod tests;
