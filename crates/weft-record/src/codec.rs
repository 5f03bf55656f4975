//! The one canonical encoding, and the only module that knows bincode.
//!
//! Little-endian, fixed-width integers, eight-byte lengths. Canonical means: one
//! value, one encoding; whatever decodes and does not encode to the same bytes
//! again is refused. Types that travel hold no map, float, `usize` or zero-sized type.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::{Serialize, de::DeserializeOwned};

/// Nothing longer is ever decoded: the largest control message with room to spare.
pub const MAX_ENCODED_BYTES: usize = 1 << 20;

/// Why bytes are no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Longer than the caller allows.
    #[error("{bytes} bytes, at most {limit} are accepted")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// What is accepted.
        limit: usize,
    },
    /// Bytes that mean nothing here.
    #[error("not the encoding of this kind of value: {0}")]
    Malformed(String),
    /// Another encoding of the same value, or bytes behind it.
    #[error("not the canonical encoding of its value")]
    NotCanonical,
}

const CONFIGURATION: Configuration<LittleEndian, Fixint, Limit<MAX_ENCODED_BYTES>> =
    bincode::config::standard()
        .with_little_endian()
        .with_fixed_int_encoding()
        .with_limit::<MAX_ENCODED_BYTES>();

/// The canonical bytes of a value.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // the limit is only for decoding: what we hold was bounded when it was made
    bincode::serde::encode_to_vec(value, CONFIGURATION.with_no_limit())
        .expect("types that travel always encode")
}

/// The value of canonical bytes, at most `limit` of them.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    let limit = limit.min(MAX_ENCODED_BYTES);
    if bytes.len() > limit {
        return Err(CodecError::TooLong { bytes: bytes.len(), limit });
    }
    let (value, consumed): (T, usize) = bincode::serde::decode_from_slice(bytes, CONFIGURATION)
        .map_err(|error| CodecError::Malformed(error.to_string()))?;
    if consumed != bytes.len() || encode(&value) != bytes {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lying_lengths_and_trailing_bytes_are_refused() {
        let bytes = encode(&vec![1_u32, 2, 3]);
        assert_eq!(decode::<Vec<u32>>(&bytes, 64), Ok(vec![1, 2, 3]));
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(decode::<Vec<u32>>(&longer, 64), Err(CodecError::NotCanonical));
        let mut lie = bytes.clone();
        lie[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(decode::<Vec<u32>>(&lie, 64), Err(CodecError::Malformed(_))));
        assert!(matches!(decode::<Vec<u32>>(&bytes, 19), Err(CodecError::TooLong { .. })));
        assert!(matches!(decode::<bool>(&[2], 8), Err(CodecError::Malformed(_))));
    }
}
