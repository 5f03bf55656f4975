#![allow(clippy::unwrap_used)]

use std::fs;

use serde_json::json;

use super::*;
use crate::config::ModelConfig;
use crate::fixture::{
    BOS, EOS, HEADS, HIDDEN, KV_HEADS, VOCAB, config_json, weights, write_directory,
    write_directory_with,
};

struct Fixture {
    folder: tempfile::TempDir,
    source: ModelSource,
}

fn fixture(model_type: &str) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("hub");
    write_directory(&directory, model_type);
    let source = ModelSource::open(&directory).unwrap();
    Fixture { folder, source }
}

impl Fixture {
    fn quantize(&self, to: Quantization) -> (QuantizeSummary, ModelSource) {
        let out = self.folder.path().join(format!("{to}.gguf"));
        let summary = quantize(&self.source, to, &out).unwrap();
        (summary, ModelSource::open(&out).unwrap())
    }
}

#[test]
fn floats_come_back_as_they_were() {
    for model_type in ["llama", "qwen2"] {
        let fixture = fixture(model_type);
        let (summary, gguf) = fixture.quantize(Quantization::F32);
        assert_eq!(*gguf.config(), through_f32(fixture.source.config()));
        assert_eq!(gguf.eos_tokens(), fixture.source.eos_tokens());
        assert_eq!(gguf.bos_token(), fixture.source.bos_token());
        let names = |source: &ModelSource| -> Vec<String> {
            source.tensor_names().map(str::to_owned).collect()
        };
        assert_eq!(names(&gguf), names(&fixture.source));
        for (name, (shape, values)) in weights(model_type, true) {
            let view = gguf.tensor(&name).unwrap();
            assert_eq!(
                (view.shape.as_slice(), view.to_f32()),
                (&shape[..], values),
                "{name}"
            );
        }
        let parameters: usize = weights(model_type, true)
            .values()
            .map(|(_, v)| v.len())
            .sum();
        assert_eq!(summary.parameters, parameters as u64);
        let bytes = fs::read(gguf.path()).unwrap();
        assert_eq!(summary.bytes, bytes.len() as u64);
        assert_eq!(summary.blake3, blake3::hash(&bytes).to_hex().to_string());
    }
}

/// A configuration after a trip through GGUF's 32-bit floats.
fn through_f32(config: &ModelConfig) -> ModelConfig {
    ModelConfig {
        rms_norm_eps: f64::from(config.rms_norm_eps as f32),
        rope_theta: f64::from(config.rope_theta as f32),
        ..config.clone()
    }
}

#[test]
fn matrices_become_blocks_and_vectors_stay_floats() {
    for (to, worst) in [(Quantization::Q8_0, 0.0025), (Quantization::Q4_0, 0.07)] {
        for model_type in ["llama", "qwen2"] {
            let fixture = fixture(model_type);
            let (_, gguf) = fixture.quantize(to);
            for (name, (shape, values)) in weights(model_type, true) {
                let view = gguf.tensor(&name).unwrap();
                if shape.len() == 1 {
                    assert_eq!((view.dtype, view.to_f32()), (DType::F32, values));
                    continue;
                }
                assert_eq!(view.dtype, to.dtype());
                // Rows in the right order, block by block what the reference makes of them.
                assert_eq!(*view.bytes, encode(&values, to.dtype())[..], "{name}");
                let error = view
                    .to_f32()
                    .iter()
                    .zip(&values)
                    .map(|(a, b)| (a - b).abs())
                    .fold(0.0_f32, f32::max);
                assert!(error < worst, "{name}: {error}");
            }
        }
    }
}

