//! Tokenizers of SentencePiece's kind (Llama 2, TinyLlama): GGUF keeps a score for each token,
//! tokenizer.json keeps merges by rank. A merged token's score is its rank, negated.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::gguf::{GgufError, Header, Value};
use crate::tokenizer::TokenizerError;
use crate::vocabulary::{BYTE, CONTROL, NORMAL, SCORES, UNKNOWN, USER_DEFINED};

/// What stands for a blank.
const BLANK: &str = "\u{2581}";
/// Longer tokens are blanks or rules, which no merge is asked for.
const MAX_MERGED_CHARS: usize = 64;

/// Whether a tokenizer.json describes such a tokenizer.
pub(crate) fn describes(json: &Json) -> bool {
    let flag = |key: &str| json.pointer(key).and_then(Json::as_bool);
    flag("/model/byte_fallback").unwrap_or(false)
}

/// GGUF's kind of a token that is not an added one.
pub(crate) fn kind_of(token: &str, json: &Json) -> i32 {
    let unknown = json.pointer("/model/unk_token").and_then(Json::as_str);
    if Some(token) == unknown {
        UNKNOWN
    } else if token.len() == 6 && token.starts_with("<0x") && token.ends_with('>') {
        BYTE
    } else {
        NORMAL
    }
}

/// The score of each token: earlier merges are better, and what no merge makes comes last.
pub(crate) fn scores(tokens: &[String], merges: &[String]) -> Vec<f32> {
    let mut ranks: BTreeMap<String, usize> = BTreeMap::new();
    for (rank, merge) in merges.iter().enumerate() {
        ranks.entry(merge.replacen(' ', "", 1)).or_insert(rank);
    }
    let score = |(id, token)| match ranks.get(token) {
        Some(rank) => -(*rank as f32),
        None => -((merges.len() + id) as f32),
    };
    tokens.iter().enumerate().map(score).collect()
}

/// Whether a blank is put before the text.
pub(crate) fn adds_blank(json: &Json) -> bool {
    let text = |part: &str| json.get(part).map(Json::to_string).unwrap_or_default();
    text("normalizer").contains("\"Prepend\"")
        || (text("pre_tokenizer").contains("\"Metaspace\"")
            && !text("pre_tokenizer").contains("\"never\""))
}

/// The parts of the tokenizer.json that GGUF's keys describe: model, normalizer and decoder.
pub(crate) fn parts_from_gguf(
    header: &Header,
    file: &[u8],
    tokens: &[&str],
    kinds: &[i32],
) -> Result<(Json, Json, Json), TokenizerError> {
    let scores: Vec<f64> = header
        .scalars(file, SCORES)?
        .ok_or_else(|| GgufError::MissingKey {
            key: SCORES.to_owned(),
        })?
        .map(|score| match score {
            Value::Float(_, score) if score.is_finite() => score,
            _ => f64::MIN,
        })
        .collect();
    if scores.len() != tokens.len() {
        return Err(TokenizerError::Invalid(format!(
            "there are {} tokens and {} scores",
            tokens.len(),
            scores.len()
        )));
    }
    let ids: BTreeMap<&str, usize> = tokens.iter().copied().zip(0..).collect();
    let kind = |id: usize| kinds.get(id).copied().unwrap_or(NORMAL);
    // Every way in which a token is put together from two others.
    let mut merges: Vec<(f64, usize, usize)> = Vec::new();
    for (id, token) in tokens.iter().enumerate() {
        let merged = !matches!(kind(id), CONTROL | USER_DEFINED | BYTE | UNKNOWN);
        if !merged || token.chars().count() > MAX_MERGED_CHARS {
            continue;
        }
        for (at, _) in token.char_indices().skip(1) {
            let (first, second) = token.split_at(at);
            if let (Some(&first), Some(&second)) = (ids.get(first), ids.get(second)) {
                merges.push((scores[id], first, second));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let merges: Vec<Json> = merges
        .iter()
        .map(|(_, first, second)| json!([tokens[*first], tokens[*second]]))
        .collect();
    let vocab: Map<String, Json> = tokens
        .iter()
        .enumerate()
        .map(|(id, token)| ((*token).to_owned(), json!(id)))
        .collect();
    let unknown = (0..tokens.len()).find(|id| kind(*id) == UNKNOWN);
    let model = json!({
        "type": "BPE", "vocab": vocab, "merges": merges, "byte_fallback": true, "fuse_unk": true,
        "unk_token": unknown.map(|id| tokens[id]),
    });
    let blank = header
        .bool("tokenizer.ggml.add_space_prefix")?
        .unwrap_or(true);
    let mut normalizers = Vec::new();
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": BLANK }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if blank {
        normalizers.push(json!({ "type": "Prepend", "prepend": BLANK }));
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    normalizers.push(json!({ "type": "Replace", "pattern": { "String": " " }, "content": BLANK }));
    Ok((
        model,
        json!({ "type": "Sequence", "normalizers": normalizers }),
        json!({ "type": "Sequence", "decoders": decoders }),
    ))
}
