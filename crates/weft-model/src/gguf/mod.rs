//! The GGUF container, versions 2 and 3, little-endian: a header of keys and tensor descriptions,
//! then the tensors' bytes.

mod error;
mod header;
mod keys;
mod names;
mod reader;
#[cfg(test)]
mod tests;
mod value;
mod write;

pub use error::GgufError;
pub(crate) use header::{Header, MAGIC};
pub(crate) use keys::{EOS_TOKENS, KeysError, ROPE_FACTORS, bos_token, eos_tokens, read_config};
pub(crate) use names::{gguf_name, hugging_face_name};
pub(crate) use value::{OwnedValue, Value};
pub(crate) use write::{ALIGNMENT, TensorPlan, Writer};
