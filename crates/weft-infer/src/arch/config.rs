use serde::{Deserialize, Serialize};
use weft_model::{Architecture, ModelConfig};

use super::names;

/// The sizes and constants of one model of the Llama family (Llama, Qwen2 and what shares their
/// shape).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LlamaConfig {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head; even, and not always `hidden_size / heads`.
    pub head_dim: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// A divisor for each of the `head_dim / 2` rotary frequencies: what Llama 3's scaling comes
    /// to. Absent where nothing is scaled.
    pub rope_factors: Option<Vec<f32>>,
    /// What RMS norm adds to the mean square.
    pub rms_norm_eps: f64,
    /// Whether q, k and v have biases (Qwen2).
    pub attention_bias: bool,
    /// Whether attention's output has a bias (some Llamas; never Qwen2).
    pub output_bias: bool,
    /// Whether the embedding is the output head too.
    pub tie_embeddings: bool,
    /// The longest sequence that the model was made for.
    pub context_length: usize,
}

impl LlamaConfig {
    /// The configuration that a model file declares. `output_bias` says whether the file has a
    /// bias behind attention's output: no configuration names that in one way.
    pub fn from_model(model: &ModelConfig, output_bias: bool) -> LlamaConfig {
        LlamaConfig {
            vocab_size: model.vocab_size,
            hidden_size: model.hidden_size,
            intermediate_size: model.intermediate_size,
            layers: model.layers,
            heads: model.heads,
            kv_heads: model.kv_heads,
            head_dim: model.head_dim,
            rope_theta: model.rope_theta,
            rope_factors: model.rope_factors(),
            rms_norm_eps: model.rms_norm_eps,
            attention_bias: model.attention_bias,
            output_bias: output_bias && model.architecture == Architecture::Llama,
            tie_embeddings: model.tie_embeddings,
            context_length: model.context_length,
        }
    }

    /// Every tensor of the model: its Hugging Face name and its shape, rows (outputs) first.
    pub fn tensor_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let hidden = self.hidden_size;
        let inner = self.intermediate_size;
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let mut shapes = vec![(names::EMBED.to_owned(), vec![self.vocab_size, hidden])];
        for layer in 0..self.layers {
            let mut push = |part: &str, shape: Vec<usize>| {
                shapes.push((names::in_layer(layer, part), shape));
            };
            push(names::INPUT_NORM, vec![hidden]);
            for (part, out) in [(names::Q, q), (names::K, kv), (names::V, kv)] {
                push(&names::weight(part), vec![out, hidden]);
                if self.attention_bias {
                    push(&names::bias(part), vec![out]);
                }
            }
            push(&names::weight(names::O), vec![hidden, q]);
            if self.output_bias {
                push(&names::bias(names::O), vec![hidden]);
            }
            push(names::POST_NORM, vec![hidden]);
            push(&names::weight(names::GATE), vec![inner, hidden]);
            push(&names::weight(names::UP), vec![inner, hidden]);
            push(&names::weight(names::DOWN), vec![hidden, inner]);
        }
        shapes.push((names::FINAL_NORM.to_owned(), vec![hidden]));
        if !self.tie_embeddings {
            shapes.push((names::weight(names::HEAD), vec![self.vocab_size, hidden]));
        }
        shapes
    }

    /// How many numbers the model has. Saturates: a configuration may be hostile.
    pub fn parameters(&self) -> u64 {
        self.tensor_shapes().iter().fold(0_u64, |sum, (_, shape)| {
            let elements = shape
                .iter()
                .fold(1_u64, |product, &size| product.saturating_mul(size as u64));
            sum.saturating_add(elements)
        })
    }

    /// The rotary frequencies of a head, with their scaling applied.
    pub(crate) fn inverse_frequencies(&self) -> Vec<f32> {
        (0..self.head_dim / 2)
            .map(|index| {
                let exponent = -(2.0 * index as f64) / self.head_dim as f64;
                let factor = self
                    .rope_factors
                    .as_ref()
                    .map_or(1.0, |factors| f64::from(factors[index]));
                (self.rope_theta.powf(exponent) / factor) as f32
            })
            .collect()
    }
}
