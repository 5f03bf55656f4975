use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use crate::engine::{Engine, EngineOptions, InferError, LoadError};
use crate::sample::most_likely;

// The median of three is not moved by one disturbance.
const ROUNDS: usize = 3;

/// How fast a model is here.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BenchFigures {
    /// Tokens of the prompt by the time to the first logits.
    pub prefill_tokens_per_sec: f64,
    /// Answered tokens by the time they took, behind the prompt.
    pub decode_tokens_per_sec: f64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The model cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The model cannot answer.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// There is nothing to measure.
    #[error(
        "{prompt_tokens} prompt tokens and {decode_tokens} answered ones were asked for, at least 1 of each is needed"
    )]
    NothingToDo {
        /// Of the prompt.
        prompt_tokens: usize,
        /// Of the answer.
        decode_tokens: usize,
    },
}

/// Loads the model and measures a prompt of `prompt_tokens` and an answer of `decode_tokens`, each
/// as the median of three rounds behind one that does not count. The context is as long as that
/// takes.
pub fn bench(
    path: &Path,
    prompt_tokens: usize,
    decode_tokens: usize,
    options: &EngineOptions,
) -> Result<BenchFigures, BenchError> {
    if prompt_tokens == 0 || decode_tokens == 0 {
        return Err(BenchError::NothingToDo {
            prompt_tokens,
            decode_tokens,
        });
    }
    let context_length = Some(prompt_tokens.saturating_add(decode_tokens));
    let mut engine = Engine::load(
        path,
        &EngineOptions {
            context_length,
            ..options.clone()
        },
    )?;
    let prompt = spread_tokens(prompt_tokens, engine.info().vocab_size);
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (prefill_seconds, decode_seconds) = one_round(&mut engine, &prompt, decode_tokens)?;
        if round > 0 {
            prefill.push(prefill_seconds);
            decode.push(decode_seconds);
        }
    }
    Ok(BenchFigures {
        prefill_tokens_per_sec: prompt_tokens as f64 / median(prefill),
        decode_tokens_per_sec: decode_tokens as f64 / median(decode),
    })
}

fn one_round(
    engine: &mut Engine,
    prompt: &[u32],
    decode_tokens: usize,
) -> Result<(f64, f64), InferError> {
    engine.forget();
    let started = Instant::now();
    let mut logits = engine.extend(prompt)?;
    let prefill_seconds = started.elapsed().as_secs_f64();
    let started = Instant::now();
    for _ in 0..decode_tokens {
        logits = engine.extend(&[most_likely(&logits)])?;
    }
    Ok((prefill_seconds, started.elapsed().as_secs_f64()))
}

/// Tokens from all over the vocabulary, the same every time.
fn spread_tokens(count: usize, vocab_size: usize) -> Vec<u32> {
    // A prime step meets every row before it meets one twice.
    (0..count)
        .map(|index| (index.wrapping_mul(7919) % vocab_size) as u32)
        .collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
