//! Keys and values of the metadata. Their bytes are drawn in `docs/store.md`.

use weft_core::SlotPlan;
use weft_record::{Hash, Name};

use crate::layout::slot_name;

/// First byte of a key.
pub(crate) mod prefix {
    /// A file and whether it is complete.
    pub(crate) const FILE: u8 = b'f';
    /// A page of a file's bitmap.
    pub(crate) const BITS: u8 = b'b';
    /// When a file came or was last in a slot.
    pub(crate) const USED: u8 = b'u';
    /// A record, in the order of saving.
    pub(crate) const RECORD: u8 = b'r';
    /// The slots of a channel.
    pub(crate) const SLOTS: u8 = b's';
    /// A slot that nothing refers to any more.
    pub(crate) const RETIRED: u8 = b'g';
    /// A setting of the node.
    pub(crate) const SETTING: u8 = b'k';
}

/// Version of the file and slot values.
const VERSION: u8 = 1;
/// Version, complete, length, hash of the chunk map.
const FILE_BYTES: usize = 1 + 1 + 8 + 32;

pub(crate) fn file_key(file: &Hash) -> Vec<u8> {
    [&[prefix::FILE], file.as_bytes().as_slice()].concat()
}

pub(crate) fn bits_key(file: &Hash, page: u16) -> Vec<u8> {
    [
        &[prefix::BITS],
        file.as_bytes().as_slice(),
        &page.to_be_bytes(),
    ]
    .concat()
}

pub(crate) fn bits_prefix(file: &Hash) -> Vec<u8> {
    [&[prefix::BITS], file.as_bytes().as_slice()].concat()
}

pub(crate) fn used_key(file: &Hash) -> Vec<u8> {
    [&[prefix::USED], file.as_bytes().as_slice()].concat()
}

pub(crate) fn record_key(sequence: u64) -> Vec<u8> {
    [&[prefix::RECORD], sequence.to_be_bytes().as_slice()].concat()
}

pub(crate) fn slots_key(channel: &Name) -> Vec<u8> {
    [&[prefix::SLOTS], channel.as_str().as_bytes()].concat()
}

pub(crate) fn retired_key(plan: &SlotPlan) -> Vec<u8> {
    let name = format!("{}/{}", plan.channel, slot_name(plan));
    [&[prefix::RETIRED], name.as_bytes()].concat()
}

pub(crate) fn setting_key(name: &str) -> Vec<u8> {
    [&[prefix::SETTING], name.as_bytes()].concat()
}

/// The 32 bytes of a hash that a key carries behind its prefix.
pub(crate) fn key_hash(key: &[u8]) -> Option<Hash> {
    Some(Hash(key.get(1..33)?.try_into().ok()?))
}

/// What is kept of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileEntry {
    pub(crate) complete: bool,
    pub(crate) length: u64,
    pub(crate) map: Hash,
}

impl FileEntry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FILE_BYTES);
        bytes.extend([VERSION, u8::from(self.complete)]);
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.map.as_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<2>()?;
        let (length, map) = rest.split_first_chunk::<8>()?;
        let complete = match head {
            [VERSION, 0] => false,
            [VERSION, 1] => true,
            _ => return None,
        };
        Some(Self {
            complete,
            length: u64::from_le_bytes(*length),
            map: Hash(map.try_into().ok()?),
        })
    }
}

/// A value that may be too long for the metadata: then it lies in a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Here(Vec<u8>),
    Blob(Hash),
}

impl Value {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Here(bytes) => [&[0], bytes.as_slice()].concat(),
            Self::Blob(hash) => [&[1], hash.as_bytes().as_slice()].concat(),
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (0, rest) => Some(Self::Here(rest.to_vec())),
            (1, rest) => Some(Self::Blob(Hash(rest.try_into().ok()?))),
            _ => None,
        }
    }
}

/// Slots and plans behind a version byte.
pub(crate) mod versioned {
    use weft_record::codec;

    use super::VERSION;

    /// Three plans of 64 files with paths of 255 bytes, and the failed heads.
    const MAX_BYTES: usize = 256 << 10;

    pub(crate) fn encode<T: serde::Serialize>(value: &T) -> Vec<u8> {
        [&[VERSION], codec::encode(value).as_slice()].concat()
    }

    pub(crate) fn decode<T: serde::Serialize + serde::de::DeserializeOwned>(
        bytes: &[u8],
    ) -> Option<T> {
        let (version, rest) = bytes.split_first()?;
        (*version == VERSION).then(|| codec::decode(rest, MAX_BYTES).ok())?
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use weft_core::Slots;
    use weft_record::RecordId;

    use super::*;

    #[test]
    fn values_round_trip_and_others_are_refused() {
        let entry = FileEntry {
            complete: true,
            length: 77,
            map: Hash([9; 32]),
        };
        let bytes = entry.encode();
        assert_eq!(bytes.len(), FILE_BYTES);
        assert_eq!(FileEntry::decode(&bytes), Some(entry));
        assert_eq!(FileEntry::decode(&bytes[1..]), None);
        assert_eq!(FileEntry::decode(&[bytes.as_slice(), &[0]].concat()), None);
        for (place, wrong) in [(0, 2), (1, 2)] {
            let mut other = bytes.clone();
            other[place] = wrong;
            assert_eq!(FileEntry::decode(&other), None, "byte {place}");
        }
        for value in [
            Value::Here(vec![]),
            Value::Here(vec![1, 2]),
            Value::Blob(Hash([3; 32])),
        ] {
            assert_eq!(Value::decode(&value.encode()), Some(value));
        }
        assert_eq!(Value::decode(&[1, 2]), None);
        assert_eq!(Value::decode(&[2]), None);
        assert_eq!(Value::decode(&[]), None);

        let plan = SlotPlan {
            channel: "main".parse().unwrap(),
            head: RecordId([1; 32]),
            epoch: 4,
            release: RecordId([2; 32]),
            variant: 3,
            files: vec![("a/b".to_owned(), Hash([4; 32]))],
        };
        let slots = Slots {
            active: Some(plan),
            failed: vec![RecordId([5; 32])],
            ..Slots::default()
        };
        let mut bytes = versioned::encode(&slots);
        assert_eq!(versioned::decode(&bytes), Some(slots));
        bytes[0] = 2;
        assert_eq!(versioned::decode::<Slots>(&bytes), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (FileEntry::decode(&bytes), Value::decode(&bytes), key_hash(&bytes));
            let _ = versioned::decode::<Slots>(&bytes);
        }
    }
}
