mod tensors;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::config::{Architecture, ModelConfig};
use crate::directory;
use crate::dtype::DType;
use crate::error::{OpenError, TensorError};
use crate::gguf::{self, Header, KeysError};
use crate::map::MappedFile;
use crate::safetensors_file;
use crate::template::{ChatTemplate, TemplateError};
use crate::tensor::{TensorView, permute_rows};
use crate::tokenizer::{Tokenizer, TokenizerError};

/// An opened model: a Hugging Face directory or a GGUF file, seen the same way. Clones are cheap
/// and share the memory maps.
///
/// Every tensor that the architecture needs is known to be there, in its shape and inside its
/// file, once this exists.
#[derive(Clone, Debug)]
pub struct ModelSource(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    config: ModelConfig,
    files: Vec<MappedFile>,
    file_paths: Vec<PathBuf>,
    container: Container,
    /// Hugging Face names in the order of the forward pass.
    names: Vec<String>,
    places: BTreeMap<String, Place>,
    eos_tokens: Vec<u32>,
    bos_token: Option<u32>,
}

/// What holds the weights.
#[derive(Debug)]
pub(crate) enum Container {
    /// A Hugging Face directory.
    Directory,
    /// One GGUF file.
    Gguf(Header),
}

#[derive(Debug)]
struct Place {
    file: usize,
    dtype: DType,
    shape: Vec<usize>,
    range: Range<usize>,
}

impl ModelSource {
    /// Opens a Hugging Face directory or a GGUF file.
    pub fn open(path: &Path) -> Result<ModelSource, OpenError> {
        if path.is_dir() {
            open_directory(path)
        } else {
            open_gguf(path)
        }
    }

    /// What was opened.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The files that hold the weights.
    pub fn weight_files(&self) -> &[PathBuf] {
        &self.0.file_paths
    }

    /// What the forward pass has to know.
    pub fn config(&self) -> &ModelConfig {
        &self.0.config
    }

    /// The Hugging Face names of all tensors in the order of the forward pass. A tied model has
    /// no `lm_head.weight`.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.0.names.iter().map(String::as_str)
    }

    /// Whether there is a tensor of this Hugging Face name.
    pub fn has_tensor(&self, name: &str) -> bool {
        self.0.places.contains_key(name)
    }

    /// A tensor by its Hugging Face name, rows in Hugging Face's order.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>, TensorError> {
        let place = self
            .0
            .places
            .get(name)
            .ok_or_else(|| TensorError::Missing(name.to_owned()))?;
        let stored = &self.0.files[place.file].bytes()[place.range.clone()];
        let bytes = match (&self.0.container, self.permuted_heads(name)) {
            (Container::Gguf(_), Some(heads)) => {
                let head_dim = self.0.config.head_dim;
                let row_bytes = stored.len() / (heads * head_dim);
                Cow::Owned(permute_rows(stored, heads, head_dim, row_bytes, true))
            }
            _ => Cow::Borrowed(stored),
        };
        Ok(TensorView {
            name: name.to_owned(),
            dtype: place.dtype,
            shape: place.shape.clone(),
            bytes,
        })
    }

    /// The tokenizer that comes with the model.
    pub fn tokenizer(&self) -> Result<Tokenizer, TokenizerError> {
        match &self.0.container {
            Container::Directory => Tokenizer::from_directory(&self.0.path),
            Container::Gguf(header) => Tokenizer::from_gguf(header, self.0.files[0].bytes()),
        }
    }

    /// The chat template that comes with the model, `None` where it has none.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, TemplateError> {
        match &self.0.container {
            Container::Directory => ChatTemplate::from_directory(&self.0.path),
            Container::Gguf(header) => ChatTemplate::from_gguf(header, self.0.files[0].bytes()),
        }
    }

    /// The tokens that end an answer, the main one first.
    pub fn eos_tokens(&self) -> &[u32] {
        &self.0.eos_tokens
    }

    /// The token that begins a text, where the model has one.
    pub fn bos_token(&self) -> Option<u32> {
        self.0.bos_token
    }

    pub(crate) fn container(&self) -> &Container {
        &self.0.container
    }

    pub(crate) fn file_bytes(&self, file: usize) -> &[u8] {
        self.0.files[file].bytes()
    }

    /// How many heads' rows GGUF keeps in pairs in this tensor; only Llama's q and k.
    pub(crate) fn permuted_heads(&self, name: &str) -> Option<usize> {
        if self.0.config.architecture != Architecture::Llama {
            return None;
        }
        let (stem, _) = name.rsplit_once('.')?;
        if stem.ends_with("self_attn.q_proj") {
            Some(self.0.config.heads)
        } else if stem.ends_with("self_attn.k_proj") {
            Some(self.0.config.kv_heads)
        } else {
            None
        }
    }
}

