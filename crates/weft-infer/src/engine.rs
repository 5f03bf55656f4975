use std::path::{Path, PathBuf};

use burn::tensor::{Int, Tensor, TensorData};
use serde::Serialize;
use weft_model::{
    ChatTemplate, DType, Message, ModelSource, OpenError, TemplateError, TensorError, Tokenizer,
    TokenizerError,
};

use crate::arch::{BuildError, Llama, LlamaConfig};
use crate::backend::Backend;
use crate::cache::KvCache;
use crate::memory::{self, MemoryNeed, PREFILL_TOKENS};

/// Longest context where the options name none: what most prompts of an edge site fit in many
/// times over, and a cache that stays small beside the weights.
pub const DEFAULT_CONTEXT_LENGTH: usize = 4096;

/// How a model is loaded.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// What computes.
    pub backend: Backend,
    /// A model that would need more is refused before it is loaded.
    pub memory_ceiling_bytes: Option<u64>,
    /// The context is at most this long, and never longer than the model's own;
    /// [`DEFAULT_CONTEXT_LENGTH`] where it is not given.
    pub context_length: Option<usize>,
}

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The files cannot be opened, or are no model that weft runs.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A tensor cannot be read.
    #[error("{}: {source}", path.display())]
    Tensor {
        /// The model.
        path: PathBuf,
        /// Why.
        source: TensorError,
    },
    /// The tensors do not make the model.
    #[error("{}: {source}", path.display())]
    Build {
        /// The model.
        path: PathBuf,
        /// Why.
        source: BuildError,
    },
    /// It would need more memory than is allowed.
    #[error(
        "{} needs {} MiB of memory ({} weights, {} cache for {context_length} tokens, {} to work in), \
         the ceiling is {} MiB",
        path.display(), mib(need.total_bytes()), mib(need.weights_bytes), mib(need.cache_bytes),
        mib(need.working_bytes), mib(*ceiling_bytes)
    )]
    MemoryCeiling {
        /// The model.
        path: PathBuf,
        /// What it would need.
        need: MemoryNeed,
        /// The context that was asked for; a shorter one needs less.
        context_length: usize,
        /// What is allowed.
        ceiling_bytes: u64,
    },
    /// A context of no tokens.
    #[error("the context length is 0, allowed is 1 and above")]
    NoContext,
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// Why a prompt cannot be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferError {
    /// Nothing was asked.
    #[error("the prompt has no tokens")]
    EmptyPrompt,
    /// A token that the model does not have.
    #[error("token {token} is outside of the vocabulary of {vocab_size}")]
    UnknownToken {
        /// The token.
        token: u32,
        /// How many there are.
        vocab_size: usize,
    },
    /// The prompt leaves no room in the context.
    #[error("the prompt has {tokens} tokens, the context holds {context_length}")]
    PromptTooLong {
        /// Its length.
        tokens: usize,
        /// What fits.
        context_length: usize,
    },
    /// A sampling value that means nothing.
    #[error("{0}")]
    BadOption(String),
    /// The model computed something that is no number: it is damaged, or was never sound.
    #[error("the model computed a logit that is not a finite number, behind {tokens} tokens")]
    NotFinite {
        /// How many tokens it had seen.
        tokens: usize,
    },
    /// The model has no tokenizer that works.
    #[error("the model has no working tokenizer: {0}")]
    NoTokenizer(String),
    /// The tokenizer refused.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The model has no chat template that works.
    #[error("the model has no working chat template: {0}")]
    NoChatTemplate(String),
    /// The chat template refused.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// What is known of a loaded model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelInfo {
    /// The family, such as `llama`.
    pub architecture: String,
    /// How many numbers it has.
    pub parameters: u64,
    /// How most of its weights are stored, such as `Q8_0`.
    pub quantization: String,
    /// What it needs in memory, at the longest context.
    pub memory_bytes: u64,
    /// The longest context here.
    pub context_length: usize,
    /// The longest context that the model was made for.
    pub model_context_length: usize,
    /// How many tokens it knows.
    pub vocab_size: usize,
    /// What computes.
    pub backend: Backend,
}

