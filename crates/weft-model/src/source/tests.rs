#![allow(clippy::unwrap_used)]

use std::fs;

use serde_json::json;

use super::*;
use crate::config::{ConfigError, RopeScaling};
use crate::fixture::{
    BOS, EOS, HEAD_DIM, HEADS, HIDDEN, LAYERS, VOCAB, config_json, safetensors, weights,
    write_directory, write_directory_with,
};
use crate::safetensors_file::SafetensorsError;

fn directory(model_type: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    write_directory(directory.path(), model_type);
    directory
}

fn check_error(directory: &Path, matches: impl Fn(&OpenError) -> bool) {
    let error = ModelSource::open(directory).unwrap_err();
    assert!(matches(&error), "{error}: {error:?}");
}

#[test]
fn a_directory_opens() {
    let directory = directory("llama");
    let source = ModelSource::open(directory.path()).unwrap();
    let config = source.config();
    assert_eq!(config.architecture, Architecture::Llama);
    assert_eq!((config.vocab_size, config.hidden_size), (VOCAB, HIDDEN));
    assert_eq!((config.heads, config.head_dim), (HEADS, HEAD_DIM));
    assert!(config.tie_embeddings && !config.attention_bias);
    assert_eq!(source.eos_tokens(), [EOS]);
    assert_eq!(source.bos_token(), Some(BOS));

    let names: Vec<&str> = source.tensor_names().collect();
    assert_eq!(names.len(), 2 + 9 * LAYERS);
    assert_eq!(names[0], "model.embed_tokens.weight");
    assert_eq!(names[1], "model.layers.0.input_layernorm.weight");
    assert_eq!(names.last(), Some(&"model.norm.weight"));
    for (name, (shape, values)) in weights("llama", true) {
        let view = source.tensor(&name).unwrap();
        assert_eq!(
            (view.shape.as_slice(), view.dtype),
            (&shape[..], DType::F32)
        );
        assert_eq!(view.to_f32(), values);
        assert!(matches!(view.bytes, Cow::Borrowed(_)));
    }
    assert_eq!(
        source.tensor("lm_head.weight"),
        Err(TensorError::Missing("lm_head.weight".to_owned()))
    );
}

#[test]
fn half_floats_are_read() {
    let view = |dtype, bytes: &[u8]| {
        let bytes = bytes.to_vec();
        TensorView {
            name: String::new(),
            dtype,
            shape: vec![bytes.len() / 2],
            bytes: Cow::Owned(bytes),
        }
        .to_f32()
    };
    assert_eq!(view(DType::F16, &[0x00, 0x3c, 0x00, 0xc1]), [1.0, -2.5]);
    assert_eq!(view(DType::BF16, &[0x80, 0x3f, 0x20, 0xc0]), [1.0, -2.5]);
}

#[test]
fn sharded_weights_are_one_model() {
    let directory = directory("qwen2");
    let path = directory.path();
    let mut first = weights("qwen2", true);
    let second = first.split_off("model.layers.1");
    let mut map = serde_json::Map::new();
    for (shard, weights) in [("a.safetensors", &first), ("b.safetensors", &second)] {
        fs::write(path.join(shard), safetensors(weights)).unwrap();
        map.extend(weights.keys().map(|name| (name.clone(), json!(shard))));
    }
    fs::remove_file(path.join("model.safetensors")).unwrap();
    let index = path.join("model.safetensors.index.json");
    let write_index = |map: &serde_json::Map<String, serde_json::Value>| {
        fs::write(&index, json!({ "weight_map": map }).to_string()).unwrap();
    };
    write_index(&map);
    let source = ModelSource::open(path).unwrap();
    assert!(source.config().attention_bias);
    assert_eq!(source.weight_files().len(), 2);
    for (name, (_, values)) in weights("qwen2", true) {
        assert_eq!(source.tensor(&name).unwrap().to_f32(), values);
    }

    // A shard that is not there, is elsewhere, or was left out.
    map.insert("model.norm.weight".to_owned(), json!("c.safetensors"));
    write_index(&map);
    check_error(
        path,
        |error| matches!(error, OpenError::MissingShard { shard, .. } if shard.ends_with("c.safetensors")),
    );
    for outside in [
        "../b.safetensors",
        "/b.safetensors",
        "sub/b.safetensors",
        "",
    ] {
        map.insert("model.norm.weight".to_owned(), json!(outside));
        write_index(&map);
        check_error(
            path,
            |error| matches!(error, OpenError::BadShardName { shard, .. } if shard == outside),
        );
    }
    map.retain(|_, shard| shard == "a.safetensors");
    write_index(&map);
    check_error(path, |error| {
        matches!(error, OpenError::MissingTensor { .. })
    });
}

