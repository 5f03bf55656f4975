//! Files of a model. They are written to a folder and opened by path, as the node
//! opens them.

use std::{collections::BTreeSet, fs, path::Path};

use weft_model::{
    ChatTemplate, MAX_PROMPT_BYTES, Message, ModelSource, Tokenizer, chunk_map, inspect,
};
use weft_record::{ChunkMap, Hash};

use crate::{
    folder::{put, with_folder},
    gguf_file::GgufFile,
    model_seeds as seeds,
};

/// A GGUF file.
pub(crate) fn gguf(input: &[u8]) {
    with_folder(
        "gguf",
        |_| (),
        |folder| {
            let path = folder.join("model.gguf");
            fs::write(&path, input).unwrap();
            let is_cut = cut(&path, input);
            if let Some(source) = open(&path, input.len()) {
                assert!(is_cut);
                if let Ok(tokenizer) = source.tokenizer() {
                    exercise(&tokenizer);
                }
                let _ = source.chat_template();
            }
        },
    );
}

/// The weights of a Hugging Face directory.
pub(crate) fn safetensors(input: &[u8]) {
    with_folder("safetensors", seeds::write_small_files, |folder| {
        let path = folder.join("model.safetensors");
        fs::write(&path, input).unwrap();
        let is_cut = cut(&path, input);
        if open(folder, input.len()).is_some() {
            assert!(is_cut);
        }
    });
}

