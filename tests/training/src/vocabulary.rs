//! The model's tokenizer: byte-level BPE, digits one by one, and four special
//! tokens. It is trained on training lines only.

use std::path::Path;

use anyhow::{Result, anyhow};
use serde_json::Value;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, Model, NormalizerWrapper, Tokenizer, TokenizerImpl};

use crate::generate::{self, Split};

/// Begins every conversation.
pub const BEGIN: &str = "<|begin|>";
/// Ends an answer; generation stops here.
pub const END: &str = "<|end|>";
/// Comes before what a user says.
pub const USER: &str = "<|user|>";
/// Comes before what the model says.
pub const ASSISTANT: &str = "<|assistant|>";

/// The special tokens in the order of their ids, which start at zero.
pub const SPECIAL: [&str; 4] = [BEGIN, END, USER, ASSISTANT];

/// Entries, special tokens and the 256 bytes included.
pub const VOCABULARY_SIZE: usize = 640;

/// Lines of each training split that the merges are learned from.
const CORPUS_LINES: usize = 12_000;

/// Turns a user's message into the prompt that the model was trained with.
pub const CHAT_TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}\
{% if message['role'] == 'user' %}{{ '<|user|>' + message['content'] }}\
{% elif message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] + eos_token }}\
{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

/// The parts of a tokenizer whose model can still be trained.
type Bare = TokenizerImpl<BPE, NormalizerWrapper, Sequence, ByteLevel, ByteLevel>;

/// Learns the merges from training lines and their answers.
pub fn train(seed: u64) -> Result<Tokenizer> {
    let mut corpus = Vec::new();
    for split in [Split::Plain, Split::Varied] {
        for example in generate::lines(split, seed, CORPUS_LINES) {
            corpus.push(example.line);
            corpus.push(example.expected);
        }
    }
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(VOCABULARY_SIZE)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(
            SPECIAL
                .iter()
                .map(|token| AddedToken::from(*token, true))
                .collect(),
        )
        .build();
    let bytes = ByteLevel::new(false, true, true);
    let mut tokenizer = Bare::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![
        Digits::new(true).into(),
        bytes.into(),
    ])));
    tokenizer.with_decoder(Some(bytes));
    tokenizer.with_post_processor(Some(bytes));
    tokenizer
        .train(&mut trainer, corpus.iter())
        .map_err(|error| anyhow!(error))?;
    // Through its own file format, so that what is trained is what is shipped.
    let text = tokenizer.to_string(true).map_err(|error| anyhow!(error))?;
    text.parse::<Tokenizer>().map_err(|error| anyhow!(error))
}

/// Reads a tokenizer.json.
pub fn load(path: &Path) -> Result<Tokenizer> {
    Tokenizer::from_file(path).map_err(|error| anyhow!("{}: {error}", path.display()))
}

/// The tokenizer.json, with each merge as one text (`"a b"`): older readers know
/// no other form, and newer ones read both.
pub fn to_json(tokenizer: &Tokenizer) -> Result<Value> {
    let text = tokenizer.to_string(false).map_err(|error| anyhow!(error))?;
    let mut json: Value = serde_json::from_str(&text)?;
    if let Some(merges) = json["model"]["merges"].as_array_mut() {
        for merge in merges {
            if let [Value::String(left), Value::String(right)] =
                merge.as_array().map(Vec::as_slice).unwrap_or_default()
            {
                *merge = Value::String(format!("{left} {right}"));
            }
        }
    }
    Ok(json)
}

/// The id of a special token, or an error if the file lacks it.
pub fn special_id(tokenizer: &Tokenizer, token: &str) -> Result<u32> {
    tokenizer
        .token_to_id(token)
        .ok_or_else(|| anyhow!("the tokenizer has no {token}"))
}

/// The ids of a line's prompt, as [`CHAT_TEMPLATE`] makes it.
pub fn prompt(tokenizer: &Tokenizer, line: &str) -> Result<Vec<u32>> {
    let text = format!("{BEGIN}{USER}{line}{ASSISTANT}");
    encode(tokenizer, &text)
}

/// The ids of an answer, with its end.
pub fn answer(tokenizer: &Tokenizer, expected: &str) -> Result<Vec<u32>> {
    encode(tokenizer, &format!("{expected}{END}"))
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    let encoding = tokenizer
        .encode(text, false)
        .map_err(|error| anyhow!(error))?;
    Ok(encoding.get_ids().to_vec())
}

/// How many entries the tokenizer really has.
pub fn size(tokenizer: &Tokenizer) -> usize {
    tokenizer.get_model().get_vocab_size()
}
