//! Where a file is cut, and the digest of each piece.

use crate::hash::Hash;

/// Longest chunk.
pub const MAX_CHUNK_BYTES: u32 = 1 << 20;
/// Most chunks of one file: 64 GiB in chunks of 1 MiB; the map's encoding then is 2.25 MiB.
pub const MAX_CHUNKS: usize = 1 << 16;

/// Bytes of one entry: length and digest.
const ENTRY_BYTES: usize = 4 + 32;

/// Why bytes are no chunk map of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkMapError {
    /// Not a whole number of entries.
    #[error("{0} bytes are not a whole number of {ENTRY_BYTES}-byte entries")]
    Length(usize),
    /// More chunks than a file may have.
    #[error("{0} chunks, a file has at most {MAX_CHUNKS}")]
    TooMany(usize),
    /// A chunk is empty or too long.
    #[error("chunk {index} has {length} bytes, 1 to {MAX_CHUNK_BYTES} are allowed")]
    ChunkLength {
        /// Which.
        index: usize,
        /// Its claimed length.
        length: u32,
    },
    /// The chunks are not the file.
    #[error("the chunks sum to {sum} bytes, the file has {file_length}")]
    Sum {
        /// What they sum to.
        sum: u64,
        /// What the release says.
        file_length: u64,
    },
}

/// One chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkEntry {
    /// Bytes.
    pub length: u32,
    /// BLAKE3.
    pub hash: Hash,
}

/// All chunks of a file, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkMap {
    /// The chunks.
    pub chunks: Vec<ChunkEntry>,
}

impl ChunkMap {
    /// Per chunk its length (4 bytes, little-endian) and digest (32 bytes).
    pub fn encode(&self) -> Vec<u8> {
        let entries = self.chunks.iter();
        entries.flat_map(|chunk| chunk.length.to_le_bytes().into_iter().chain(chunk.hash.0)).collect()
    }

    /// Checks every length, and that the chunks sum to the file.
    pub fn decode(bytes: &[u8], file_length: u64) -> Result<Self, ChunkMapError> {
        if bytes.len() % ENTRY_BYTES != 0 {
            return Err(ChunkMapError::Length(bytes.len()));
        }
        let count = bytes.len() / ENTRY_BYTES;
        if count > MAX_CHUNKS {
            return Err(ChunkMapError::TooMany(count));
        }
        let (mut chunks, mut sum) = (Vec::with_capacity(count), 0_u64);
        for (index, entry) in bytes.chunks_exact(ENTRY_BYTES).enumerate() {
            let (head, digest) = entry.split_at(4);
            let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
            if length == 0 || length > MAX_CHUNK_BYTES {
                return Err(ChunkMapError::ChunkLength { index, length });
            }
            sum += u64::from(length);
            let mut hash = Hash::default();
            hash.0.copy_from_slice(digest);
            chunks.push(ChunkEntry { length, hash });
        }
        if sum != file_length {
            return Err(ChunkMapError::Sum { sum, file_length });
        }
        Ok(Self { chunks })
    }

    /// Where each chunk begins.
    pub fn offsets(&self) -> Vec<u64> {
        let chunks = self.chunks.iter();
        chunks
            .scan(0_u64, |next, chunk| {
                let offset = *next;
                *next += u64::from(chunk.length);
                Some(offset)
            })
            .collect()
    }

    /// How many chunks.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The name of this map: BLAKE3 of its encoding.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lengths: &[u32]) -> ChunkMap {
        let chunks = lengths.iter().map(|&length| ChunkEntry { length, hash: Hash::of(&[1]) });
        ChunkMap { chunks: chunks.collect() }
    }

    #[test]
    fn round_trip_and_each_refusal() {
        let good = map(&[5, 7]);
        assert_eq!(ChunkMap::decode(&good.encode(), 12), Ok(good.clone()));
        assert_eq!(good.offsets(), [0, 5]);
        assert!(matches!(ChunkMap::decode(&good.encode(), 13), Err(ChunkMapError::Sum { .. })));
        assert!(matches!(ChunkMap::decode(&good.encode()[1..], 12), Err(ChunkMapError::Length(71))));
        let empty = map(&[0]).encode();
        assert!(matches!(ChunkMap::decode(&empty, 0), Err(ChunkMapError::ChunkLength { .. })));
        let long = map(&[MAX_CHUNK_BYTES + 1]).encode();
        assert!(matches!(ChunkMap::decode(&long, 1), Err(ChunkMapError::ChunkLength { .. })));
        let many = vec![0; ENTRY_BYTES * (MAX_CHUNKS + 1)];
        assert!(matches!(ChunkMap::decode(&many, 0), Err(ChunkMapError::TooMany(_))));
    }
}
