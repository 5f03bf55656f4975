//! The committed weights are what their card says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use weft_model::{Message, ModelSource};
use weft_training::baseline::{Nearest, Rules};
use weft_training::generate::{self, Example, Split};
use weft_training::recipe::{FINETUNE_SEED, FROZEN_FROM, TRAIN_SEED};
use weft_training::train::is_frozen;
use weft_training::{checkpoint, evaluate, vocabulary};

/// No weights file may be larger.
const MAX_WEIGHTS_BYTES: u64 = 4_000_000;
/// Training lines of each kind that the nearest neighbour may look up.
const NEAREST_LINES: usize = 20_000;

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/weft/assets")
}

fn version(number: &str) -> PathBuf {
    assets().join(format!("incident-{number}"))
}

fn tensors(number: &str) -> BTreeMap<String, Vec<u8>> {
    checkpoint::tensor_bytes(&version(number).join("model.safetensors")).expect("weights")
}

fn held_out() -> Vec<Example> {
    let text = fs::read_to_string(assets().join("heldout.jsonl")).expect("held-out lines");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("one example a line"))
        .collect()
}

fn percent(right: &[bool]) -> f64 {
    100.0 * right.iter().filter(|right| **right).count() as f64 / right.len() as f64
}

fn model_percent(number: &str, examples: &[Example]) -> f64 {
    let device = Device::flex();
    let (model, tokenizer) = checkpoint::load(&version(number), &device).expect("model");
    let right = evaluate::exact_matches(&model, &tokenizer, examples, &device).expect("scores");
    percent(&right)
}

#[test]
fn frozen_tensors_are_the_same_bytes_and_the_others_are_not() {
    let (old, new) = (tensors("1.0.0"), tensors("1.1.0"));
    assert!(old.keys().eq(new.keys()));
    let (mut same, mut all) = (0, 0);
    for (name, bytes) in &old {
        let frozen = is_frozen(name, FROZEN_FROM);
        assert_eq!(frozen, *bytes == new[name], "{name}");
        same += if frozen { bytes.len() } else { 0 };
        all += bytes.len();
    }
    assert!(same * 100 > all * 35, "{same} of {all} bytes are reused");
}

#[test]
fn each_weights_file_is_small_and_in_half_precision() {
    for number in ["1.0.0", "1.1.0"] {
        let folder = version(number);
        let size = fs::metadata(folder.join("model.safetensors"))
            .expect("weights")
            .len();
        assert!(size <= MAX_WEIGHTS_BYTES, "{number}: {size}");
        let config = fs::read_to_string(folder.join("config.json")).expect("config");
        assert!(config.contains("\"torch_dtype\": \"float16\""));
    }
}

#[test]
fn both_versions_have_one_tokenizer_and_one_configuration() {
    for file in [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ] {
        let read = |number: &str| fs::read(version(number).join(file)).expect("a file");
        assert_eq!(read("1.0.0"), read("1.1.0"), "{file}");
    }
}

#[test]
fn the_chat_template_makes_the_prompt_of_the_training() {
    let source = ModelSource::open(&version("1.1.0")).expect("opens");
    let template = source
        .chat_template()
        .expect("a good template")
        .expect("a template");
    let line = "03:12 PMP-204 brg temp 96C>85 vib hi";
    let rendered = template
        .render(&[Message::new("user", line)], true)
        .expect("renders");
    let tokenizer = source.tokenizer().expect("tokenizer");
    let ids = tokenizer.encode(&rendered, false).expect("encodes");
    let trained = vocabulary::load(&version("1.1.0").join("tokenizer.json")).expect("tokenizer");
    assert_eq!(ids, vocabulary::prompt(&trained, line).expect("encodes"));
    let end = vocabulary::special_id(&trained, vocabulary::END).expect("an end");
    assert_eq!(source.eos_tokens(), [end]);
    assert_eq!(source.bos_token(), Some(ids[0]));
}

#[test]
fn the_newer_version_is_as_good_as_its_card_says() {
    let examples = held_out();
    let (old, new) = (
        model_percent("1.0.0", &examples),
        model_percent("1.1.0", &examples),
    );
    let rules = Rules::new().expect("rules");
    let by_rules: Vec<bool> = examples
        .iter()
        .map(|example| rules.answer(&example.line).as_ref() == Some(&example.expected))
        .collect();
    let mut known = generate::lines(Split::Plain, TRAIN_SEED, NEAREST_LINES);
    known.extend(generate::lines(Split::Wild, FINETUNE_SEED, NEAREST_LINES));
    let nearest = Nearest::new(&known);
    let by_nearest: Vec<bool> = examples
        .iter()
        .map(|example| nearest.answer(&example.line).as_ref() == Some(&example.expected))
        .collect();
    let (rules, nearest) = (percent(&by_rules), percent(&by_nearest));
    assert!(new >= 80.0, "1.1.0 has {new:.1} %");
    assert!(new >= old + 10.0, "1.1.0 has {new:.1} %, 1.0.0 {old:.1} %");
    assert!(
        new >= rules + 15.0,
        "1.1.0 has {new:.1} %, the rules {rules:.1} %"
    );
    assert!(
        new >= nearest + 15.0,
        "1.1.0 has {new:.1} %, the nearest line {nearest:.1} %"
    );
}
