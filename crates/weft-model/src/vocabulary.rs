//! A tokenizer in GGUF's keys, and the tokenizer.json that such keys describe.

use serde_json::{Map, Value as Json, json};

use crate::gguf::{GgufError, Header, OwnedValue, Value};
use crate::sentencepiece;
use crate::tokenizer::TokenizerError;

/// The key under which a GGUF file carries the whole tokenizer.json.
pub(crate) const HUGGING_FACE_JSON: &str = "tokenizer.huggingface.json";

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TOKEN_TYPE: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";

pub(crate) const SCORES: &str = "tokenizer.ggml.scores";

// GGUF's kinds of tokens.
pub(crate) const NORMAL: i32 = 1;
pub(crate) const UNKNOWN: i32 = 2;
pub(crate) const CONTROL: i32 = 3;
pub(crate) const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
pub(crate) const BYTE: i32 = 6;

/// How text is cut into words before byte-level BPE, by llama.cpp's name for it.
const SPLITS: [(&str, &str); 2] = [
    (
        "llama-bpe",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    (
        "qwen2",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
];
/// Byte-level BPE with GPT-2's own split.
const GPT2: &str = "gpt-2";
/// The same behind single digits.
const SMOLLM: &str = "smollm";
/// llama.cpp loads this and warns that the split may differ.
const UNKNOWN_SPLIT: &str = "default";

/// The tokenizer's keys for a GGUF file, from the text of a tokenizer.json. The list of tokens is
/// filled up to `vocab_size` with unused ones, since the embedding may have more rows.
pub(crate) fn gguf_from_json(
    text: &str,
    vocab_size: usize,
) -> Result<Vec<(String, OwnedValue)>, TokenizerError> {
    let json: Json =
        serde_json::from_str(text).map_err(|error| TokenizerError::Invalid(error.to_string()))?;
    let model = json.get("model").unwrap_or(&Json::Null);
    let bpe = model.get("type").and_then(Json::as_str).unwrap_or("BPE") == "BPE";
    let sentencepiece = sentencepiece::describes(&json);
    if !bpe || !(sentencepiece || byte_level(&json)) {
        return Err(TokenizerError::Unsupported(
            "only BPE over bytes or with byte fallback can be written to GGUF".to_owned(),
        ));
    }
    let invalid = |what: &str| TokenizerError::Invalid(what.to_owned());
    let mut tokens: Vec<Option<(String, i32)>> = vec![None; vocab_size];
    let mut put = |token: &str, id: Option<u64>, kind: i32| {
        let id = id
            .and_then(|id| usize::try_from(id).ok())
            .filter(|id| *id < vocab_size)
            .ok_or_else(|| {
                TokenizerError::Invalid(format!(
                    "the token {token:?} lies outside of the embedding's {vocab_size} rows"
                ))
            })?;
        tokens[id] = Some((token.to_owned(), kind));
        Ok::<(), TokenizerError>(())
    };
    let vocab = model
        .get("vocab")
        .and_then(Json::as_object)
        .ok_or_else(|| invalid("model.vocab is not an object"))?;
    for (token, id) in vocab {
        let kind = if sentencepiece {
            sentencepiece::kind_of(token, &json)
        } else {
            NORMAL
        };
        put(token, id.as_u64(), kind)?;
    }
    let added = json.get("added_tokens").and_then(Json::as_array);
    for token in added.into_iter().flatten() {
        let content = token
            .get("content")
            .and_then(Json::as_str)
            .ok_or_else(|| invalid("an added token has no content"))?;
        let special = token
            .get("special")
            .and_then(Json::as_bool)
            .unwrap_or(false);
        let kind = match (sentencepiece, special) {
            (true, _) if sentencepiece::kind_of(content, &json) == UNKNOWN => UNKNOWN,
            (_, true) => CONTROL,
            (_, false) => USER_DEFINED,
        };
        put(content, token.get("id").and_then(Json::as_u64), kind)?;
    }
    let merges = model
        .get("merges")
        .and_then(Json::as_array)
        .ok_or_else(|| invalid("model.merges is not a list"))?
        .iter()
        .map(|merge| merge_text(merge).ok_or_else(|| invalid("a merge is not a pair of tokens")))
        .collect::<Result<Vec<String>, _>>()?;
    let (tokens, kinds): (Vec<String>, Vec<i32>) = tokens
        .into_iter()
        .enumerate()
        .map(|(id, token)| token.unwrap_or_else(|| (format!("[PAD{id}]"), UNUSED)))
        .unzip();
    let key = |key: &str, value| (key.to_owned(), value);
    let text = |key: &str, text: &str| (key.to_owned(), OwnedValue::String(text.to_owned()));
    if sentencepiece {
        let blank = OwnedValue::Bool(sentencepiece::adds_blank(&json));
        return Ok(vec![
            text(MODEL, "llama"),
            text(PRE, UNKNOWN_SPLIT),
            key(
                SCORES,
                OwnedValue::F32s(sentencepiece::scores(&tokens, &merges)),
            ),
            key(TOKENS, OwnedValue::Strings(tokens)),
            key(TOKEN_TYPE, OwnedValue::I32s(kinds)),
            key("tokenizer.ggml.add_space_prefix", blank),
        ]);
    }
    Ok(vec![
        text(MODEL, "gpt2"),
        text(PRE, split_name(&json)),
        key(TOKENS, OwnedValue::Strings(tokens)),
        key(TOKEN_TYPE, OwnedValue::I32s(kinds)),
        key(MERGES, OwnedValue::Strings(merges)),
    ])
}

/// The tokenizer.json that a GGUF file's keys describe.
pub(crate) fn json_from_gguf(header: &Header, file: &[u8]) -> Result<Json, TokenizerError> {
    let sentencepiece = match header.string(file, MODEL)? {
        Some("gpt2") => false,
        Some("llama") => true,
        None | Some("no_vocab") => return Err(TokenizerError::Missing(MODEL)),
        Some(other) => {
            return Err(TokenizerError::Unsupported(format!(
                "its kind in this GGUF file is {other:?}, supported are \"gpt2\", \"llama\" and a tokenizer.json under {HUGGING_FACE_JSON}"
            )));
        }
    };
    let missing = |key: &str| GgufError::MissingKey {
        key: key.to_owned(),
    };
    let tokens: Vec<&str> = header
        .strings(file, TOKENS)?
        .ok_or_else(|| missing(TOKENS))?
        .collect();
    let kinds: Vec<i32> = match header.scalars(file, TOKEN_TYPE)? {
        Some(kinds) => kinds
            .map(|kind| match kind {
                Value::Signed(_, kind) => i32::try_from(kind).unwrap_or(NORMAL),
                Value::Unsigned(_, kind) => i32::try_from(kind).unwrap_or(NORMAL),
                _ => NORMAL,
            })
            .collect(),
        None => Vec::new(),
    };
    let mut vocab = Map::new();
    let mut added = Vec::new();
    for (id, token) in tokens.iter().enumerate() {
        match kinds.get(id).copied().unwrap_or(NORMAL) {
            kind @ (CONTROL | USER_DEFINED) => added.push(json!({
                "id": id, "content": token, "special": kind == CONTROL,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            })),
            UNUSED => continue,
            _ => {}
        }
        vocab.insert((*token).to_owned(), json!(id));
    }
    let (model, normalizer, decoder, pre_tokenizer) = if sentencepiece {
        let (model, normalizer, decoder) =
            sentencepiece::parts_from_gguf(header, file, &tokens, &kinds)?;
        (model, normalizer, decoder, Json::Null)
    } else {
        let split = header.string(file, PRE)?.unwrap_or(UNKNOWN_SPLIT);
        let pre_tokenizer = pre_tokenizer(split)?;
        let merges: Vec<Json> = header
            .strings(file, MERGES)?
            .ok_or_else(|| missing(MERGES))?
            .map(|merge| json!(merge))
            .collect();
        // Llama 3 takes a word that is a token as it is; Qwen2 composes accents first.
        let model = json!({
            "type": "BPE", "vocab": vocab, "merges": merges, "ignore_merges": split == "llama-bpe",
        });
        let normalizer = match split {
            "qwen2" => json!({ "type": "NFC" }),
            _ => Json::Null,
        };
        (model, normalizer, byte_level_part(false), pre_tokenizer)
    };
    Ok(json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor(header, &tokens, sentencepiece)?,
        "decoder": decoder,
        "model": model,
    }))
}

