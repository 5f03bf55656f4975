//! The keys of a GGUF file that weft writes.

use super::{Quantization, QuantizeError};
use crate::config::{ModelConfig, RopeScaling};
use crate::gguf::{self, Header, OwnedValue};
use crate::source::ModelSource;
use crate::tokenizer::Tokenizer;
use crate::{directory, template, vocabulary};

/// The keys for a Hugging Face directory. No name, path, version or date: two versions of a
/// model that differ in weights only have the same header.
pub(super) fn keys_of_directory(
    source: &ModelSource,
    to: Quantization,
) -> Result<Vec<(String, OwnedValue)>, QuantizeError> {
    let config = source.config();
    let mut keys = vec![
        text("general.architecture", config.architecture.name()),
        text("general.type", "model"),
    ];
    keys.extend(storage_keys(to));
    keys.extend(architecture_keys(config));
    let directory = source.path();
    let tokenizer_config = directory::read_json(directory, directory::TOKENIZER_CONFIG)?;
    let Some(json) = directory::read_text(directory, directory::TOKENIZER)? else {
        // llama.cpp's word for a model that is run on token numbers only.
        keys.push(text("tokenizer.ggml.model", "no_vocab"));
        keys.extend(special_token_keys(source));
        return Ok(keys);
    };
    keys.extend(vocabulary::gguf_from_json(&json, config.vocab_size)?);
    keys.extend(special_token_keys(source));
    let adds_bos = Tokenizer::from_json(json.as_bytes())?.adds_first(source.bos_token())?;
    keys.push((
        "tokenizer.ggml.add_bos_token".to_owned(),
        OwnedValue::Bool(adds_bos),
    ));
    if let Some(template) = template::template_text(directory, tokenizer_config.as_ref())? {
        keys.push(text("tokenizer.chat_template", &template));
    }
    keys.push(text(vocabulary::HUGGING_FACE_JSON, &json));
    Ok(keys)
}

/// Another GGUF file's keys, as they stand there.
pub(super) fn keys_of_gguf(
    header: &Header,
    file: &[u8],
    to: Quantization,
) -> Vec<(String, OwnedValue)> {
    let storage = storage_keys(to);
    let mut keys: Vec<(String, OwnedValue)> = header
        .keys
        .iter()
        .filter(|entry| storage.iter().all(|(key, _)| *key != entry.key))
        .map(|entry| {
            let value = OwnedValue::Verbatim(file[entry.range.clone()].to_vec());
            (entry.key.clone(), value)
        })
        .collect();
    // The architecture stands first by convention.
    let at = keys.len().min(1);
    keys.splice(at..at, storage);
    keys
}

/// The keys that say how this file is stored: the only ones that are not the model's own.
fn storage_keys(to: Quantization) -> Vec<(String, OwnedValue)> {
    vec![
        number("general.alignment", gguf::ALIGNMENT as usize),
        number("general.file_type", to.file_type() as usize),
        number("general.quantization_version", 2),
    ]
}

fn architecture_keys(config: &ModelConfig) -> Vec<(String, OwnedValue)> {
    let architecture = config.architecture.name();
    let key = |name: &str| format!("{architecture}.{name}");
    let mut keys = vec![
        number(key("vocab_size"), config.vocab_size),
        number(key("context_length"), config.context_length),
        number(key("embedding_length"), config.hidden_size),
        number(key("block_count"), config.layers),
        number(key("feed_forward_length"), config.intermediate_size),
        number(key("attention.head_count"), config.heads),
        number(key("attention.head_count_kv"), config.kv_heads),
        (
            key("attention.layer_norm_rms_epsilon"),
            OwnedValue::F32(config.rms_norm_eps as f32),
        ),
        number(key("rope.dimension_count"), config.head_dim),
        (
            key("rope.freq_base"),
            OwnedValue::F32(config.rope_theta as f32),
        ),
    ];
    if config.head_dim * config.heads != config.hidden_size {
        keys.push(number(key("attention.key_length"), config.head_dim));
        keys.push(number(key("attention.value_length"), config.head_dim));
    }
    if let Some(RopeScaling::Linear { factor }) = config.rope_scaling {
        keys.push(text(&key("rope.scaling.type"), "linear"));
        keys.push((key("rope.scaling.factor"), OwnedValue::F32(factor as f32)));
    }
    keys
}

fn special_token_keys(source: &ModelSource) -> Vec<(String, OwnedValue)> {
    let mut keys = Vec::new();
    if let Some(id) = source.bos_token() {
        keys.push((
            "tokenizer.ggml.bos_token_id".to_owned(),
            OwnedValue::U32(id),
        ));
    }
    for (key, id) in ["eos", "eot"].iter().zip(source.eos_tokens()) {
        keys.push((
            format!("tokenizer.ggml.{key}_token_id"),
            OwnedValue::U32(*id),
        ));
    }
    if source.eos_tokens().len() > 1 {
        let ids = OwnedValue::U32s(source.eos_tokens().to_vec());
        keys.push((gguf::EOS_TOKENS.to_owned(), ids));
    }
    keys
}

fn text(key: &str, value: &str) -> (String, OwnedValue) {
    (key.to_owned(), OwnedValue::String(value.to_owned()))
}

fn number(key: impl Into<String>, value: usize) -> (String, OwnedValue) {
    (
        key.into(),
        OwnedValue::U32(u32::try_from(value).unwrap_or(u32::MAX)),
    )
}
