#![allow(clippy::unwrap_used)]

use std::fs;

use proptest::prelude::*;

use super::{piece, *};
use crate::{
    Quantization, fixture,
    quant::{quantize_q4_0, quantize_q8_0},
    source::ModelSource,
};

/// Normally distributed numbers, from a seed.
fn normal(seed: u64, count: usize, deviation: f32) -> Vec<f32> {
    let uniform = fixture::numbers(seed, 2 * count);
    let pairs = uniform.as_chunks::<2>().0.iter();
    pairs
        .map(|[a, b]| {
            let radius = (-2.0 * (a + 0.5).max(1e-7).ln()).sqrt();
            deviation * radius * (std::f32::consts::TAU * b).cos()
        })
        .collect()
}

fn weights(count: usize, change: f32) -> (Vec<f32>, Vec<f32>) {
    let base = normal(1, count, 0.02);
    let by = normal(2, count, change);
    let target = base.iter().zip(by).map(|(weight, by)| weight + by);
    let target = target.collect();
    (base, target)
}

fn decoded(layout: Layout, base: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let mut target = vec![0xee; base.len()];
    piece::Reader::new()
        .decode(layout, base, payload, &mut target)
        .map(|()| target)
}

/// Bits of the symbols, each by how often it occurs among all.
fn entropy_bytes(symbols: impl Iterator<Item = u8>) -> f64 {
    let mut counts = [0_u64; 256];
    for symbol in symbols {
        counts[usize::from(symbol)] += 1;
    }
    let total: u64 = counts.iter().sum();
    let bits = counts.iter().filter(|count| **count > 0).map(|count| {
        let share = *count as f64 / total as f64;
        -share.log2() * *count as f64
    });
    bits.sum::<f64>() / 8.0
}

/// The order-0 entropy of the differences of the planes: numbers, and the two bytes of scales.
fn bound_bytes(layout: Layout, base: &[u8], target: &[u8]) -> f64 {
    let unit = layout.unit_bytes();
    let blocks = || base.chunks_exact(unit).zip(target.chunks_exact(unit));
    let numbers = |mask: u8, shift: u8| {
        blocks().flat_map(move |(base, target)| {
            let pairs = base[2..].iter().zip(&target[2..]);
            pairs.map(move |(a, b)| (b >> shift & mask).wrapping_sub(a >> shift & mask))
        })
    };
    let numbers = if layout == Layout::Q8_0 {
        entropy_bytes(numbers(0xff, 0))
    } else {
        entropy_bytes(numbers(15, 0).chain(numbers(15, 4)))
    };
    let ordered = |bits: u16| {
        if bits & 0x8000 == 0 {
            bits | 0x8000
        } else {
            !bits
        }
    };
    let scale = |block: &[u8]| ordered(u16::from_le_bytes([block[0], block[1]]));
    let scales: Vec<u16> = blocks()
        .map(|(base, target)| {
            let by = scale(target).wrapping_sub(scale(base)) as i16;
            ((by << 1) ^ (by >> 15)) as u16
        })
        .collect();
    let low = entropy_bytes(scales.iter().map(|scale| *scale as u8));
    let high = entropy_bytes(scales.iter().map(|scale| (*scale >> 8) as u8));
    numbers + low + high
}

#[test]
fn small_changes_cost_no_more_than_their_entropy() {
    for change in [3e-5, 1e-4, 1e-3] {
        let (base, target) = weights(1 << 18, change);
        for (layout, pack) in [
            (Layout::Q8_0, quantize_q8_0 as fn(&[f32]) -> Vec<u8>),
            (Layout::Q4_0, quantize_q4_0),
        ] {
            let (base, target) = (pack(&base), pack(&target));
            let payload = piece::encode(layout, &base, &target);
            assert_eq!(decoded(layout, &base, &payload), Some(target.clone()));
            let bound = bound_bytes(layout, &base, &target);
            let ratio = payload.len() as f64 / bound;
            assert!(ratio < 1.05, "{layout:?} by {change}: {ratio}");
        }
    }
}

#[test]
fn equal_pieces_cost_almost_nothing() {
    for layout in Layout::ALL {
        let bytes: Vec<u8> = (0..layout.piece_bytes())
            .map(|i| ((i * 7) >> 3) as u8)
            .collect();
        let payload = piece::encode(layout, &bytes, &bytes);
        assert!(payload.len() < 100, "{layout:?}: {}", payload.len());
        assert_eq!(decoded(layout, &bytes, &payload), Some(bytes));
    }
}

