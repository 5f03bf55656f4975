use std::collections::BTreeMap;
use std::ops::Range;

use super::error::GgufError;
use super::reader::{RawTensor, Reader};
use super::value::{ArrayType, StringArray, Value};
use crate::dtype::DType;

pub(crate) const MAGIC: [u8; 4] = *b"GGUF";
/// Models have a few dozen keys.
const MAX_KEYS: u64 = 4096;
/// A thousand layers of a dozen tensors stay below it.
const MAX_TENSORS: u64 = 32_768;
const DEFAULT_ALIGNMENT: u64 = 32;
/// A page of the largest common size; more would only be padding.
const MAX_ALIGNMENT: u64 = 1 << 16;

/// What stands before the tensors' bytes. Every place in it has been checked against the file.
#[derive(Debug)]
pub(crate) struct Header {
    /// Keys in the file's order.
    pub(crate) keys: Vec<KeyEntry>,
    /// Tensors in the file's order.
    pub(crate) tensors: Vec<TensorEntry>,
    index: BTreeMap<String, usize>,
}

/// One key of the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeyEntry {
    pub(crate) key: String,
    pub(crate) value: Value,
    /// Type and value in the file.
    pub(crate) range: Range<usize>,
}

/// One tensor of the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TensorEntry {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    /// Rows first, the reverse of the file's order.
    pub(crate) shape: Vec<usize>,
    /// Its bytes in the file.
    pub(crate) range: Range<usize>,
}

impl Header {
    /// Reads the header of a whole file.
    pub(crate) fn parse(file: &[u8]) -> Result<Header, GgufError> {
        let mut reader = Reader { file, at: 0 };
        let magic = &file[..file.len().min(MAGIC.len())];
        if magic != MAGIC {
            return Err(GgufError::WrongMagic {
                found: magic.to_vec(),
            });
        }
        reader.at = MAGIC.len();
        let version = reader.u32("the version")?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::UnsupportedVersion(version));
        }
        let tensor_count = reader.count("tensors", MAX_TENSORS, MIN_TENSOR_BYTES)?;
        let key_count = reader.count("keys", MAX_KEYS, MIN_KEY_BYTES)?;

        let mut keys: Vec<KeyEntry> = Vec::new();
        let mut index = BTreeMap::new();
        for _ in 0..key_count {
            let entry = reader.key()?;
            if index.insert(entry.key.clone(), keys.len()).is_some() {
                return Err(GgufError::Duplicate {
                    what: "the key",
                    name: entry.key,
                });
            }
            keys.push(entry);
        }
        let mut header = Header {
            keys,
            tensors: Vec::new(),
            index,
        };
        let alignment = header.alignment()?;
        let mut entries = Vec::new();
        for _ in 0..tensor_count {
            entries.push(reader.tensor()?);
        }
        header.tensors = place(entries, reader.at, alignment, file.len())?;
        Ok(header)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.index.get(key).map(|&at| &self.keys[at].value)
    }

    /// A whole number; any integer type will do.
    pub(crate) fn unsigned(&self, key: &str) -> Result<Option<u64>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Unsigned(_, value)) => Ok(Some(*value)),
            Some(Value::Signed(_, value)) if *value >= 0 => Ok(Some(*value as u64)),
            Some(_) => Err(wrong_type(key, "a whole number")),
        }
    }

    pub(crate) fn float(&self, key: &str) -> Result<Option<f64>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Float(_, value)) => Ok(Some(*value)),
            Some(_) => Err(wrong_type(key, "a float")),
        }
    }

    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(wrong_type(key, "true or false")),
        }
    }

    /// A string, read from the same `file` that was parsed.
    pub(crate) fn string<'a>(
        &self,
        file: &'a [u8],
        key: &str,
    ) -> Result<Option<&'a str>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(range)) => std::str::from_utf8(&file[range.clone()])
                .map(Some)
                .map_err(|_| GgufError::NotUtf8 {
                    what: "a value",
                    offset: range.start,
                }),
            Some(_) => Err(wrong_type(key, "a string")),
        }
    }

    /// The strings of an array.
    pub(crate) fn strings<'a>(
        &self,
        file: &'a [u8],
        key: &str,
    ) -> Result<Option<StringArray<'a>>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(ArrayType::String, place)) => Ok(Some(StringArray {
                bytes: &file[place.range.clone()],
                left: place.count,
            })),
            Some(_) => Err(wrong_type(key, "an array of strings")),
        }
    }

    /// The values of an array of scalars.
    pub(crate) fn scalars<'a>(
        &self,
        file: &'a [u8],
        key: &str,
    ) -> Result<Option<impl ExactSizeIterator<Item = Value> + 'a>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(ArrayType::Scalar(scalar), place)) => {
                let scalar = *scalar;
                Ok(Some(
                    file[place.range.clone()]
                        .chunks_exact(scalar.bytes())
                        .map(move |bytes| scalar.read(bytes)),
                ))
            }
            Some(_) => Err(wrong_type(key, "an array of numbers")),
        }
    }

    fn alignment(&self) -> Result<u64, GgufError> {
        let alignment = self
            .unsigned("general.alignment")?
            .unwrap_or(DEFAULT_ALIGNMENT);
        if !alignment.is_power_of_two() || !(8..=MAX_ALIGNMENT).contains(&alignment) {
            return Err(GgufError::BadAlignment {
                alignment,
                limit: MAX_ALIGNMENT,
            });
        }
        Ok(alignment)
    }
}

fn wrong_type(key: &str, expected: &'static str) -> GgufError {
    GgufError::WrongKeyType {
        key: key.to_owned(),
        expected,
    }
}

/// A name's length, a dimension count, a type and an offset.
const MIN_TENSOR_BYTES: u64 = 8 + 4 + 4 + 8;
/// A key's length, a type and the smallest value.
const MIN_KEY_BYTES: u64 = 8 + 4 + 1;

fn place(
    entries: Vec<RawTensor>,
    header_end: usize,
    alignment: u64,
    file_bytes: usize,
) -> Result<Vec<TensorEntry>, GgufError> {
    let data_start = (header_end as u64).next_multiple_of(alignment);
    let mut tensors = Vec::with_capacity(entries.len());
    let mut names = std::collections::BTreeSet::new();
    for entry in entries {
        if !entry.offset.is_multiple_of(alignment) {
            return Err(GgufError::Unaligned {
                name: entry.name,
                offset: entry.offset,
                alignment,
            });
        }
        let start = data_start.saturating_add(entry.offset);
        let end = start.saturating_add(entry.bytes);
        if end > file_bytes as u64 {
            return Err(GgufError::OutsideFile {
                name: entry.name,
                start,
                end,
                file_bytes,
            });
        }
        if !names.insert(entry.name.clone()) {
            return Err(GgufError::Duplicate {
                what: "the tensor",
                name: entry.name,
            });
        }
        tensors.push(TensorEntry {
            name: entry.name,
            dtype: entry.dtype,
            shape: entry.shape,
            range: start as usize..end as usize,
        });
    }
    let mut order: Vec<&TensorEntry> = tensors.iter().collect();
    order.sort_by_key(|tensor| tensor.range.start);
    for pair in order.windows(2) {
        if pair[1].range.start < pair[0].range.end {
            return Err(GgufError::Overlap {
                first: pair[0].name.clone(),
                second: pair[1].name.clone(),
            });
        }
    }
    Ok(tensors)
}
