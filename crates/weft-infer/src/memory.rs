use crate::arch::LlamaConfig;

/// Tokens that are computed in one pass of a long prompt: enough that the matrix products are
/// busy, few enough that what a pass needs stays small beside the weights.
pub(crate) const PREFILL_TOKENS: usize = 256;

const F32_BYTES: u64 = 4;

/// What a model needs in memory, known from its configuration alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MemoryNeed {
    /// The weights, as 32-bit floats.
    pub weights_bytes: u64,
    /// Keys and values of a full context.
    pub cache_bytes: u64,
    /// What one pass needs beside them, and what loading needs for a moment.
    pub working_bytes: u64,
}

impl MemoryNeed {
    /// Of a model whose cache may hold `context_length` tokens. Saturates: the numbers may come
    /// from a hostile file.
    pub fn of(config: &LlamaConfig, context_length: usize) -> MemoryNeed {
        MemoryNeed {
            weights_bytes: config.parameters().saturating_mul(F32_BYTES),
            cache_bytes: cache_bytes(config, context_length),
            working_bytes: working_bytes(config, context_length),
        }
    }

    /// All of it.
    pub fn total_bytes(&self) -> u64 {
        self.weights_bytes
            .saturating_add(self.cache_bytes)
            .saturating_add(self.working_bytes)
    }
}

/// Keys and values of `tokens` tokens in every layer.
pub(crate) fn cache_bytes(config: &LlamaConfig, tokens: usize) -> u64 {
    product(&[2, config.layers, config.kv_heads, config.head_dim, tokens])
}

fn working_bytes(config: &LlamaConfig, context_length: usize) -> u64 {
    let rows = PREFILL_TOKENS.min(context_length);
    // Scores, their mask and the softmax between them.
    let attention = product(&[4, config.heads, rows, context_length]);
    // Gate, up, their product and the streams beside them.
    let feed_forward = product(&[4, rows, config.intermediate_size + config.hidden_size]);
    // A layer's keys and values while they are joined with the new ones.
    let joined = product(&[2, config.kv_heads, config.head_dim, context_length]);
    let pass = attention
        .saturating_add(feed_forward)
        .saturating_add(joined);
    // While loading, a matrix stands in both layouts for a moment.
    let largest = config
        .tensor_shapes()
        .iter()
        .map(|(_, shape)| product(shape))
        .max()
        .unwrap_or(0);
    pass.max(largest.saturating_mul(2))
}

fn product(sizes: &[usize]) -> u64 {
    sizes.iter().fold(F32_BYTES, |product, &size| {
        product.saturating_mul(size as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> LlamaConfig {
        LlamaConfig {
            vocab_size: 320,
            hidden_size: 64,
            intermediate_size: 160,
            layers: 3,
            heads: 4,
            kv_heads: 2,
            head_dim: 16,
            rope_theta: 10_000.0,
            rope_factors: None,
            rms_norm_eps: 1e-5,
            attention_bias: false,
            output_bias: false,
            tie_embeddings: true,
            context_length: 256,
        }
    }

    #[test]
    fn the_need_is_counted_from_the_sizes() {
        let need = MemoryNeed::of(&config(), 100);
        let layer = 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 160 + 2 * 64;
        assert_eq!(need.weights_bytes, 4 * (320 * 64 + 3 * layer + 64));
        // Keys and values: 2 heads of 16 in 3 layers.
        assert_eq!(need.cache_bytes, 4 * 2 * 2 * 16 * 3 * 100);
        // 100 rows of 4 heads over 100 positions, and the feed-forward layer beside them.
        assert!(need.working_bytes >= 4 * (4 * 100 * 100 + 3 * 100 * 160));
        let parts = need.weights_bytes + need.cache_bytes + need.working_bytes;
        assert_eq!(need.total_bytes(), parts);
    }

    #[test]
    fn sizes_beyond_counting_saturate() {
        let hostile = LlamaConfig {
            vocab_size: usize::MAX / 2,
            hidden_size: usize::MAX / 2,
            ..config()
        };
        assert_eq!(MemoryNeed::of(&hostile, 100).total_bytes(), u64::MAX);
    }
}
