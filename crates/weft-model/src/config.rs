use serde::Serialize;

/// The families whose forward pass weft knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Llama, and what shares its shape (SmolLM, TinyLlama).
    Llama,
    /// Qwen2 and Qwen2.5: Llama with biases on q, k and v.
    Qwen2,
}

impl Architecture {
    /// The name in GGUF's `general.architecture` and in `model_type`.
    pub const fn name(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Qwen2 => "qwen2",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Architecture> {
        match name {
            "llama" => Some(Architecture::Llama),
            "qwen2" => Some(Architecture::Qwen2),
            _ => None,
        }
    }
}

/// How rotary positions are stretched beyond the length of the first training.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RopeScaling {
    /// Every frequency divided by one factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3: low frequencies are divided, high ones kept, those between blended.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above original ÷ this are divided in full.
        low_freq_factor: f64,
        /// Wavelengths below original ÷ this are kept.
        high_freq_factor: f64,
        /// The context length of the first training.
        original_max_position: usize,
    },
    /// The divisor of each frequency, as a GGUF file stores it in `rope_freqs.weight`.
    Factors(Vec<f32>),
}

/// What the forward pass has to know about a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelConfig {
    /// The family.
    pub architecture: Architecture,
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
    /// Width of one head; even.
    pub head_dim: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Stretching of the rotary frequencies.
    pub rope_scaling: Option<RopeScaling>,
    /// What RMS norm adds to the mean square.
    pub rms_norm_eps: f64,
    /// Whether q, k and v have biases.
    pub attention_bias: bool,
    /// Whether the embedding is the output head too.
    pub tie_embeddings: bool,
    /// The longest sequence that the model was made for.
    pub context_length: usize,
}

// No model for which this crate is made comes near these; beyond them a file is damaged or hostile.
pub(crate) const MAX_VOCAB: usize = 1 << 21;
pub(crate) const MAX_WIDTH: usize = 1 << 18;
pub(crate) const MAX_LAYERS: usize = 1024;
pub(crate) const MAX_HEADS: usize = 1024;
pub(crate) const MAX_HEAD_DIM: usize = 4096;
pub(crate) const MAX_CONTEXT: usize = 1 << 27;

/// A configuration that cannot be run.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A family without a forward pass here.
    #[error("the architecture {0:?} is not supported (supported: llama, qwen2)")]
    UnsupportedArchitecture(String),
    /// Something of a supported family that the forward pass leaves out.
    #[error("the model uses {0}, which is not supported")]
    UnsupportedFeature(String),
    /// A needed value is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// A value of the wrong type.
    #[error("{key} is not {expected}")]
    WrongType {
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A number outside of what can be.
    #[error("{key} is {value}, allowed is {allowed}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// What the file says.
        value: String,
        /// What would be accepted.
        allowed: String,
    },
}

impl ModelConfig {
    /// The rotary frequencies of a head, `head_dim / 2` of them, with the scaling applied.
    pub fn inverse_frequencies(&self) -> Vec<f32> {
        let factors = self.rope_factors();
        (0..self.head_dim / 2)
            .map(|index| {
                let frequency = self.base_frequency(index);
                let factor = factors
                    .as_ref()
                    .map_or(1.0, |factors| f64::from(factors[index]));
                (frequency / factor) as f32
            })
            .collect()
    }

    /// The divisor of each rotary frequency; `None` where nothing is scaled.
    pub fn rope_factors(&self) -> Option<Vec<f32>> {
        let half = self.head_dim / 2;
        match self.rope_scaling.as_ref()? {
            RopeScaling::Linear { factor } => Some(vec![*factor as f32; half]),
            RopeScaling::Factors(factors) => Some(factors.clone()),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position,
            } => {
                let original = *original_max_position as f64;
                let blend = |index| {
                    let wavelength = std::f64::consts::TAU / self.base_frequency(index);
                    if wavelength < original / high_freq_factor {
                        1.0
                    } else if wavelength > original / low_freq_factor {
                        *factor as f32
                    } else {
                        let smooth = (original / wavelength - low_freq_factor)
                            / (high_freq_factor - low_freq_factor);
                        (1.0 / ((1.0 - smooth) / factor + smooth)) as f32
                    }
                };
                Some((0..half).map(blend).collect())
            }
        }
    }

    fn base_frequency(&self, index: usize) -> f64 {
        self.rope_theta
            .powf(-(2.0 * index as f64) / self.head_dim as f64)
    }

    /// Refuses what no real model has before anything is computed from it.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let within = |key, value: usize, limit: usize| {
            if (1..=limit).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::OutOfRange {
                    key,
                    value: value.to_string(),
                    allowed: format!("1 to {limit}"),
                })
            }
        };
        within("vocab_size", self.vocab_size, MAX_VOCAB)?;
        within("hidden_size", self.hidden_size, MAX_WIDTH)?;
        within("intermediate_size", self.intermediate_size, MAX_WIDTH)?;
        within("num_hidden_layers", self.layers, MAX_LAYERS)?;
        within("num_attention_heads", self.heads, MAX_HEADS)?;
        within("num_key_value_heads", self.kv_heads, self.heads)?;
        within("head_dim", self.head_dim, MAX_HEAD_DIM)?;
        within("max_position_embeddings", self.context_length, MAX_CONTEXT)?;
        let holds = |key, holds: bool, value: String, allowed: &str| {
            if holds {
                Ok(())
            } else {
                Err(ConfigError::OutOfRange {
                    key,
                    value,
                    allowed: allowed.to_owned(),
                })
            }
        };
        holds(
            "num_key_value_heads",
            self.heads.is_multiple_of(self.kv_heads),
            self.kv_heads.to_string(),
            "a divisor of num_attention_heads",
        )?;
        holds(
            "head_dim",
            self.head_dim.is_multiple_of(2),
            self.head_dim.to_string(),
            "an even number",
        )?;
        holds(
            "rope_theta",
            self.rope_theta.is_finite() && self.rope_theta > 1.0,
            self.rope_theta.to_string(),
            "a number above 1",
        )?;
        holds(
            "rms_norm_eps",
            self.rms_norm_eps.is_finite() && (0.0..=1.0).contains(&self.rms_norm_eps),
            self.rms_norm_eps.to_string(),
            "0 to 1",
        )?;
        if let Some(factors) = self.rope_factors() {
            let sound = factors.len() == self.head_dim / 2
                && factors
                    .iter()
                    .all(|factor| factor.is_finite() && *factor > 0.0);
            holds(
                "rope_scaling",
                sound,
                format!("{:?}", self.rope_scaling),
                "one finite divisor above 0 for each of head_dim / 2 frequencies",
            )?;
        }
        Ok(())
    }
}
