/// Pairs of (Hugging Face, GGUF) outside of the blocks.
const OUTER: [(&str, &str); 3] = [
    ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"),
    ("lm_head", "output"),
];

/// Pairs of (Hugging Face, GGUF) inside a block.
const INNER: [(&str, &str); 9] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// The GGUF name of a Hugging Face tensor.
pub(crate) fn gguf_name(name: &str) -> Option<String> {
    let (stem, suffix) = split_suffix(name)?;
    if let Some((_, gguf)) = OUTER.iter().find(|(hub, _)| *hub == stem) {
        return Some(format!("{gguf}.{suffix}"));
    }
    let (block, part) = stem.strip_prefix("model.layers.")?.split_once('.')?;
    let block = block_number(block)?;
    let (_, gguf) = INNER.iter().find(|(hub, _)| *hub == part)?;
    Some(format!("blk.{block}.{gguf}.{suffix}"))
}

/// The Hugging Face name of a GGUF tensor.
pub(crate) fn hugging_face_name(name: &str) -> Option<String> {
    let (stem, suffix) = split_suffix(name)?;
    if let Some((hub, _)) = OUTER.iter().find(|(_, gguf)| *gguf == stem) {
        return Some(format!("{hub}.{suffix}"));
    }
    let (block, part) = stem.strip_prefix("blk.")?.split_once('.')?;
    let block = block_number(block)?;
    let (hub, _) = INNER.iter().find(|(_, gguf)| *gguf == part)?;
    Some(format!("model.layers.{block}.{hub}.{suffix}"))
}

fn split_suffix(name: &str) -> Option<(&str, &str)> {
    let (stem, suffix) = name.rsplit_once('.')?;
    matches!(suffix, "weight" | "bias").then_some((stem, suffix))
}

/// Only the plain spelling, so that two names never mean one tensor.
fn block_number(text: &str) -> Option<usize> {
    let number: usize = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (hub, gguf) in [
            ("model.embed_tokens.weight", "token_embd.weight"),
            ("model.norm.weight", "output_norm.weight"),
            ("lm_head.weight", "output.weight"),
            ("model.layers.0.self_attn.q_proj.bias", "blk.0.attn_q.bias"),
            (
                "model.layers.31.mlp.down_proj.weight",
                "blk.31.ffn_down.weight",
            ),
            (
                "model.layers.7.post_attention_layernorm.weight",
                "blk.7.ffn_norm.weight",
            ),
        ] {
            assert_eq!(gguf_name(hub).unwrap(), gguf);
            assert_eq!(hugging_face_name(gguf).unwrap(), hub);
        }
    }

    #[test]
    fn strangers_have_no_name() {
        assert_eq!(
            gguf_name("model.layers.0.self_attn.rotary_emb.inv_freq"),
            None
        );
        assert_eq!(gguf_name("model.layers.00.mlp.up_proj.weight"), None);
        assert_eq!(hugging_face_name("blk.0.attn_sub_norm.weight"), None);
        assert_eq!(hugging_face_name("rope_freqs.weight"), None);
        assert_eq!(hugging_face_name("output"), None);
    }
}
