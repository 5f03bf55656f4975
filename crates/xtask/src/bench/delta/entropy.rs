//! The order-0 entropy of the differences of two models' planes: what a coder without any
//! knowledge of neighbours or of the quantization could reach at best. It shares nothing with the
//! coder that is held against it.

use std::{collections::HashMap, path::Path};

use anyhow::{Result, bail, ensure};
use weft_model::{BLOCK, DType, ModelSource, Q4_0_BLOCK_BYTES, Q8_0_BLOCK_BYTES};

/// Bytes that the differences of all tensors that changed cost, one plane's statistics for the
/// whole file. Tensors that did not change cost nothing.
pub(super) fn of_differences(base: &Path, target: &Path) -> Result<f64> {
    let (base, target) = (ModelSource::open(base)?, ModelSource::open(target)?);
    let mut planes = Planes::default();
    for name in target.tensor_names() {
        let (old, new) = (base.tensor(name)?, target.tensor(name)?);
        ensure!(
            (old.dtype, old.bytes.len()) == (new.dtype, new.bytes.len()),
            "{name} is of two kinds"
        );
        if old.bytes != new.bytes {
            planes.add(new.dtype, &old.bytes, &new.bytes)?;
        }
    }
    Ok(planes.bytes())
}

/// How often each difference occurs.
#[derive(Default)]
struct Planes {
    /// Of the quantized numbers, eight or four bits wide.
    numbers: HashMap<u8, u64>,
    /// Of the scales, in steps of their format.
    scales: HashMap<u16, u64>,
    /// Of floats, their bytes apart: there are too few of them for whole ones to occur twice.
    floats: [HashMap<u8, u64>; 4],
}

impl Planes {
    fn add(&mut self, dtype: DType, old: &[u8], new: &[u8]) -> Result<()> {
        match dtype {
            DType::Q8_0 => self.blocks(Q8_0_BLOCK_BYTES, old, new, |old, new| {
                [new.wrapping_sub(old), 0]
            }),
            DType::Q4_0 => self.blocks(Q4_0_BLOCK_BYTES, old, new, |old, new| {
                let low = new.wrapping_sub(old) & 15;
                let high = (new >> 4).wrapping_sub(old >> 4) & 15;
                [low, high]
            }),
            DType::F32 => {
                let pairs = old.as_chunks::<4>().0.iter().zip(new.as_chunks::<4>().0);
                for (old, new) in pairs {
                    let [old, new] = [old, new].map(|bytes| ordered(u32::from_le_bytes(*bytes)));
                    let by = new.wrapping_sub(old).to_le_bytes();
                    for (plane, byte) in self.floats.iter_mut().zip(by) {
                        *plane.entry(byte).or_default() += 1;
                    }
                }
            }
            other => bail!("{other} is not measured"),
        }
        Ok(())
    }

    fn blocks(
        &mut self,
        block_bytes: usize,
        old: &[u8],
        new: &[u8],
        differences: fn(u8, u8) -> [u8; 2],
    ) {
        let numbers_of_byte = BLOCK / (block_bytes - 2);
        let blocks = old
            .chunks_exact(block_bytes)
            .zip(new.chunks_exact(block_bytes));
        for (old, new) in blocks {
            let [from, to] = [old, new].map(|block| scale(block[0], block[1]));
            *self.scales.entry(to.wrapping_sub(from)).or_default() += 1;
            for (old, new) in old[2..].iter().zip(&new[2..]) {
                for by in &differences(*old, *new)[..numbers_of_byte] {
                    *self.numbers.entry(*by).or_default() += 1;
                }
            }
        }
    }

    fn bytes(&self) -> f64 {
        let floats: f64 = self.floats.iter().map(entropy_bits).sum();
        (entropy_bits(&self.numbers) + entropy_bits(&self.scales) + floats) / 8.0
    }
}

/// Bits of the symbols, each by how often it occurs among all.
fn entropy_bits<T>(counts: &HashMap<T, u64>) -> f64 {
    let total: u64 = counts.values().sum();
    let of_one = |count: &u64| -(*count as f64 / total as f64).log2() * *count as f64;
    counts.values().map(of_one).sum()
}

/// A scale's bits as a number that is larger where the scale is.
fn scale(low: u8, high: u8) -> u16 {
    let bits = u16::from_le_bytes([low, high]);
    if bits & 0x8000 == 0 {
        bits | 0x8000
    } else {
        !bits
    }
}

fn ordered(bits: u32) -> u32 {
    if bits & 0x8000_0000 == 0 {
        bits | 0x8000_0000
    } else {
        !bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of this scale and these bytes.
    fn blocks(scale: u16, bytes: &[&[u8]]) -> Vec<u8> {
        let one = |bytes: &&[u8]| [&scale.to_le_bytes(), *bytes].concat();
        bytes.iter().flat_map(one).collect()
    }

    fn check(dtype: DType, old: &[u8], new: &[u8], bits: f64) {
        let mut planes = Planes::default();
        planes.add(dtype, old, new).expect("a known format");
        let found = planes.bytes() * 8.0;
        assert!((found - bits).abs() < 1e-6, "{found} instead of {bits}");
    }

    #[test]
    fn one_and_the_same_difference_costs_nothing() {
        let old = blocks(0x3c00, &[&[1; 32], &[9; 32]]);
        let new = blocks(0x3c05, &[&[3; 32], &[11; 32]]);
        check(DType::Q8_0, &old, &new, 0.0);
    }

    #[test]
    fn two_differences_in_halves_cost_a_bit_each() {
        let old = blocks(0x3c00, &[&[1; 32], &[9; 32]]);
        let new = blocks(0x3c00, &[&[1; 32], &[10; 32]]);
        check(DType::Q8_0, &old, &new, 64.0);
        // the low number of each byte moves, the high one stays
        let old = blocks(0x3c00, &[&[0x7f; 16]]);
        let new = blocks(0x3c00, &[&[0x70; 16]]);
        check(DType::Q4_0, &old, &new, 32.0);
    }

    #[test]
    fn floats_are_in_the_order_of_their_values() {
        let old = [1.0_f32, -1.0].map(f32::to_le_bytes).concat();
        let up = |value: f32| f32::from_bits(value.to_bits() + 1).to_le_bytes();
        let down = |value: f32| f32::from_bits(value.to_bits() - 1).to_le_bytes();
        // both a step up
        check(DType::F32, &old, &[up(1.0), down(-1.0)].concat(), 0.0);
        // one up and one down: every byte of the difference is another one
        check(DType::F32, &old, &[up(1.0), up(-1.0)].concat(), 8.0);
    }
}
