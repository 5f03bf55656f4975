#![allow(clippy::unwrap_used)]

use std::fs;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fixture::{BOS, EOS, tokenizer_json, write_directory};
use crate::gguf::{OwnedValue, Writer};
use crate::quantize::{Quantization, quantize};
use crate::source::ModelSource;

fn tokenizer() -> Tokenizer {
    Tokenizer::from_json(tokenizer_json().to_string().as_bytes()).unwrap()
}

/// The same tokenizer from GGUF's own keys, without the tokenizer.json.
fn from_keys(change: impl Fn(&mut Vec<(String, OwnedValue)>)) -> Result<Tokenizer, TokenizerError> {
    let text = tokenizer_json().to_string();
    let mut keys = vocabulary::gguf_from_json(&text, crate::fixture::VOCAB).unwrap();
    keys.push((
        "tokenizer.ggml.bos_token_id".to_owned(),
        OwnedValue::U32(BOS),
    ));
    keys.push((
        "tokenizer.ggml.add_bos_token".to_owned(),
        OwnedValue::Bool(true),
    ));
    change(&mut keys);
    let (_, file) = Writer::begin(Vec::new(), &keys, &[])
        .unwrap()
        .finish()
        .unwrap();
    Tokenizer::from_gguf(&Header::parse(&file).unwrap(), &file)
}

fn set(keys: &mut [(String, OwnedValue)], key: &str, value: &str) {
    let entry = keys.iter_mut().find(|(name, _)| name == key).unwrap();
    entry.1 = OwnedValue::String(value.to_owned());
}

#[test]
fn a_damaged_description_is_an_error() {
    let text = tokenizer_json().to_string();
    for (at, _) in text.match_indices(':') {
        let mut damaged = text.clone();
        damaged.replace_range(at..=at, ";");
        let refused = Tokenizer::from_json(damaged.as_bytes());
        assert!(
            matches!(refused, Ok(_) | Err(TokenizerError::Invalid(_))),
            "{refused:?}"
        );
    }
}

#[test]
fn a_panic_of_the_library_is_an_error() {
    let failed = guarded::<()>(|| panic!("as it does on some files"));
    assert!(failed.is_err());
}

#[test]
fn text_becomes_tokens_and_text_again() {
    let tokenizer = tokenizer();
    // "hello" is one token, " the" another; padding and truncation of the file are not used.
    assert_eq!(tokenizer.encode("hello the", false).unwrap(), [261, 258]);
    assert_eq!(
        tokenizer.encode("hello the", true).unwrap(),
        [BOS, 261, 258]
    );
    assert_eq!(tokenizer.encode("abcdefgh", false).unwrap().len(), 8);
    assert_eq!(tokenizer.encode("<|end|>", false).unwrap(), [EOS]);
    assert_eq!(tokenizer.decode(&[BOS, 261, EOS], true).unwrap(), "hello");
    assert_eq!(
        tokenizer.decode(&[BOS, 261, EOS], false).unwrap(),
        "<|begin|>hello<|end|>"
    );
    assert_eq!(tokenizer.token_to_id("<|end|>"), Some(EOS));
    assert_eq!(tokenizer.id_to_token(261).as_deref(), Some("hello"));
    assert_eq!((tokenizer.kind(), tokenizer.vocab_size()), ("BPE", 264));
    // A number beyond the vocabulary is left out.
    assert_eq!(tokenizer.decode(&[261, 9999], true).unwrap(), "hello");
}

#[test]
fn too_much_is_refused() {
    let tokenizer = tokenizer();
    assert!(matches!(
        tokenizer.encode(&"a".repeat(MAX_TEXT_BYTES + 1), false),
        Err(TokenizerError::TextTooLong { bytes, limit: MAX_TEXT_BYTES }) if bytes == MAX_TEXT_BYTES + 1
    ));
    assert!(matches!(
        tokenizer.decode(&vec![0; MAX_TOKENS + 1], false),
        Err(TokenizerError::TooManyTokens { .. })
    ));
}

#[test]
fn a_damaged_description_is_refused() {
    for json in ["", "{}", "[1, 2", "{\"model\": {\"type\": \"BPE\"}}"] {
        assert!(matches!(
            Tokenizer::from_json(json.as_bytes()),
            Err(TokenizerError::Invalid(_))
        ));
    }
}

