//! A Hugging Face directory: its JSON files and where its weights are.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::config::{Architecture, ConfigError, ModelConfig, RopeScaling};
use crate::error::OpenError;

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const GENERATION_CONFIG: &str = "generation_config.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(crate) const CHAT_TEMPLATE: &str = "chat_template.jinja";
const WEIGHTS: &str = "model.safetensors";
const WEIGHTS_INDEX: &str = "model.safetensors.index.json";

/// config.json, generation_config.json and chat_template.jinja have a few KiB.
const MAX_SMALL_FILE_BYTES: u64 = 1 << 20;
/// tokenizer_config.json lists every added token; an index names every tensor.
const MAX_MIDDLE_FILE_BYTES: u64 = 16 << 20;
/// The largest known tokenizer.json has 33 MB.
const MAX_TOKENIZER_BYTES: u64 = 64 << 20;
/// The largest open models have a few hundred.
const MAX_SHARDS: usize = 1024;

/// A text file of the directory, `None` where there is none.
pub(crate) fn read_text(directory: &Path, name: &str) -> Result<Option<String>, OpenError> {
    let path = directory.join(name);
    let limit = match name {
        TOKENIZER => MAX_TOKENIZER_BYTES,
        TOKENIZER_CONFIG | WEIGHTS_INDEX => MAX_MIDDLE_FILE_BYTES,
        _ => MAX_SMALL_FILE_BYTES,
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenError::Io { path, source }),
    };
    let mut text = String::new();
    // One byte more than allowed tells a file that grew while it was read.
    match file.take(limit + 1).read_to_string(&mut text) {
        Ok(_) if text.len() as u64 > limit => {
            let bytes = fs::metadata(&path).map_or(text.len() as u64, |metadata| metadata.len());
            Err(OpenError::TooLong { path, bytes, limit })
        }
        Ok(_) => Ok(Some(text)),
        Err(source) => Err(OpenError::Io { path, source }),
    }
}

/// A JSON file of the directory, `None` where there is none.
pub(crate) fn read_json(directory: &Path, name: &str) -> Result<Option<Value>, OpenError> {
    let Some(text) = read_text(directory, name)? else {
        return Ok(None);
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| OpenError::Json {
            path: directory.join(name),
            reason: error.to_string(),
        })
}

/// The files with the weights: one, or the shards that the index names.
pub(crate) fn weight_files(directory: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let single = directory.join(WEIGHTS);
    if single.exists() {
        return Ok(vec![single]);
    }
    let index = directory.join(WEIGHTS_INDEX);
    let Some(json) = read_json(directory, WEIGHTS_INDEX)? else {
        return Err(OpenError::NotAModel {
            path: directory.to_owned(),
            reason: "it has neither model.safetensors nor model.safetensors.index.json",
        });
    };
    let invalid = |reason: &str| OpenError::Json {
        path: index.clone(),
        reason: reason.to_owned(),
    };
    let map = json
        .get("weight_map")
        .and_then(Value::as_object)
        .ok_or_else(|| invalid("it has no object weight_map"))?;
    let mut shards = BTreeSet::new();
    for shard in map.values() {
        let shard = shard
            .as_str()
            .ok_or_else(|| invalid("weight_map has a value that is no file name"))?;
        let mut parts = Path::new(shard).components();
        if !matches!(
            (parts.next(), parts.next()),
            (Some(Component::Normal(_)), None)
        ) {
            return Err(OpenError::BadShardName {
                index,
                shard: shard.to_owned(),
            });
        }
        shards.insert(shard);
    }
    if shards.len() > MAX_SHARDS {
        return Err(OpenError::TooManyShards {
            index,
            count: shards.len(),
            limit: MAX_SHARDS,
        });
    }
    let mut paths = Vec::with_capacity(shards.len());
    for shard in shards {
        let shard = directory.join(shard);
        if !shard.exists() {
            return Err(OpenError::MissingShard { index, shard });
        }
        paths.push(shard);
    }
    if paths.is_empty() {
        return Err(invalid("weight_map is empty"));
    }
    Ok(paths)
}