#[test]
fn a_directory_without_its_parts_is_no_model() {
    let directory = directory("llama");
    let path = directory.path();
    fs::remove_file(path.join("model.safetensors")).unwrap();
    check_error(path, |error| matches!(error, OpenError::NotAModel { .. }));
    fs::remove_file(path.join("config.json")).unwrap();
    check_error(path, |error| matches!(error, OpenError::NotAModel { .. }));
    check_error(&path.join("nowhere"), |error| {
        matches!(error, OpenError::Io { .. })
    });
    fs::write(path.join("text.gguf"), "no model at all").unwrap();
    check_error(&path.join("text.gguf"), |error| {
        matches!(error, OpenError::NotAModel { .. })
    });
    fs::write(path.join("empty.gguf"), "").unwrap();
    check_error(&path.join("empty.gguf"), |error| {
        matches!(
            error,
            OpenError::Gguf {
                source: crate::GgufError::WrongMagic { .. },
                ..
            }
        )
    });
}

#[test]
fn a_safetensors_file_that_lies_is_refused() {
    let directory = directory("llama");
    let path = directory.path().join("model.safetensors");
    let sound = fs::read(&path).unwrap();
    let refuse = |bytes: &[u8], matches: &dyn Fn(&SafetensorsError) -> bool| {
        fs::write(&path, bytes).unwrap();
        check_error(
            directory.path(),
            |error| matches!(error, OpenError::Safetensors { source, .. } if matches(source)),
        );
    };
    let with_length = |length: u64| [&length.to_le_bytes(), &sound[8..]].concat();

    refuse(&sound[..7], &|error| {
        *error == SafetensorsError::TooShort(7)
    });
    for length in [u64::MAX, 1 << 62, sound.len() as u64 - 7] {
        refuse(&with_length(length), &|error| {
            matches!(error, SafetensorsError::HeaderOutsideFile { claimed, left }
                if *claimed == length && *left == sound.len() - 8)
        });
    }
    for length in [0, 1, 100, sound.len() as u64 - 8] {
        refuse(&with_length(length), &|error| {
            matches!(error, SafetensorsError::BadHeader(_))
        });
    }
    refuse(
        &sound[..sound.len() - 1],
        &|error| matches!(error, SafetensorsError::WrongLength { claimed, found } if *claimed == found + 1),
    );
    refuse(&[sound.as_slice(), &[0]].concat(), &|error| {
        matches!(error, SafetensorsError::WrongLength { .. })
    });
    let mut long = (17_u64 << 20).to_le_bytes().to_vec();
    long.resize(18 << 20, b' ');
    refuse(&long, &|error| {
        matches!(error, SafetensorsError::HeaderTooLong { .. })
    });
}

#[test]
fn every_truncated_safetensors_file_is_refused() {
    let sound = safetensors(&weights("llama", true));
    let header = 8 + u64::from_le_bytes(sound[..8].try_into().unwrap()) as usize;
    // Every length up to the data, then some of the data's.
    for length in (0..header + 8).chain((header..sound.len()).step_by(997)) {
        crate::safetensors_file::entries(&sound[..length]).unwrap_err();
    }
    crate::safetensors_file::entries(&sound).unwrap();
}

#[test]
fn configurations_that_cannot_run_are_refused() {
    let directory = directory("llama");
    let path = directory.path();
    let refuse = |key: &str, value: serde_json::Value, matches: &dyn Fn(&ConfigError) -> bool| {
        let mut config = config_json("llama");
        config[key] = value;
        fs::write(path.join("config.json"), config.to_string()).unwrap();
        check_error(
            path,
            |error| matches!(error, OpenError::Config { source, .. } if matches(source)),
        );
    };
    let out_of_range = |error: &ConfigError| matches!(error, ConfigError::OutOfRange { .. });
    let unsupported = |error: &ConfigError| matches!(error, ConfigError::UnsupportedFeature(_));
    refuse("model_type", json!("mamba"), &|error| {
        *error == ConfigError::UnsupportedArchitecture("mamba".to_owned())
    });
    refuse("hidden_size", json!(null), &|error| {
        *error == ConfigError::Missing("hidden_size".to_owned())
    });
    refuse("hidden_size", json!("64"), &|error| {
        matches!(error, ConfigError::WrongType { .. })
    });
    refuse("hidden_size", json!(u64::MAX), &out_of_range);
    refuse("num_attention_heads", json!(0), &out_of_range);
    refuse("num_hidden_layers", json!(1_000_000), &out_of_range);
    refuse("num_key_value_heads", json!(3), &out_of_range);
    refuse("head_dim", json!(15), &out_of_range);
    refuse("rope_theta", json!(0.0), &out_of_range);
    refuse("rms_norm_eps", json!(-1.0), &out_of_range);
    refuse("hidden_act", json!("gelu"), &unsupported);
    refuse("mlp_bias", json!(true), &unsupported);
    refuse("use_sliding_window", json!(true), &unsupported);
    refuse(
        "rope_scaling",
        json!({ "rope_type": "yarn", "factor": 2.0 }),
        &unsupported,
    );
    refuse("rope_scaling", json!({ "rope_type": "linear" }), &|error| {
        *error == ConfigError::Missing("rope_scaling.factor".to_owned())
    });
    refuse(
        "rope_scaling",
        json!({ "type": "linear", "factor": 0.0 }),
        &out_of_range,
    );

    fs::write(path.join("config.json"), "{").unwrap();
    check_error(path, |error| matches!(error, OpenError::Json { .. }));
    fs::write(path.join("config.json"), vec![b' '; (1 << 20) + 1]).unwrap();
    check_error(path, |error| matches!(error, OpenError::TooLong { .. }));
}

