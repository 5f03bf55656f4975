//! The engine over whole models: directories and the GGUF files made from them.
#![allow(clippy::unwrap_used)]

mod fixture;

use std::ops::ControlFlow;
use std::path::Path;

use fixture::{BOUND, Fixture, largest_difference};
use weft_infer::{
    BenchError, Engine, EngineOptions, FinishReason, GenerateOptions, InferError, LoadError,
    ProbeInput, ProbePrompt, Sampling, bench,
};
use weft_model::{Message, Quantization, quantize};

#[test]
fn a_directory_gives_the_reference_logits() {
    for fixture in fixture::all() {
        let mut engine = engine(&fixture);
        for length in [24, 1, 7] {
            let logits = engine.logits(&fixture.tokens[..length]).unwrap();
            let difference = largest_difference(&logits, &fixture.logits[length - 1]);
            assert!(
                difference <= BOUND,
                "{}, {length}: {difference}",
                fixture.name
            );
        }
    }
}

#[test]
fn a_gguf_file_gives_the_reference_logits_of_its_format() {
    let folder = tempfile::tempdir().unwrap();
    for fixture in fixture::all() {
        let last = fixture.logits.last().unwrap();
        for (to, expected) in [
            (Quantization::F32, last),
            (Quantization::F16, last),
            (Quantization::Q8_0, &fixture.q8_0),
            (Quantization::Q4_0, &fixture.q4_0),
        ] {
            // F16 of an F32 model is another model: transformers was not asked about it.
            if to == Quantization::F16 && fixture.name == "llama-tied" {
                continue;
            }
            let path = folder.path().join(format!("{}-{to}.gguf", fixture.name));
            quantize(&fixture.source(), to, &path).unwrap();
            let mut engine = load(&path);
            assert_eq!(engine.info().quantization, to.to_string());
            let logits = engine.logits(&fixture.tokens).unwrap();
            let difference = largest_difference(&logits, expected);
            assert!(difference <= BOUND, "{} {to}: {difference}", fixture.name);
        }
    }
}

#[test]
fn a_prompt_of_several_passes_is_one_prompt() {
    let fixture = fixture::load("llama-tied");
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture.path, folder.path());
    edit_config(folder.path(), "max_position_embeddings", 700.into());
    let prompt: Vec<u32> = (0..600).map(|index| index * 7 % 320).collect();
    let mut engine = load(folder.path());
    let at_once = engine.logits(&prompt).unwrap();
    let model = fixture.model(&fixture.config(), |_, _, _| {});
    let whole = fixture::last_of_whole(&model, &prompt);
    assert!(largest_difference(&at_once, &whole) <= BOUND);
}

