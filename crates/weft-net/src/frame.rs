//! The frames of the chunk protocol: fixed headers, little-endian, no length
//! trusted before it is checked.

use weft_core::{ChunkRef, bounds::BLOB_BYTES};
use weft_record::Hash;

use crate::bounds::CHUNK_BYTES;

/// What is asked for and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Chunk(ChunkRef),
    Blob(Hash),
}

impl Subject {
    /// Longest payload that may answer it.
    pub(crate) fn bytes_max(self) -> usize {
        match self {
            Self::Chunk(_) => CHUNK_BYTES,
            Self::Blob(_) => BLOB_BYTES,
        }
    }
}

/// Bytes of a request: kind, hash, index.
pub(crate) const REQUEST_BYTES: usize = 37;
/// Bytes of the header of a reply: a request's, and the payload's length.
pub(crate) const REPLY_BYTES: usize = 41;

const GET: u8 = 1;
const GET_BLOB: u8 = 2;
const DATA: u8 = 3;
const ABSENT: u8 = 4;
const BLOB: u8 = 5;
const NO_BLOB: u8 = 6;
const GET_BEHIND: u8 = 7;

/// Why a frame was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
    #[error("a frame with bytes set that must be zero")]
    Reserved,
    #[error("a payload of {length} bytes where at most {limit} are allowed")]
    Length { length: usize, limit: usize },
}

/// What is asked for, and whether it may give way to other traffic.
pub(crate) fn encode_request(subject: Subject, background: bool) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    bytes[0] = match subject {
        Subject::Chunk(_) if background => GET_BEHIND,
        Subject::Chunk(_) => GET,
        Subject::Blob(_) => GET_BLOB,
    };
    put_subject(&mut bytes, subject);
    bytes
}

pub(crate) fn decode_request(bytes: &[u8; REQUEST_BYTES]) -> Result<(Subject, bool), FrameError> {
    let (hash, index) = take_subject(bytes);
    let chunk = Subject::Chunk(ChunkRef { file: hash, index });
    match bytes[0] {
        GET => Ok((chunk, false)),
        GET_BEHIND => Ok((chunk, true)),
        GET_BLOB if index != 0 => Err(FrameError::Reserved),
        GET_BLOB => Ok((Subject::Blob(hash), false)),
        kind => Err(FrameError::Kind(kind)),
    }
}

/// `length` is that of the payload, `None` where the peer has nothing to give.
pub(crate) fn encode_reply(subject: Subject, length: Option<usize>) -> [u8; REPLY_BYTES] {
    let mut bytes = [0; REPLY_BYTES];
    bytes[0] = match (subject, length) {
        (Subject::Chunk(_), Some(_)) => DATA,
        (Subject::Chunk(_), None) => ABSENT,
        (Subject::Blob(_), Some(_)) => BLOB,
        (Subject::Blob(_), None) => NO_BLOB,
    };
    put_subject(&mut bytes, subject);
    bytes[37..].copy_from_slice(&(length.unwrap_or(0) as u32).to_le_bytes());
    bytes
}

pub(crate) fn decode_reply(
    bytes: &[u8; REPLY_BYTES],
) -> Result<(Subject, Option<usize>), FrameError> {
    let (hash, index) = take_subject(bytes);
    let length = little_endian(&bytes[37..]) as usize;
    let (subject, payload) = match bytes[0] {
        DATA => (Subject::Chunk(ChunkRef { file: hash, index }), true),
        ABSENT => (Subject::Chunk(ChunkRef { file: hash, index }), false),
        BLOB => (Subject::Blob(hash), true),
        NO_BLOB => (Subject::Blob(hash), false),
        kind => return Err(FrameError::Kind(kind)),
    };
    if (!payload && length != 0) || (matches!(subject, Subject::Blob(_)) && index != 0) {
        return Err(FrameError::Reserved);
    }
    let limit = subject.bytes_max();
    if length > limit {
        return Err(FrameError::Length { length, limit });
    }
    Ok((subject, payload.then_some(length)))
}

fn put_subject(bytes: &mut [u8], subject: Subject) {
    let (hash, index) = match subject {
        Subject::Chunk(chunk) => (chunk.file, chunk.index),
        Subject::Blob(hash) => (hash, 0),
    };
    bytes[1..33].copy_from_slice(hash.as_bytes());
    bytes[33..37].copy_from_slice(&index.to_le_bytes());
}

fn take_subject(bytes: &[u8]) -> (Hash, u32) {
    let mut hash = [0; 32];
    hash.copy_from_slice(&bytes[1..33]);
    (Hash(hash), little_endian(&bytes[33..37]))
}

fn little_endian(bytes: &[u8]) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(bytes);
    u32::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(index: u32) -> Subject {
        Subject::Chunk(ChunkRef {
            file: Hash([7; 32]),
            index,
        })
    }

    fn blob() -> Subject {
        Subject::Blob(Hash([9; 32]))
    }

    #[test]
    fn requests_have_the_documented_bytes() {
        let mut expected = [7; REQUEST_BYTES];
        expected[0] = 1;
        expected[33..].copy_from_slice(&[0x04, 0x03, 0x02, 0x01]);
        assert_eq!(encode_request(chunk(0x0102_0304), false), expected);
        expected[0] = 7;
        assert_eq!(encode_request(chunk(0x0102_0304), true), expected);
        let mut expected = [9; REQUEST_BYTES];
        expected[0] = 2;
        expected[33..].copy_from_slice(&[0; 4]);
        assert_eq!(encode_request(blob(), true), expected);
    }

    #[test]
    fn every_frame_decodes_to_what_was_encoded() {
        for subject in [chunk(0), chunk(u32::MAX), blob()] {
            for background in [false, true] {
                let behind = background && matches!(subject, Subject::Chunk(_));
                let bytes = encode_request(subject, background);
                assert_eq!(decode_request(&bytes), Ok((subject, behind)));
            }
            for length in [None, Some(0), Some(1), Some(subject.bytes_max())] {
                assert_eq!(
                    decode_reply(&encode_reply(subject, length)),
                    Ok((subject, length))
                );
            }
        }
    }

    #[test]
    fn lengths_beyond_the_bound_are_refused() {
        for subject in [chunk(1), blob()] {
            let limit = subject.bytes_max();
            let bytes = encode_reply(subject, Some(limit + 1));
            assert_eq!(
                decode_reply(&bytes),
                Err(FrameError::Length {
                    length: limit + 1,
                    limit
                })
            );
        }
    }

    #[test]
    fn unknown_kinds_and_reserved_bytes_are_refused() {
        for kind in [0, 3, 8, 255] {
            let mut bytes = encode_request(chunk(1), false);
            bytes[0] = kind;
            assert_eq!(decode_request(&bytes), Err(FrameError::Kind(kind)));
        }
        for kind in [0, 1, 2, 7] {
            let mut bytes = encode_reply(chunk(1), None);
            bytes[0] = kind;
            assert_eq!(decode_reply(&bytes), Err(FrameError::Kind(kind)));
        }
        let mut bytes = encode_request(blob(), false);
        bytes[35] = 1;
        assert_eq!(decode_request(&bytes), Err(FrameError::Reserved));
        let mut bytes = encode_reply(blob(), Some(3));
        bytes[33] = 1;
        assert_eq!(decode_reply(&bytes), Err(FrameError::Reserved));
        let mut bytes = encode_reply(chunk(3), None);
        bytes[37] = 1;
        assert_eq!(decode_reply(&bytes), Err(FrameError::Reserved));
    }
}
