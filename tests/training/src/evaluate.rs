//! Exact match: the share of lines whose whole answer is right.

use anyhow::Result;
use burn::tensor::{Device, Int, Tensor, TensorData};
use tokenizers::Tokenizer;
use weft_infer::arch::Llama;

use crate::generate::Example;
use crate::train::Batch;
use crate::vocabulary;

/// Lines that are judged together.
const BATCH: usize = 64;
/// No answer is longer.
const ANSWER_TOKENS: usize = 64;

/// Whether greedy decoding gives each example's answer exactly.
///
/// Greedy decoding gives the expected answer exactly when the expected token
/// is the likeliest after every right prefix, so that one pass over the
/// prompt with its answer tells, and nothing need be generated.
pub fn exact_matches(
    model: &Llama,
    tokenizer: &Tokenizer,
    examples: &[Example],
    device: &Device,
) -> Result<Vec<bool>> {
    let mut right = Vec::with_capacity(examples.len());
    for chunk in examples.chunks(BATCH) {
        let mut lines = Vec::with_capacity(chunk.len());
        for example in chunk {
            lines.push((
                vocabulary::prompt(tokenizer, &example.line)?,
                vocabulary::answer(tokenizer, &example.expected)?,
            ));
        }
        let batch = Batch::new(&lines);
        let likeliest = likeliest(model, &batch.ids, batch.rows, batch.time, device);
        let mut matches = vec![true; batch.rows];
        for ((place, target), owner) in batch.places.iter().zip(&batch.targets).zip(&batch.owners) {
            matches[*owner] &= likeliest[*place as usize] == *target;
        }
        right.extend(matches);
    }
    Ok(right)
}

/// The model's answer to one line, token by token.
pub fn answer(model: &Llama, tokenizer: &Tokenizer, line: &str, device: &Device) -> Result<String> {
    let mut ids: Vec<i64> = vocabulary::prompt(tokenizer, line)?
        .into_iter()
        .map(i64::from)
        .collect();
    let end = i64::from(vocabulary::special_id(tokenizer, vocabulary::END)?);
    let mut said = Vec::new();
    for _ in 0..ANSWER_TOKENS {
        let next = *likeliest(model, &ids, 1, ids.len(), device)
            .last()
            .expect("a prompt is never empty");
        if next == end {
            break;
        }
        said.push(next as u32);
        ids.push(next);
    }
    tokenizer
        .decode(&said, true)
        .map_err(|error| anyhow::anyhow!(error))
}

fn likeliest(model: &Llama, ids: &[i64], rows: usize, time: usize, device: &Device) -> Vec<i64> {
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids.to_vec(), [rows, time]), device);
    model
        .forward_train(ids)
        .argmax(2)
        .into_data()
        .convert::<i64>()
        .try_to_vec()
        .expect("just converted to i64")
}
