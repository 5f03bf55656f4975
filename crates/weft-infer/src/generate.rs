use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use weft_model::TokenStream;

use crate::engine::{Engine, InferError};
use crate::sample::{Sampler, Sampling};
use crate::stop::StopFilter;

/// How an answer is made.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// The answer ends behind so many tokens.
    pub max_tokens: usize,
    /// How each token is chosen.
    pub sampling: Sampling,
    /// The answer ends where one of these would come.
    pub stop: Vec<String>,
}

impl Default for GenerateOptions {
    /// Greedy, at most 256 tokens.
    fn default() -> GenerateOptions {
        GenerateOptions {
            max_tokens: 256,
            sampling: Sampling::default(),
            stop: Vec::new(),
        }
    }
}

/// One step of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// The token. An ending token comes too, so that what was held back has something to come
    /// with.
    pub id: u32,
    /// The text that became clear with it: whole characters only, nothing while it might be the
    /// beginning of a stop string.
    pub text: &'a str,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended it, or a stop string came.
    Stop,
    /// It reached its longest, or the context was full.
    Length,
    /// Who asked no longer wants it.
    Cancelled,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its tokens, without the one that ended it.
    pub tokens: Vec<u32>,
    /// Its text, as it was shown; empty where the model has no tokenizer.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// How long the prompt was.
    pub prompt_tokens: usize,
}

impl Engine {
    /// Answers a prompt. `on_token` hears each token as it comes, and ends the answer with
    /// `Break`. What was asked before is forgotten; the same prompt and options give the same
    /// answer.
    pub fn generate(
        &mut self,
        prompt: &[u32],
        options: &GenerateOptions,
        mut on_token: impl FnMut(Token<'_>) -> ControlFlow<()>,
    ) -> Result<Generation, InferError> {
        if let Some(problem) = options.sampling.problem() {
            return Err(InferError::BadOption(problem));
        }
        let mut stream = self
            .tokenizer()
            .ok()
            .map(|tokenizer| tokenizer.stream(true));
        let mut filter = StopFilter::new(&options.stop);
        let mut sampler = Sampler::new(&options.sampling);
        let mut said = prompt.to_vec();
        let mut text = String::new();
        let mut logits = self.logits(prompt)?;
        let finish_reason = loop {
            let count = said.len() - prompt.len();
            if count == options.max_tokens {
                break FinishReason::Length;
            }
            let id = sampler.choose(logits, &said);
            let ends = self.eos_tokens().contains(&id);
            let mut piece = None;
            if !ends {
                said.push(id);
                if let Some(stream) = &mut stream {
                    piece = stream.push(id)?;
                }
            }
            let mut shown = filter.push(piece.as_deref().unwrap_or_default());
            let is_last = ends || count + 1 == options.max_tokens || self.room() == 0;
            if is_last && !shown.stopped {
                // What waits for more bytes or letters waits in vain.
                let rest = stream
                    .take()
                    .map(TokenStream::finish)
                    .transpose()?
                    .flatten();
                let more = filter.push(rest.as_deref().unwrap_or_default());
                shown.text.push_str(&more.text);
                shown.stopped = more.stopped;
                if !shown.stopped {
                    shown.text.push_str(&filter.take_held());
                }
            }
            text.push_str(&shown.text);
            let wanted = on_token(Token {
                id,
                text: &shown.text,
            });
            if ends || shown.stopped {
                break FinishReason::Stop;
            }
            if wanted.is_break() {
                break FinishReason::Cancelled;
            }
            if is_last {
                break FinishReason::Length;
            }
            logits = self.extend(&[id])?;
        };
        Ok(Generation {
            tokens: said.split_off(prompt.len()),
            text,
            finish_reason,
            prompt_tokens: prompt.len(),
        })
    }
}