#[test]
fn a_model_may_have_no_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("hub");
    write_directory(&directory, "llama");
    fs::remove_file(directory.join("tokenizer.json")).unwrap();
    let source = ModelSource::open(&directory).unwrap();
    assert!(matches!(
        source.tokenizer(),
        Err(TokenizerError::Missing("tokenizer.json"))
    ));
    let out = folder.path().join("out.gguf");
    quantize(&source, Quantization::F16, &out).unwrap();
    assert!(matches!(
        ModelSource::open(&out).unwrap().tokenizer(),
        Err(TokenizerError::Missing(_))
    ));
}

#[test]
fn the_keys_of_gguf_are_enough() {
    let ours = tokenizer();
    let theirs = from_keys(|_| {}).unwrap();
    for text in [
        "hello the",
        "",
        " the <|end|> hello 123",
        "äöü – ¡hello!",
        "\n\n\ta  b",
    ] {
        for special in [false, true] {
            let tokens = ours.encode(text, special).unwrap();
            assert_eq!(theirs.encode(text, special).unwrap(), tokens, "{text:?}");
            assert_eq!(
                theirs.decode(&tokens, true).unwrap(),
                ours.decode(&tokens, true).unwrap()
            );
        }
    }
}

#[test]
fn other_splits_and_kinds() {
    let digits = |name: &str| {
        let tokenizer = from_keys(|keys| set(keys, "tokenizer.ggml.pre", name)).unwrap();
        tokenizer.encode("hello the 12", false).unwrap().len()
    };
    for name in ["llama-bpe", "qwen2", "smollm", "gpt-2"] {
        assert_eq!(digits(name), 5, "{name}");
    }
    let unsupported = |key: &str, value: &str| {
        matches!(
            from_keys(|keys| set(keys, key, value)),
            Err(TokenizerError::Unsupported(reason)) if reason.contains(value)
        )
    };
    assert!(unsupported("tokenizer.ggml.pre", "tekken"));
    assert!(unsupported("tokenizer.ggml.model", "t5"));
    let without = from_keys(|keys| keys.retain(|(key, _)| key != "tokenizer.ggml.merges"));
    assert!(matches!(
        without,
        Err(TokenizerError::Gguf(GgufError::MissingKey { key })) if key == "tokenizer.ggml.merges"
    ));
}

#[test]
fn a_split_has_the_name_that_llama_cpp_knows() {
    let name = |pre_tokenizer: serde_json::Value| {
        let mut json = tokenizer_json();
        json["pre_tokenizer"] = pre_tokenizer;
        let keys = vocabulary::gguf_from_json(&json.to_string(), crate::fixture::VOCAB)?;
        let name = keys
            .into_iter()
            .find(|(key, _)| key == "tokenizer.ggml.pre");
        Ok::<_, TokenizerError>(name.map(|(_, value)| value))
    };
    let is = |pre_tokenizer, expected: &str| {
        let name = name(pre_tokenizer).unwrap();
        assert_eq!(name, Some(OwnedValue::String(expected.to_owned())));
    };
    let bytes = |use_regex: bool| json!({ "type": "ByteLevel", "use_regex": use_regex });
    is(bytes(true), "gpt-2");
    let digits = json!({ "type": "Digits", "individual_digits": true });
    is(
        json!({ "type": "Sequence", "pretokenizers": [digits, bytes(true)] }),
        "smollm",
    );
    let split = |pattern: &str| {
        let split = json!({ "type": "Split", "pattern": { "Regex": pattern } });
        json!({ "type": "Sequence", "pretokenizers": [split, bytes(false)] })
    };
    is(split("unheard of"), "default");
    let qwen = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    is(split(qwen), "qwen2");
    assert!(matches!(
        name(json!({ "type": "Metaspace" })),
        Err(TokenizerError::Unsupported(_))
    ));
}

/// Like TinyLlama's: blanks as U+2581, unknown characters as bytes.
fn sentencepiece_json() -> serde_json::Value {
    let mut tokens = vec!["<unk>".to_owned(), "<s>".to_owned(), "</s>".to_owned()];
    tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    let merges = [
        ("l", "l"),
        ("h", "e"),
        ("\u{2581}", "t"),
        ("he", "ll"),
        ("hell", "o"),
        ("\u{2581}t", "he"),
        ("\u{2581}", "hello"),
    ];
    tokens.extend("\u{2581}abcdehlot".chars().map(String::from));
    tokens.extend(
        merges
            .iter()
            .map(|(first, second)| format!("{first}{second}")),
    );
    let vocab: serde_json::Map<_, _> = tokens
        .into_iter()
        .enumerate()
        .map(|(id, token)| (token, json!(id)))
        .collect();
    let added = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "special": true, "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false })
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null, "post_processor": null,
        "added_tokens": [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "\u{2581}" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "\u{2581}" }]},
        "pre_tokenizer": null,
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "\u{2581}" }, "content": " " },
            { "type": "ByteFallback" }, { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 }]},
        "model": { "type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
            "vocab": vocab, "merges": merges.map(|(first, second)| json!([first, second])) },
    })
}