/// A loaded model that answers prompts, one at a time.
#[derive(Debug)]
pub struct Engine {
    model: Llama,
    cache: KvCache,
    backend: Backend,
    info: ModelInfo,
    tokenizer: Result<Tokenizer, String>,
    chat_template: Result<ChatTemplate, String>,
    eos_tokens: Vec<u32>,
    cached_tokens_peak: usize,
}

// The node owns its engine on a thread of its own.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Engine>();
};

impl Engine {
    /// Loads a GGUF file or a Hugging Face directory.
    pub fn load(path: &Path, options: &EngineOptions) -> Result<Engine, LoadError> {
        let source = ModelSource::open(path)?;
        let config = config_of(&source);
        let asked = options.context_length.unwrap_or(DEFAULT_CONTEXT_LENGTH);
        let context_length = asked.min(config.context_length);
        if context_length == 0 {
            return Err(LoadError::NoContext);
        }
        let need = MemoryNeed::of(&config, context_length);
        match options.memory_ceiling_bytes {
            Some(ceiling_bytes) if need.total_bytes() > ceiling_bytes => {
                return Err(LoadError::MemoryCeiling {
                    path: path.to_owned(),
                    need,
                    context_length,
                    ceiling_bytes,
                });
            }
            _ => {}
        }
        let info = ModelInfo {
            architecture: source.config().architecture.name().to_owned(),
            parameters: config.parameters(),
            quantization: main_dtype(&source).map_or_else(String::new, |dtype| dtype.to_string()),
            memory_bytes: need.total_bytes(),
            context_length,
            model_context_length: config.context_length,
            vocab_size: config.vocab_size,
            backend: options.backend,
        };
        let model = read_model(path, &source, &config, options.backend)?;
        tracing::debug!(path = %path.display(), ?info, "model loaded");
        Ok(Engine {
            cache: KvCache::new(config.layers, context_length),
            model,
            backend: options.backend,
            info,
            tokenizer: source.tokenizer().map_err(|error| error.to_string()),
            chat_template: match source.chat_template() {
                Ok(Some(template)) => Ok(template),
                Ok(None) => Err("it comes with none".to_owned()),
                Err(error) => Err(error.to_string()),
            },
            eos_tokens: source.eos_tokens().to_vec(),
            cached_tokens_peak: 0,
        })
    }

    /// What is known of the model.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The tokens that end an answer.
    pub fn eos_tokens(&self) -> &[u32] {
        &self.eos_tokens
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> Result<&Tokenizer, InferError> {
        self.tokenizer
            .as_ref()
            .map_err(|reason| InferError::NoTokenizer(reason.clone()))
    }

    /// The tokens of a plain text prompt, with what the model expects around it.
    pub fn text_prompt(&self, text: &str) -> Result<Vec<u32>, InferError> {
        Ok(self.tokenizer()?.encode(text, true)?)
    }

    /// The tokens of a conversation that the model is to go on with, through its chat template.
    pub fn chat_prompt(&self, messages: &[Message]) -> Result<Vec<u32>, InferError> {
        let template = self
            .chat_template
            .as_ref()
            .map_err(|reason| InferError::NoChatTemplate(reason.clone()))?;
        let text = template.render(messages, true)?;
        // The template has already set what begins a text.
        Ok(self.tokenizer()?.encode(&text, false)?)
    }

    /// Whether the model comes with a chat template that works.
    pub fn has_chat_template(&self) -> bool {
        self.chat_template.is_ok()
    }

    /// The logits behind the last of these tokens. What was asked before is forgotten.
    pub fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, InferError> {
        self.cache.clear();
        self.extend(tokens)
    }

    /// Adds tokens to what the cache holds; gives the logits behind the last of them.
    pub(crate) fn extend(&mut self, tokens: &[u32]) -> Result<Vec<f32>, InferError> {
        self.check(tokens)?;
        let mut logits = None;
        for part in tokens.chunks(PREFILL_TOKENS) {
            logits = Some(self.pass(part)?);
        }
        self.cached_tokens_peak = self.cached_tokens_peak.max(self.cache.len());
        let logits = logits.ok_or(InferError::EmptyPrompt)?;
        if logits.iter().all(|logit| logit.is_finite()) {
            Ok(logits)
        } else {
            Err(InferError::NotFinite {
                tokens: self.cache.len(),
            })
        }
    }

    /// Forgets what was asked before.
    pub(crate) fn forget(&mut self) {
        self.cache.clear();
    }

    /// How many more tokens the context holds.
    pub(crate) fn room(&self) -> usize {
        self.cache.capacity() - self.cache.len()
    }

    /// The most memory that the model has taken so far: its weights, the fullest that its cache
    /// was, and what it works in.
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        let config = self.model.config();
        let need = MemoryNeed::of(config, self.cached_tokens_peak);
        let cache = memory::cache_bytes(config, self.cached_tokens_peak);
        need.weights_bytes
            .saturating_add(need.working_bytes)
            .saturating_add(cache)
    }

