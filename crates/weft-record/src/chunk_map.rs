use crate::{
    Hash,
    bounds::{MAX_CHUNK_BYTES, MAX_CHUNKS},
};

/// The chunks of a file: their lengths and hashes, in order.
///
/// Encoded as `weftmap1`, the number of chunks (u32), then for each its length
/// (u32) and hash (32 bytes), all little-endian.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkMap {
    /// In the order of the file, without gaps.
    pub chunks: Vec<ChunkEntry>,
}

/// One chunk of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkEntry {
    /// Length in bytes.
    pub length: u32,
    /// BLAKE3 of its bytes.
    pub hash: Hash,
}

/// Why bytes are not the chunk map of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkMapError {
    /// Too short for what it says it holds.
    #[error("the chunk map has {found} bytes instead of {expected}")]
    Length {
        /// Its bytes.
        found: usize,
        /// What its count calls for.
        expected: usize,
    },
    /// Not the beginning of a chunk map.
    #[error("this is not a chunk map")]
    Magic,
    /// No chunk, or too many.
    #[error("the chunk map names {0} chunks, allowed are 1 to {MAX_CHUNKS}")]
    Count(u64),
    /// An empty chunk, or one that is too long.
    #[error("chunk {index} has {length} bytes, allowed are 1 to {MAX_CHUNK_BYTES}")]
    ChunkLength {
        /// Which chunk.
        index: usize,
        /// Its length.
        length: u32,
    },
    /// The chunks do not make up the file.
    #[error("the chunks have {found} bytes in all, the file has {expected}")]
    FileLength {
        /// All chunks together.
        found: u64,
        /// The file.
        expected: u64,
    },
}

impl ChunkMap {
    /// The bytes that a release names by their hash.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.chunks.len() * ENTRY_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(self.chunks.len() as u32).to_le_bytes());
        for chunk in &self.chunks {
            bytes.extend_from_slice(&chunk.length.to_le_bytes());
            bytes.extend_from_slice(chunk.hash.as_bytes());
        }
        bytes
    }

    /// Takes the map of a file of this length.
    pub fn decode(bytes: &[u8], file_length: u64) -> Result<Self, ChunkMapError> {
        let short = ChunkMapError::Length {
            found: bytes.len(),
            expected: HEADER_BYTES,
        };
        let (header, entries) = bytes.split_at_checked(HEADER_BYTES).ok_or(short)?;
        let (magic, count) = header.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(ChunkMapError::Magic);
        }
        let count = read_u32(count);
        if count == 0 || count as usize > MAX_CHUNKS {
            return Err(ChunkMapError::Count(u64::from(count)));
        }
        let expected = HEADER_BYTES + count as usize * ENTRY_BYTES;
        if bytes.len() != expected {
            return Err(ChunkMapError::Length {
                found: bytes.len(),
                expected,
            });
        }
        let mut chunks = Vec::with_capacity(count as usize);
        for entry in entries.chunks_exact(ENTRY_BYTES) {
            let (length, hash) = entry.split_at(4);
            let mut bytes = [0; 32];
            bytes.copy_from_slice(hash);
            chunks.push(ChunkEntry {
                length: read_u32(length),
                hash: Hash(bytes),
            });
        }
        let map = Self { chunks };
        map.check(file_length)?;
        Ok(map)
    }

    /// Checks that the chunks make up a file of this length; a decoded map does.
    pub fn check(&self, file_length: u64) -> Result<(), ChunkMapError> {
        if self.chunks.is_empty() || self.chunks.len() > MAX_CHUNKS {
            return Err(ChunkMapError::Count(self.chunks.len() as u64));
        }
        for (index, chunk) in self.chunks.iter().enumerate() {
            if chunk.length == 0 || chunk.length > MAX_CHUNK_BYTES {
                return Err(ChunkMapError::ChunkLength {
                    index,
                    length: chunk.length,
                });
            }
        }
        let found = self.file_length();
        if found != file_length {
            return Err(ChunkMapError::FileLength {
                found,
                expected: file_length,
            });
        }
        Ok(())
    }

    /// Where each chunk begins in the file.
    pub fn offsets(&self) -> impl Iterator<Item = u64> + '_ {
        self.chunks.iter().scan(0_u64, |next, chunk| {
            let offset = *next;
            *next += u64::from(chunk.length);
            Some(offset)
        })
    }

    /// Length of the file that the chunks make up.
    pub fn file_length(&self) -> u64 {
        self.chunks
            .iter()
            .map(|chunk| u64::from(chunk.length))
            .sum()
    }

    /// How many chunks there are.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there is none; no decoded map is empty.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The hash of its encoding, by which a release names it.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.encode())
    }
}

const MAGIC: &[u8; 8] = b"weftmap1";
const HEADER_BYTES: usize = MAGIC.len() + 4;
const ENTRY_BYTES: usize = 4 + 32;

/// Of exactly four bytes.
fn read_u32(bytes: &[u8]) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(bytes);
    u32::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn map(lengths: &[u32]) -> ChunkMap {
        let entry = |length: &u32| ChunkEntry {
            length: *length,
            hash: Hash::of(&length.to_le_bytes()),
        };
        ChunkMap {
            chunks: lengths.iter().map(entry).collect(),
        }
    }

    #[test]
    fn tells_where_each_chunk_begins() {
        assert_eq!(map(&[3, 1, 5]).offsets().collect::<Vec<_>>(), [0, 3, 4]);
        assert_eq!(map(&[3, 1, 5]).file_length(), 9);
    }

    #[test]
    fn names_what_is_wrong() {
        let check = |map: &ChunkMap, length: u64, error: ChunkMapError| {
            assert_eq!(ChunkMap::decode(&map.encode(), length), Err(error));
        };
        check(&map(&[]), 0, ChunkMapError::Count(0));
        check(
            &map(&[1, 0]),
            1,
            ChunkMapError::ChunkLength {
                index: 1,
                length: 0,
            },
        );
        let long = MAX_CHUNK_BYTES + 1;
        check(
            &map(&[long]),
            u64::from(long),
            ChunkMapError::ChunkLength {
                index: 0,
                length: long,
            },
        );
        check(
            &map(&[4, 4]),
            9,
            ChunkMapError::FileLength {
                found: 8,
                expected: 9,
            },
        );
        let bytes = map(&[4, 4]).encode();
        let error = |bytes: &[u8]| ChunkMap::decode(bytes, 8).unwrap_err();
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(
            error(&longer),
            ChunkMapError::Length {
                found: 85,
                expected: 84
            }
        );
        assert_eq!(
            error(&bytes[..80]),
            ChunkMapError::Length {
                found: 80,
                expected: 84
            }
        );
        assert_eq!(
            error(&bytes[..11]),
            ChunkMapError::Length {
                found: 11,
                expected: 12
            }
        );
        let mut other = bytes.clone();
        other[0] ^= 1;
        assert_eq!(error(&other), ChunkMapError::Magic);
        let mut many = bytes;
        many[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(error(&many), ChunkMapError::Count(u64::from(u32::MAX)));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(lengths in prop::collection::vec(1..=MAX_CHUNK_BYTES, 1..50)) {
            let map = map(&lengths);
            prop_assert_eq!(ChunkMap::decode(&map.encode(), map.file_length()), Ok(map));
        }

        #[test]
        fn any_bytes_are_taken_whole_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(map) = ChunkMap::decode(&bytes, 100) {
                prop_assert_eq!(map.encode(), bytes);
            }
        }
    }
}