#[test]
fn sentencepiece_goes_through_its_scores() {
    let json = sentencepiece_json().to_string();
    let ours = Tokenizer::from_json(json.as_bytes()).unwrap();
    let mut keys = vocabulary::gguf_from_json(&json, 300).unwrap();
    keys.push((
        "tokenizer.ggml.add_bos_token".to_owned(),
        OwnedValue::Bool(false),
    ));
    let read = |keys: &[(String, OwnedValue)]| {
        let (_, file) = Writer::begin(Vec::new(), keys, &[])
            .unwrap()
            .finish()
            .unwrap();
        Tokenizer::from_gguf(&Header::parse(&file).unwrap(), &file)
    };
    let theirs = read(&keys).unwrap();
    for text in [
        "hello the ball",
        "",
        "  the</s> helloz",
        "ü 🦀",
        "ttt  heell\n",
    ] {
        let tokens = ours.encode(text, false).unwrap();
        assert_eq!(theirs.encode(text, false).unwrap(), tokens, "{text:?}");
        assert_eq!(
            theirs.decode(&tokens, true).unwrap(),
            ours.decode(&tokens, true).unwrap()
        );
    }
    let mut stream = theirs.stream(true);
    let mut back = String::new();
    for token in theirs.encode("hello 🦀 the", false).unwrap() {
        back.extend(stream.push(token).unwrap());
    }
    assert_eq!(back, "hello 🦀 the");
    keys.retain(|(key, _)| key != "tokenizer.ggml.scores");
    assert!(matches!(
        read(&keys),
        Err(TokenizerError::Gguf(GgufError::MissingKey { .. }))
    ));
}

#[test]
fn a_vocabulary_beyond_the_embedding_is_refused() {
    let text = tokenizer_json().to_string();
    let error = vocabulary::gguf_from_json(&text, 263).unwrap_err();
    assert!(matches!(error, TokenizerError::Invalid(reason) if reason.contains("<|end|>")));
}

#[test]
fn a_stream_gives_whole_characters_only() {
    let tokenizer = tokenizer();
    // Four bytes, four tokens.
    let tokens = tokenizer.encode("a🦀b", false).unwrap();
    assert_eq!(tokens.len(), 6);
    let mut stream = tokenizer.stream(true);
    let pieces: Vec<Option<String>> = tokens
        .iter()
        .map(|token| stream.push(*token).unwrap())
        .collect();
    let piece = |text: &str| Some(text.to_owned());
    assert_eq!(
        pieces,
        [piece("a"), None, None, None, piece("🦀"), piece("b")]
    );
    assert_eq!(stream.finish().unwrap(), None);

    // An answer that ends inside a character.
    let mut stream = tokenizer.stream(true);
    for token in &tokens[..3] {
        stream.push(*token).unwrap();
    }
    assert_eq!(stream.finish().unwrap().as_deref(), Some("\u{fffd}"));

    // Specials are silent and hold nothing back.
    let mut stream = tokenizer.stream(true);
    assert_eq!(stream.push(BOS).unwrap(), None);
    assert_eq!(stream.push(261).unwrap().as_deref(), Some("hello"));
    assert_eq!(stream.push(258).unwrap().as_deref(), Some(" the"));
}

#[test]
fn a_stream_of_broken_bytes_does_not_grow() {
    let tokenizer = tokenizer();
    let lead = tokenizer.encode("🦀", false).unwrap()[0];
    let mut stream = tokenizer.stream(true);
    let mut shown = 0;
    for _ in 0..1000 {
        shown += stream
            .push(lead)
            .unwrap()
            .map_or(0, |text| text.chars().count());
        assert!(stream.tokens.len() <= 2 * MAX_PENDING_TOKENS);
    }
    assert!(shown >= 1000 - MAX_PENDING_TOKENS, "{shown}");
}

proptest! {
    #[test]
    fn any_text_streams_back_whole(text in "\\PC{0,40}") {
        let tokenizer = tokenizer();
        let tokens = tokenizer.encode(&text, false).unwrap();
        let mut stream = tokenizer.stream(false);
        let mut back = String::new();
        for token in &tokens {
            back.extend(stream.push(*token).unwrap());
        }
        back.extend(stream.finish().unwrap());
        prop_assert_eq!(&back, &text);
        prop_assert_eq!(tokenizer.decode(&tokens, false).unwrap(), text);
    }
}