/// Only Llama's q and k stand in pairs in the file.
#[test]
fn rows_stand_in_the_file_as_llama_cpp_reads_them() {
    for (model_type, paired) in [("llama", true), ("qwen2", false)] {
        let fixture = fixture(model_type);
        let (_, gguf) = fixture.quantize(Quantization::F32);
        let Container::Gguf(header) = gguf.container() else {
            panic!("a GGUF file");
        };
        for (gguf_name, hub_name, heads) in [
            (
                "blk.1.attn_q.weight",
                "model.layers.1.self_attn.q_proj.weight",
                HEADS,
            ),
            (
                "blk.1.attn_k.weight",
                "model.layers.1.self_attn.k_proj.weight",
                KV_HEADS,
            ),
            (
                "blk.1.attn_v.weight",
                "model.layers.1.self_attn.v_proj.weight",
                0,
            ),
        ] {
            let entry = header
                .tensors
                .iter()
                .find(|entry| entry.name == gguf_name)
                .unwrap();
            let stored = gguf.file_bytes(0)[entry.range.clone()].to_vec();
            let hub = fixture.source.tensor(hub_name).unwrap();
            let row = |at: usize| &hub.bytes[at * HIDDEN * 4..(at + 1) * HIDDEN * 4];
            if paired && heads > 0 {
                // The second row of the first head is Hugging Face's row 8, of 16.
                assert_eq!(stored[HIDDEN * 4..2 * HIDDEN * 4], *row(8));
                assert_eq!(stored[2 * HIDDEN * 4..3 * HIDDEN * 4], *row(1));
            } else {
                assert_eq!(stored, *hub.bytes);
            }
        }
    }
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let fixture = fixture("llama");
    let (first, gguf) = fixture.quantize(Quantization::Q8_0);
    let again = fixture.folder.path().join("again.gguf");
    let second = quantize(&fixture.source, Quantization::Q8_0, &again).unwrap();
    assert_eq!(first, second);
    assert_eq!(fs::read(gguf.path()).unwrap(), fs::read(&again).unwrap());
    // From a GGUF file of full precision it is the same weights and keys again.
    let (_, floats) = fixture.quantize(Quantization::F32);
    let through = fixture.folder.path().join("through.gguf");
    quantize(&floats, Quantization::Q8_0, &through).unwrap();
    let through = ModelSource::open(&through).unwrap();
    assert_eq!(through.config(), gguf.config());
    for name in gguf.tensor_names() {
        assert_eq!(through.tensor(name).unwrap(), gguf.tensor(name).unwrap());
    }
    assert_eq!(
        through
            .tokenizer()
            .unwrap()
            .encode("hello the", true)
            .unwrap(),
        gguf.tokenizer().unwrap().encode("hello the", true).unwrap()
    );
}

#[test]
fn rows_of_partial_blocks_become_f16() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config_json("llama");
    config["intermediate_size"] = json!(40);
    let mut weights = weights("llama", true);
    for layer in 0..2 {
        for (part, shape) in [
            ("gate", [40, HIDDEN]),
            ("up", [40, HIDDEN]),
            ("down", [HIDDEN, 40]),
        ] {
            let values = crate::fixture::numbers(9, 40 * HIDDEN);
            let name = format!("model.layers.{layer}.mlp.{part}_proj.weight");
            weights.insert(name, (shape.to_vec(), values));
        }
    }
    write_directory_with(folder.path(), &config, &weights);
    let out = folder.path().join("out.gguf");
    let source = ModelSource::open(folder.path()).unwrap();
    quantize(&source, Quantization::Q4_0, &out).unwrap();
    let gguf = ModelSource::open(&out).unwrap();
    let dtype = |part: &str| {
        let name = format!("model.layers.0.mlp.{part}_proj.weight");
        gguf.tensor(&name).unwrap().dtype
    };
    assert_eq!((dtype("gate"), dtype("down")), (DType::Q4_0, DType::F16));
}