#[test]
fn tensors_must_fit_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut odd = weights("llama", true);
    odd.insert(
        "model.layers.0.mystery.weight".to_owned(),
        (vec![1], vec![0.0]),
    );
    write_directory_with(path, &config_json("llama"), &odd);
    check_error(
        path,
        |error| matches!(error, OpenError::UnexpectedTensor { name, .. } if name.contains("mystery")),
    );
    odd.remove("model.layers.0.mystery.weight");
    odd.insert("model.norm.weight".to_owned(), (vec![2], vec![0.0; 2]));
    write_directory_with(path, &config_json("llama"), &odd);
    check_error(path, |error| {
        matches!(error, OpenError::WrongShape { found, expected, .. }
            if found == &[2] && expected == &[HIDDEN])
    });
    let mut config = config_json("llama");
    config["tie_word_embeddings"] = json!(false);
    write_directory_with(path, &config, &weights("llama", true));
    check_error(
        path,
        |error| matches!(error, OpenError::MissingTensor { name, .. } if name == "lm_head.weight"),
    );
    // A tied model that stores its head nevertheless, and a buffer of old checkpoints.
    let mut spare = weights("llama", false);
    spare.insert(
        "model.layers.0.self_attn.rotary_emb.inv_freq".to_owned(),
        (vec![8], vec![0.0; 8]),
    );
    write_directory_with(path, &config_json("llama"), &spare);
    let source = ModelSource::open(path).unwrap();
    assert!(!source.has_tensor("lm_head.weight"));
}

#[test]
fn ends_of_an_answer_come_from_the_generation_configuration_first() {
    let directory = directory("llama");
    let path = directory.path();
    let generation = json!({ "eos_token_id": [EOS, 5, EOS], "bos_token_id": 7 });
    fs::write(path.join("generation_config.json"), generation.to_string()).unwrap();
    let source = ModelSource::open(path).unwrap();
    assert_eq!(
        (source.eos_tokens(), source.bos_token()),
        (&[EOS, 5][..], Some(7))
    );

    // Neither says a number: tokenizer_config.json says a spelling.
    fs::remove_file(path.join("generation_config.json")).unwrap();
    let mut config = config_json("llama");
    config["eos_token_id"] = json!(null);
    config["bos_token_id"] = json!(null);
    fs::write(path.join("config.json"), config.to_string()).unwrap();
    let source = ModelSource::open(path).unwrap();
    assert_eq!(
        (source.eos_tokens(), source.bos_token()),
        (&[EOS][..], Some(BOS))
    );
}

#[test]
fn rope_scaling_of_llama_3() {
    let directory = directory("llama");
    let mut config = config_json("llama");
    config["rope_theta"] = json!(500_000.0);
    config["rope_scaling"] = json!({ "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192 });
    fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
    let source = ModelSource::open(directory.path()).unwrap();
    let config = source.config();
    assert!(matches!(
        config.rope_scaling,
        Some(RopeScaling::Llama3 { .. })
    ));
    let plain = ModelConfig {
        rope_scaling: None,
        ..config.clone()
    };
    let factors = config.rope_factors().unwrap();
    // Wavelengths 6 to 6.3e5 of 8 frequencies: below 2048 kept, above 8192 divided by 8.
    assert_eq!(factors[..4], [1.0; 4]);
    assert!(factors[4] > 1.0 && factors[4] < 8.0, "{factors:?}");
    assert_eq!(factors[6..], [8.0; 2]);
    for ((scaled, plain), factor) in config
        .inverse_frequencies()
        .iter()
        .zip(plain.inverse_frequencies())
        .zip(factors)
    {
        assert!((scaled * factor / plain - 1.0).abs() < 1e-6);
    }
    assert!((plain.inverse_frequencies()[1] - 500_000.0_f32.powf(-0.125)).abs() < 1e-7);
}

#[test]
fn rows_go_to_pairs_and_back() {
    // One head of four rows: Hugging Face 0 1 | 2 3 becomes 0 2 1 3.
    let rows = [0, 0, 1, 1, 2, 2, 3, 3];
    assert_eq!(
        permute_rows(&rows, 1, 4, 2, false),
        [0, 0, 2, 2, 1, 1, 3, 3]
    );
    let rows: Vec<u8> = (0..2 * 8 * 3).collect();
    let pairs = permute_rows(&rows, 2, 8, 3, false);
    assert_ne!(pairs, rows);
    assert_eq!(permute_rows(&pairs, 2, 8, 3, true), rows);
}
