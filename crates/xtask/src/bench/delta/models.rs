//! Pairs of models with random weights.

use std::path::{Path, PathBuf};

use anyhow::Result;
use safetensors::{Dtype, tensor::TensorView};

use super::super::model::{Shape, all_but_weights};

/// What weights spread by.
const SPREAD: f32 = 0.02;
/// 63 million weights: 67 MB in Q8_0, 35 MB in Q4_0.
const SYNTHETIC: Shape = Shape::narrow(16);
/// 32 million weights: 63 MB in F16.
const CHANGED: Shape = Shape::narrow(8);
/// Tensors that another training replaced.
const REPLACED: [&str; 4] = [
    "model.layers.3.mlp.up_proj.weight",
    "model.layers.1.self_attn.q_proj.weight",
    "model.layers.6.self_attn.q_proj.weight",
    "model.layers.5.self_attn.v_proj.weight",
];
/// Stands before all others.
const INSERTED: (&str, [usize; 2]) = ("model.adapter.weight", [128, 512]);

/// Writes a Hugging Face directory whose weights are N(0, 0.02), each moved by N(0, `change`) if
/// there is one. The same weights every time.
pub(super) fn normal(dir: &Path, change: Option<f32>) -> Result<PathBuf> {
    let tensors = all_but_weights(dir, SYNTHETIC)?;
    let tensors = tensors.into_iter().enumerate().map(|(seed, (name, dims))| {
        let mut values = weights(seed as u64, &dims);
        if let Some(change) = change.filter(|_| dims.len() > 1) {
            let mut by = Normal::new(1_000_000 + seed as u64);
            for value in &mut values {
                *value += change * by.next();
            }
        }
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        (name, dims, bytes.collect())
    });
    write(
        &dir.join("model.safetensors"),
        Dtype::F32,
        tensors.collect(),
    )?;
    Ok(dir.to_owned())
}

/// Two files of F16 weights, and how many bytes of the second are of tensors that the first has
/// not.
pub(super) struct Changed {
    pub(super) base: PathBuf,
    pub(super) target: PathBuf,
    pub(super) new_bytes: u64,
}

pub(super) fn changed(dir: &Path) -> Result<Changed> {
    let tensors = all_but_weights(&dir.join("changed"), CHANGED)?;
    let mut new_bytes = 0;
    let file = |name: &str, tensors: Vec<Tensor>| -> Result<PathBuf> {
        let path = dir.join(name);
        write(&path, Dtype::F16, tensors)?;
        Ok(path)
    };
    let base = tensors
        .iter()
        .enumerate()
        .map(|(seed, (name, dims))| (name.clone(), dims.clone(), halves(seed as u64, dims)));
    let base = file("base.safetensors", base.collect())?;
    let mut target = vec![(
        INSERTED.0.to_owned(),
        INSERTED.1.to_vec(),
        halves(3_000_000, &INSERTED.1),
    )];
    new_bytes += target[0].2.len() as u64;
    for (seed, (name, dims)) in tensors.into_iter().enumerate() {
        let replaced = REPLACED.contains(&name.as_str());
        let seed = seed as u64 + if replaced { 2_000_000 } else { 0 };
        let bytes = halves(seed, &dims);
        new_bytes += if replaced { bytes.len() as u64 } else { 0 };
        target.push((name, dims, bytes));
    }
    Ok(Changed {
        base,
        target: file("target.safetensors", target)?,
        new_bytes,
    })
}

type Tensor = (String, Vec<usize>, Vec<u8>);

fn write(path: &Path, dtype: Dtype, tensors: Vec<Tensor>) -> Result<()> {
    let views = tensors
        .iter()
        .map(|(name, dims, bytes)| Ok((name, TensorView::new(dtype, dims.clone(), bytes)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(safetensors::serialize_to_file(views, None, path)?)
}

/// Norms are ones.
fn weights(seed: u64, dims: &[usize]) -> Vec<f32> {
    let count = dims.iter().product();
    if dims.len() == 1 {
        return vec![1.0; count];
    }
    let mut random = Normal::new(seed);
    (0..count).map(|_| SPREAD * random.next()).collect()
}

fn halves(seed: u64, dims: &[usize]) -> Vec<u8> {
    let values = weights(seed, dims);
    let halves = values.iter().map(|value| half::f16::from_f32(*value));
    halves.flat_map(half::f16::to_le_bytes).collect()
}

/// Numbers with mean 0 and deviation 1, two at a time (Box and Muller).
struct Normal {
    state: u64,
    other: Option<f32>,
}

impl Normal {
    /// The seed is mixed before it becomes a state: states that lie a few steps apart would give
    /// the same numbers a few places on, and every tensor would be found again in its neighbour.
    fn new(seed: u64) -> Self {
        Self {
            state: mix(seed.wrapping_add(STEP)),
            other: None,
        }
    }

    fn next(&mut self) -> f32 {
        if let Some(other) = self.other.take() {
            return other;
        }
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let (sine, cosine) = (std::f32::consts::TAU * self.unit()).sin_cos();
        self.other = Some(radius * sine);
        radius * cosine
    }

    /// In `[0, 1)` (SplitMix64).
    fn unit(&mut self) -> f32 {
        self.state = self.state.wrapping_add(STEP);
        (mix(self.state) >> 40) as f32 / (1_u64 << 24) as f32
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const MANY: usize = 1 << 16;

    fn numbers(seed: u64) -> Vec<f32> {
        let mut random = Normal::new(seed);
        (0..MANY).map(|_| random.next()).collect()
    }

    #[test]
    fn numbers_are_spread_as_they_should_be() {
        let numbers = numbers(3);
        let mean = numbers.iter().sum::<f32>() / MANY as f32;
        let square = numbers.iter().map(|number| number * number).sum::<f32>() / MANY as f32;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((square - 1.0).abs() < 0.02, "{square}");
    }

    /// Else programs that look for repeated bytes do well on what no real model has.
    #[test]
    fn no_tensor_is_found_again_in_another() {
        let fours = |numbers: &[f32]| -> HashSet<[u32; 4]> {
            let windows = numbers.windows(4);
            windows
                .map(|four| std::array::from_fn(|at| four[at].to_bits()))
                .collect()
        };
        let mut seen = HashSet::new();
        for seed in (0..6).chain([1_000_000, 1_000_001, 2_000_003, 3_000_000]) {
            let of_one = fours(&numbers(seed));
            assert!(seen.is_disjoint(&of_one), "seed {seed}");
            seen.extend(of_one);
        }
    }
}