fn pre_tokenizer(name: &str) -> Result<Json, TokenizerError> {
    if let Some((_, pattern)) = SPLITS.iter().find(|(known, _)| *known == name) {
        return Ok(json!({ "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false },
            byte_level_part(false),
        ]}));
    }
    match name {
        GPT2 => Ok(byte_level_part(true)),
        SMOLLM => Ok(json!({ "type": "Sequence", "pretokenizers": [
            { "type": "Digits", "individual_digits": true },
            byte_level_part(true),
        ]})),
        other => Err(TokenizerError::Unsupported(format!(
            "the split {other:?} is unknown (known: llama-bpe, qwen2, gpt-2, smollm)"
        ))),
    }
}

fn byte_level_part(use_regex: bool) -> Json {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": use_regex })
}

/// Adds the token that begins a text where the file asks for it.
fn post_processor(header: &Header, tokens: &[&str], by_default: bool) -> Result<Json, GgufError> {
    let add = header
        .bool("tokenizer.ggml.add_bos_token")?
        .unwrap_or(by_default);
    let id = header.unsigned("tokenizer.ggml.bos_token_id")?;
    let token = id.and_then(|id| tokens.get(usize::try_from(id).ok()?));
    let (true, Some(id), Some(token)) = (add, id, token) else {
        return Ok(Json::Null);
    };
    let special = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let text = |id: &str, type_id: u8| json!({ "Sequence": { "id": id, "type_id": type_id } });
    Ok(json!({
        "type": "TemplateProcessing",
        "single": [special, text("A", 0)],
        "pair": [special, text("A", 0), special, text("B", 1)],
        "special_tokens": { *token: { "id": token, "ids": [id], "tokens": [token] } },
    }))
}

