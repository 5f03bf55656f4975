use std::time::Instant;

use crate::engine::{Engine, InferError};
use crate::sample::most_likely;

/// A prompt whose answer is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePrompt {
    /// What is asked.
    pub prompt: ProbeInput,
    /// The answer ends behind so many tokens.
    pub max_tokens: usize,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeInput {
    /// As tokens: nothing but the model is measured.
    Tokens(Vec<u32>),
    /// As text: the model's tokenizer is measured with it.
    Text(String),
}

/// What came of a probe. Whether that is good is for others to say.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeMeasurement {
    /// The greedy answer to each prompt, without the token that ended it. Shorter than the
    /// prompts where the model stopped computing numbers.
    pub answers: Vec<Vec<u32>>,
    /// Tokens of all answers by the time that decoding took; 0 where nothing was decoded.
    pub tokens_per_sec: f64,
    /// The most memory that the model took: weights, cache and what it works in.
    pub peak_memory_bytes: u64,
    /// Whether every logit was a finite number.
    pub finite: bool,
}

impl Engine {
    /// Answers each prompt greedily, from a clean start, and measures. An error is one of the
    /// asking (a prompt too long, a text without a tokenizer); a model that fails is measured.
    pub fn probe(&mut self, prompts: &[ProbePrompt]) -> Result<ProbeMeasurement, InferError> {
        let mut measured = Measured::default();
        let mut answers = Vec::with_capacity(prompts.len());
        let mut finite = true;
        for prompt in prompts {
            let tokens = match &prompt.prompt {
                ProbeInput::Tokens(tokens) => tokens.clone(),
                ProbeInput::Text(text) => self.text_prompt(text)?,
            };
            match self.greedy(&tokens, prompt.max_tokens, &mut measured) {
                Ok(answer) => answers.push(answer),
                Err(InferError::NotFinite { .. }) => {
                    finite = false;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(ProbeMeasurement {
            answers,
            tokens_per_sec: measured.tokens_per_sec(),
            peak_memory_bytes: self.peak_memory_bytes(),
            finite,
        })
    }

    fn greedy(
        &mut self,
        prompt: &[u32],
        max_tokens: usize,
        measured: &mut Measured,
    ) -> Result<Vec<u32>, InferError> {
        let mut logits = self.logits(prompt)?;
        let mut answer = Vec::new();
        while answer.len() < max_tokens {
            let token = most_likely(&logits);
            if self.eos_tokens().contains(&token) {
                break;
            }
            answer.push(token);
            if answer.len() == max_tokens || self.room() == 0 {
                break;
            }
            let started = Instant::now();
            logits = self.extend(&[token])?;
            measured.tokens += 1;
            measured.seconds += started.elapsed().as_secs_f64();
        }
        Ok(answer)
    }
}

#[derive(Default)]
struct Measured {
    tokens: u64,
    seconds: f64,
}

impl Measured {
    fn tokens_per_sec(&self) -> f64 {
        if self.seconds > 0.0 {
            self.tokens as f64 / self.seconds
        } else {
            0.0
        }
    }
}
