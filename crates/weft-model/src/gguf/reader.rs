use std::ops::Range;

use super::error::GgufError;
use super::header::KeyEntry;
use super::value::{ArrayPlace, ArrayType, ScalarType, TYPE_ARRAY, TYPE_STRING, Value};
use crate::dtype::DType;

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

/// A tensor as described, before it is placed in the file.
pub(super) struct RawTensor {
    pub(super) name: String,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: u64,
    pub(super) offset: u64,
}

/// Reads forward through the file and never behind its end.
pub(super) struct Reader<'a> {
    pub(super) file: &'a [u8],
    pub(super) at: usize,
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

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A count of things that take at least `least_bytes` each, held against its limit and
    /// against what is left of the file.
    pub(super) fn count(
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

    pub(super) fn key(&mut self) -> Result<KeyEntry, GgufError> {
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

    pub(super) fn tensor(&mut self) -> Result<RawTensor, GgufError> {
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
