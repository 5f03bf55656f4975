use std::borrow::Cow;

use crate::dtype::DType;

/// One tensor as it lies in the file, under its Hugging Face name and in Hugging Face's order.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorView<'a> {
    /// The Hugging Face name, such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// How the numbers are stored.
    pub dtype: DType,
    /// Rows first: `[out, in]` for a matrix.
    pub shape: Vec<usize>,
    /// The stored bytes, row after row. Borrowed from the memory map, but where rows had to be
    /// put back into Hugging Face's order.
    pub bytes: Cow<'a, [u8]>,
}

impl TensorView<'_> {
    /// All numbers as 32-bit floats, row after row.
    pub fn to_f32(&self) -> Vec<f32> {
        self.dtype.to_f32(&self.bytes)
    }

    /// How many numbers there are.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Numbers in one row: the last dimension.
    pub fn row_elements(&self) -> usize {
        self.shape.last().copied().unwrap_or(0)
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.dtype.row_bytes(self.row_elements()).unwrap_or(0)
    }
}

/// Llama's q and k rows in GGUF stand in pairs (0, half, 1, half + 1, …) within each head, where
/// Hugging Face has the two halves one behind the other. `from_gguf` takes rows in GGUF's order
/// to Hugging Face's; otherwise the other way.
pub(crate) fn permute_rows(
    bytes: &[u8],
    heads: usize,
    head_dim: usize,
    row_bytes: usize,
    from_gguf: bool,
) -> Vec<u8> {
    let half = head_dim / 2;
    let mut out = Vec::with_capacity(bytes.len());
    for head in 0..heads {
        for row in 0..head_dim {
            let source = if from_gguf {
                2 * (row % half) + row / half
            } else {
                (row % 2) * half + row / 2
            };
            let start = (head * head_dim + source) * row_bytes;
            out.extend_from_slice(&bytes[start..start + row_bytes]);
        }
    }
    out
}
