mod sandbox;

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::{Deserialize, Serialize};

use crate::directory;
use crate::error::OpenError;
use crate::gguf::{GgufError, Header};

/// Templates of known models stay below 16 KiB; values that a longer one nests in each other
/// could be deeper than a thread's stack.
pub const MAX_TEMPLATE_BYTES: usize = 64 << 10;
/// Instructions for one rendering, each worth 64 bytes that the template makes: 64 MB in all, and
/// a fraction of a second. A template with tools and some hundred messages takes about a hundred
/// thousand.
pub const TEMPLATE_FUEL: u64 = 1_000_000;
/// What one rendering may take in, over all messages. More is beyond every context length here.
pub const MAX_MESSAGES_BYTES: usize = 1 << 20;
/// What one rendering may put out: the messages and what a template says around them.
pub const MAX_PROMPT_BYTES: usize = 4 << 20;
/// Nested calls and blocks in a template.
const RECURSION_LIMIT: usize = 64;
const NAME: &str = "chat";

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

impl Message {
    /// A turn.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message {
            role: role.into(),
            content: content.into(),
        }
    }
}

/// Why a chat template cannot be used or did not render.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A file of the model could not be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The GGUF key is not what it should be.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A template above its limit.
    #[error("the chat template has {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The template is not valid Jinja, or uses something that is not supported.
    #[error("the chat template is not valid: {0}")]
    Syntax(String),
    /// Messages above the limit.
    #[error("the messages have {bytes} bytes, the limit is {limit}")]
    InputTooLong {
        /// Their length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The template took more instructions than it may: it loops.
    #[error("the chat template did not end within {0} instructions")]
    OutOfFuel(u64),
    /// The template put out more than it may.
    #[error("the chat template put out more than {0} bytes")]
    OutputTooLong(usize),
    /// The template itself refused these messages (`raise_exception`).
    #[error("the chat template refuses these messages: {0}")]
    Refused(String),
    /// The template failed while it rendered.
    #[error("the chat template failed: {0}")]
    Failed(String),
}