#[test]
fn greedy_answers_are_those_of_the_reference() {
    for fixture in fixture::all() {
        let mut engine = engine(&fixture);
        let mut heard = Vec::new();
        let generation = engine
            .generate(&fixture.tokens, &at_most(fixture.greedy.len()), |token| {
                heard.push(token.id);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(generation.tokens, fixture.greedy, "{}", fixture.name);
        assert_eq!(heard, fixture.greedy);
        assert_eq!(generation.finish_reason, FinishReason::Length);
        assert_eq!(generation.prompt_tokens, fixture.tokens.len());
    }
}

#[test]
fn the_streamed_text_is_the_whole_text() {
    for fixture in fixture::all() {
        let mut engine = engine(&fixture);
        let mut options = at_most(60);
        options.sampling.temperature = 3.0;
        let mut streamed = String::new();
        let generation = engine
            .generate(&fixture.tokens, &options, |token| {
                streamed.push_str(token.text);
                ControlFlow::Continue(())
            })
            .unwrap();
        let whole = engine
            .tokenizer()
            .unwrap()
            .decode(&generation.tokens, true)
            .unwrap();
        assert_eq!(streamed, generation.text);
        assert_eq!(streamed, whole, "{}", fixture.name);
    }
}

#[test]
fn a_seed_decides_a_sampled_answer() {
    let fixture = fixture::load("qwen2");
    let mut engine = engine(&fixture);
    let mut answer = |seed| {
        let sampling = Sampling {
            temperature: 1.5,
            top_k: 40,
            top_p: 0.95,
            seed,
            ..Sampling::default()
        };
        let options = GenerateOptions {
            sampling,
            ..at_most(24)
        };
        engine
            .generate(&fixture.tokens, &options, go_on)
            .unwrap()
            .tokens
    };
    let first = answer(1);
    assert_eq!(first, answer(1));
    assert_ne!(first, answer(2));
}

#[test]
fn an_ending_token_ends_the_answer_and_is_no_part_of_it() {
    let fixture = fixture::load("llama-tied");
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture.path, folder.path());
    // The third token of the greedy answer becomes the one that ends it.
    edit_config(folder.path(), "eos_token_id", fixture.greedy[2].into());
    let mut engine = load(folder.path());
    let mut heard = Vec::new();
    let generation = engine
        .generate(&fixture.tokens, &at_most(16), |token| {
            heard.push(token.id);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(generation.tokens, fixture.greedy[..2]);
    assert_eq!(heard, fixture.greedy[..3]);
    assert_eq!(generation.finish_reason, FinishReason::Stop);
}

#[test]
fn a_stop_string_ends_the_answer_before_itself() {
    let fixture = fixture::load("llama-untied");
    let mut engine = engine(&fixture);
    let free = engine
        .generate(&fixture.tokens, &at_most(16), go_on)
        .unwrap();
    let (cut, _) = free.text.char_indices().nth(5).unwrap();
    let stop: String = free.text[cut..].chars().take(3).collect();
    let first = free.text.find(&stop).unwrap();
    let options = GenerateOptions {
        stop: vec![stop],
        ..at_most(16)
    };
    let stopped = engine.generate(&fixture.tokens, &options, go_on).unwrap();
    assert_eq!(stopped.text, free.text[..first]);
    assert_eq!(stopped.finish_reason, FinishReason::Stop);
}

#[test]
fn who_asked_can_end_the_answer() {
    let fixture = fixture::load("llama-tied");
    let mut engine = engine(&fixture);
    let mut count = 0;
    let generation = engine
        .generate(&fixture.tokens, &at_most(16), |_| {
            count += 1;
            if count == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!(generation.tokens, fixture.greedy[..3]);
    assert_eq!(generation.finish_reason, FinishReason::Cancelled);
}

#[test]
fn an_answer_ends_where_the_context_does() {
    let fixture = fixture::load("llama-tied");
    let options = EngineOptions {
        context_length: Some(28),
        ..EngineOptions::default()
    };
    let mut engine = Engine::load(&fixture.path, &options).unwrap();
    assert_eq!(engine.info().context_length, 28);
    let generation = engine
        .generate(&fixture.tokens, &at_most(100), go_on)
        .unwrap();
    // Four fill the context, the fifth is said behind it.
    assert_eq!(generation.tokens, fixture.greedy[..5]);
    assert_eq!(generation.finish_reason, FinishReason::Length);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let fixture = fixture::load("llama-tied");
    let options = EngineOptions {
        context_length: Some(8),
        ..EngineOptions::default()
    };
    let mut engine = Engine::load(&fixture.path, &options).unwrap();
    assert!(matches!(engine.logits(&[]), Err(InferError::EmptyPrompt)));
    assert!(matches!(
        engine.logits(&[5, 320]),
        Err(InferError::UnknownToken {
            token: 320,
            vocab_size: 320
        })
    ));
    assert!(matches!(
        engine.logits(&fixture.tokens),
        Err(InferError::PromptTooLong {
            tokens: 24,
            context_length: 8
        })
    ));
    let mut bad = at_most(4);
    bad.sampling.top_p = 2.0;
    let refused = engine.generate(&[5], &bad, go_on);
    assert!(matches!(refused, Err(InferError::BadOption(_))));
    // None of it did harm.
    let logits = engine.logits(&fixture.tokens[..8]).unwrap();
    assert!(largest_difference(&logits, &fixture.logits[7]) <= BOUND);
}

#[test]
fn a_model_above_the_ceiling_is_refused_before_it_is_loaded() {
    let fixture = fixture::load("llama-tied");
    let need = engine(&fixture).info().memory_bytes;
    let with = |ceiling| EngineOptions {
        memory_ceiling_bytes: Some(ceiling),
        ..EngineOptions::default()
    };
    assert!(Engine::load(&fixture.path, &with(need)).is_ok());
    let refused = Engine::load(&fixture.path, &with(need - 1)).unwrap_err();
    assert!(
        matches!(
            refused,
            LoadError::MemoryCeiling {
                context_length: 256,
                ..
            }
        ),
        "{refused}"
    );
    // A shorter context fits.
    let shorter = EngineOptions {
        context_length: Some(64),
        ..with(need - 1)
    };
    assert!(Engine::load(&fixture.path, &shorter).is_ok());
    let none = EngineOptions {
        context_length: Some(0),
        ..EngineOptions::default()
    };
    assert!(matches!(
        Engine::load(&fixture.path, &none),
        Err(LoadError::NoContext)
    ));
    let nowhere = Engine::load(Path::new("/nonexistent.gguf"), &EngineOptions::default());
    assert!(matches!(nowhere, Err(LoadError::Open(_))));
}

#[test]
fn a_conversation_goes_through_the_models_template() {
    let fixture = fixture::load("qwen2");
    let engine = engine(&fixture);
    let prompt = engine
        .chat_prompt(&[Message::new("user", "pump four")])
        .unwrap();
    let text = engine.tokenizer().unwrap().decode(&prompt, false).unwrap();
    assert_eq!(text, "user: pump four</s>assistant:");
    assert!(
        prompt.contains(&1),
        "the ending token is one token: {prompt:?}"
    );
}

#[test]
fn without_tokenizer_and_template_tokens_still_work() {
    let fixture = fixture::load("llama-tied");
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture.path.join(name), folder.path().join(name)).unwrap();
    }
    let mut engine = load(folder.path());
    assert!(matches!(
        engine.text_prompt("x"),
        Err(InferError::NoTokenizer(_))
    ));
    let asked = engine.chat_prompt(&[Message::new("user", "x")]);
    assert!(matches!(asked, Err(InferError::NoChatTemplate(_))));
    let generation = engine
        .generate(&fixture.tokens, &at_most(4), go_on)
        .unwrap();
    assert_eq!(
        (generation.tokens, generation.text),
        (fixture.greedy[..4].to_vec(), String::new())
    );
}

#[test]
fn a_probe_measures_greedy_answers() {
    let fixture = fixture::load("llama-untied");
    let mut engine = engine(&fixture);
    let text = "pump four reports";
    let as_text = engine.text_prompt(text).unwrap();
    let by_text = engine
        .generate(&as_text, &at_most(5), go_on)
        .unwrap()
        .tokens;
    let probe = |prompt, max_tokens| ProbePrompt { prompt, max_tokens };
    let measured = engine
        .probe(&[
            probe(ProbeInput::Tokens(fixture.tokens.clone()), 16),
            probe(ProbeInput::Text(text.to_owned()), 5),
        ])
        .unwrap();
    assert_eq!(measured.answers, [fixture.greedy, by_text]);
    assert!(measured.finite && measured.tokens_per_sec > 0.0);
    assert!(measured.peak_memory_bytes > engine.info().parameters * 4);
    assert!(measured.peak_memory_bytes <= engine.info().memory_bytes);
}

#[test]
fn a_model_that_computes_no_numbers_is_measured_as_such() {
    let fixture = fixture::load("llama-tied");
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture.path, folder.path());
    let path = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let mut engine = load(folder.path());
    let refused = engine.logits(&fixture.tokens);
    assert!(
        matches!(refused, Err(InferError::NotFinite { tokens: 24 })),
        "{refused:?}"
    );
    let prompt = ProbeInput::Tokens(fixture.tokens.clone());
    let measured = engine
        .probe(&[ProbePrompt {
            prompt,
            max_tokens: 4,
        }])
        .unwrap();
    assert!(!measured.finite && measured.answers.is_empty());
}

#[test]
fn a_bench_gives_two_rates() {
    let fixture = fixture::load("llama-tied");
    let figures = bench(&fixture.path, 32, 8, &EngineOptions::default()).unwrap();
    assert!(figures.prefill_tokens_per_sec > 0.0 && figures.prefill_tokens_per_sec.is_finite());
    assert!(figures.decode_tokens_per_sec > 0.0 && figures.decode_tokens_per_sec.is_finite());
    let nothing = bench(&fixture.path, 0, 8, &EngineOptions::default());
    assert!(matches!(nothing, Err(BenchError::NothingToDo { .. })));
    // The model's own context is shorter than this.
    let too_long = bench(&fixture.path, 250, 8, &EngineOptions::default());
    assert!(matches!(
        too_long,
        Err(BenchError::Infer(InferError::PromptTooLong { .. }))
    ));
}

fn engine(fixture: &Fixture) -> Engine {
    load(&fixture.path)
}

fn load(path: &Path) -> Engine {
    Engine::load(path, &EngineOptions::default()).unwrap()
}

fn at_most(max_tokens: usize) -> GenerateOptions {
    GenerateOptions {
        max_tokens,
        ..GenerateOptions::default()
    }
}

fn go_on(_: weft_infer::Token<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn edit_config(folder: &Path, key: &str, value: serde_json::Value) {
    let path = folder.join("config.json");
    let mut config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config[key] = value;
    std::fs::write(&path, config.to_string()).unwrap();
}
