use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use tokenizers::ModelWrapper;

use crate::directory;
use crate::error::OpenError;
use crate::gguf::{GgufError, Header};
use crate::vocabulary;

/// What one call may encode. More is beyond every context length here.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// What one call may decode.
pub const MAX_TOKENS: usize = 1 << 20;
/// A character takes four bytes at most; a stream that waits for longer than this many tokens
/// waits for nothing that will come.
const MAX_PENDING_TOKENS: usize = 16;

/// Why there is no tokenizer, or why it refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A file of the model could not be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A GGUF key is not what it should be.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The model comes without a tokenizer.
    #[error("the model has no tokenizer: {0} is missing")]
    Missing(&'static str),
    /// A kind of tokenizer that weft cannot build.
    #[error("the tokenizer is not supported: {0}")]
    Unsupported(String),
    /// The description is damaged.
    #[error("the tokenizer is not valid: {0}")]
    Invalid(String),
    /// Text above the limit.
    #[error("the text has {bytes} bytes, the limit is {limit}")]
    TextTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// More tokens than one call may decode.
    #[error("there are {count} tokens, the limit is {limit}")]
    TooManyTokens {
        /// Their number.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The tokenizer failed on this input.
    #[error("the tokenizer failed: {0}")]
    Failed(String),
}

/// Text to tokens and back. Clones are cheap.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tokenizer")
            .field("kind", &self.kind())
            .field("vocab_size", &self.vocab_size())
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// A tokenizer from the text of a tokenizer.json.
    pub fn from_json(json: &[u8]) -> Result<Tokenizer, TokenizerError> {
        // The library panics on text that is no JSON.
        serde_json::from_slice::<serde::de::IgnoredAny>(json)
            .map_err(|error| TokenizerError::Invalid(error.to_string()))?;
        let read = || {
            let mut inner = tokenizers::Tokenizer::from_bytes(json)?;
            // Some files carry the padding and truncation of their training.
            inner.with_padding(None);
            inner.with_truncation(None)?;
            Ok(inner)
        };
        let inner = guarded(read).map_err(TokenizerError::Invalid)?;
        Ok(Tokenizer {
            inner: Arc::new(inner),
        })
    }

    /// The tokens of a text. With `add_special` what the model expects around it, such as the
    /// token that begins a text, is added; a rendered chat template already has it.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(TokenizerError::TextTooLong {
                bytes: text.len(),
                limit: MAX_TEXT_BYTES,
            });
        }
        let encoding = guarded(|| self.inner.encode_fast(text, add_special))
            .map_err(TokenizerError::Failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens. Bytes that are no UTF-8 become U+FFFD; unknown tokens are left out.
    pub fn decode(&self, tokens: &[u32], skip_special: bool) -> Result<String, TokenizerError> {
        if tokens.len() > MAX_TOKENS {
            return Err(TokenizerError::TooManyTokens {
                count: tokens.len(),
                limit: MAX_TOKENS,
            });
        }
        guarded(|| self.inner.decode(tokens, skip_special)).map_err(TokenizerError::Failed)
    }

    /// Decodes token by token.
    pub fn stream(&self, skip_special: bool) -> TokenStream {
        TokenStream {
            tokenizer: self.clone(),
            skip_special,
            tokens: Vec::new(),
            shown: 0,
        }
    }

    /// How many tokens there are, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The number of a token by its exact spelling.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The spelling of a token.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The algorithm: `BPE`, `Unigram`, `WordPiece` or `WordLevel`.
    pub fn kind(&self) -> &'static str {
        match self.inner.get_model() {
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::Unigram(_) => "Unigram",
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "WordLevel",
        }
    }

    /// Whether encoding with specials puts `token` before the text.
    pub(crate) fn adds_first(&self, token: Option<u32>) -> Result<bool, TokenizerError> {
        let Some(token) = token else {
            return Ok(false);
        };
        let plain = self.encode("a", false)?;
        let special = self.encode("a", true)?;
        Ok(special.first() == Some(&token) && plain.first() != Some(&token))
    }

    pub(crate) fn from_directory(directory: &Path) -> Result<Tokenizer, TokenizerError> {
        match directory::read_text(directory, directory::TOKENIZER)? {
            Some(json) => Tokenizer::from_json(json.as_bytes()),
            None => Err(TokenizerError::Missing(directory::TOKENIZER)),
        }
    }

    pub(crate) fn from_gguf(header: &Header, file: &[u8]) -> Result<Tokenizer, TokenizerError> {
        if let Some(json) = header.string(file, vocabulary::HUGGING_FACE_JSON)? {
            return Tokenizer::from_json(json.as_bytes());
        }
        let json = vocabulary::json_from_gguf(header, file)?;
        Tokenizer::from_json(json.to_string().as_bytes())
    }
}

/// Runs the library, which was not written for foreign files: on some descriptions of a
/// tokenizer it panics, when it reads them or only when it is used.
fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    // A tokenizer is only read after it was built, so nothing is left half done.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its description makes the library fail".to_owned()),
    }
}

/// Turns tokens into text as they come. Only whole characters come out: a character whose bytes
/// are spread over several tokens waits for the last of them.
#[derive(Clone, Debug)]
pub struct TokenStream {
    tokenizer: Tokenizer,
    skip_special: bool,
    /// The tokens shown last, which decide how the next ones are spelled, and those that wait.
    tokens: Vec<u32>,
    /// How many of `tokens` are shown.
    shown: usize,
}

impl TokenStream {
    /// Takes the next token; gives the text that is complete by it, if there is any.
    pub fn push(&mut self, token: u32) -> Result<Option<String>, TokenizerError> {
        self.tokens.push(token);
        let may_wait = self.tokens.len() - self.shown < MAX_PENDING_TOKENS;
        let text = self.waiting_text()?;
        if may_wait && (text.is_empty() || text.ends_with(char::REPLACEMENT_CHARACTER)) {
            return Ok(None);
        }
        self.tokens.drain(..self.shown);
        self.shown = self.tokens.len();
        Ok((!text.is_empty()).then_some(text))
    }

    /// What still waits when no more tokens come; a character that never became whole is U+FFFD.
    pub fn finish(self) -> Result<Option<String>, TokenizerError> {
        let text = self.waiting_text()?;
        Ok((!text.is_empty()).then_some(text))
    }

    fn waiting_text(&self) -> Result<String, TokenizerError> {
        let shown = self
            .tokenizer
            .decode(&self.tokens[..self.shown], self.skip_special)?;
        let all = self.tokenizer.decode(&self.tokens, self.skip_special)?;
        Ok(all.get(shown.len()..).unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests;
