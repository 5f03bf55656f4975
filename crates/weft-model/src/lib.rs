//! Model files: what is inside them, how they are made small, and how they are cut into chunks.
//!
//! Opens Hugging Face directories and GGUF files behind one [`ModelSource`], quantizes to GGUF,
//! brings the tokenizer and the chat template, cuts files along their tensors, and codes a file
//! as its difference from another. Computes nothing with the weights: that is weft-infer's. Every
//! file is taken for foreign: each length in it is held against the file before it is used.

mod chunk;
mod config;
mod delta;
mod directory;
mod dtype;
mod error;
#[cfg(test)]
mod fixture;
mod gguf;
mod inspect;
mod map;
mod quant;
mod quantize;
mod safetensors_file;
mod sentencepiece;
mod source;
mod template;
mod tensor;
mod tokenizer;
mod vocabulary;

pub use chunk::{ChunkError, MIN_OWN_CHUNK_BYTES, chunk_map};
pub use config::{Architecture, ConfigError, ModelConfig, RopeScaling};
pub use delta::{ApplyError, DeltaError, DeltaSummary, ReadAt, apply_delta, encode_delta};
pub use dtype::DType;
pub use error::{OpenError, TensorError};
pub use gguf::GgufError;
pub use inspect::{
    FormatShare, InspectError, InspectedFile, InspectedTensor, Inspection, TokenizerState, inspect,
};
pub use quant::{
    BLOCK, Q4_0_BLOCK_BYTES, Q8_0_BLOCK_BYTES, dequantize_q4_0, dequantize_q8_0, quantize_q4_0,
    quantize_q8_0,
};
pub use quantize::{Quantization, QuantizeError, QuantizeSummary, UnknownQuantization, quantize};
pub use safetensors_file::SafetensorsError;
pub use source::ModelSource;
pub use template::{
    ChatTemplate, MAX_MESSAGES_BYTES, MAX_PROMPT_BYTES, MAX_TEMPLATE_BYTES, Message, TEMPLATE_FUEL,
    TemplateError,
};
pub use tensor::TensorView;
pub use tokenizer::{MAX_TEXT_BYTES, MAX_TOKENS, TokenStream, Tokenizer, TokenizerError};
