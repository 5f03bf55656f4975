//! The forward pass against what Hugging Face transformers computes from the same weights.
#![allow(clippy::unwrap_used)]

mod fixture;

use fixture::{BOUND, Fixture, all_logits, ids, largest_difference};
use weft_infer::arch::{BuildError, Llama, LlamaConfig};
use weft_infer::{Backend, KvCache};

/// What is wrong must miss the bound by this factor, or the bound says nothing.
const CONTROL: f32 = 10.0;

#[test]
fn logits_agree_at_every_position() {
    for fixture in fixture::all() {
        let model = fixture.model(&fixture.config(), |_, _, _| {});
        let difference =
            largest_difference(&all_logits(&model, &fixture.tokens), &expected(&fixture));
        assert!(difference <= BOUND, "{}: {difference}", fixture.name);
    }
}

#[test]
fn the_fixtures_logits_are_wide_enough_to_prove_something() {
    for fixture in fixture::all() {
        let logits = expected(&fixture);
        let mean = logits.iter().sum::<f32>() / logits.len() as f32;
        let variance = logits.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / logits.len() as f32;
        assert!(
            variance.sqrt() >= 1.0,
            "{}: {}",
            fixture.name,
            variance.sqrt()
        );
    }
}

#[test]
fn the_cached_pass_agrees_however_the_prompt_is_cut() {
    for fixture in fixture::all() {
        let config = fixture.config();
        let model = fixture.model(&config, |_, _, _| {});
        for part in [1, 5, fixture.tokens.len()] {
            let mut cache = KvCache::new(config.layers, fixture.tokens.len());
            for (index, tokens) in fixture.tokens.chunks(part).enumerate() {
                let logits = cached_logits(&model, tokens, &mut cache);
                let last = index * part + tokens.len() - 1;
                let difference = largest_difference(&logits, &fixture.logits[last]);
                assert!(
                    difference <= BOUND,
                    "{}, {part}, {last}: {difference}",
                    fixture.name
                );
            }
        }
    }
}

#[test]
fn quantized_weights_agree_with_the_reference_on_the_same_rounded_weights() {
    for fixture in fixture::all() {
        let rounded = |round: fn(&[f32]) -> Vec<f32>| {
            let model = fixture.model(&fixture.config(), |_, values, shape| {
                if shape.len() == 2 {
                    *values = round(values);
                }
            });
            last_logits(&model, &fixture.tokens)
        };
        let q8_0 = rounded(|x| weft_model::dequantize_q8_0(&weft_model::quantize_q8_0(x)));
        let difference = largest_difference(&q8_0, &fixture.q8_0);
        assert!(difference <= BOUND, "{} Q8_0: {difference}", fixture.name);
        let q4_0 = rounded(|x| weft_model::dequantize_q4_0(&weft_model::quantize_q4_0(x)));
        let difference = largest_difference(&q4_0, &fixture.q4_0);
        assert!(difference <= BOUND, "{} Q4_0: {difference}", fixture.name);
        // The formats differ by far more than the bound, so that one cannot pass for another.
        assert!(largest_difference(&fixture.q8_0, &fixture.q4_0) > CONTROL * BOUND);
    }
}

#[test]
fn without_rope_the_bound_is_missed() {
    control(
        "no rope",
        |config| config.rope_factors = Some(vec![1e30; config.head_dim / 2]),
        |_, _, _, _| {},
    );
}

#[test]
fn without_rope_scaling_the_bound_is_missed() {
    let fixture = fixture::load("llama3-rope");
    let mut config = fixture.config();
    assert!(config.rope_factors.is_some());
    config.rope_factors = None;
    misses("no rope scaling", &fixture, &config, |_, _, _| {});
}

#[test]
fn with_swapped_groups_the_bound_is_missed() {
    control(
        "swapped groups",
        |_| {},
        |config, name, values, _| {
            if name.contains("k_proj") || name.contains("v_proj") {
                let group = values.len() / config.kv_heads;
                values.rotate_left(group);
            }
        },
    );
}

#[test]
fn with_query_heads_dealt_out_in_turn_the_bound_is_missed() {
    control(
        "interleaved groups",
        |_| {},
        |config, name, values, _| {
            // Heads 0 1 2 3 become 0 2 1 3: as if head h belonged to group h mod 2.
            if name.contains("q_proj") {
                let head = values.len() / config.heads;
                let (start, end) = (head, 3 * head);
                values[start..end].rotate_left(head);
            }
        },
    );
}

#[test]
fn with_a_transposed_q_the_bound_is_missed() {
    control(
        "transposed q",
        |_| {},
        |_, name, values, shape| {
            if name.ends_with("q_proj.weight") {
                let (rows, columns) = (shape[0], shape[1]);
                *values = (0..rows * columns)
                    .map(|index| values[index % rows * columns + index / rows])
                    .collect();
            }
        },
    );
}

#[test]
fn with_ten_times_the_eps_the_bound_is_missed() {
    control(
        "eps × 10",
        |config| config.rms_norm_eps *= 10.0,
        |_, _, _, _| {},
    );
}

