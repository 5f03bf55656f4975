//! The only room that knows burn: the model architectures, their cache, and the engine that
//! answers prompts with them. No network, no store, and no verdict about a release: a probe is
//! measured here and judged elsewhere.

mod backend;
mod bench;
mod cache;
mod engine;
mod generate;
mod matvec;
mod memory;
mod probe;
mod sample;
mod stop;

/// The architectures, for those who train them or build one of their own tensors.
pub mod arch;

pub use backend::Backend;
pub use bench::{BenchError, BenchFigures, bench};
pub use cache::{CacheFull, KvCache};
pub use engine::{DEFAULT_CONTEXT_LENGTH, Engine, EngineOptions, InferError, LoadError, ModelInfo};
pub use generate::{FinishReason, GenerateOptions, Generation, Token};
pub use memory::MemoryNeed;
pub use probe::{ProbeInput, ProbeMeasurement, ProbePrompt};
pub use sample::Sampling;
