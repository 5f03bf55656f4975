//! The only room that knows burn: the model architectures, their cache, and the engine that
//! answers prompts with them. No network, no store, no verdict about a release.

mod cache;
mod matvec;

/// The architectures, for those who train them or build one of their own tensors.
pub mod arch;

pub use cache::{CacheFull, KvCache};