/// A base, and a target that is it with some bytes changed a little or entirely.
fn pair() -> impl Strategy<Value = (usize, Vec<u8>, Vec<u8>)> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
    (
        0..Layout::ALL.len(),
        0..200_usize,
        any::<u64>(),
        proptest::collection::vec(change, 0..300),
    )
        .prop_map(|(layout, units, seed, changes)| {
            let length = units * Layout::ALL[layout].unit_bytes();
            let numbers = fixture::numbers(seed, length);
            let base: Vec<u8> = numbers.iter().map(|n| (n * 255.0) as i8 as u8).collect();
            let mut target = base.clone();
            for (place, value, whole) in changes.iter().filter(|_| length > 0) {
                let byte = &mut target[place.index(length)];
                *byte = byte.wrapping_add(if *whole { *value } else { value & 1 });
            }
            (layout, base, target)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_piece_comes_back((layout, base, target) in pair()) {
        let layout = Layout::ALL[layout];
        let payload = piece::encode(layout, &base, &target);
        prop_assert_eq!(decoded(layout, &base, &payload), Some(target));
    }

    #[test]
    fn a_damaged_piece_is_refused_or_another((layout, base, target) in pair(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let layout = Layout::ALL[layout];
        let mut payload = piece::encode(layout, &base, &target);
        let at = at.index(payload.len());
        payload[at] ^= 1 << bit;
        // it must end, without a panic; whether it is right is for the file's hash
        let _ = decoded(layout, &base, &payload);
        payload.truncate(at);
        prop_assert_eq!(decoded(layout, &base, &payload), None);
    }

    #[test]
    fn any_two_files_make_a_delta(base in proptest::collection::vec(any::<u8>(), 0..600), cut in 0..600_usize, new in proptest::collection::vec(any::<u8>(), 0..100)) {
        let cut = cut.min(base.len());
        let target = [&base[..cut], &new, &base[cut..]].concat();
        prop_assert_eq!(there_and_back("bin", &base, &target).1, target);
    }
}

fn there_and_back(extension: &str, base: &[u8], target: &[u8]) -> (DeltaSummary, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name).with_extension(extension);
        fs::write(&path, bytes).unwrap();
        path
    };
    let (base_path, target_path) = (put("base", base), put("target", target));
    let mut delta = Vec::new();
    let summary = encode_delta(&base_path, &target_path, &mut delta).unwrap();
    assert_eq!(summary.delta_bytes, delta.len() as u64);
    assert_eq!(
        summary.same_bytes + summary.coded_bytes + summary.raw_bytes,
        target.len() as u64
    );
    let result = apply(base, &delta, target.len()).unwrap();
    (summary, result)
}

fn apply(base: &[u8], delta: &[u8], target_bytes: usize) -> Result<Vec<u8>, ApplyError> {
    let mut out = Vec::new();
    let (base_bytes, target_bytes) = (base.len() as u64, target_bytes as u64);
    apply_delta(base, base_bytes, delta, target_bytes, &mut out).map(|()| out)
}

/// A model of the fixture's shape as a GGUF file; `change` gets each tensor by its number.
fn model(to: Quantization, change: impl Fn(usize, &mut Vec<usize>, &mut Vec<f32>)) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut weights = fixture::weights("llama", true);
    for (number, (shape, values)) in weights.values_mut().enumerate() {
        change(number, shape, values);
    }
    let source = folder.path().join("source");
    fixture::write_directory_with(&source, &fixture::config_json("llama"), &weights);
    let path = folder.path().join("model.gguf");
    crate::quantize(&ModelSource::open(&source).unwrap(), to, &path).unwrap();
    fs::read(path).unwrap()
}

fn moved(number: usize, values: &mut [f32], change: f32) {
    let by = normal(100 + number as u64, values.len(), change);
    for (value, by) in values.iter_mut().zip(by) {
        *value += by;
    }
}