#[test]
fn without_the_biases_of_qwen2_the_bound_is_missed() {
    let fixture = fixture::load("qwen2");
    let config = fixture.config();
    assert!(config.attention_bias);
    misses("no biases", &fixture, &config, |name, values, _| {
        if name.ends_with("bias") {
            values.fill(0.0);
        }
    });
}

#[test]
fn named_tensors_are_what_the_model_was_made_of() {
    for fixture in fixture::all() {
        let config = fixture.config();
        let source = fixture.source();
        let tensors = fixture.model(&config, |_, _, _| {}).named_tensors();
        let order: Vec<_> = tensors
            .iter()
            .map(|t| (t.name.clone(), t.shape.clone()))
            .collect();
        assert_eq!(order, config.tensor_shapes(), "{}", fixture.name);
        assert_eq!(tensors.len(), source.tensor_names().count());
        for tensor in tensors {
            let stored = source.tensor(&tensor.name).unwrap();
            assert_eq!(
                (stored.to_f32(), stored.shape),
                (tensor.values, tensor.shape)
            );
        }
    }
}

#[test]
fn a_fresh_model_has_the_promised_tensors() {
    for fixture in fixture::all() {
        let config = fixture.config();
        let tensors = Llama::init(&config, &Backend::Ndarray.device()).named_tensors();
        let shapes: Vec<_> = tensors
            .iter()
            .map(|t| (t.name.clone(), t.shape.clone()))
            .collect();
        assert_eq!(shapes, config.tensor_shapes());
        let total: usize = tensors.iter().map(|t| t.values.len()).sum();
        assert_eq!(total as u64, config.parameters());
        let embed = &tensors[0].values;
        let spread = (embed.iter().map(|x| x * x).sum::<f32>() / embed.len() as f32).sqrt();
        assert!((spread - 0.02).abs() < 0.002, "{spread}");
    }
}

#[test]
fn what_is_missing_or_misshapen_is_named() {
    let config = fixture::load("qwen2").config();
    let device = Backend::Ndarray.device();
    let missing = Llama::from_named(&config, &device, |_| None).unwrap_err();
    assert_eq!(
        missing,
        BuildError::Missing {
            name: "model.embed_tokens.weight".into()
        }
    );
    let wrong =
        Llama::from_named(&config, &device, |_| Some((vec![0.0; 6], vec![2, 3]))).unwrap_err();
    assert!(wrong.to_string().contains("[320, 64]"), "{wrong}");
    // A shape that lies about its values is caught too.
    let lying = Llama::from_named(&config, &device, |_| Some((vec![0.0; 6], vec![320, 64])));
    assert!(matches!(lying, Err(BuildError::Shape { values: 6, .. })));
}

#[test]
fn a_full_cache_refuses_and_stays_as_it_was() {
    let fixture = fixture::load("llama-tied");
    let config = fixture.config();
    let model = fixture.model(&config, |_, _, _| {});
    let mut cache = KvCache::new(config.layers, 10);
    cached_logits(&model, &fixture.tokens[..8], &mut cache);
    let refused = model
        .forward(ids(&fixture.tokens[8..12]), &mut cache)
        .unwrap_err();
    assert_eq!((refused.wanted, refused.len, refused.capacity), (4, 8, 10));
    let logits = cached_logits(&model, &fixture.tokens[8..10], &mut cache);
    assert!(largest_difference(&logits, &fixture.logits[9]) <= BOUND);
}

/// Every fixture, made wrong in one way, misses the bound.
fn control(
    what: &str,
    change_config: impl Fn(&mut LlamaConfig),
    change: impl Fn(&LlamaConfig, &str, &mut Vec<f32>, &[usize]),
) {
    for fixture in fixture::all() {
        let mut config = fixture.config();
        change_config(&mut config);
        misses(what, &fixture, &config, |name, values, shape| {
            change(&config, name, values, shape);
        });
    }
}

fn misses(
    what: &str,
    fixture: &Fixture,
    config: &LlamaConfig,
    change: impl FnMut(&str, &mut Vec<f32>, &[usize]),
) {
    let model = fixture.model(config, change);
    let difference = largest_difference(&all_logits(&model, &fixture.tokens), &expected(fixture));
    assert!(
        difference >= CONTROL * BOUND,
        "{what}, {}: {difference}",
        fixture.name
    );
}

fn expected(fixture: &Fixture) -> Vec<f32> {
    fixture.logits.concat()
}

fn last_logits(model: &Llama, tokens: &[u32]) -> Vec<f32> {
    let mut cache = KvCache::new(model.config().layers, tokens.len());
    cached_logits(model, tokens, &mut cache)
}

fn cached_logits(model: &Llama, tokens: &[u32], cache: &mut KvCache) -> Vec<f32> {
    let logits = model.forward(ids(tokens), cache).unwrap();
    logits.into_data().try_into_vec::<f32>().unwrap()
}