#[test]
fn rope_factors_travel_as_a_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config_json("llama");
    config["rope_scaling"] = json!({ "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64 });
    write_directory_with(folder.path(), &config, &weights("llama", true));
    let source = ModelSource::open(folder.path()).unwrap();
    let out = folder.path().join("out.gguf");
    quantize(&source, Quantization::F16, &out).unwrap();
    let gguf = ModelSource::open(&out).unwrap();
    assert!(matches!(
        gguf.config().rope_scaling,
        Some(RopeScaling::Factors(_))
    ));
    assert_eq!(
        gguf.config().inverse_frequencies(),
        source.config().inverse_frequencies()
    );
    assert_ne!(source.config().rope_factors().unwrap(), [1.0; 8]);
    // And from there on.
    let again = folder.path().join("again.gguf");
    quantize(&gguf, Quantization::Q8_0, &again).unwrap();
    assert_eq!(ModelSource::open(&again).unwrap().config(), gguf.config());

    config["rope_scaling"] = json!({ "type": "linear", "factor": 2.0 });
    write_directory_with(folder.path(), &config, &weights("llama", true));
    let source = ModelSource::open(folder.path()).unwrap();
    quantize(&source, Quantization::F16, &out).unwrap();
    let gguf = ModelSource::open(&out).unwrap();
    assert_eq!(
        gguf.config().rope_scaling,
        Some(RopeScaling::Linear { factor: 2.0 })
    );
}

#[test]
fn weights_that_cannot_be_stored_are_refused_and_nothing_is_left() {
    for (value, to, refused) in [
        (f32::NAN, Quantization::F32, true),
        (f32::INFINITY, Quantization::Q8_0, true),
        (1e5, Quantization::F16, true),
        (1e5, Quantization::F32, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("hub");
        let mut weights = weights("llama", true);
        weights.get_mut("model.embed_tokens.weight").unwrap().1[77] = value;
        write_directory_with(&directory, &config_json("llama"), &weights);
        let out = folder.path().join("out.gguf");
        fs::write(&out, "what stood here").unwrap();
        let result = quantize(&ModelSource::open(&directory).unwrap(), to, &out);
        if refused {
            let error = result.unwrap_err();
            assert!(
                matches!(error, QuantizeError::Unrepresentable { .. }),
                "{error}"
            );
            assert_eq!(fs::read(&out).unwrap(), b"what stood here");
        } else {
            result.unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}

#[test]
fn a_target_that_cannot_be_written_is_named() {
    let fixture = fixture("llama");
    let out = fixture.folder.path().join("nowhere/out.gguf");
    let error = quantize(&fixture.source, Quantization::F16, &out).unwrap_err();
    assert!(matches!(error, QuantizeError::Write { .. }));
    assert!(error.to_string().contains("nowhere/out.gguf"));
}

#[test]
fn the_keys_that_llama_cpp_needs_are_there() {
    let fixture = fixture("llama");
    let (_, gguf) = fixture.quantize(Quantization::Q8_0);
    let Container::Gguf(header) = gguf.container() else {
        panic!("a GGUF file");
    };
    let file = gguf.file_bytes(0);
    let text = |key: &str| header.string(file, key).unwrap();
    let number = |key: &str| header.unsigned(key).unwrap();
    assert_eq!(header.keys[0].key, "general.architecture");
    assert_eq!(text("general.architecture"), Some("llama"));
    assert_eq!(number("general.file_type"), Some(7));
    assert_eq!(number("llama.attention.head_count_kv"), Some(2));
    assert_eq!(number("llama.rope.dimension_count"), Some(16));
    assert_eq!(text("tokenizer.ggml.model"), Some("gpt2"));
    assert_eq!(text("tokenizer.ggml.pre"), Some("gpt-2"));
    assert_eq!(number("tokenizer.ggml.bos_token_id"), Some(u64::from(BOS)));
    assert_eq!(number("tokenizer.ggml.eos_token_id"), Some(u64::from(EOS)));
    assert_eq!(
        header.bool("tokenizer.ggml.add_bos_token").unwrap(),
        Some(true)
    );
    assert_eq!(
        text("tokenizer.chat_template"),
        Some(crate::fixture::TEMPLATE)
    );
    let tokens: Vec<&str> = header
        .strings(file, "tokenizer.ggml.tokens")
        .unwrap()
        .unwrap()
        .collect();
    assert_eq!(tokens.len(), VOCAB);
    assert_eq!(
        (tokens[BOS as usize], tokens[VOCAB - 1]),
        ("<|begin|>", "[PAD303]")
    );
    let merges = header
        .strings(file, "tokenizer.ggml.merges")
        .unwrap()
        .unwrap();
    assert_eq!(merges.last(), Some("hell o"));
    // Nothing that would differ between two versions of the same shape.
    assert!(header.get("general.name").is_none());
    assert!(header.get("general.version").is_none());
}

#[test]
fn names_of_quantizations() {
    for to in [
        Quantization::F32,
        Quantization::F16,
        Quantization::Q8_0,
        Quantization::Q4_0,
    ] {
        assert_eq!(to.to_string().parse(), Ok(to));
    }
    assert_eq!("q8_0".parse(), Ok(Quantization::Q8_0));
    assert!("q4_k_m".parse::<Quantization>().is_err());
}
