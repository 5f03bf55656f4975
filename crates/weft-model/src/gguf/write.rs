use std::io::{self, Write};

use super::header::MAGIC;
use super::value::{OwnedValue, ScalarType, TYPE_ARRAY, TYPE_STRING};
use crate::dtype::DType;

const VERSION: u32 = 3;
/// Where tensors begin; GGUF's default, written down nevertheless.
pub(crate) const ALIGNMENT: u64 = 32;

/// A tensor to be written: its place is decided before its bytes are made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TensorPlan {
    /// The GGUF name.
    pub(crate) name: String,
    pub(crate) dtype: DType,
    /// Rows first.
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: u64,
}

/// Writes a GGUF file from front to back: the header, then each tensor in the planned order.
pub(crate) struct Writer<W> {
    out: W,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    pub(crate) fn begin(
        out: W,
        keys: &[(String, OwnedValue)],
        tensors: &[TensorPlan],
    ) -> io::Result<Writer<W>> {
        let mut header = Vec::new();
        header.extend(MAGIC);
        header.extend(VERSION.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((keys.len() as u64).to_le_bytes());
        for (key, value) in keys {
            put_string(&mut header, key);
            put_value(&mut header, value);
        }
        let mut offset = 0_u64;
        for tensor in tensors {
            put_string(&mut header, &tensor.name);
            header.extend((tensor.shape.len() as u32).to_le_bytes());
            for size in tensor.shape.iter().rev() {
                header.extend((*size as u64).to_le_bytes());
            }
            header.extend(type_number(tensor.dtype).to_le_bytes());
            header.extend(offset.to_le_bytes());
            offset = (offset + tensor.bytes).next_multiple_of(ALIGNMENT);
        }
        let mut writer = Writer { out, written: 0 };
        writer.piece(&header)?;
        writer.end_tensor()?;
        Ok(writer)
    }

    /// Writes the next piece of the tensor whose turn it is.
    pub(crate) fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Ends the tensor: the next one begins on the alignment.
    pub(crate) fn end_tensor(&mut self) -> io::Result<()> {
        let padding = (self.written.next_multiple_of(ALIGNMENT) - self.written) as usize;
        self.piece(&[0; ALIGNMENT as usize][..padding])
    }

    /// How many bytes stand in the file, and what they were written to.
    pub(crate) fn finish(mut self) -> io::Result<(u64, W)> {
        self.out.flush()?;
        Ok((self.written, self.out))
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &OwnedValue) {
    let scalar = |out: &mut Vec<u8>, scalar: ScalarType| out.extend(scalar.number().to_le_bytes());
    let array = |out: &mut Vec<u8>, element: u32, count: usize| {
        out.extend(TYPE_ARRAY.to_le_bytes());
        out.extend(element.to_le_bytes());
        out.extend((count as u64).to_le_bytes());
    };
    match value {
        OwnedValue::U32(number) => {
            scalar(out, ScalarType::U32);
            out.extend(number.to_le_bytes());
        }
        OwnedValue::F32(number) => {
            scalar(out, ScalarType::F32);
            out.extend(number.to_le_bytes());
        }
        OwnedValue::Bool(flag) => {
            scalar(out, ScalarType::Bool);
            out.push(u8::from(*flag));
        }
        OwnedValue::String(text) => {
            out.extend(TYPE_STRING.to_le_bytes());
            put_string(out, text);
        }
        OwnedValue::Strings(texts) => {
            array(out, TYPE_STRING, texts.len());
            for text in texts {
                put_string(out, text);
            }
        }
        OwnedValue::F32s(numbers) => {
            array(out, ScalarType::F32.number(), numbers.len());
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        OwnedValue::I32s(numbers) => {
            array(out, ScalarType::I32.number(), numbers.len());
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        OwnedValue::U32s(numbers) => {
            array(out, ScalarType::U32.number(), numbers.len());
            out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        OwnedValue::Verbatim(bytes) => out.extend(bytes),
    }
}

fn type_number(dtype: DType) -> u32 {
    match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::Q4_0 => 2,
        DType::Q8_0 => 8,
        DType::BF16 => 30,
    }
}