/// The small files of a Hugging Face directory, with a zero byte between them:
/// config.json, generation_config.json, tokenizer_config.json and the index of the
/// weights. Where one is empty, config.json is a good one and the others are missing.
pub(crate) fn config(input: &[u8]) {
    let mut parts = input.splitn(4, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (config, generation, tokenizer, index) = (part(), part(), part(), part());
    let (name, prepare): (_, fn(&Path)) = if index.is_empty() {
        ("whole", seeds::write_weights)
    } else {
        ("sharded", seeds::write_shards)
    };
    with_folder(name, prepare, |folder| {
        put(folder, "generation_config.json", generation);
        put(folder, "tokenizer_config.json", tokenizer);
        put(folder, "model.safetensors.index.json", index);
        if config.is_empty() {
            put(folder, "config.json", seeds::CONFIG.as_bytes());
        } else {
            put(folder, "config.json", config);
        }
        if let Some(source) = open(folder, seeds::WEIGHTS_BYTES_MOST) {
            let _ = source.chat_template();
        }
    });
}

/// A tokenizer.json.
pub(crate) fn tokenizer(input: &[u8]) {
    if let Ok(tokenizer) = Tokenizer::from_json(input) {
        exercise(&tokenizer);
    }
}

/// The vocabulary of a GGUF file: which kind, then tokens, each behind its type, and
/// after a zero byte merges, each on its line.
pub(crate) fn vocabulary(input: &[u8]) {
    let [flags, first, text @ ..] = input else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let (tokens, merges) = text.split_once('\0').unwrap_or((text, ""));
    let mut kinds = Vec::new();
    let mut spelled = Vec::new();
    for token in tokens.split('\n') {
        let mut characters = token.chars();
        kinds.push(characters.next().map_or(1, |kind| (kind as u32 & 7) as i32));
        spelled.push(characters.as_str());
    }
    let mut file = GgufFile::smallest();
    let sentencepiece = flags & 1 != 0;
    file.string(
        "tokenizer.ggml.model",
        if sentencepiece { "llama" } else { "gpt2" },
    );
    let splits = ["gpt-2", "smollm", "llama-bpe", "qwen2", "default", "other"];
    if let Some(split) = splits.get(usize::from(flags >> 1 & 7)) {
        file.string("tokenizer.ggml.pre", split);
    }
    file.strings("tokenizer.ggml.tokens", &spelled);
    if flags & 16 == 0 {
        file.i32s("tokenizer.ggml.token_type", &kinds);
    }
    if flags & 32 != 0 {
        file.bool("tokenizer.ggml.add_bos_token", flags & 64 != 0);
    }
    file.u32("tokenizer.ggml.bos_token_id", u32::from(*first));
    if sentencepiece {
        let scores = scores(merges, spelled.len());
        file.f32s("tokenizer.ggml.scores", &scores);
        file.bool("tokenizer.ggml.add_space_prefix", flags & 128 != 0);
    } else {
        let merges: Vec<&str> = merges.split('\n').collect();
        file.strings("tokenizer.ggml.merges", &merges);
    }
    let bytes = file.bytes();
    with_folder(
        "vocabulary",
        |_| (),
        |folder| {
            let path = folder.join("model.gguf");
            fs::write(&path, &bytes).unwrap();
            let source = open(&path, bytes.len()).unwrap();
            if let Ok(tokenizer) = source.tokenizer() {
                exercise(&tokenizer);
            }
        },
    );
}

/// A number a token, from whatever bytes there are.
fn scores(bytes: &str, count: usize) -> Vec<f32> {
    let given = bytes.bytes().map(|byte| match byte {
        0x7f => f32::NAN,
        0x7e => f32::INFINITY,
        other => -f32::from(other),
    });
    given.chain(std::iter::repeat(0.0)).take(count).collect()
}

/// A chat template, and after zero bytes what was said.
pub(crate) fn template(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut parts = text.split('\0');
    let source = parts.next().unwrap_or_default();
    let roles = ["system", "user", "assistant"];
    let messages: Vec<Message> = roles
        .iter()
        .cycle()
        .zip(parts)
        .map(|(role, content)| Message::new(*role, content))
        .collect();
    let Ok(template) = ChatTemplate::new(source, "<s>", "</s>") else {
        return;
    };
    assert_eq!(template.source(), source);
    for prompt in [false, true] {
        match template.render(&messages, prompt) {
            Ok(text) => assert!(text.len() <= MAX_PROMPT_BYTES),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// Chunks cover the file, and each has the hash of its bytes.
fn cut(path: &Path, file: &[u8]) -> bool {
    let Ok(map) = chunk_map(path) else {
        return false;
    };
    map.check(file.len() as u64).unwrap();
    assert_eq!(
        ChunkMap::decode(&map.encode(), file.len() as u64).as_ref(),
        Ok(&map)
    );
    for (offset, chunk) in map.offsets().zip(&map.chunks) {
        let start = offset as usize;
        let bytes = &file[start..start + chunk.length as usize];
        assert_eq!(chunk.hash, Hash::of(bytes));
    }
    true
}

/// What opens holds all that it promises: every tensor in its shape and inside the
/// files, and a configuration that can be computed with.
fn open(path: &Path, file_bytes: usize) -> Option<ModelSource> {
    let source = match ModelSource::open(path) {
        Ok(source) => source,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    let config = source.config();
    assert!(config.heads.is_multiple_of(config.kv_heads));
    let frequencies = config.inverse_frequencies();
    assert_eq!(frequencies.len(), config.head_dim / 2);
    assert!(frequencies.iter().all(|frequency| !frequency.is_nan()));
    let mut bytes = 0;
    for name in source.tensor_names() {
        assert!(source.has_tensor(name));
        let tensor = source.tensor(name).unwrap();
        let rows = tensor.elements() / tensor.row_elements();
        assert_eq!(tensor.bytes.len(), rows * tensor.row_bytes());
        assert_eq!(tensor.to_f32().len(), tensor.elements());
        bytes += tensor.bytes.len();
    }
    assert!(bytes <= file_bytes);
    let ends: BTreeSet<&u32> = source.eos_tokens().iter().collect();
    assert_eq!(ends.len(), source.eos_tokens().len());
    let inspection = inspect(path).unwrap();
    assert_eq!(inspection.tensors.len(), source.tensor_names().count());
    assert_eq!(&inspection.config, config);
    Some(source)
}

/// A tokenizer that was built can be used with any text.
fn exercise(tokenizer: &Tokenizer) {
    assert!(!tokenizer.kind().is_empty());
    let known = tokenizer.vocab_size() as u32;
    for text in ["", "the hello 97C\n", " \u{2581}e\u{301} 日本 <|end|><s>"] {
        for special in [false, true] {
            let Ok(tokens) = tokenizer.encode(text, special) else {
                continue;
            };
            let mut stream = tokenizer.stream(special);
            for token in &tokens {
                let _ = stream.push(*token);
            }
            let _ = stream.finish();
            let _ = tokenizer.decode(&tokens, special);
        }
    }
    let _ = tokenizer.decode(&[0, known.wrapping_sub(1), known, u32::MAX], false);
}
