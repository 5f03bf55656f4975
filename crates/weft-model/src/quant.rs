//! Block quantization, number for number as ggml's reference does it.
//!
//! ```text
//! Q8_0, 34 bytes: | scale f16 | q0 … q31, i8 |                value = scale · q
//! Q4_0, 18 bytes: | scale f16 | b0 … b15 |                    value = scale · (nibble − 8)
//!                   b_j holds number j in its low and number 16 + j in its high nibble
//! ```

use half::f16;

/// Numbers in one quantization block.
pub const BLOCK: usize = 32;
/// Bytes of one Q8_0 block.
pub const Q8_0_BLOCK_BYTES: usize = 2 + BLOCK;
/// Bytes of one Q4_0 block.
pub const Q4_0_BLOCK_BYTES: usize = 2 + BLOCK / 2;

/// Quantizes to Q8_0. What is left over behind the last whole block is ignored: callers give
/// whole rows.
pub fn quantize_q8_0(values: &[f32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() / BLOCK * Q8_0_BLOCK_BYTES);
    for block in values.chunks_exact(BLOCK) {
        let largest = block.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
        let scale = largest / 127.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        out.extend_from_slice(&f16::from_f32(scale).to_le_bytes());
        out.extend(
            block
                .iter()
                .map(|value| ((value * inverse).round() as i8) as u8),
        );
    }
    out
}

/// Quantizes to Q4_0. What is left over behind the last whole block is ignored: callers give
/// whole rows.
pub fn quantize_q4_0(values: &[f32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() / BLOCK * Q4_0_BLOCK_BYTES);
    for block in values.chunks_exact(BLOCK) {
        // The number of the largest magnitude, with its sign, maps to −8 exactly.
        let extreme = block
            .iter()
            .fold(0.0_f32, |max, &v| if v.abs() > max.abs() { v } else { max });
        let scale = extreme / -8.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        out.extend_from_slice(&f16::from_f32(scale).to_le_bytes());
        let nibble = |value: f32| ((value * inverse + 8.5) as i8).clamp(0, 15) as u8;
        let (low, high) = block.split_at(BLOCK / 2);
        out.extend(
            low.iter()
                .zip(high)
                .map(|(&low, &high)| nibble(low) | (nibble(high) << 4)),
        );
    }
    out
}

/// The numbers of whole Q8_0 blocks.
pub fn dequantize_q8_0(bytes: &[u8]) -> Vec<f32> {
    let mut out = Vec::with_capacity(bytes.len() / Q8_0_BLOCK_BYTES * BLOCK);
    for block in bytes.chunks_exact(Q8_0_BLOCK_BYTES) {
        let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
        out.extend(block[2..].iter().map(|&q| f32::from(q as i8) * scale));
    }
    out
}

/// The numbers of whole Q4_0 blocks.
pub fn dequantize_q4_0(bytes: &[u8]) -> Vec<f32> {
    let mut out = Vec::with_capacity(bytes.len() / Q4_0_BLOCK_BYTES * BLOCK);
    for block in bytes.chunks_exact(Q4_0_BLOCK_BYTES) {
        let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
        let value = |nibble: u8| f32::from(nibble as i8 - 8) * scale;
        out.extend(block[2..].iter().map(|&byte| value(byte & 0x0f)));
        out.extend(block[2..].iter().map(|&byte| value(byte >> 4)));
    }
    out
}