    fn check(&self, tokens: &[u32]) -> Result<(), InferError> {
        let vocab_size = self.info.vocab_size;
        if let Some(&token) = tokens.iter().find(|token| **token as usize >= vocab_size) {
            return Err(InferError::UnknownToken { token, vocab_size });
        }
        if tokens.len() > self.room() {
            return Err(InferError::PromptTooLong {
                tokens: self.cache.len() + tokens.len(),
                context_length: self.cache.capacity(),
            });
        }
        Ok(())
    }

    fn pass(&mut self, tokens: &[u32]) -> Result<Vec<f32>, InferError> {
        let ids: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        let data = TensorData::new(ids, [1, tokens.len()]);
        let ids = Tensor::<2, Int>::from_data(data, &self.backend.device());
        let (model, cache) = (&self.model, &mut self.cache);
        // burn hands each operation to its thread pool. Inside the pool that is a call; from
        // outside it is two context switches, hundreds of times for a token.
        let logits = rayon::scope(|_| model.forward(ids, cache).map(Tensor::into_data));
        let logits = logits.map_err(|full| InferError::PromptTooLong {
            tokens: full.len + full.wanted,
            context_length: full.capacity,
        })?;
        Ok(logits
            .try_into_vec::<f32>()
            .expect("a float model gives f32 logits"))
    }
}

fn config_of(source: &ModelSource) -> LlamaConfig {
    let output_bias = source
        .tensor_names()
        .any(|name| name.ends_with("self_attn.o_proj.bias"));
    LlamaConfig::from_model(source.config(), output_bias)
}

fn read_model(
    path: &Path,
    source: &ModelSource,
    config: &LlamaConfig,
    backend: Backend,
) -> Result<Llama, LoadError> {
    let mut failed = None;
    let built = Llama::from_named(config, &backend.device(), |name| {
        match source.tensor(name) {
            Ok(tensor) => Some((tensor.to_f32(), tensor.shape)),
            Err(error) => {
                failed = Some(error);
                None
            }
        }
    });
    match (built, failed) {
        (Ok(model), _) => Ok(model),
        (Err(_), Some(source)) => Err(LoadError::Tensor {
            path: path.to_owned(),
            source,
        }),
        (Err(source), None) => Err(LoadError::Build {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The format that holds the most weights.
fn main_dtype(source: &ModelSource) -> Option<DType> {
    let mut elements = std::collections::BTreeMap::<DType, usize>::new();
    for name in source.tensor_names() {
        let tensor = source.tensor(name).ok()?;
        *elements.entry(tensor.dtype).or_default() += tensor.elements();
    }
    elements
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map(|(dtype, _)| dtype)
}
