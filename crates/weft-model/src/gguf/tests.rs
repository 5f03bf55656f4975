#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::dtype::DType;

/// Builds files field by field, so that each can lie.
#[derive(Clone, Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn begin(tensors: u64, keys: u64) -> Bytes {
        Bytes(b"GGUF".to_vec()).u32(3).u64(tensors).u64(keys)
    }

    fn u32(mut self, value: u32) -> Bytes {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Bytes {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn text(mut self, text: &[u8]) -> Bytes {
        self = self.u64(text.len() as u64);
        self.0.extend(text);
        self
    }

    fn tensor(mut self, name: &str, dimensions: &[u64], kind: u32, offset: u64) -> Bytes {
        self = self.text(name.as_bytes()).u32(dimensions.len() as u32);
        for dimension in dimensions {
            self = self.u64(*dimension);
        }
        self.u32(kind).u64(offset)
    }

    fn data(mut self, length: usize) -> Bytes {
        let start = self.0.len().next_multiple_of(32);
        self.0.resize(start + length, 0);
        self
    }
}

fn check(bytes: Bytes, expected: GgufError) {
    assert_eq!(Header::parse(&bytes.0).unwrap_err(), expected);
}

const F32: u32 = 0;
const Q8_0: u32 = 8;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const UINT32: u32 = 4;

/// Every kind of value and two tensors.
fn sample() -> Vec<u8> {
    let keys = vec![
        (
            "general.architecture".to_owned(),
            OwnedValue::String("llama".to_owned()),
        ),
        ("count".to_owned(), OwnedValue::U32(7)),
        ("share".to_owned(), OwnedValue::F32(0.5)),
        ("flag".to_owned(), OwnedValue::Bool(true)),
        (
            "words".to_owned(),
            OwnedValue::Strings(vec!["a".to_owned(), String::new(), "ü".to_owned()]),
        ),
        ("kinds".to_owned(), OwnedValue::I32s(vec![1, -2, 3])),
        ("ids".to_owned(), OwnedValue::U32s(vec![9])),
    ];
    let tensor = |name: &str, dtype, shape: &[usize], bytes| TensorPlan {
        name: name.to_owned(),
        dtype,
        shape: shape.to_vec(),
        bytes,
    };
    let tensors = [
        tensor("first", DType::Q8_0, &[3, 64], 3 * 2 * 34),
        tensor("second", DType::F32, &[5], 20),
    ];
    let mut writer = Writer::begin(Vec::new(), &keys, &tensors).unwrap();
    writer.piece(&[1; 200]).unwrap();
    writer.piece(&[2; 4]).unwrap();
    writer.end_tensor().unwrap();
    writer.piece(&[3; 20]).unwrap();
    writer.end_tensor().unwrap();
    let (bytes, file) = writer.finish().unwrap();
    assert_eq!(bytes, file.len() as u64);
    file
}

#[test]
fn what_is_written_is_read() {
    let file = sample();
    let header = Header::parse(&file).unwrap();
    assert_eq!(
        header.string(&file, "general.architecture").unwrap(),
        Some("llama")
    );
    assert_eq!(header.unsigned("count").unwrap(), Some(7));
    assert_eq!(header.float("share").unwrap(), Some(0.5));
    assert_eq!(header.bool("flag").unwrap(), Some(true));
    let words: Vec<&str> = header.strings(&file, "words").unwrap().unwrap().collect();
    assert_eq!(words, ["a", "", "ü"]);
    let kinds: Vec<Value> = header.scalars(&file, "kinds").unwrap().unwrap().collect();
    assert!(matches!(
        kinds[..],
        [
            Value::Signed(_, 1),
            Value::Signed(_, -2),
            Value::Signed(_, 3)
        ]
    ));
    assert_eq!(header.unsigned("absent").unwrap(), None);

    let [first, second] = &header.tensors[..] else {
        panic!("two tensors");
    };
    assert_eq!((first.dtype, &first.shape[..]), (DType::Q8_0, &[3, 64][..]));
    assert_eq!(
        file[first.range.clone()],
        [[1; 200].as_slice(), &[2; 4]].concat()
    );
    assert_eq!((second.dtype, &second.shape[..]), (DType::F32, &[5][..]));
    assert_eq!(file[second.range.clone()], [3; 20]);
    assert!(first.range.start.is_multiple_of(32) && second.range.start.is_multiple_of(32));
}

#[test]
fn a_key_of_another_type_is_named() {
    let file = sample();
    let header = Header::parse(&file).unwrap();
    let wrong = |key: &str, expected| GgufError::WrongKeyType {
        key: key.to_owned(),
        expected,
    };
    assert_eq!(
        header.unsigned("flag"),
        Err(wrong("flag", "a whole number"))
    );
    assert_eq!(
        header.string(&file, "count"),
        Err(wrong("count", "a string"))
    );
    assert_eq!(header.float("count"), Err(wrong("count", "a float")));
    assert_eq!(header.bool("count"), Err(wrong("count", "true or false")));
    assert_eq!(
        header.strings(&file, "kinds").err(),
        Some(wrong("kinds", "an array of strings"))
    );
    assert_eq!(
        header.scalars(&file, "words").map(drop).err(),
        Some(wrong("words", "an array of numbers"))
    );
}

#[test]
fn every_truncation_is_an_error() {
    let file = sample();
    let end = Header::parse(&file).unwrap().tensors[1].range.end;
    for length in 0..end {
        let error = Header::parse(&file[..length]).unwrap_err();
        let expected = match length {
            0..4 => matches!(error, GgufError::WrongMagic { .. }),
            _ => matches!(
                error,
                GgufError::Truncated { .. } | GgufError::OutsideFile { .. }
            ),
        };
        assert!(expected, "{length} of {end} bytes: {error}");
    }
    // The padding behind the last tensor is not missed.
    Header::parse(&file[..end]).unwrap();
}

#[test]
fn magic_and_version() {
    check(
        Bytes(b"GGML and more".to_vec()),
        GgufError::WrongMagic {
            found: b"GGML".to_vec(),
        },
    );
    check(
        Bytes(b"GGUF".to_vec()).u32(1),
        GgufError::UnsupportedVersion(1),
    );
    // A big-endian file shows itself by its version.
    check(
        Bytes(b"GGUF".to_vec()).u32(3_u32.swap_bytes()),
        GgufError::UnsupportedVersion(3 << 24),
    );
    Header::parse(&Bytes(b"GGUF".to_vec()).u32(2).u64(0).u64(0).0).unwrap();
}

#[test]
fn absurd_counts_are_refused_before_anything_is_reserved() {
    check(
        Bytes::begin(u64::MAX, 0),
        GgufError::TooMany {
            what: "tensors",
            count: u64::MAX,
            limit: 32_768,
        },
    );
    check(
        Bytes::begin(0, 1 << 40),
        GgufError::TooMany {
            what: "keys",
            count: 1 << 40,
            limit: 4096,
        },
    );
    // Within the limit, but not within the file.
    check(
        Bytes::begin(1000, 0),
        GgufError::Truncated {
            what: "tensors",
            offset: 16,
            needed: 24_000,
            left: 8,
        },
    );
    check(
        Bytes::begin(0, 1).u64(u64::MAX).u64(0),
        GgufError::TooMany {
            what: "bytes of a key",
            count: u64::MAX,
            limit: 65_535,
        },
    );
    let array = |element: u32, count: u64| {
        Bytes::begin(0, 1)
            .text(b"key")
            .u32(ARRAY)
            .u32(element)
            .u64(count)
    };
    for (element, what) in [
        (UINT32, "elements of an array"),
        (STRING, "strings of an array"),
    ] {
        check(
            array(element, 1 << 60),
            GgufError::TooMany {
                what,
                count: 1 << 60,
                limit: 1 << 22,
            },
        );
        assert!(matches!(
            Header::parse(&array(element, 1 << 20).0),
            Err(GgufError::Truncated { .. })
        ));
    }
    check(
        Bytes::begin(1, 0).text(b"tensor").u32(5).u64(0),
        GgufError::TooMany {
            what: "dimensions of a tensor",
            count: 5,
            limit: 4,
        },
    );
    check(
        Bytes::begin(1, 0).text(&[b'n'; 65]),
        GgufError::TooMany {
            what: "bytes of a tensor's name",
            count: 65,
            limit: 64,
        },
    );
}

#[test]
fn damaged_keys_are_named() {
    let key = "key".to_owned();
    check(
        Bytes::begin(0, 1).text(b"key").u32(13).u64(0),
        GgufError::UnknownValueType {
            key: key.clone(),
            value_type: 13,
        },
    );
    check(
        Bytes::begin(0, 1).text(b"key").u32(ARRAY).u32(ARRAY).u64(1),
        GgufError::NestedArray { key: key.clone() },
    );
    check(
        Bytes::begin(0, 1).text(&[0xff, 0xfe]).u32(UINT32).u32(0),
        GgufError::NotUtf8 {
            what: "bytes of a key",
            offset: 32,
        },
    );
    check(
        Bytes::begin(0, 1).text(b"key").u32(STRING).text(&[0xff]),
        GgufError::NotUtf8 {
            what: "bytes of a string",
            offset: 47,
        },
    );
    let twice = Bytes::begin(0, 2).text(b"key").u32(UINT32).u32(0);
    check(
        twice.text(b"key").u32(UINT32).u32(0),
        GgufError::Duplicate {
            what: "the key",
            name: key,
        },
    );
    for alignment in [0, 4, 48, 1 << 17] {
        check(
            Bytes::begin(0, 1)
                .text(b"general.alignment")
                .u32(UINT32)
                .u32(alignment),
            GgufError::BadAlignment {
                alignment: u64::from(alignment),
                limit: 1 << 16,
            },
        );
    }
}

#[test]
fn damaged_tensors_are_named() {
    let name = || "t".to_owned();
    check(
        Bytes::begin(1, 0).tensor("t", &[256], 12, 0).data(512),
        GgufError::UnsupportedTensorType {
            name: name(),
            tensor_type: "Q4_K".to_owned(),
        },
    );
    check(
        Bytes::begin(1, 0).tensor("t", &[8], 99, 0).data(512),
        GgufError::UnsupportedTensorType {
            name: name(),
            tensor_type: "type 99".to_owned(),
        },
    );
    check(
        Bytes::begin(1, 0).tensor("t", &[48, 2], Q8_0, 0).data(512),
        GgufError::PartialBlock {
            name: name(),
            row: 48,
            block: 32,
        },
    );
    for shape in [&[][..], &[8, 0], &[1 << 40, 1 << 40], &[u64::MAX, 2]] {
        check(
            Bytes::begin(1, 0).tensor("t", shape, F32, 0).data(512),
            GgufError::BadShape {
                name: name(),
                shape: shape.to_vec(),
            },
        );
    }
    check(
        Bytes::begin(1, 0).tensor("t", &[8], F32, 8).data(512),
        GgufError::Unaligned {
            name: name(),
            offset: 8,
            alignment: 32,
        },
    );
    // Header 57 bytes and 32 of data from 64 on.
    check(
        Bytes::begin(1, 0).tensor("t", &[9], F32, 0).data(32),
        GgufError::OutsideFile {
            name: name(),
            start: 64,
            end: 100,
            file_bytes: 96,
        },
    );
    check(
        Bytes::begin(1, 0)
            .tensor("t", &[8], F32, u64::MAX - 31)
            .data(32),
        GgufError::OutsideFile {
            name: name(),
            start: u64::MAX,
            end: u64::MAX,
            file_bytes: 96,
        },
    );
    check(
        Bytes::begin(2, 0)
            .tensor("late", &[8], F32, 32)
            .tensor("long", &[9], F32, 0)
            .data(96),
        GgufError::Overlap {
            first: "long".to_owned(),
            second: "late".to_owned(),
        },
    );
    check(
        Bytes::begin(2, 0)
            .tensor("t", &[8], F32, 0)
            .tensor("t", &[8], F32, 32)
            .data(64),
        GgufError::Duplicate {
            what: "the tensor",
            name: name(),
        },
    );
}

/// What a header that was accepted promises to its readers.
fn holds_its_promises(file: &[u8]) {
    let Ok(header) = Header::parse(file) else {
        return;
    };
    assert!(header.keys.len() * 13 + header.tensors.len() * 24 <= file.len());
    for entry in &header.keys {
        assert!(entry.range.end <= file.len());
        if let Ok(Some(words)) = header.strings(file, &entry.key) {
            let left = words.left;
            assert_eq!(words.count(), left);
        }
        let _ = header.string(file, &entry.key);
    }
    let mut ranges: Vec<_> = header
        .tensors
        .iter()
        .map(|tensor| tensor.range.clone())
        .collect();
    ranges.sort_by_key(|range| range.start);
    assert!(
        ranges
            .iter()
            .all(|range| range.start < range.end && range.end <= file.len())
    );
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
    let _ = read_config(&header, file);
    let _ = eos_tokens(&header, file);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        holds_its_promises(&bytes);
    }

    #[test]
    fn random_bytes_behind_a_sound_beginning_never_panic(
        tensors in 0_u64..8,
        keys in 0_u64..8,
        bytes in proptest::collection::vec(prop_oneof![Just(0_u8), 0_u8..16, any::<u8>()], 0..512),
    ) {
        let mut file = Bytes::begin(tensors, keys).0;
        file.extend(bytes);
        holds_its_promises(&file);
    }

    #[test]
    fn a_mutated_file_never_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut file = sample();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        holds_its_promises(&file);
        file.truncate(cut.index(file.len()));
        holds_its_promises(&file);
    }
}
