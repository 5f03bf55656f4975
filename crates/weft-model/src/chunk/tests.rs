#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;

use super::*;
use crate::fixture::{config_json, weights, write_directory, write_directory_with};
use crate::quantize::{Quantization, quantize};
use crate::source::ModelSource;

/// Where each chunk lies.
fn places(map: &ChunkMap) -> Vec<(Range<usize>, [u8; 32])> {
    let mut at = 0;
    map.chunks
        .iter()
        .map(|chunk| {
            let start = at;
            at += chunk.length as usize;
            (start..at, chunk.hash.0)
        })
        .collect()
}

#[test]
fn boundaries_fall_on_large_tensors() {
    const K: usize = 1024;
    let check = |file: usize, tensors: &[Range<usize>], expected: &[usize]| {
        assert_eq!(cut(file, tensors.to_vec()), expected);
    };
    check(0, &[], &[]);
    check(5, &[], &[5]);
    check(600 * K, &[], &[256 * K, 256 * K, 88 * K]);
    // A header, a tensor of one and a half chunks, a small tensor that goes with its end.
    check(
        390 * K,
        &[3 * K..387 * K, 387 * K..389 * K],
        &[3 * K, 256 * K, 131 * K],
    );
    // There is no room at the end of a full chunk.
    check(
        260 * K,
        std::slice::from_ref(&(2 * K..258 * K)),
        &[2 * K, 256 * K, 2 * K],
    );
    // Two tensors side by side, in any order; small ones between them that are worth a chunk.
    check(
        40 * K,
        &[26 * K..40 * K, K..16 * K, 16 * K..19 * K, 19 * K..22 * K],
        &[K, 15 * K, 10 * K, 14 * K],
    );
    // Larger files have longer chunks.
    assert_eq!(cut(64 << 20, Vec::new())[0], 512 * K);
    assert_eq!(cut(512 << 20, Vec::new())[0], 1024 * K);
}

proptest! {
    #[test]
    fn chunks_cover_the_file_and_no_tensor_shares_one(
        sizes in proptest::collection::vec((0_usize..40, 0_usize..700_000), 0..12),
        header in 1_usize..300_000,
    ) {
        let mut at = header;
        let mut tensors = Vec::new();
        for (gap, size) in sizes {
            at += gap;
            tensors.push(at..at + size);
            at += size;
        }
        let lengths = cut(at, tensors.clone());
        prop_assert_eq!(lengths.iter().sum::<usize>(), at);
        prop_assert!(lengths.iter().all(|length| (1..=LARGEST_CHUNK_BYTES).contains(length)));
        let mut starts = BTreeSet::new();
        let mut start = 0;
        for length in &lengths {
            starts.insert(start);
            start += length;
        }
        for tensor in tensors.iter().filter(|tensor| tensor.len() >= MIN_OWN_CHUNK_BYTES) {
            prop_assert!(starts.contains(&tensor.start));
        }
        // At worst a header, a piece and a rest for each large tensor beyond the full chunks.
        prop_assert!(lengths.len() <= at / (256 << 10) + 2 * tensors.len() + 1);
    }
}

#[test]
fn a_fine_tune_changes_the_chunks_of_its_tensors_only() {
    let folder = tempfile::tempdir().unwrap();
    let first = weights("llama", true);
    let mut second = first.clone();
    let changed = [
        "model.layers.1.mlp.up_proj.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.input_layernorm.weight",
    ];
    for name in changed {
        second.get_mut(name).unwrap().1[3] += 0.25;
    }
    let gguf = |name: &str, weights| {
        let directory = folder.path().join(name);
        write_directory_with(&directory, &config_json("llama"), weights);
        let out = folder.path().join(format!("{name}.gguf"));
        let source = ModelSource::open(&directory).unwrap();
        quantize(&source, Quantization::F16, &out).unwrap();
        (out.clone(), chunk_map(&out).unwrap())
    };
    let (path, first) = gguf("first", &first);
    let (_, second) = gguf("second", &second);

    let file = fs::read(&path).unwrap();
    let header = Header::parse(&file).unwrap();
    let touched: Vec<Range<usize>> = changed
        .iter()
        .map(|name| crate::gguf::gguf_name(name).unwrap())
        .map(|name| {
            header
                .tensors
                .iter()
                .find(|tensor| tensor.name == name)
                .unwrap()
        })
        .map(|tensor| tensor.range.clone())
        .collect();
    let mut differing = 0;
    for ((place, hash), (other_place, other_hash)) in places(&first).iter().zip(places(&second)) {
        assert_eq!(*place, other_place);
        let overlaps = touched
            .iter()
            .any(|tensor| tensor.start < place.end && place.start < tensor.end);
        assert_eq!(*hash != other_hash, overlaps, "{place:?}");
        differing += usize::from(overlaps);
        assert_eq!(*hash, <[u8; 32]>::from(blake3::hash(&file[place.clone()])));
    }
    // One chunk each for two matrices and the norms, which stand together.
    assert_eq!(differing, 3);
    assert!(first.chunks.len() > 12, "{}", first.chunks.len());
}

#[test]
fn safetensors_are_cut_along_their_tensors() {
    let folder = tempfile::tempdir().unwrap();
    write_directory(folder.path(), "qwen2");
    let path = folder.path().join("model.safetensors");
    let map = chunk_map(&path).unwrap();
    let file = fs::read(&path).unwrap();
    let starts: BTreeSet<usize> = places(&map).iter().map(|(range, _)| range.start).collect();
    let entries = crate::safetensors_file::entries(&file).unwrap();
    for entry in entries
        .iter()
        .filter(|entry| entry.range.len() >= MIN_OWN_CHUNK_BYTES)
    {
        assert!(starts.contains(&entry.range.start), "{}", entry.name);
    }
    map.check(file.len() as u64).unwrap();
    assert_eq!(ChunkMap::decode(&map.encode(), file.len() as u64), Ok(map));
}

#[test]
fn other_files_and_damaged_ones() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        chunk_map(&path)
    };
    assert_eq!(write("notes.txt", b"hello").unwrap().chunks.len(), 1);
    assert!(matches!(write("empty", b""), Err(ChunkError::Empty { .. })));
    assert!(matches!(
        write("a.gguf", b"GGUF"),
        Err(ChunkError::Gguf { .. })
    ));
    assert!(matches!(
        write("a.safetensors", b"x"),
        Err(ChunkError::Safetensors { .. })
    ));
    assert!(matches!(
        chunk_map(folder.path()),
        Err(ChunkError::Io { .. })
    ));
    let nowhere = chunk_map(&folder.path().join("nowhere")).unwrap_err();
    assert!(nowhere.to_string().contains("nowhere"));
}