fn open_directory(path: &Path) -> Result<ModelSource, OpenError> {
    let Some(json) = directory::read_json(path, directory::CONFIG)? else {
        return Err(OpenError::NotAModel {
            path: path.to_owned(),
            reason: "the directory has no config.json",
        });
    };
    let file_paths = directory::weight_files(path)?;
    let mut files = Vec::with_capacity(file_paths.len());
    let mut places = BTreeMap::new();
    for (file, file_path) in file_paths.iter().enumerate() {
        let map = map(file_path)?;
        let entries =
            safetensors_file::entries(map.bytes()).map_err(|source| OpenError::Safetensors {
                path: file_path.clone(),
                source,
            })?;
        for entry in entries {
            let place = Place {
                file,
                dtype: entry.dtype,
                shape: entry.shape,
                range: entry.range,
            };
            // Old checkpoints store this buffer beside the weights; it is computed, not learned.
            if !entry.name.ends_with(".rotary_emb.inv_freq") {
                places.insert(entry.name, place);
            }
        }
        files.push(map);
    }
    let config =
        directory::read_config(&json, places.contains_key("lm_head.weight")).map_err(|source| {
            OpenError::Config {
                path: path.join(directory::CONFIG),
                source,
            }
        })?;
    if config.tie_embeddings {
        // Some checkpoints store the tied head a second time.
        places.remove("lm_head.weight");
    }
    let names = tensors::check_tensors(path, &config, &places)?;

    let generation = directory::read_json(path, directory::GENERATION_CONFIG)?;
    let mut eos_tokens = special_tokens(&json, generation.as_ref(), "eos_token_id");
    let mut bos_tokens = special_tokens(&json, generation.as_ref(), "bos_token_id");
    if eos_tokens.is_empty() {
        eos_tokens.extend(spelled_token(path, "eos_token")?);
    }
    if bos_tokens.is_empty() {
        bos_tokens.extend(spelled_token(path, "bos_token")?);
    }
    let inner = Inner {
        path: path.to_owned(),
        eos_tokens: distinct(eos_tokens),
        bos_token: bos_tokens.first().copied(),
        config,
        files,
        file_paths,
        container: Container::Directory,
        names,
        places,
    };
    Ok(ModelSource(Arc::new(inner)))
}

/// generation_config.json has the last word: it lists every end of a chat model's turn.
fn special_tokens(json: &Value, generation: Option<&Value>, key: &str) -> Vec<u32> {
    let ids = directory::token_ids(generation, key);
    if ids.is_empty() {
        directory::token_ids(Some(json), key)
    } else {
        ids
    }
}

/// A token that only tokenizer_config.json names, by its spelling.
fn spelled_token(path: &Path, key: &str) -> Result<Option<u32>, OpenError> {
    let config = directory::read_json(path, directory::TOKENIZER_CONFIG)?;
    let Some(spelling) = directory::token_text(config.as_ref(), key) else {
        return Ok(None);
    };
    let tokenizer = directory::read_json(path, directory::TOKENIZER)?;
    Ok(tokenizer.and_then(|tokenizer| directory::token_number(&tokenizer, &spelling)))
}

fn open_gguf(path: &Path) -> Result<ModelSource, OpenError> {
    let map = map(path)?;
    if !map.bytes().starts_with(&gguf::MAGIC) && map.bytes().len() >= gguf::MAGIC.len() {
        return Err(OpenError::NotAModel {
            path: path.to_owned(),
            reason: "it is neither a directory nor a GGUF file (a safetensors model is opened by its directory)",
        });
    }
    let refused = |source| OpenError::Gguf {
        path: path.to_owned(),
        source,
    };
    let header = Header::parse(map.bytes()).map_err(refused)?;
    let config = gguf::read_config(&header, map.bytes()).map_err(|error| match error {
        KeysError::Gguf(source) => refused(source),
        KeysError::Config(source) => OpenError::Config {
            path: path.to_owned(),
            source,
        },
    })?;
    let mut places = BTreeMap::new();
    for entry in &header.tensors {
        if entry.name == gguf::ROPE_FACTORS {
            continue;
        }
        let name =
            gguf::hugging_face_name(&entry.name).ok_or_else(|| OpenError::UnexpectedTensor {
                path: path.to_owned(),
                name: entry.name.clone(),
            })?;
        let place = Place {
            file: 0,
            dtype: entry.dtype,
            shape: entry.shape.clone(),
            range: entry.range.clone(),
        };
        places.insert(name, place);
    }
    let names = tensors::check_tensors(path, &config, &places)?;
    let eos_tokens = gguf::eos_tokens(&header, map.bytes()).map_err(refused)?;
    let bos_token = gguf::bos_token(&header).map_err(refused)?;
    let inner = Inner {
        path: path.to_owned(),
        config,
        files: vec![map],
        file_paths: vec![path.to_owned()],
        container: Container::Gguf(header),
        names,
        places,
        eos_tokens: distinct(eos_tokens),
        bos_token,
    };
    Ok(ModelSource(Arc::new(inner)))
}

fn map(path: &Path) -> Result<MappedFile, OpenError> {
    MappedFile::open(path).map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })
}

fn distinct(mut tokens: Vec<u32>) -> Vec<u32> {
    let mut seen = std::collections::BTreeSet::new();
    tokens.retain(|token| seen.insert(*token));
    tokens
}

#[cfg(test)]
mod tests;
