use std::ops::Range;

/// A metadata value. Strings and arrays stay in the file: only their place is kept, so that a
/// header takes no more memory than its entries, whatever lengths it claims.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Unsigned(ScalarType, u64),
    Signed(ScalarType, i64),
    Float(ScalarType, f64),
    Bool(bool),
    String(Range<usize>),
    Array(ArrayType, ArrayPlace),
}

/// Where an array's elements are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ArrayPlace {
    pub(crate) count: usize,
    /// The elements, without type and count.
    pub(crate) range: Range<usize>,
}

/// Element type of an array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ArrayType {
    Scalar(ScalarType),
    String,
}

/// GGUF's scalar types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScalarType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    U64,
    I64,
    F64,
}

pub(crate) const TYPE_STRING: u32 = 8;
pub(crate) const TYPE_ARRAY: u32 = 9;

impl ScalarType {
    pub(crate) fn from_number(number: u32) -> Option<ScalarType> {
        Some(match number {
            0 => ScalarType::U8,
            1 => ScalarType::I8,
            2 => ScalarType::U16,
            3 => ScalarType::I16,
            4 => ScalarType::U32,
            5 => ScalarType::I32,
            6 => ScalarType::F32,
            7 => ScalarType::Bool,
            10 => ScalarType::U64,
            11 => ScalarType::I64,
            12 => ScalarType::F64,
            _ => return None,
        })
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            ScalarType::U8 => 0,
            ScalarType::I8 => 1,
            ScalarType::U16 => 2,
            ScalarType::I16 => 3,
            ScalarType::U32 => 4,
            ScalarType::I32 => 5,
            ScalarType::F32 => 6,
            ScalarType::Bool => 7,
            ScalarType::U64 => 10,
            ScalarType::I64 => 11,
            ScalarType::F64 => 12,
        }
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            ScalarType::U8 | ScalarType::I8 | ScalarType::Bool => 1,
            ScalarType::U16 | ScalarType::I16 => 2,
            ScalarType::U32 | ScalarType::I32 | ScalarType::F32 => 4,
            ScalarType::U64 | ScalarType::I64 | ScalarType::F64 => 8,
        }
    }

    /// The value of `bytes`, which are as long as the type says.
    pub(crate) fn read(self, bytes: &[u8]) -> Value {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let raw = u64::from_le_bytes(wide);
        match self {
            ScalarType::U8 | ScalarType::U16 | ScalarType::U32 | ScalarType::U64 => {
                Value::Unsigned(self, raw)
            }
            ScalarType::I8 => Value::Signed(self, i64::from(raw as i8)),
            ScalarType::I16 => Value::Signed(self, i64::from(raw as i16)),
            ScalarType::I32 => Value::Signed(self, i64::from(raw as i32)),
            ScalarType::I64 => Value::Signed(self, raw as i64),
            ScalarType::F32 => Value::Float(self, f64::from(f32::from_bits(raw as u32))),
            ScalarType::F64 => Value::Float(self, f64::from_bits(raw)),
            ScalarType::Bool => Value::Bool(raw != 0),
        }
    }
}

/// The strings of an array, read from the file one by one.
#[derive(Clone)]
pub(crate) struct StringArray<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) left: usize,
}

impl<'a> Iterator for StringArray<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.left = self.left.checked_sub(1)?;
        let (length, rest) = self.bytes.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let text = rest.get(..length)?;
        self.bytes = &rest[length..];
        // Checked when the header was read.
        std::str::from_utf8(text).ok()
    }
}

/// A value to be written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OwnedValue {
    U32(u32),
    F32(f32),
    Bool(bool),
    String(String),
    Strings(Vec<String>),
    F32s(Vec<f32>),
    I32s(Vec<i32>),
    U32s(Vec<u32>),
    /// Type and value as another file has them.
    Verbatim(Vec<u8>),
}
