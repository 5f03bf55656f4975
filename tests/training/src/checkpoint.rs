//! Model folders as Hugging Face lays them out: written, and read back.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::Device;
use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};
use tokenizers::Tokenizer;
use weft_infer::arch::{Llama, LlamaConfig};
use weft_model::ModelSource;

use crate::vocabulary::{self, BEGIN, CHAT_TEMPLATE, END};

/// Positions that the model declares; training lines are far shorter.
pub const CONTEXT_TOKENS: usize = 256;

/// Writes `model` to `folder` in F16 with everything that loading it takes.
pub fn save(folder: &Path, model: &Llama, tokenizer: &Tokenizer) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut stored = BTreeMap::new();
    for tensor in model.named_tensors() {
        let halves = tensor
            .values
            .iter()
            .flat_map(|value| f16::from_f32(*value).to_le_bytes());
        stored.insert(tensor.name, (tensor.shape, halves.collect::<Vec<u8>>()));
    }
    let mut views = Vec::with_capacity(stored.len());
    for (name, (dims, bytes)) in &stored {
        views.push((
            name.as_str(),
            TensorView::new(Dtype::F16, dims.clone(), bytes)?,
        ));
    }
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let weights = safetensors::serialize(views, Some(metadata))?;
    let begin = vocabulary::special_id(tokenizer, BEGIN)?;
    let end = vocabulary::special_id(tokenizer, END)?;
    write_json(
        &folder.join("config.json"),
        &config(model.config(), begin, end),
    )?;
    write_json(
        &folder.join("generation_config.json"),
        &json!({
            "_from_model_config": true,
            "bos_token_id": begin,
            "eos_token_id": end,
            "pad_token_id": end,
            "do_sample": false,
            "max_new_tokens": 64
        }),
    )?;
    write_json(
        &folder.join("tokenizer_config.json"),
        &tokenizer_config(tokenizer)?,
    )?;
    write_json(
        &folder.join("tokenizer.json"),
        &vocabulary::to_json(tokenizer)?,
    )?;
    // The weights last and by rename: a folder that has them is complete.
    let partial = folder.join("model.safetensors.partial");
    fs::write(&partial, weights)?;
    fs::rename(partial, folder.join("model.safetensors"))?;
    Ok(())
}

/// Reads a folder that [`save`] wrote, through the product's own reader.
pub fn load(folder: &Path, device: &Device) -> Result<(Llama, Tokenizer)> {
    let source = ModelSource::open(folder)?;
    let config = LlamaConfig::from_model(source.config(), false);
    let model = Llama::from_named(&config, device, |name| {
        let tensor = source.tensor(name).ok()?;
        Some((tensor.to_f32(), tensor.shape.clone()))
    })?;
    Ok((model, vocabulary::load(&folder.join("tokenizer.json"))?))
}

/// The bytes of every tensor in a safetensors file, by name.
pub fn tensor_bytes(file: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    Ok(tensors
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, view.data().to_vec()))
        .collect())
}

fn config(shape: &LlamaConfig, begin: u32, end: u32) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": false,
        "attention_dropout": 0.0,
        "bos_token_id": begin,
        "eos_token_id": end,
        "pad_token_id": end,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "hidden_size": shape.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": shape.intermediate_size,
        "max_position_embeddings": shape.context_length,
        "mlp_bias": false,
        "model_type": "llama",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "pretraining_tp": 1,
        "rms_norm_eps": shape.rms_norm_eps,
        "rope_scaling": null,
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": shape.tie_embeddings,
        "torch_dtype": "float16",
        "use_cache": true,
        "vocab_size": shape.vocab_size
    })
}

fn tokenizer_config(tokenizer: &Tokenizer) -> Result<Value> {
    let mut added = serde_json::Map::new();
    for token in vocabulary::SPECIAL {
        let id = vocabulary::special_id(tokenizer, token)?;
        added.insert(
            id.to_string(),
            json!({
                "content": token, "lstrip": false, "normalized": false,
                "rstrip": false, "single_word": false, "special": true
            }),
        );
    }
    Ok(json!({
        "add_bos_token": false,
        "add_eos_token": false,
        "add_prefix_space": false,
        "added_tokens_decoder": added,
        "bos_token": BEGIN,
        "eos_token": END,
        "pad_token": END,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": false,
        "model_max_length": CONTEXT_TOKENS,
        "tokenizer_class": "PreTrainedTokenizerFast"
    }))
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
