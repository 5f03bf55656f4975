//! Random models: as large as a bench wants them, and no byte known before.

use std::{collections::HashMap, path::Path};

use anyhow::{Context, Result};
use safetensors::{Dtype, tensor::TensorView};

/// Moves the random weights of a changed layer to another place.
const CHANGED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Sizes of a random model.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    hidden: usize,
    intermediate: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
}

impl Shape {
    /// The shape of SmolLM2-135M, but for the vocabulary.
    pub(crate) const LLAMA_135M: Self = Self {
        hidden: 576,
        intermediate: 1536,
        layers: 30,
        heads: 9,
        kv_heads: 3,
    };
    /// About 512 MiB in F16.
    pub(crate) const HALF_GIB: Self = Self {
        hidden: 1024,
        intermediate: 4096,
        layers: 17,
        heads: 16,
        kv_heads: 8,
    };
    /// About 4 GiB in F16.
    pub(crate) const FOUR_GIB: Self = Self {
        layers: 136,
        ..Self::HALF_GIB
    };

    /// About 7.5 MiB a layer in F16.
    pub(crate) const fn narrow(layers: usize) -> Self {
        Self {
            hidden: 512,
            intermediate: 2048,
            layers,
            heads: 8,
            kv_heads: 4,
        }
    }
}

/// Writes a Hugging Face directory with random F16 weights and the demo's tokenizer. The
/// last `changed` layers are other ones than in a model of which none is changed.
pub(crate) fn random_model(dir: &Path, shape: Shape, changed: usize) -> Result<()> {
    random_weights(dir, shape, changed, 0)
}

/// The same, with another seed for other weights throughout.
pub(crate) fn random_weights(dir: &Path, shape: Shape, changed: usize, seed: u64) -> Result<()> {
    let tensors = all_but_weights(dir, shape)?;
    let layers = shape.layers;
    let first_changed = format!("model.layers.{}.", layers.saturating_sub(changed));
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ seed.wrapping_mul(CHANGED);
    let data: HashMap<String, (Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, dims)| {
            let count: usize = dims.iter().product();
            let norm = dims.len() == 1;
            if changed > 0 && name.starts_with(&first_changed) {
                state ^= CHANGED;
            }
            let mut bytes = Vec::with_capacity(count * 2);
            for _ in 0..count {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let uniform = (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5;
                let value = if norm { 1.0 } else { uniform * 0.1 };
                bytes.extend_from_slice(&half::f16::from_f32(value).to_le_bytes());
            }
            (name, (dims, bytes))
        })
        .collect();
    let views = data
        .iter()
        .map(|(name, (dims, bytes))| Ok((name, TensorView::new(Dtype::F16, dims.clone(), bytes)?)))
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize_to_file(views, None, &dir.join("model.safetensors"))?;
    Ok(())
}

/// Writes a Hugging Face directory that lacks nothing but its weights; the tensors that these
/// have, with their measures.
pub(crate) fn all_but_weights(dir: &Path, shape: Shape) -> Result<Vec<(String, Vec<usize>)>> {
    std::fs::create_dir_all(dir)?;
    let asset = super::infer::newest_asset()?;
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(asset.join(name), dir.join(name))?;
    }
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(asset.join("config.json"))?)?;
    let vocab = config["vocab_size"].as_u64().context("no vocab_size")? as usize;
    let Shape {
        hidden,
        intermediate,
        layers,
        heads,
        kv_heads,
    } = shape;
    let head_dim = hidden / heads;
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab,
        "hidden_size": hidden, "intermediate_size": intermediate, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_dim,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": true, "hidden_act": "silu", "torch_dtype": "float16",
        "bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"],
    });
    std::fs::write(dir.join("config.json"), serde_json::to_vec(&config)?)?;
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocab, hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
    ];
    for layer in 0..layers {
        let kv = kv_heads * head_dim;
        for (name, dims) in [
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![hidden, hidden]),
            ("self_attn.k_proj", vec![kv, hidden]),
            ("self_attn.v_proj", vec![kv, hidden]),
            ("self_attn.o_proj", vec![hidden, hidden]),
            ("mlp.gate_proj", vec![intermediate, hidden]),
            ("mlp.up_proj", vec![intermediate, hidden]),
            ("mlp.down_proj", vec![hidden, intermediate]),
        ] {
            tensors.push((format!("model.layers.{layer}.{name}.weight"), dims));
        }
    }
    Ok(tensors)
}
