use super::error::GgufError;
use super::header::Header;
use super::value::Value;
use crate::config::{Architecture, ConfigError, ModelConfig, RopeScaling};
use crate::dtype::DType;

/// Where a GGUF file keeps Llama 3's rope scaling: the divisor of each frequency.
pub(crate) const ROPE_FACTORS: &str = "rope_freqs.weight";

/// Why a header holds no usable configuration.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum KeysError {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// The model's configuration from the header's keys.
pub(crate) fn read_config(header: &Header, file: &[u8]) -> Result<ModelConfig, KeysError> {
    let name = header
        .string(file, "general.architecture")?
        .ok_or_else(|| missing("general.architecture"))?;
    let architecture = Architecture::from_name(name)
        .ok_or_else(|| ConfigError::UnsupportedArchitecture(name.to_owned()))?;
    let number = |key: &str| -> Result<Option<usize>, KeysError> {
        let value = header.unsigned(&format!("{name}.{key}"))?;
        Ok(value.map(|value| usize::try_from(value).unwrap_or(usize::MAX)))
    };
    let needed = |key: &str| -> Result<usize, KeysError> {
        Ok(number(key)?.ok_or_else(|| missing(&format!("{name}.{key}")))?)
    };

    let hidden_size = needed("embedding_length")?;
    let heads = needed("attention.head_count")?;
    let head_dim = match number("attention.key_length")?.or(number("rope.dimension_count")?) {
        Some(head_dim) => head_dim,
        None => hidden_size.checked_div(heads).unwrap_or(0),
    };
    for key in ["attention.value_length", "rope.dimension_count"] {
        if number(key)?.is_some_and(|width| width != head_dim) {
            let feature = format!("{name}.{key} other than the head's width");
            return Err(ConfigError::UnsupportedFeature(feature).into());
        }
    }
    if number("expert_count")?.is_some_and(|count| count > 0) {
        return Err(ConfigError::UnsupportedFeature("experts".to_owned()).into());
    }
    let vocab_size = header
        .tensors
        .iter()
        .find(|tensor| tensor.name == "token_embd.weight")
        .and_then(|tensor| tensor.shape.first().copied())
        .ok_or_else(|| ConfigError::Missing("the tensor token_embd.weight".to_owned()))?;
    let has = |tensor: &str| header.tensors.iter().any(|entry| entry.name == tensor);
    let rms_norm_eps = header
        .float(&format!("{name}.attention.layer_norm_rms_epsilon"))?
        .ok_or_else(|| missing(&format!("{name}.attention.layer_norm_rms_epsilon")))?;
    let config = ModelConfig {
        architecture,
        vocab_size,
        hidden_size,
        intermediate_size: needed("feed_forward_length")?,
        layers: needed("block_count")?,
        heads,
        kv_heads: number("attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        rope_theta: header
            .float(&format!("{name}.rope.freq_base"))?
            .unwrap_or(10_000.0),
        rope_scaling: read_rope_scaling(header, file, name)?,
        rms_norm_eps,
        attention_bias: has("blk.0.attn_q.bias"),
        tie_embeddings: !has("output.weight"),
        context_length: needed("context_length")?,
    };
    config.check()?;
    Ok(config)
}

fn read_rope_scaling(
    header: &Header,
    file: &[u8],
    name: &str,
) -> Result<Option<RopeScaling>, KeysError> {
    if let Some(entry) = header
        .tensors
        .iter()
        .find(|entry| entry.name == ROPE_FACTORS)
    {
        if entry.dtype != DType::F32 {
            let feature = format!("{ROPE_FACTORS} stored as {}", entry.dtype);
            return Err(ConfigError::UnsupportedFeature(feature).into());
        }
        let factors = file[entry.range.clone()].as_chunks::<4>().0;
        let factors = factors.iter().map(|&bytes| f32::from_le_bytes(bytes));
        return Ok(Some(RopeScaling::Factors(factors.collect())));
    }
    match header.string(file, &format!("{name}.rope.scaling.type"))? {
        None | Some("none") => Ok(None),
        Some("linear") => {
            let key = format!("{name}.rope.scaling.factor");
            let factor = header.float(&key)?.ok_or_else(|| missing(&key))?;
            Ok(Some(RopeScaling::Linear { factor }))
        }
        Some(other) => {
            Err(ConfigError::UnsupportedFeature(format!("rope scaling {other:?}")).into())
        }
    }
}

fn missing(key: &str) -> GgufError {
    GgufError::MissingKey {
        key: key.to_owned(),
    }
}

/// Every token that ends an answer; weft's own key, since the format has room for a few only.
pub(crate) const EOS_TOKENS: &str = "weft.eos_token_ids";

/// The tokens that end an answer, the main one first.
pub(crate) fn eos_tokens(header: &Header, file: &[u8]) -> Result<Vec<u32>, GgufError> {
    let mut tokens = Vec::new();
    if let Some(values) = header.scalars(file, EOS_TOKENS)? {
        tokens.extend(values.filter_map(|value| match value {
            Value::Unsigned(_, id) => u32::try_from(id).ok(),
            _ => None,
        }));
    }
    for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
        tokens.extend(token(header, key)?);
    }
    Ok(tokens)
}

/// The token that begins a text.
pub(crate) fn bos_token(header: &Header) -> Result<Option<u32>, GgufError> {
    token(header, "bos_token_id")
}

fn token(header: &Header, key: &str) -> Result<Option<u32>, GgufError> {
    let id = header.unsigned(&format!("tokenizer.ggml.{key}"))?;
    Ok(id.and_then(|id| u32::try_from(id).ok()))
}
