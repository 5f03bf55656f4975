use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::ModelConfig;
use crate::dtype::DType;
use crate::error::{OpenError, TensorError};
use crate::map::MappedFile;
use crate::source::{Container, ModelSource};

/// What is inside a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// What was opened.
    pub path: PathBuf,
    /// `gguf` or `hugging_face`.
    pub container: &'static str,
    /// Everything that the forward pass knows.
    pub config: ModelConfig,
    /// Number of weights.
    pub parameters: u64,
    /// Bytes of the weights by format.
    pub formats: Vec<FormatShare>,
    /// The tokenizer's algorithm, or why there is none.
    pub tokenizer: TokenizerState,
    /// Whether there is a chat template.
    pub chat_template: bool,
    /// The tokens that end an answer.
    pub eos_tokens: Vec<u32>,
    /// The token that begins a text.
    pub bos_token: Option<u32>,
    /// The files with the weights.
    pub files: Vec<InspectedFile>,
    /// Bytes of these files together.
    pub file_bytes: u64,
    /// Every tensor, in the order of the forward pass.
    pub tensors: Vec<InspectedTensor>,
}

/// How much of a model is stored in one format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FormatShare {
    /// The format.
    pub dtype: DType,
    /// Tensors in it.
    pub tensors: usize,
    /// Weights in it.
    pub parameters: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Whether text can be turned into tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenizerState {
    /// It can.
    Ready {
        /// The algorithm.
        kind: &'static str,
        /// How many tokens there are.
        vocab_size: usize,
    },
    /// It cannot.
    Unusable {
        /// Why.
        reason: String,
    },
}

/// A file with weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedFile {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its BLAKE3 hash, in hex.
    pub blake3: String,
}

/// One tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedTensor {
    /// The Hugging Face name.
    pub name: String,
    /// How it is stored.
    pub dtype: DType,
    /// Rows first.
    pub shape: Vec<usize>,
    /// Its bytes.
    pub bytes: u64,
}

/// Why a model could not be inspected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A tensor is not there.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// Opens a model and tells what is inside. A tokenizer or chat template that cannot be used is
/// reported, not an error.
pub fn inspect(path: &Path) -> Result<Inspection, InspectError> {
    let source = ModelSource::open(path)?;
    let mut tensors = Vec::new();
    let mut shares: BTreeMap<DType, FormatShare> = BTreeMap::new();
    for name in source.tensor_names() {
        let view = source.tensor(name)?;
        let bytes = view.bytes.len() as u64;
        let share = shares.entry(view.dtype).or_insert(FormatShare {
            dtype: view.dtype,
            tensors: 0,
            parameters: 0,
            bytes: 0,
        });
        share.tensors += 1;
        share.parameters += view.elements() as u64;
        share.bytes += bytes;
        tensors.push(InspectedTensor {
            name: name.to_owned(),
            dtype: view.dtype,
            shape: view.shape,
            bytes,
        });
    }
    let mut formats: Vec<FormatShare> = shares.into_values().collect();
    formats.sort_by_key(|share| std::cmp::Reverse(share.bytes));
    let files = source
        .weight_files()
        .iter()
        .map(|path| inspect_file(path))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Inspection {
        path: path.to_owned(),
        container: match source.container() {
            Container::Directory => "hugging_face",
            Container::Gguf(_) => "gguf",
        },
        config: source.config().clone(),
        parameters: formats.iter().map(|share| share.parameters).sum(),
        formats,
        tokenizer: tokenizer_state(&source),
        chat_template: matches!(source.chat_template(), Ok(Some(_))),
        eos_tokens: source.eos_tokens().to_vec(),
        bos_token: source.bos_token(),
        file_bytes: files.iter().map(|file| file.bytes).sum(),
        files,
        tensors,
    })
}

fn tokenizer_state(source: &ModelSource) -> TokenizerState {
    match source.tokenizer() {
        Ok(tokenizer) => TokenizerState::Ready {
            kind: tokenizer.kind(),
            vocab_size: tokenizer.vocab_size(),
        },
        Err(error) => TokenizerState::Unusable {
            reason: error.to_string(),
        },
    }
}

fn inspect_file(path: &Path) -> Result<InspectedFile, OpenError> {
    let map = MappedFile::open(path).map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    Ok(InspectedFile {
        name: name.to_string_lossy().into_owned(),
        bytes: map.bytes().len() as u64,
        blake3: blake3::hash(map.bytes()).to_hex().to_string(),
    })
}

#[cfg(test)]
mod tests;