/// The configuration from config.json; `has_head` tells whether there is an output head, for the
/// files that do not say whether it is tied.
pub(crate) fn read_config(json: &Value, has_head: bool) -> Result<ModelConfig, ConfigError> {
    let fields = Fields(json);
    let model_type = fields
        .text("model_type")?
        .ok_or_else(|| ConfigError::Missing("model_type".to_owned()))?;
    let architecture = Architecture::from_name(model_type)
        .ok_or_else(|| ConfigError::UnsupportedArchitecture(model_type.to_owned()))?;
    let unsupported = |feature: String| Err(ConfigError::UnsupportedFeature(feature));
    if let Some(activation) = fields.text("hidden_act")?
        && activation != "silu"
    {
        return unsupported(format!("the activation {activation:?}"));
    }
    if fields.flag("mlp_bias")?.unwrap_or(false) {
        return unsupported("biases in its feed-forward layers (mlp_bias)".to_owned());
    }
    if fields.flag("use_sliding_window")?.unwrap_or(false) {
        return unsupported("a sliding window".to_owned());
    }
    let hidden_size = fields.needed("hidden_size")?;
    let heads = fields.needed("num_attention_heads")?;
    let head_dim = match fields.number("head_dim")? {
        Some(head_dim) => head_dim,
        None => hidden_size.checked_div(heads).unwrap_or(0),
    };
    let context_length = fields.needed("max_position_embeddings")?;
    let rope = Rope::read(json, context_length)?;
    let config = ModelConfig {
        architecture,
        vocab_size: fields.needed("vocab_size")?,
        hidden_size,
        intermediate_size: fields.needed("intermediate_size")?,
        layers: fields.needed("num_hidden_layers")?,
        heads,
        kv_heads: fields.number("num_key_value_heads")?.unwrap_or(heads),
        head_dim,
        rope_theta: rope.theta,
        rope_scaling: rope.scaling,
        rms_norm_eps: fields.float("rms_norm_eps")?.unwrap_or(1e-6),
        attention_bias: match architecture {
            Architecture::Qwen2 => true,
            Architecture::Llama => fields.flag("attention_bias")?.unwrap_or(false),
        },
        tie_embeddings: fields.flag("tie_word_embeddings")?.unwrap_or(!has_head),
        context_length,
    };
    config.check()?;
    Ok(config)
}

/// Token ids under a key that holds one number, a list, or null.
pub(crate) fn token_ids(json: Option<&Value>, key: &str) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match json.and_then(|json| json.get(key)) {
        Some(Value::Array(list)) => list.iter().filter_map(id).collect(),
        Some(value) => id(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A token of tokenizer_config.json: plain text, or an object with its content.
pub(crate) fn token_text(json: Option<&Value>, key: &str) -> Option<String> {
    match json?.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Object(token) => Some(token.get("content")?.as_str()?.to_owned()),
        _ => None,
    }
}

/// The number of a token by its spelling, from the text of a tokenizer.json.
pub(crate) fn token_number(tokenizer: &Value, token: &str) -> Option<u32> {
    let added = tokenizer.get("added_tokens").and_then(Value::as_array);
    let id = added
        .into_iter()
        .flatten()
        .find(|entry| entry.get("content").and_then(Value::as_str) == Some(token))
        .and_then(|entry| entry.get("id"))
        .or_else(|| tokenizer.get("model")?.get("vocab")?.get(token))?;
    u32::try_from(id.as_u64()?).ok()
}

struct Rope {
    theta: f64,
    scaling: Option<RopeScaling>,
}

impl Rope {
    /// `rope_theta` and `rope_scaling`, or both in `rope_parameters` as newer files have them.
    fn read(json: &Value, context_length: usize) -> Result<Rope, ConfigError> {
        let null = Value::Null;
        let parameters = json.get("rope_parameters").unwrap_or(&null);
        let theta = Fields(json)
            .float("rope_theta")?
            .or(Fields(parameters).float("rope_theta")?)
            .unwrap_or(10_000.0);
        let scaling = json
            .get("rope_scaling")
            .filter(|scaling| !scaling.is_null())
            .unwrap_or(parameters);
        let fields = Fields(scaling);
        let kind = match fields.text("rope_type")? {
            Some(kind) => Some(kind),
            None => fields.text("type")?,
        };
        let float = |key: &str| {
            fields
                .float(key)?
                .ok_or_else(|| ConfigError::Missing(format!("rope_scaling.{key}")))
        };
        let scaling = match kind {
            None | Some("default") => None,
            Some("linear") => Some(RopeScaling::Linear {
                factor: float("factor")?,
            }),
            Some("llama3") => Some(RopeScaling::Llama3 {
                factor: float("factor")?,
                low_freq_factor: float("low_freq_factor")?,
                high_freq_factor: float("high_freq_factor")?,
                original_max_position: fields
                    .number("original_max_position_embeddings")?
                    .unwrap_or(context_length),
            }),
            Some(other) => {
                let feature = format!("rope scaling {other:?}");
                return Err(ConfigError::UnsupportedFeature(feature));
            }
        };
        Ok(Rope { theta, scaling })
    }
}

/// Typed access to a JSON object; null counts as absent.
struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    fn get<T>(
        &self,
        key: &str,
        expected: &'static str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| ConfigError::WrongType {
                key: key.to_owned(),
                expected,
            }),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, ConfigError> {
        self.get(key, "a string", Value::as_str)
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        self.get(key, "true or false", Value::as_bool)
    }

    fn float(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        self.get(key, "a number", Value::as_f64)
    }

    fn number(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        self.get(key, "a whole number", |value| {
            value.as_u64().and_then(|value| usize::try_from(value).ok())
        })
    }

    fn needed(&self, key: &str) -> Result<usize, ConfigError> {
        self.number(key)?
            .ok_or_else(|| ConfigError::Missing(key.to_owned()))
    }
}
