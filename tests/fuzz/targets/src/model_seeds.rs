//! Tiny models that open: where the search begins, and what surrounds a fuzzed file.

use std::{fs, path::Path};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use weft_model::{ModelSource, Quantization, quantize};

use crate::gguf_file::GgufFile;

/// A configuration that fits [`write_weights`].
pub(crate) const CONFIG: &str = r#"{"model_type":"llama","vocab_size":6,"hidden_size":4,"intermediate_size":4,"num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,"max_position_embeddings":16,"rms_norm_eps":1e-5,"rope_theta":10000.0,"hidden_act":"silu","tie_word_embeddings":true,"bos_token_id":0,"eos_token_id":[1,2]}"#;
/// More than the weights of [`write_weights`] take, even twice.
pub(crate) const WEIGHTS_BYTES_MOST: usize = 4096;

const TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}\n<{{ message.role }}>{{ message['content'].strip() }}\n{% endfor %}\n{% if add_generation_prompt %}<assistant>{% endif %}";

pub(crate) fn write_small_files(folder: &Path) {
    fs::write(folder.join("config.json"), CONFIG).unwrap();
    fs::write(folder.join("tokenizer.json"), byte_level().to_string()).unwrap();
}

pub(crate) fn write_weights(folder: &Path) {
    write_small_files(folder);
    let tensors = tensors(4, 6);
    fs::write(folder.join("model.safetensors"), pack(&tensors, Dtype::F32)).unwrap();
}

pub(crate) fn write_shards(folder: &Path) {
    write_small_files(folder);
    let tensors = tensors(4, 6);
    let (first, second) = tensors.split_at(3);
    fs::write(folder.join("a.safetensors"), pack(first, Dtype::F32)).unwrap();
    fs::write(folder.join("b.safetensors"), pack(second, Dtype::F32)).unwrap();
}

type Shapes = Vec<(String, Vec<usize>)>;

fn tensors(hidden: usize, vocab: usize) -> Shapes {
    let half = hidden / 2;
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocab, hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
    ];
    for (part, shape) in [
        ("input_layernorm", vec![hidden]),
        ("post_attention_layernorm", vec![hidden]),
        ("self_attn.q_proj", vec![hidden, hidden]),
        ("self_attn.k_proj", vec![half, hidden]),
        ("self_attn.v_proj", vec![half, hidden]),
        ("self_attn.o_proj", vec![hidden, hidden]),
        ("mlp.gate_proj", vec![hidden, hidden]),
        ("mlp.up_proj", vec![hidden, hidden]),
        ("mlp.down_proj", vec![hidden, hidden]),
    ] {
        shapes.push((format!("model.layers.0.{part}.weight"), shape));
    }
    shapes
}

fn pack(tensors: &[(String, Vec<usize>)], dtype: Dtype) -> Vec<u8> {
    let bits = dtype.bitsize();
    let zeros: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, shape)| vec![0; shape.iter().product::<usize>() * bits / 8])
        .collect();
    let views = tensors.iter().zip(&zeros).map(|((name, shape), bytes)| {
        let view = TensorView::new(dtype, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    safetensors::serialize(views, None).unwrap()
}

pub(crate) fn safetensors() -> Vec<Vec<u8>> {
    let tensors = tensors(4, 6);
    [Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::I8]
        .map(|dtype| pack(&tensors, dtype))
        .to_vec()
}

pub(crate) fn config() -> Vec<Vec<u8>> {
    let scaled = |scaling: Value| {
        let mut config: Value = serde_json::from_str(CONFIG).unwrap();
        config["rope_scaling"] = scaling;
        config.to_string()
    };
    let generation = r#"{"bos_token_id":0,"eos_token_id":[1,2,2]}"#;
    let tokenizer = json!({
        "bos_token": { "content": "<s>" }, "eos_token": "</s>",
        "chat_template": [{ "name": "default", "template": TEMPLATE }],
    })
    .to_string();
    let index = json!({ "weight_map": { "x": "a.safetensors", "y": "b.safetensors" } }).to_string();
    let linear = scaled(json!({ "type": "linear", "factor": 2.0 }));
    let llama3 = scaled(json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8,
    }));
    let qwen2 = CONFIG.replace("llama", "qwen2");
    [
        [CONFIG, "", "", ""],
        ["", generation, &tokenizer, &index],
        [&linear, "", &tokenizer, ""],
        [&llama3, generation, "", ""],
        [&qwen2, "", "", ""],
    ]
    .map(|parts| parts.join("\0").into_bytes())
    .to_vec()
}

pub(crate) fn gguf() -> Vec<Vec<u8>> {
    let mut plain = GgufFile::smallest();
    plain.u32("tokenizer.ggml.eos_token_id", 2);
    plain.string("tokenizer.chat_template", TEMPLATE);
    let mut whole = GgufFile::smallest();
    whole.string("tokenizer.huggingface.json", &byte_level().to_string());
    let mut scaled = GgufFile::smallest();
    scaled.tensor("rope_freqs.weight", &[1]);
    scaled.tensor("output.weight", &[2, 4]);
    let mut pieces = GgufFile::smallest();
    pieces.string("tokenizer.ggml.model", "llama");
    pieces.strings(
        "tokenizer.ggml.tokens",
        &["<unk>", "<s>", "</s>", "\u{2581}", "a", "\u{2581}a"],
    );
    pieces.i32s("tokenizer.ggml.token_type", &[2, 3, 3, 1, 1, 1]);
    pieces.f32s("tokenizer.ggml.scores", &[0.0, 0.0, 0.0, -2.0, -3.0, -1.0]);
    pieces.u32("tokenizer.ggml.bos_token_id", 1);
    let mut seeds: Vec<Vec<u8>> = [plain, whole, scaled, pieces]
        .iter()
        .map(GgufFile::bytes)
        .collect();
    seeds.extend([Quantization::Q8_0, Quantization::Q4_0].map(quantized));
    seeds
}