#[test]
fn a_fine_tune_costs_a_part_of_the_file() {
    for (to, most) in [
        (Quantization::Q8_0, 0.15),
        (Quantization::Q4_0, 0.15),
        (Quantization::F16, 0.75),
    ] {
        let base = model(to, |_, _, _| ());
        let target = model(to, |number, _, values| moved(number, values, 1e-3));
        let (summary, result) = there_and_back("gguf", &base, &target);
        assert_eq!(result, target);
        let share = summary.delta_bytes as f64 / summary.target_bytes as f64;
        assert!(share < most, "{to:?}: {share}");
        assert_eq!(summary.raw_bytes, 0);
    }
}

#[test]
fn tensors_that_did_not_change_cost_nothing() {
    let base = model(Quantization::Q8_0, |_, _, _| ());
    let target = model(Quantization::Q8_0, |number, _, values| {
        if number == 3 {
            *values = normal(9, values.len(), 1.0);
        }
    });
    let (summary, result) = there_and_back("gguf", &base, &target);
    assert_eq!(result, target);
    let other = summary.target_bytes - summary.same_bytes;
    assert!(other > 0, "one tensor is new");
    assert!(summary.delta_bytes < other + 100, "{summary:?}");
}

#[test]
fn safetensors_are_paired_by_name_wherever_they_lie() {
    let mut weights = fixture::weights("llama", true);
    let base = fixture::safetensors(&weights);
    weights.insert(
        "a.new.tensor".to_owned(),
        (vec![7, 64], normal(5, 7 * 64, 0.02)),
    );
    let target = fixture::safetensors(&weights);
    let (summary, result) = there_and_back("safetensors", &base, &target);
    assert_eq!(result, target);
    // the new tensor, and the header, which names every tensor's new place
    let new = 7 * 64 * 4 + target.len() as u64 / 20;
    assert!(summary.delta_bytes < new, "{summary:?}");
}

#[test]
fn a_delta_is_for_one_pair_of_files() {
    let (base, target) = (vec![1; 900], vec![2; 500]);
    let folder = tempfile::tempdir().unwrap();
    let (base_path, target_path) = (folder.path().join("a"), folder.path().join("b"));
    fs::write(&base_path, &base).unwrap();
    fs::write(&target_path, &target).unwrap();
    let mut delta = Vec::new();
    encode_delta(&base_path, &target_path, &mut delta).unwrap();
    assert_eq!(apply(&base, &delta, 500).unwrap(), target);
    let other = |base: &[u8], bytes| {
        matches!(
            apply(base, &delta, bytes),
            Err(ApplyError::OtherFiles { .. })
        )
    };
    assert!(other(&base[1..], 500));
    assert!(other(&base, 501));
    for end in 0..delta.len() {
        assert!(
            matches!(
                apply(&base, &delta[..end], 500),
                Err(ApplyError::Damaged(_))
            ),
            "{end}"
        );
    }
    delta.push(0);
    assert!(matches!(
        apply(&base, &delta, 500),
        Err(ApplyError::Damaged(_))
    ));
}

#[test]
fn a_segment_stays_inside_of_both_files() {
    let delta = |segments: &[&[u8]]| {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(10_u64.to_le_bytes());
        bytes.extend(10_u64.to_le_bytes());
        bytes.extend(segments.concat());
        bytes
    };
    let base: Vec<u8> = (0..10).collect();
    let check = |segments: &[&[u8]], expected: Option<&[u8]>| {
        let result = apply(&base, &delta(segments), 10);
        assert_eq!(result.ok().as_deref(), expected, "{segments:?}");
    };
    check(&[&[COPY, 10, 0]], Some(&base));
    // the second half, then from there ten back: the first half
    check(
        &[&[COPY, 5, 10], &[COPY, 5, 19]],
        Some(&[5, 6, 7, 8, 9, 0, 1, 2, 3, 4]),
    );
    check(&[&[COPY, 5, 10], &[COPY, 5, 1]], None);
    check(&[&[COPY, 10, 2]], None);
    check(&[&[COPY, 11, 0]], None);
    check(&[&[COPY, 0, 0], &[COPY, 10, 0]], None);
    // a length that is not in its shortest form
    check(&[&[COPY, 0x8a, 0, 0]], None);
    check(&[&[RAW, 10], &base], Some(&base));
    check(&[&[RAW, 11], &base, &[0]], None);
    check(&[&[CODED + 6, 10, 0, 1, 0]], None);
    // a payload as long as what it makes
    check(&[&[CODED, 10, 0, 10], &[0; 10]], None);
}
