//! The architectures as burn modules.

mod config;
mod llama;
mod names;

pub use config::LlamaConfig;
pub use llama::{BuildError, Llama, NamedTensor};
