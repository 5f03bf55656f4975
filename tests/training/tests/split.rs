//! The held-out lines are really held out.

use std::collections::HashSet;
use std::path::Path;

use weft_training::catalog::{
    HELD_OUT_DEVICES, HELD_OUT_ORDERS, KNOWN_DEVICES, PLAIN_ORDERS, VARIED_ORDERS, all_words,
};
use weft_training::generate::{self, Drawn, Example, Split};
use weft_training::random::Random;
use weft_training::recipe::{
    BATCH, FINETUNE, FINETUNE_SEED, HELD_OUT_LINES, HELD_OUT_SEED, TRAIN, TRAIN_SEED,
};
use weft_training::train::{BATCHES_DRAWN_TOGETHER, Blocks};

/// Lines that each check draws from a split.
const DRAWN: usize = 20_000;

fn drawn(split: Split) -> impl Iterator<Item = Drawn> {
    let mut random = Random::new(99);
    (0..DRAWN).map(move |_| generate::draw(split, &mut random))
}

fn held_out_spellings() -> HashSet<&'static str> {
    all_words()
        .iter()
        .flat_map(|word| word.held_out.iter().copied())
        .collect()
}

fn committed() -> Vec<Example> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/weft/assets/heldout.jsonl");
    let text = std::fs::read_to_string(path).expect("the held-out lines are committed");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("one example a line"))
        .collect()
}

#[test]
fn the_tables_share_nothing() {
    let held_out = held_out_spellings();
    for word in all_words() {
        for known in word.known {
            assert!(!held_out.contains(known), "{known} is known and held out");
        }
    }
    for (prefix, name) in HELD_OUT_DEVICES {
        assert!(
            KNOWN_DEVICES
                .iter()
                .all(|known| known.0 != prefix && known.1 != name)
        );
    }
    for order in HELD_OUT_ORDERS {
        assert!(!PLAIN_ORDERS.contains(&order) && !VARIED_ORDERS.contains(&order));
    }
}

#[test]
fn training_lines_hold_no_held_out_spelling_device_or_order() {
    let spellings = held_out_spellings();
    for split in [Split::Plain, Split::Varied, Split::Wild] {
        for line in drawn(split) {
            for spelling in &line.spellings {
                assert!(
                    !spellings.contains(spelling.as_str()),
                    "{spelling} in {split:?}"
                );
            }
            assert!(
                !HELD_OUT_ORDERS.contains(&line.order),
                "{} in {split:?}",
                line.order
            );
            for (prefix, name) in HELD_OUT_DEVICES {
                let text = &line.example.line;
                assert!(!text.contains(prefix) && !text.contains(name), "{text}");
            }
        }
    }
}

#[test]
fn training_lines_hold_no_held_out_noise() {
    let noise = [
        " | ", " / ", " :: ", "<rx", "~~~", "op:", "crc 0x", "??", "T+", "L1:", "L9:",
    ];
    for split in [Split::Plain, Split::Varied, Split::Wild] {
        for line in drawn(split) {
            for piece in noise {
                assert!(
                    !line.example.line.contains(piece),
                    "{piece} in {}",
                    line.example.line
                );
            }
        }
    }
}

#[test]
fn every_held_out_line_has_an_unseen_device_order_and_noise() {
    let spellings = held_out_spellings();
    let mut spelled = 0;
    for line in drawn(Split::HeldOut) {
        let text = &line.example.line;
        assert!(HELD_OUT_DEVICES.iter().any(|(prefix, name)| {
            [*prefix, *name].contains(&line.device) && text.contains(line.device)
        }));
        assert!(HELD_OUT_ORDERS.contains(&line.order));
        let separated = [" | ", " / ", " :: "]
            .iter()
            .any(|separator| text.contains(separator));
        let junk = ["<rx", "~~~", "op:", "crc 0x", "??"]
            .iter()
            .any(|junk| text.contains(junk));
        assert!(separated || junk, "{text}");
        spelled += usize::from(
            line.spellings
                .iter()
                .any(|spelling| spellings.contains(spelling.as_str())),
        );
    }
    assert!(
        spelled * 100 >= DRAWN * 80,
        "only {spelled} lines have an unseen spelling"
    );
}

#[test]
fn the_committed_lines_are_what_the_generator_draws() {
    assert_eq!(
        committed(),
        generate::lines(Split::HeldOut, HELD_OUT_SEED, HELD_OUT_LINES)
    );
}

#[test]
fn no_committed_line_was_trained_on() {
    let held_out: HashSet<String> = committed()
        .into_iter()
        .map(|example| example.line)
        .collect();
    assert_eq!(held_out.len(), HELD_OUT_LINES);
    for (recipe, seed) in [(TRAIN, TRAIN_SEED), (FINETUNE, FINETUNE_SEED)] {
        let mut blocks = Blocks::new(seed, recipe.others, BATCH);
        for _ in 0..recipe.stop_after.div_ceil(BATCHES_DRAWN_TOGETHER) {
            for line in blocks.draw().0 {
                assert!(
                    !held_out.contains(&line.example.line),
                    "{}",
                    line.example.line
                );
            }
        }
    }
}

#[test]
fn the_same_seed_draws_the_same_lines_and_another_seed_others() {
    for split in [Split::Plain, Split::Varied, Split::Wild, Split::HeldOut] {
        let first = generate::lines(split, 5, 200);
        assert_eq!(first, generate::lines(split, 5, 200));
        assert_ne!(first, generate::lines(split, 6, 200));
    }
}
