use std::path::PathBuf;

use crate::config::ConfigError;
use crate::gguf::GgufError;
use crate::safetensors_file::SafetensorsError;

/// Why a model cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Neither a Hugging Face directory nor a GGUF file.
    #[error("{} is no model: {reason}", path.display())]
    NotAModel {
        /// What was given.
        path: PathBuf,
        /// What is missing.
        reason: &'static str,
    },
    /// A JSON or template file above its limit.
    #[error("{} has {bytes} bytes, the limit is {limit}", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A file that is not the JSON it should be.
    #[error("{} is not valid: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// A configuration that cannot be run.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ConfigError,
    },
    /// A GGUF file that is damaged or beyond what weft reads.
    #[error("{}: {source}", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: GgufError,
    },
    /// A safetensors file that is damaged.
    #[error("{}: {source}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SafetensorsError,
    },
    /// The index names a shard that is not there.
    #[error("the shard {} is missing; {} names it", shard.display(), index.display())]
    MissingShard {
        /// The index.
        index: PathBuf,
        /// The shard.
        shard: PathBuf,
    },
    /// The index names a shard outside of its directory.
    #[error("{} names the shard {shard:?}, which is not a plain file name", index.display())]
    BadShardName {
        /// The index.
        index: PathBuf,
        /// The name.
        shard: String,
    },
    /// More shards than any model has.
    #[error("{} names {count} shards, the limit is {limit}", index.display())]
    TooManyShards {
        /// The index.
        index: PathBuf,
        /// The count.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A tensor that the configuration asks for is not there.
    #[error("{} has no tensor {name:?}", path.display())]
    MissingTensor {
        /// The model.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor that the architecture has no use for: the model is another than it says.
    #[error(
        "{} has the tensor {name:?}, which its architecture does not know", path.display()
    )]
    UnexpectedTensor {
        /// The model.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor of another shape than the configuration asks for.
    #[error(
        "{}: the tensor {name:?} has the shape {found:?}, its configuration asks for {expected:?}",
        path.display()
    )]
    WrongShape {
        /// The model.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The file's shape.
        found: Vec<usize>,
        /// The configuration's.
        expected: Vec<usize>,
    },
}

/// Why a tensor cannot be read.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The model has no tensor of that name.
    #[error("the model has no tensor {0:?}")]
    Missing(String),
}