/// The name of the split that a tokenizer.json describes.
fn split_name(json: &Json) -> &'static str {
    let parts = pre_tokenizer_parts(json);
    let part = |kind: &str| parts.iter().find(|part| part_type(part) == Some(kind));
    if let Some(split) = part("Split") {
        let pattern = split
            .pointer("/pattern/Regex")
            .and_then(Json::as_str)
            .unwrap_or_default();
        return SPLITS
            .iter()
            .find(|(_, known)| *known == pattern)
            .map_or(UNKNOWN_SPLIT, |(name, _)| *name);
    }
    let flag = |part: Option<&&Json>, key: &str, default: bool| {
        part.is_some_and(|part| part.get(key).and_then(Json::as_bool).unwrap_or(default))
    };
    let plain = flag(part("ByteLevel"), "use_regex", true);
    match (part("Digits"), parts.len()) {
        (None, 1) if plain => GPT2,
        (Some(digits), 2) if plain && flag(Some(digits), "individual_digits", false) => SMOLLM,
        _ => UNKNOWN_SPLIT,
    }
}

fn byte_level(json: &Json) -> bool {
    pre_tokenizer_parts(json)
        .iter()
        .any(|part| part_type(part) == Some("ByteLevel"))
}

fn pre_tokenizer_parts(json: &Json) -> Vec<&Json> {
    match json.get("pre_tokenizer") {
        Some(part) if part_type(part) == Some("Sequence") => part
            .get("pretokenizers")
            .and_then(Json::as_array)
            .map(|parts| parts.iter().collect())
            .unwrap_or_default(),
        Some(Json::Null) | None => Vec::new(),
        Some(part) => vec![part],
    }
}

fn part_type(part: &Json) -> Option<&str> {
    part.get("type").and_then(Json::as_str)
}

/// Older files have one text with a blank inside, newer ones a list of two.
fn merge_text(merge: &Json) -> Option<String> {
    match merge {
        Json::String(text) => Some(text.clone()),
        Json::Array(pair) => match pair.as_slice() {
            [first, second] => Some(format!("{} {}", first.as_str()?, second.as_str()?)),
            _ => None,
        },
        _ => None,
    }
}