/// A model as `weft` itself writes it.
fn quantized(to: Quantization) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_small_files(folder);
    let config = CONFIG
        .replace("\"hidden_size\":4", "\"hidden_size\":32")
        .replace("\"intermediate_size\":4", "\"intermediate_size\":32")
        .replace("\"vocab_size\":6", "\"vocab_size\":64");
    fs::write(folder.join("config.json"), config).unwrap();
    let weights = pack(&tensors(32, 64), Dtype::F16);
    fs::write(folder.join("model.safetensors"), weights).unwrap();
    let out = folder.join("model.gguf");
    quantize(&ModelSource::open(folder).unwrap(), to, &out).unwrap();
    fs::read(out).unwrap()
}

pub(crate) fn tokenizer() -> Vec<Vec<u8>> {
    let mut pieces = byte_level();
    pieces["model"]["byte_fallback"] = json!(true);
    pieces["pre_tokenizer"] = json!({ "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "first", "split": true });
    pieces["decoder"] = json!({ "type": "Sequence", "decoders": [
        { "type": "Replace", "pattern": { "String": "\u{2581}" }, "content": " " },
        { "type": "ByteFallback" }, { "type": "Fuse" },
        { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
    ]});
    let mut normal = byte_level();
    normal["normalizer"] = json!({ "type": "Sequence", "normalizers": [
        { "type": "NFC" }, { "type": "Lowercase" }, { "type": "Prepend", "prepend": "_" },
        { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true },
    ]});
    normal["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [
        { "type": "Split", "pattern": { "Regex": "\\s+(?!\\S)|\\s+" }, "behavior": "Isolated", "invert": false },
        { "type": "Digits", "individual_digits": true },
    ]});
    let models = [
        json!({ "type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["the", -1.5], [" ", -2.0]], "byte_fallback": false }),
        json!({ "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": { "[UNK]": 0, "the": 1, "##l": 2 } }),
        json!({ "type": "WordLevel", "unk_token": "<unk>", "vocab": { "<unk>": 0, "the": 1 } }),
    ]
    .map(|model| json!({ "version": "1.0", "pre_tokenizer": { "type": "Whitespace" }, "model": model }));
    [byte_level(), pieces, normal]
        .iter()
        .chain(&models)
        .map(|json| json.to_string().into_bytes())
        .collect()
}

/// Byte-level BPE over a few letters, with one merge and two special tokens.
fn byte_level() -> Value {
    json!({
        "version": "1.0",
        "truncation": { "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0 },
        "padding": { "strategy": { "Fixed": 8 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "!" },
        "added_tokens": [{ "id": 0, "content": "<s>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false }],
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": { "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [0], "tokens": ["<s>"] } } },
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "vocab": { "h": 1, "e": 2, "he": 3, "l": 4, "o": 5 }, "merges": ["h e"] },
    })
}

pub(crate) fn vocabulary() -> Vec<Vec<u8>> {
    let bytes = |flags: u8, text: &str| {
        let mut seed = vec![flags, 1];
        seed.extend(text.as_bytes());
        seed
    };
    let mut seeds = Vec::new();
    for split in 0..8_u8 {
        seeds.push(bytes(split << 1 | 32, "3<s>\n1h\n1e\n1l\n1he\0h e"));
    }
    seeds.push(bytes(
        1 | 64 | 128,
        "2<unk>\n3<s>\n1\u{2581}\n1a\n1\u{2581}a\n6<0x0A>\0\x05\x04\x03\x02\x01",
    ));
    seeds
}

pub(crate) fn template() -> Vec<Vec<u8>> {
    let loops = "{% set ns = namespace(x='') %}{% for i in range(9) %}{% set ns.x = ns.x ~ 'ab' * i %}{% endfor %}{{ ns.x|upper|replace('A', 'b') }}";
    let macros = "{% macro turn(m) %}[{{ m.role|trim }}]{% endmacro %}{% for m in messages if m.content %}{{ turn(m) }}{{ loop.index0 % 2 == 0 }}{% endfor %}{{ messages|tojson(indent=1) }}";
    let refuses = "{% if messages[0]['role'] != 'user' %}{{ raise_exception('roles must alternate') }}{% endif %}{{ messages[-1].content.split('\n')[0].title().center(20) }}";
    let recursive = "{% for x in [[1,[2]]] recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}{{ '%05d' % 7 }}{{ 'a{}'.format(1) }}";
    [TEMPLATE, loops, macros, refuses, recursive]
        .map(|template| format!("{template}\0Be brief.\0pump 3 97C\0ok").into_bytes())
        .to_vec()
}
