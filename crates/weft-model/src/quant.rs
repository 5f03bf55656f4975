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

#[cfg(test)]
mod tests {
    use super::*;

    /// −127 … 123 in steps of 254/31 would need rounding; whole numbers show the layout.
    #[test]
    fn q8_0_block_by_hand() {
        let mut values = [0.0_f32; BLOCK];
        values[0] = 127.0;
        values[1] = -127.0;
        values[2] = 2.5; // halves go away from zero
        values[3] = -2.5;
        values[31] = 1.0;
        let bytes = quantize_q8_0(&values);
        let mut expected = vec![0x00, 0x3c]; // 1.0 as f16
        expected.extend([127, 0x81, 3, 0xfd]);
        expected.extend([0; 27]);
        expected.push(1);
        assert_eq!(bytes, expected);
        let back = dequantize_q8_0(&bytes);
        assert_eq!(back[..4], [127.0, -127.0, 3.0, -3.0]);
    }

    #[test]
    fn q4_0_block_by_hand() {
        let mut values = [0.0_f32; BLOCK];
        values[0] = -8.0; // the extreme: scale = −8 / −8 = 1
        values[1] = 7.0;
        values[2] = 8.0; // as large, but later, and clipped to 15 − 8
        values[16] = 1.4;
        values[17] = -1.6;
        let bytes = quantize_q4_0(&values);
        let mut expected = vec![0x00, 0x3c];
        expected.extend([0x90, 0x6f, 0x8f]); // high nibble: 1 + 8, −2 + 8, 0 + 8
        expected.extend([0x88; 13]);
        assert_eq!(bytes, expected);
        let back = dequantize_q4_0(&bytes);
        assert_eq!(back[..3], [-8.0, 7.0, 7.0]);
        assert_eq!(back[16..18], [1.0, -2.0]);
    }

    #[test]
    fn q4_0_takes_the_sign_of_the_extreme() {
        let mut values = [0.0_f32; BLOCK];
        values[5] = 4.0;
        let bytes = quantize_q4_0(&values);
        assert_eq!(bytes[..2], [0x00, 0xb8]); // −0.5 as f16
        assert_eq!(bytes[2 + 5], 0x80); // the extreme is nibble 0
        assert_eq!(dequantize_q4_0(&bytes)[5].to_bits(), 4.0_f32.to_bits());
    }

    #[test]
    fn zeros_stay_zeros() {
        let zeros = [0.0_f32; 2 * BLOCK];
        assert_eq!(dequantize_q8_0(&quantize_q8_0(&zeros)), zeros);
        assert_eq!(dequantize_q4_0(&quantize_q4_0(&zeros)), zeros);
    }

    #[test]
    fn errors_stay_within_half_a_step() {
        let values = crate::fixture::numbers(7, 64 * BLOCK);
        let worst = |back: Vec<f32>| {
            values
                .iter()
                .zip(back)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0_f32, f32::max)
        };
        // Half a step of the largest block, 0.5 / 127 and 0.5 / 8, and the scale's rounding; Q4_0
        // clips one step at the end opposite of the extreme.
        assert!(worst(dequantize_q8_0(&quantize_q8_0(&values))) < 0.5 / 127.0 * 0.6);
        assert!(worst(dequantize_q4_0(&quantize_q4_0(&values))) < 0.5 / 8.0 * 1.1);
    }
}
