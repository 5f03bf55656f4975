use std::fs;

use weft_model::{apply_delta, encode_delta};

use crate::folder::with_folder;

/// Bytes before the base: its length.
const LENGTH_BYTES: usize = 2;
/// Where a delta says how long its target is.
const TARGET_BYTES_AT: usize = 16;
/// What one input may make: several pieces of small tensors, or one of a large one.
const MOST_TARGET_BYTES: u64 = 64 << 10;

/// A base and a delta: whatever the delta says, it makes exactly what was asked for or nothing,
/// the same every time; and what it makes can be coded again.
pub(crate) fn delta(input: &[u8]) {
    let Some((length, rest)) = input.split_first_chunk::<LENGTH_BYTES>() else {
        return;
    };
    let (base, delta) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
    // the lengths come from the release; the delta's own let it pass
    let Some(target_bytes) = delta
        .get(TARGET_BYTES_AT..)
        .and_then(|rest| rest.first_chunk())
        .map(|bytes| u64::from_le_bytes(*bytes))
        .filter(|bytes| *bytes <= MOST_TARGET_BYTES)
    else {
        return;
    };
    let made = apply(base, delta, target_bytes);
    assert_eq!(made, apply(base, delta, target_bytes));
    assert_eq!(apply(base, delta, target_bytes + 1), None);
    if let Some(target) = made {
        assert_eq!(target.len() as u64, target_bytes);
        if let Some(again) = encode(base, &target) {
            assert_eq!(apply(base, &again, target_bytes), Some(target));
        }
    }
}

fn apply(base: &[u8], delta: &[u8], target_bytes: u64) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let made = apply_delta(base, base.len() as u64, delta, target_bytes, &mut out);
    assert!(out.len() as u64 <= target_bytes);
    made.is_ok().then_some(out)
}

/// `None` where one of the two begins as a model file and is none.
fn encode(base: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    with_folder(
        "delta",
        |_| (),
        |folder| {
            let (base_path, target_path) = (folder.join("base"), folder.join("target"));
            fs::write(&base_path, base).unwrap();
            fs::write(&target_path, target).unwrap();
            let mut delta = Vec::new();
            encode_delta(&base_path, &target_path, &mut delta).ok()?;
            Some(delta)
        },
    )
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let with = |base: &[u8], target: &[u8]| {
        let mut seed = (base.len() as u16).to_le_bytes().to_vec();
        seed.extend(base);
        seed.extend(encode(base, target).unwrap());
        seed
    };
    let every = model(&TYPES, 0);
    // without its first bytes it is no model
    let plain = &every[8..900];
    let mut seeds = vec![
        with(&every, &model(&TYPES, 1)),
        with(&every, &model(&TYPES, 0)),
        with(&every, &model(&TYPES[1..], 0)),
        with(
            plain,
            &[&plain[..450], b"something new", &plain[450..]].concat(),
        ),
    ];
    for one in &TYPES {
        let one = std::slice::from_ref(one);
        seeds.push(with(&model(one, 0), &model(one, 1)));
        seeds.push(with(&model(one, 0), &model(one, 7)));
    }
    seeds
}

/// A tensor's type in a GGUF file, its elements, and its bytes.
type Type = (u32, u64, usize);
const TYPES: [Type; 5] = [
    (0, 64, 256),
    (1, 96, 192),
    (30, 96, 192),
    (8, 256, 272),
    (2, 256, 144),
];

/// A GGUF file with a tensor of each of these types, and every seventh byte moved by this.
fn model(types: &[Type], moved: u8) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend((types.len() as u64).to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    let mut data: Vec<u8> = Vec::new();
    for (number, elements, bytes) in types {
        let name = format!("t{number}");
        file.extend((name.len() as u64).to_le_bytes());
        file.extend(name.as_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(elements.to_le_bytes());
        file.extend(number.to_le_bytes());
        file.extend((data.len() as u64).to_le_bytes());
        data.extend((0..*bytes).map(|at| {
            let by = if at % 7 == 0 { moved } else { 0 };
            ((at * at) as u8 ^ *number as u8).wrapping_add(by)
        }));
        data.resize(data.len().next_multiple_of(32), 0);
    }
    file.resize(file.len().next_multiple_of(32), 0);
    [file, data].concat()
}
