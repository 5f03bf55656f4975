use std::collections::BTreeMap;
use std::ops::Range;

use super::error::GgufError;
use super::value::{
    ArrayPlace, ArrayType, ScalarType, StringArray, TYPE_ARRAY, TYPE_STRING, Value,
};
use crate::dtype::DType;

pub(crate) const MAGIC: [u8; 4] = *b"GGUF";
/// Models have a few dozen keys.
const MAX_KEYS: u64 = 4096;
/// A thousand layers of a dozen tensors stay below it.
const MAX_TENSORS: u64 = 32_768;
/// The format's own limit for a key.
const MAX_KEY_BYTES: u64 = 65_535;
/// ggml keeps names in 64 bytes.
const MAX_NAME_BYTES: u64 = 64;
/// The longest string in use is a whole tokenizer.json; the largest known has 33 MB.
const MAX_STRING_BYTES: u64 = 64 << 20;
/// A vocabulary or its merges; the largest known have half a million.
const MAX_ARRAY_ELEMENTS: u64 = 1 << 22;
/// ggml's limit.
const MAX_DIMENSIONS: u64 = 4;
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

/// A tensor as described, before it is placed in the file.
struct RawTensor {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    bytes: u64,
    offset: u64,
}

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

/// Reads forward through the file and never behind its end.
struct Reader<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn left(&self) -> usize {
        self.file.len() - self.at
    }

    fn take(&mut self, what: &'static str, length: u64) -> Result<&'a [u8], GgufError> {
        if length > self.left() as u64 {
            return Err(GgufError::Truncated {
                what,
                offset: self.at,
                needed: length,
                left: self.left(),
            });
        }
        let start = self.at;
        self.at += length as usize;
        Ok(&self.file[start..self.at])
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(what, N as u64)?);
        Ok(bytes)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A count of things that take at least `least_bytes` each, held against its limit and
    /// against what is left of the file.
    fn count(
        &mut self,
        what: &'static str,
        limit: u64,
        least_bytes: u64,
    ) -> Result<u64, GgufError> {
        let count = self.u64(what)?;
        if count > limit {
            return Err(GgufError::TooMany { what, count, limit });
        }
        let needed = count * least_bytes;
        if needed > self.left() as u64 {
            return Err(GgufError::Truncated {
                what,
                offset: self.at,
                needed,
                left: self.left(),
            });
        }
        Ok(count)
    }

    fn string(
        &mut self,
        what: &'static str,
        limit: u64,
    ) -> Result<(Range<usize>, &'a str), GgufError> {
        let length = self.count(what, limit, 1)?;
        let offset = self.at;
        let bytes = self.take(what, length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| GgufError::NotUtf8 { what, offset })?;
        Ok((offset..self.at, text))
    }

    fn key(&mut self) -> Result<KeyEntry, GgufError> {
        let (_, key) = self.string("bytes of a key", MAX_KEY_BYTES)?;
        let start = self.at;
        let value_type = self.u32("a value's type")?;
        let value = match value_type {
            TYPE_STRING => Value::String(self.string("bytes of a string", MAX_STRING_BYTES)?.0),
            TYPE_ARRAY => self.values(key)?,
            number => {
                let scalar = scalar_type(key, number)?;
                scalar.read(self.take("a value", scalar.bytes() as u64)?)
            }
        };
        Ok(KeyEntry {
            key: key.to_owned(),
            value,
            range: start..self.at,
        })
    }

    fn values(&mut self, key: &str) -> Result<Value, GgufError> {
        let element = self.u32("an array's type")?;
        if element == TYPE_ARRAY {
            return Err(GgufError::NestedArray {
                key: key.to_owned(),
            });
        }
        if element == TYPE_STRING {
            let count = self.count("strings of an array", MAX_ARRAY_ELEMENTS, 8)?;
            let start = self.at;
            for _ in 0..count {
                self.string("bytes of a string", MAX_STRING_BYTES)?;
            }
            let place = ArrayPlace {
                count: count as usize,
                range: start..self.at,
            };
            return Ok(Value::Array(ArrayType::String, place));
        }
        let scalar = scalar_type(key, element)?;
        let bytes = scalar.bytes() as u64;
        let count = self.count("elements of an array", MAX_ARRAY_ELEMENTS, bytes)?;
        let start = self.at;
        self.take("an array", count * bytes)?;
        let place = ArrayPlace {
            count: count as usize,
            range: start..self.at,
        };
        Ok(Value::Array(ArrayType::Scalar(scalar), place))
    }

    fn tensor(&mut self) -> Result<RawTensor, GgufError> {
        let (_, name) = self.string("bytes of a tensor's name", MAX_NAME_BYTES)?;
        let name = name.to_owned();
        let dimensions = u64::from(self.u32("a tensor's dimensions")?);
        if dimensions > MAX_DIMENSIONS {
            return Err(GgufError::TooMany {
                what: "dimensions of a tensor",
                count: dimensions,
                limit: MAX_DIMENSIONS,
            });
        }
        let mut sizes = Vec::with_capacity(dimensions as usize);
        for _ in 0..dimensions {
            sizes.push(self.u64("a dimension")?);
        }
        let type_number = self.u32("a tensor's type")?;
        let offset = self.u64("a tensor's offset")?;
        let Some(dtype) = tensor_type(type_number) else {
            return Err(GgufError::UnsupportedTensorType {
                name,
                tensor_type: tensor_type_name(type_number),
            });
        };
        let row = sizes.first().copied().unwrap_or(0);
        let rows = sizes
            .iter()
            .skip(1)
            .try_fold(1_u64, |product, &size| product.checked_mul(size));
        let bad_shape = |name| GgufError::BadShape {
            name,
            shape: sizes.clone(),
        };
        if sizes.contains(&0) || sizes.is_empty() {
            return Err(bad_shape(name));
        }
        let Ok(row_elements) = usize::try_from(row) else {
            return Err(bad_shape(name));
        };
        if !row_elements.is_multiple_of(dtype.block_elements()) {
            return Err(GgufError::PartialBlock {
                name,
                row,
                block: dtype.block_elements(),
            });
        }
        let Some(row_bytes) = dtype.row_bytes(row_elements) else {
            return Err(bad_shape(name));
        };
        let Some(bytes) = rows.and_then(|rows| rows.checked_mul(row_bytes as u64)) else {
            return Err(bad_shape(name));
        };
        Ok(RawTensor {
            name,
            dtype,
            shape: sizes.iter().rev().map(|&size| size as usize).collect(),
            bytes,
            offset,
        })
    }
}

fn scalar_type(key: &str, number: u32) -> Result<ScalarType, GgufError> {
    ScalarType::from_number(number).ok_or_else(|| GgufError::UnknownValueType {
        key: key.to_owned(),
        value_type: number,
    })
}

fn tensor_type(number: u32) -> Option<DType> {
    Some(match number {
        0 => DType::F32,
        1 => DType::F16,
        2 => DType::Q4_0,
        8 => DType::Q8_0,
        30 => DType::BF16,
        _ => return None,
    })
}

/// Names for the message only: a user knows a file as "Q4_K", not as type 12.
fn tensor_type_name(number: u32) -> String {
    match number {
        3 => "Q4_1",
        6 => "Q5_0",
        7 => "Q5_1",
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        12 => "Q4_K",
        13 => "Q5_K",
        14 => "Q6_K",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        _ => return format!("type {number}"),
    }
    .to_owned()
}