/// A model's chat template, compiled, in a sandbox: no files, no clock, bounded in instructions
/// and output.
#[derive(Clone)]
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
    source: Arc<str>,
    bos_token: String,
    eos_token: String,
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ChatTemplate")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// Compiles a template; `bos_token` and `eos_token` are what it sees under these names.
    pub fn new(
        source: &str,
        bos_token: impl Into<String>,
        eos_token: impl Into<String>,
    ) -> Result<ChatTemplate, TemplateError> {
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(TemplateError::TooLong {
                bytes: source.len(),
                limit: MAX_TEMPLATE_BYTES,
            });
        }
        let mut environment = Environment::new();
        // What Hugging Face sets.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|error| TemplateError::Syntax(describe(&error)))?;
        let prepared = sandbox::prepare(source, &syntax)?;
        environment.set_syntax(syntax);
        environment.set_unknown_method_callback(sandbox::method);
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", sandbox::tojson);
        environment.add_filter(sandbox::PLAIN, sandbox::plain);
        environment.set_recursion_limit(RECURSION_LIMIT);
        environment.set_fuel(Some(TEMPLATE_FUEL));
        environment
            .add_template_owned(NAME, prepared)
            .map_err(|error| TemplateError::Syntax(describe(&error)))?;
        Ok(ChatTemplate {
            environment: Arc::new(environment),
            source: source.into(),
            bos_token: bos_token.into(),
            eos_token: eos_token.into(),
        })
    }

    /// The prompt for a conversation. With `add_generation_prompt` it ends where the model's
    /// answer begins.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let bytes = messages
            .iter()
            .map(|message| message.role.len() + message.content.len())
            .sum();
        if bytes > MAX_MESSAGES_BYTES {
            return Err(TemplateError::InputTooLong {
                bytes,
                limit: MAX_MESSAGES_BYTES,
            });
        }
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|error| TemplateError::Failed(describe(&error)))?;
        let turn = |message: &Message| {
            context! {
                role => message.role.as_str(),
                content => message.content.as_str(),
            }
        };
        let context = context! {
            messages => messages.iter().map(turn).collect::<Vec<Value>>(),
            add_generation_prompt,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
            tools => Value::from(()),
            documents => Value::from(()),
        };
        let mut output = Capped::default();
        let rendered = template.render_captured_to(context, &mut output).map(drop);
        match rendered {
            Ok(()) => String::from_utf8(output.bytes)
                .map_err(|error| TemplateError::Failed(error.to_string())),
            Err(_) if output.full => Err(TemplateError::OutputTooLong(MAX_PROMPT_BYTES)),
            Err(error) => Err(render_error(&error)),
        }
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn from_directory(directory: &Path) -> Result<Option<ChatTemplate>, TemplateError> {
        let config = directory::read_json(directory, directory::TOKENIZER_CONFIG)?;
        let Some(source) = template_text(directory, config.as_ref())? else {
            return Ok(None);
        };
        let token = |key| directory::token_text(config.as_ref(), key).unwrap_or_default();
        ChatTemplate::new(&source, token("bos_token"), token("eos_token")).map(Some)
    }

    pub(crate) fn from_gguf(
        header: &Header,
        file: &[u8],
    ) -> Result<Option<ChatTemplate>, TemplateError> {
        let Some(source) = header.string(file, "tokenizer.chat_template")? else {
            return Ok(None);
        };
        let token = |key: &str| -> Result<String, GgufError> {
            let Some(id) = header.unsigned(&format!("tokenizer.ggml.{key}_token_id"))? else {
                return Ok(String::new());
            };
            let tokens = header.strings(file, "tokenizer.ggml.tokens")?;
            let token = tokens.and_then(|mut tokens| tokens.nth(usize::try_from(id).ok()?));
            Ok(token.unwrap_or_default().to_owned())
        };
        ChatTemplate::new(source, token("bos")?, token("eos")?).map(Some)
    }
}

/// The template of a directory: its own file before the one in tokenizer_config.json, and of a
/// list of templates the one called `default`.
pub(crate) fn template_text(
    directory: &Path,
    tokenizer_config: Option<&serde_json::Value>,
) -> Result<Option<String>, OpenError> {
    if let Some(text) = directory::read_text(directory, directory::CHAT_TEMPLATE)? {
        return Ok(Some(text));
    }
    let text = match tokenizer_config.and_then(|config| config.get("chat_template")) {
        Some(serde_json::Value::String(text)) => Some(text.as_str()),
        Some(serde_json::Value::Array(list)) => list
            .iter()
            .find(|entry| entry.get("name").and_then(serde_json::Value::as_str) == Some("default"))
            .and_then(|entry| entry.get("template")?.as_str()),
        _ => None,
    };
    Ok(text.map(str::to_owned))
}

/// Marks an error as the template's own refusal.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}

fn render_error(error: &Error) -> TemplateError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(raised) = current.downcast_ref::<Raised>() {
            return TemplateError::Refused(raised.0.clone());
        }
        if let Some(inner) = current.downcast_ref::<Error>()
            && inner.kind() == ErrorKind::OutOfFuel
        {
            return TemplateError::OutOfFuel(TEMPLATE_FUEL);
        }
        cause = current.source();
    }
    TemplateError::Failed(describe(error))
}

fn describe(error: &Error) -> String {
    match error.line() {
        Some(line) => format!("{} (line {line})", error.to_string().trim_end()),
        None => error.to_string(),
    }
}

/// Takes bytes up to the cap and then refuses.
#[derive(Default)]
struct Capped {
    bytes: Vec<u8>,
    full: bool,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > MAX_PROMPT_BYTES - self.bytes.len() {
            self.full = true;
            return Err(io::Error::other("the output cap is reached"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
