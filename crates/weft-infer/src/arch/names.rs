//! How Hugging Face names the tensors.

pub(super) const EMBED: &str = "model.embed_tokens.weight";
pub(super) const FINAL_NORM: &str = "model.norm.weight";
pub(super) const HEAD: &str = "lm_head";
pub(super) const INPUT_NORM: &str = "input_layernorm.weight";
pub(super) const POST_NORM: &str = "post_attention_layernorm.weight";
pub(super) const Q: &str = "self_attn.q_proj";
pub(super) const K: &str = "self_attn.k_proj";
pub(super) const V: &str = "self_attn.v_proj";
pub(super) const O: &str = "self_attn.o_proj";
pub(super) const GATE: &str = "mlp.gate_proj";
pub(super) const UP: &str = "mlp.up_proj";
pub(super) const DOWN: &str = "mlp.down_proj";

pub(super) fn in_layer(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}")
}

pub(super) fn weight(part: &str) -> String {
    format!("{part}.weight")
}

pub(super) fn bias(part: &str) -> String {
    format!("{part}.bias")
}
