use std::fmt;

use half::{bf16, f16};

use crate::quant;

/// How the numbers of one tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// 16-bit brain float: the upper half of an F32.
    BF16,
    /// Blocks of 32 signed bytes behind one F16 scale.
    Q8_0,
    /// Blocks of 32 four-bit numbers behind one F16 scale.
    Q4_0,
}

impl DType {
    /// Numbers in one block: 1 where the format has no blocks.
    pub const fn block_elements(self) -> usize {
        match self {
            DType::F32 | DType::F16 | DType::BF16 => 1,
            DType::Q8_0 | DType::Q4_0 => quant::BLOCK,
        }
    }

    /// Bytes of one block.
    pub const fn block_bytes(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::Q8_0 => quant::Q8_0_BLOCK_BYTES,
            DType::Q4_0 => quant::Q4_0_BLOCK_BYTES,
        }
    }

    /// Bytes of a row of `elements` numbers; `None` where it is not a whole number of blocks or
    /// does not fit.
    pub fn row_bytes(self, elements: usize) -> Option<usize> {
        if !elements.is_multiple_of(self.block_elements()) {
            return None;
        }
        (elements / self.block_elements()).checked_mul(self.block_bytes())
    }

    /// The numbers of whole blocks as 32-bit floats.
    pub fn to_f32(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            DType::F32 => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|&bytes| f32::from_le_bytes(bytes))
                .collect(),
            DType::F16 => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&bytes| f16::from_le_bytes(bytes).to_f32())
                .collect(),
            DType::BF16 => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&bytes| bf16::from_le_bytes(bytes).to_f32())
                .collect(),
            DType::Q8_0 => quant::dequantize_q8_0(bytes),
            DType::Q4_0 => quant::dequantize_q4_0(bytes),
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            DType::F32 => "F32",
            DType::F16 => "F16",
            DType::BF16 => "BF16",
            DType::Q8_0 => "Q8_0",
            DType::Q4_0 => "Q4_0",
        })
    }
}
