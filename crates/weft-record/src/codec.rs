//! The one canonical encoding: little-endian, fixed-size integers, lengths of
//! 8 bytes, options and enums by number.
//!
//! The decoder takes the whole input or nothing, and only if encoding the value
//! again gives the same bytes, so that a value has exactly one encoding. The
//! types that go through here hold no maps, floats, `usize` or zero-sized items.

use bincode::{
    config::{self, Configuration, Fixint, Limit, LittleEndian},
    serde::{decode_from_slice, encode_to_vec},
};
use serde::{Serialize, de::DeserializeOwned};

/// Nothing longer is ever decoded, whatever limit the caller gives: the decoder
/// must refuse a length before it makes room for it.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Why bytes are not the encoding of a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Longer than allowed.
    #[error("{bytes} bytes are more than the {limit} allowed")]
    TooLong {
        /// How many there are.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Not a value, or one whose parts are not allowed.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Bytes follow the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// The value has another encoding.
    #[error("not the canonical encoding")]
    NotCanonical,
}

/// Encodes a value.
///
/// # Panics
/// Never for the types of this workspace: none of them can refuse to be encoded.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    encode_to_vec(value, CONFIG).expect("records and messages have only plain fields")
}

/// Decodes a value of at most `limit` bytes, which must be the canonical encoding.
pub fn decode<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    limit: usize,
) -> Result<T, CodecError> {
    let limit = limit.min(MAX_BYTES);
    if bytes.len() > limit {
        return Err(CodecError::TooLong {
            bytes: bytes.len(),
            limit,
        });
    }
    let (value, consumed) = decode_from_slice(bytes, CONFIG)
        .map_err(|error| CodecError::Malformed(error.to_string()))?;
    if consumed != bytes.len() {
        return Err(CodecError::Trailing(bytes.len() - consumed));
    }
    if encode(&value) != bytes {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}

const CONFIG: Configuration<LittleEndian, Fixint, Limit<MAX_BYTES>> = config::standard()
    .with_fixed_int_encoding()
    .with_limit::<MAX_BYTES>();

/// Byte strings in one go, where serde would visit them byte by byte; the
/// encoding is the same.
pub(crate) mod byte_string {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }

    struct Bytes;

    impl de::Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a byte string")
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    type Sample = (u64, Option<u32>, Vec<String>);

    fn sample() -> Sample {
        (5, Some(7), vec!["weft".to_owned()])
    }

    #[test]
    fn a_value_has_one_encoding() {
        let bytes = encode(&sample());
        assert_eq!(decode::<Sample>(&bytes, 1024), Ok(sample()));
        assert_eq!(&bytes[..8], &[5, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn refuses_what_is_not_the_encoding() {
        let bytes = encode(&sample());
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(
            decode::<Sample>(&longer, 1024),
            Err(CodecError::Trailing(1))
        );
        for cut in 0..bytes.len() {
            let error = decode::<Sample>(&bytes[..cut], 1024).unwrap_err();
            assert!(matches!(error, CodecError::Malformed(_)), "{cut}: {error}");
        }
        let limit = bytes.len() - 1;
        let too_long = CodecError::TooLong {
            bytes: bytes.len(),
            limit,
        };
        assert_eq!(decode::<Sample>(&bytes, limit), Err(too_long));
    }

    #[test]
    fn a_false_length_costs_no_memory() {
        // a vector of 2^60 strings, announced by 8 bytes
        let bytes = encode(&(1_u64 << 60));
        let error = decode::<Vec<String>>(&bytes, 1024).unwrap_err();
        assert!(matches!(error, CodecError::Malformed(_)), "{error}");
    }

    #[test]
    fn refuses_a_second_encoding_of_a_value() {
        // a set forgets order and duplicates, and so has many encodings
        type Set = std::collections::BTreeSet<u16>;
        let (sorted, reversed) = (encode(&vec![1_u16, 2]), encode(&vec![2_u16, 1]));
        assert_eq!(decode::<Set>(&sorted, 64).unwrap().len(), 2);
        assert_eq!(decode::<Set>(&reversed, 64), Err(CodecError::NotCanonical));
        let twice = encode(&vec![1_u16, 1]);
        assert_eq!(decode::<Set>(&twice, 64), Err(CodecError::NotCanonical));
    }
}
