//! Tiny models for the tests, made from a seed.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

pub(crate) const VOCAB: usize = 304;
pub(crate) const HIDDEN: usize = 64;
pub(crate) const INNER: usize = 96;
pub(crate) const LAYERS: usize = 2;
pub(crate) const HEADS: usize = 4;
pub(crate) const KV_HEADS: usize = 2;
pub(crate) const HEAD_DIM: usize = 16;
pub(crate) const BOS: u32 = 262;
pub(crate) const EOS: u32 = 263;
pub(crate) const TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}\n<{{ message.role }}>{{ message['content'].strip() }}\n{% endfor %}\n{% if add_generation_prompt %}<assistant>{% endif %}";

pub(crate) type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Numbers that look like weights.
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect()
}

pub(crate) fn config_json(model_type: &str) -> Value {
    json!({
        "model_type": model_type, "vocab_size": VOCAB, "hidden_size": HIDDEN,
        "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": true,
        "bos_token_id": BOS, "eos_token_id": EOS,
    })
}

pub(crate) fn weights(model_type: &str, tied: bool) -> Weights {
    let query = HEADS * HEAD_DIM;
    let key = KV_HEADS * HEAD_DIM;
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
    ];
    if !tied {
        shapes.push(("lm_head.weight".to_owned(), vec![VOCAB, HIDDEN]));
    }
    for layer in 0..LAYERS {
        let mut put = |part: &str, shape: Vec<usize>| {
            shapes.push((format!("model.layers.{layer}.{part}"), shape));
        };
        put("input_layernorm.weight", vec![HIDDEN]);
        put("post_attention_layernorm.weight", vec![HIDDEN]);
        put("self_attn.q_proj.weight", vec![query, HIDDEN]);
        put("self_attn.k_proj.weight", vec![key, HIDDEN]);
        put("self_attn.v_proj.weight", vec![key, HIDDEN]);
        put("self_attn.o_proj.weight", vec![HIDDEN, query]);
        put("mlp.gate_proj.weight", vec![INNER, HIDDEN]);
        put("mlp.up_proj.weight", vec![INNER, HIDDEN]);
        put("mlp.down_proj.weight", vec![HIDDEN, INNER]);
        if model_type == "qwen2" {
            put("self_attn.q_proj.bias", vec![query]);
            put("self_attn.k_proj.bias", vec![key]);
            put("self_attn.v_proj.bias", vec![key]);
        }
    }
    shapes
        .into_iter()
        .enumerate()
        .map(|(seed, (name, shape))| {
            let count = shape.iter().product();
            (name, (shape, numbers(seed as u64 + 1, count)))
        })
        .collect()
}

pub(crate) fn safetensors(weights: &Weights) -> Vec<u8> {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = weights
        .iter()
        .map(|(name, (shape, values))| {
            let bytes = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            (name.clone(), shape.clone(), bytes)
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    safetensors::serialize(views, None).unwrap()
}

/// Writes a whole directory with one weights file.
pub(crate) fn write_directory(directory: &Path, model_type: &str) {
    write_directory_with(
        directory,
        &config_json(model_type),
        &weights(model_type, true),
    );
}

pub(crate) fn write_directory_with(directory: &Path, config: &Value, weights: &Weights) {
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("config.json"), config.to_string()).unwrap();
    fs::write(directory.join("model.safetensors"), safetensors(weights)).unwrap();
    fs::write(
        directory.join("tokenizer.json"),
        tokenizer_json().to_string(),
    )
    .unwrap();
    let tokenizer_config = json!({
        "bos_token": { "content": "<|begin|>", "special": true }, "eos_token": "<|end|>",
        "chat_template": TEMPLATE,
    });
    fs::write(
        directory.join("tokenizer_config.json"),
        tokenizer_config.to_string(),
    )
    .unwrap();
}

/// Byte-level BPE with six merges and two special tokens; puts `<|begin|>` first.
pub(crate) fn tokenizer_json() -> Value {
    let mut vocab = serde_json::Map::new();
    for (id, character) in byte_alphabet().into_iter().enumerate() {
        vocab.insert(character.to_string(), json!(id));
    }
    let merges = [
        ("h", "e"),
        ("Ġ", "t"),
        ("Ġt", "he"),
        ("l", "l"),
        ("he", "ll"),
        ("hell", "o"),
    ];
    for (at, (first, second)) in merges.iter().enumerate() {
        vocab.insert(format!("{first}{second}"), json!(256 + at));
    }
    let special = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "special": true, "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false })
    };
    json!({
        "version": "1.0",
        "truncation": { "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0 },
        "padding": { "strategy": { "Fixed": 128 }, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "!" },
        "added_tokens": [special(BOS, "<|begin|>"), special(EOS, "<|end|>")],
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": { "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "<|begin|>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "<|begin|>": { "id": "<|begin|>", "ids": [BOS], "tokens": ["<|begin|>"] } } },
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "vocab": vocab, "merges": merges.map(|(first, second)| format!("{first} {second}")) },
    })
}

/// GPT-2's printable stand-in for each byte.
fn byte_alphabet() -> Vec<char> {
    let printable = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 256;
    (0..256)
        .map(|byte| {
            let code = if printable(byte) {
                byte
            } else {
                next += 1;
                next - 1
            };
            char::from_u32(code).unwrap()
        })
        .collect()
}
