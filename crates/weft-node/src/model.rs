//! `weft-infer` as the node uses it: a slot's folder goes in, answers and
//! measurements come out.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use weft_core::ProbeMeasurement;
use weft_infer::{
    Engine, EngineOptions, FinishReason, GenerateOptions, InferError, ProbeInput, ProbePrompt,
    Sampling,
};
use weft_model::Message;
use weft_record::Probe;

use crate::answer::{Finish, Prompt, Question, Usage};

/// A loaded model.
pub(crate) struct Model {
    engine: Engine,
}

/// Why an answer did not come to its end.
pub(crate) enum Stopped {
    /// Nobody wants it any more.
    HungUp,
    /// This question cannot be answered; the model is well.
    Failed(String),
    /// The model computes what no sound model does.
    Suspect(String),
}

impl Model {
    /// Loads what lies in a slot: its GGUF file, or else the whole folder as a
    /// Hugging Face directory.
    pub(crate) fn load(slot: &Path) -> Result<Self, String> {
        let path = model_path(slot)
            .map_err(|error| format!("{} cannot be read: {error}", slot.display()))?;
        let engine =
            Engine::load(&path, &EngineOptions::default()).map_err(|error| error.to_string())?;
        Ok(Self { engine })
    }

    /// The tokens of a prompt; the error is for the one who asked.
    pub(crate) fn read(&self, prompt: &Prompt) -> Result<Vec<u32>, String> {
        let tokens = match prompt {
            Prompt::Text(text) => self.engine.text_prompt(text),
            Prompt::Chat(turns) => {
                let messages: Vec<Message> = turns
                    .iter()
                    .map(|turn| Message::new(&turn.role, &turn.content))
                    .collect();
                self.engine.chat_prompt(&messages)
            }
        };
        let tokens = tokens.map_err(refusal)?;
        let room = self.engine.info().context_length;
        if tokens.is_empty() {
            return Err(refusal(InferError::EmptyPrompt));
        }
        if tokens.len() > room {
            return Err(refusal(InferError::PromptTooLong {
                tokens: tokens.len(),
                context_length: room,
            }));
        }
        Ok(tokens)
    }

    /// Answers; `on_text` hears the text as it comes and says whether to go on.
    pub(crate) fn generate(
        &mut self,
        tokens: &[u32],
        question: &Question,
        mut on_text: impl FnMut(&str) -> bool,
    ) -> Result<(Usage, Finish), Stopped> {
        let options = GenerateOptions {
            // the context ends it where the question does not
            max_tokens: question
                .max_tokens
                .map_or(usize::MAX, |count| count as usize),
            sampling: Sampling {
                temperature: question.temperature,
                // OpenAI allows 0, which means the likeliest token alone
                top_p: question.top_p.max(f32::MIN_POSITIVE),
                seed: question.seed.map_or_else(fresh_seed, Ok)?,
                ..Sampling::default()
            },
            stop: question.stop.clone(),
        };
        let told = self.engine.generate(tokens, &options, |token| {
            if on_text(token.text) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        let generation = told.map_err(|error| match error {
            InferError::NotFinite { .. } => Stopped::Suspect(error.to_string()),
            error => Stopped::Failed(refusal(error)),
        })?;
        let usage = Usage {
            prompt_tokens: generation.prompt_tokens as u64,
            completion_tokens: generation.tokens.len() as u64,
        };
        match generation.finish_reason {
            FinishReason::Stop => Ok((usage, Finish::Stop)),
            FinishReason::Length => Ok((usage, Finish::Length)),
            FinishReason::Cancelled => Err(Stopped::HungUp),
        }
    }

    /// Runs the signed prompts and measures.
    pub(crate) fn probe(&mut self, probes: &[Probe]) -> Result<ProbeMeasurement, String> {
        let mut prompts = Vec::with_capacity(probes.len());
        for probe in probes {
            let tokens = self
                .probe_tokens(&probe.prompt)
                .map_err(|error| error.to_string())?;
            prompts.push(ProbePrompt {
                prompt: ProbeInput::Tokens(tokens),
                max_tokens: probe.max_tokens as usize,
            });
        }
        let measured = self
            .engine
            .probe(&prompts)
            .map_err(|error| error.to_string())?;
        Ok(ProbeMeasurement {
            answers: measured.answers,
            tokens_per_sec_milli: (measured.tokens_per_sec * 1_000.0) as u64,
            peak_memory_bytes: measured.peak_memory_bytes,
        })
    }

    /// A probe is what a user would say, so it goes the way that a user's words go:
    /// through the chat template where the model has one.
    fn probe_tokens(&self, prompt: &str) -> Result<Vec<u32>, InferError> {
        if self.engine.has_chat_template() {
            self.engine.chat_prompt(&[Message::new("user", prompt)])
        } else {
            self.engine.text_prompt(prompt)
        }
    }
}

/// Runs probes on a model (a GGUF file or a folder) as every node will: what is
/// measured here is what a release signs. The answers expected in `probes` are
/// not looked at.
pub fn measure_probes(model: &Path, probes: &[Probe]) -> Result<ProbeMeasurement, String> {
    let engine =
        Engine::load(model, &EngineOptions::default()).map_err(|error| error.to_string())?;
    Model { engine }.probe(probes)
}

fn model_path(slot: &Path) -> std::io::Result<PathBuf> {
    let mut models = Vec::new();
    for entry in fs::read_dir(slot)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "gguf")
        {
            models.push(path);
        }
    }
    models.sort();
    Ok(models.into_iter().next().unwrap_or_else(|| slot.to_owned()))
}

/// What a client is told. Errors of the tokenizer and the template may repeat a
/// part of the prompt, which then goes back to its own author and nowhere else.
fn refusal(error: InferError) -> String {
    error.to_string()
}

fn fresh_seed() -> Result<u64, Stopped> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Stopped::Failed(error.to_string()))?;
    Ok(u64::from_le_bytes(bytes))
}
