#![allow(clippy::unwrap_used)]

use std::fs;

use super::*;
use crate::fixture::{LAYERS, weights, write_directory};
use crate::quantize::{Quantization, quantize};

#[test]
fn a_directory_and_a_gguf_file() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("hub");
    write_directory(&directory, "qwen2");
    let hub = inspect(&directory).unwrap();
    assert_eq!((hub.container, hub.files.len()), ("hugging_face", 1));
    let parameters: usize = weights("qwen2", true).values().map(|(_, v)| v.len()).sum();
    assert_eq!(hub.parameters, parameters as u64);
    assert_eq!(hub.formats.len(), 1);
    assert_eq!(hub.formats[0].bytes, 4 * hub.parameters);
    assert!(hub.chat_template);
    let ready = TokenizerState::Ready {
        kind: "BPE",
        vocab_size: 264,
    };
    assert_eq!(hub.tokenizer, ready);

    let out = folder.path().join("out.gguf");
    let source = ModelSource::open(&directory).unwrap();
    let summary = quantize(&source, Quantization::Q8_0, &out).unwrap();
    let gguf = inspect(&out).unwrap();
    assert_eq!((gguf.container, gguf.parameters), ("gguf", hub.parameters));
    assert_eq!((gguf.tokenizer, gguf.chat_template), (ready, true));
    assert_eq!(gguf.files[0].blake3, summary.blake3);
    assert_eq!(gguf.file_bytes, fs::metadata(&out).unwrap().len());
    let [blocks, floats] = &gguf.formats[..] else {
        panic!("two formats");
    };
    assert_eq!(
        (blocks.dtype, blocks.tensors),
        (DType::Q8_0, 1 + 7 * LAYERS)
    );
    assert_eq!((floats.dtype, floats.tensors), (DType::F32, 1 + 5 * LAYERS));
    assert_eq!(gguf.tensors.len(), 2 + 12 * LAYERS);
    assert_eq!(gguf.tensors[0].name, "model.embed_tokens.weight");
    let json = serde_json::to_value(inspect(&out).unwrap()).unwrap();
    assert_eq!(json["config"]["architecture"], "qwen2");
    assert_eq!(json["tokenizer"]["ready"]["kind"], "BPE");
}

#[test]
fn what_is_missing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    write_directory(folder.path(), "llama");
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
    let inspection = inspect(folder.path()).unwrap();
    assert!(matches!(
        inspection.tokenizer,
        TokenizerState::Unusable { .. }
    ));
    assert!(!inspection.chat_template);
    assert!(matches!(
        inspect(&folder.path().join("no")),
        Err(InspectError::Open(_))
    ));
}
