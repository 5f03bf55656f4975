use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Place;
use crate::config::ModelConfig;
use crate::error::OpenError;

/// Holds the tensors against the configuration and returns their names in order.
pub(super) fn check_tensors(
    path: &Path,
    config: &ModelConfig,
    places: &BTreeMap<String, Place>,
) -> Result<Vec<String>, OpenError> {
    let mut names = Vec::with_capacity(places.len());
    for (name, expected, needed) in expected_tensors(config) {
        match places.get(&name) {
            Some(place) if place.shape == expected => names.push(name),
            Some(place) => {
                return Err(OpenError::WrongShape {
                    path: path.to_owned(),
                    name,
                    found: place.shape.clone(),
                    expected,
                });
            }
            None if needed => {
                return Err(OpenError::MissingTensor {
                    path: path.to_owned(),
                    name,
                });
            }
            None => {}
        }
    }
    if names.len() < places.len() {
        let known: BTreeSet<&String> = names.iter().collect();
        if let Some(name) = places.keys().find(|name| !known.contains(name)) {
            return Err(OpenError::UnexpectedTensor {
                path: path.to_owned(),
                name: name.clone(),
            });
        }
    }
    Ok(names)
}

/// Every tensor of the architecture: name, shape, and whether it must be there.
fn expected_tensors(config: &ModelConfig) -> impl Iterator<Item = (String, Vec<usize>, bool)> {
    let hidden = config.hidden_size;
    let inner = config.intermediate_size;
    let query = config.heads * config.head_dim;
    let key = config.kv_heads * config.head_dim;
    let vocab = config.vocab_size;
    let bias = config.attention_bias;
    let tied = config.tie_embeddings;
    let embedding = (
        "model.embed_tokens.weight".to_owned(),
        vec![vocab, hidden],
        true,
    );
    let blocks = (0..config.layers).flat_map(move |layer| {
        let name = move |part: &str| format!("model.layers.{layer}.{part}");
        let mut tensors = vec![
            (name("input_layernorm.weight"), vec![hidden], true),
            (name("self_attn.q_proj.weight"), vec![query, hidden], true),
            (name("self_attn.k_proj.weight"), vec![key, hidden], true),
            (name("self_attn.v_proj.weight"), vec![key, hidden], true),
        ];
        if bias {
            tensors.push((name("self_attn.q_proj.bias"), vec![query], true));
            tensors.push((name("self_attn.k_proj.bias"), vec![key], true));
            tensors.push((name("self_attn.v_proj.bias"), vec![key], true));
            tensors.push((name("self_attn.o_proj.bias"), vec![hidden], false));
        }
        tensors.extend([
            (name("self_attn.o_proj.weight"), vec![hidden, query], true),
            (name("post_attention_layernorm.weight"), vec![hidden], true),
            (name("mlp.gate_proj.weight"), vec![inner, hidden], true),
            (name("mlp.up_proj.weight"), vec![inner, hidden], true),
            (name("mlp.down_proj.weight"), vec![hidden, inner], true),
        ]);
        tensors
    });
    let norm = ("model.norm.weight".to_owned(), vec![hidden], true);
    let head = (!tied).then(|| ("lm_head.weight".to_owned(), vec![vocab, hidden], true));
    std::iter::once(embedding)
        .chain(blocks)
        .chain(std::iter::once(norm))
        .chain(head)
}
