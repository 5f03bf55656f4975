use burn::module::{Initializer, Module, Param};
use burn::nn::{Linear, RmsNorm};
use burn::tensor::activation::{silu, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::config::LlamaConfig;
use super::names;
use crate::cache::{CacheFull, KvCache};
use crate::matvec::project;

// The spread that Llama and its kin start their training from.
const INITIAL_STD: f64 = 0.02;

// Added to the score of a position that must not be seen. Large enough that its softmax is zero
// in f32, small enough that sums with it stay finite.
const MASKED: f32 = -1e9;

/// A decoder of the Llama family: grouped-query attention with rotary positions (Hugging Face's
/// `rotate_half` order), RMS norm before each part, and a gated feed-forward layer.
#[derive(Module, Debug)]
pub struct Llama {
    embed: Param<Tensor<2>>,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Option<Linear>,
    #[module(skip)]
    config: LlamaConfig,
}

/// One block. Weights lie as burn's `Linear` has them, `[in, out]`.
#[derive(Module, Debug)]
struct Layer {
    input_norm: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    post_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// One tensor under its Hugging Face name, in Hugging Face's layout (`[out, in]`).
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Rows (outputs) first.
    pub shape: Vec<usize>,
    /// Row after row.
    pub values: Vec<f32>,
}

/// Tensors that do not make the model that its configuration promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A tensor is not there.
    #[error("the tensor {name} is missing")]
    Missing {
        /// Its Hugging Face name.
        name: String,
    },
    /// A tensor has other measures.
    #[error(
        "the tensor {name} has the shape {found:?} with {values} values, expected is {expected:?}"
    )]
    Shape {
        /// Its Hugging Face name.
        name: String,
        /// What the configuration asks for.
        expected: Vec<usize>,
        /// What was given.
        found: Vec<usize>,
        /// How many numbers were given.
        values: usize,
    },
}

impl Llama {
    /// A model with fresh random weights, to be trained. On an autodiff device it can be.
    pub fn init(config: &LlamaConfig, device: &Device) -> Llama {
        let hidden = config.hidden_size;
        let inner = config.intermediate_size;
        let q = config.heads * config.head_dim;
        let kv = config.kv_heads * config.head_dim;
        let spread = Initializer::Normal {
            mean: 0.0,
            std: INITIAL_STD,
        };
        let linear = |input: usize, output: usize, bias: bool| Linear {
            weight: spread.init([input, output], device),
            bias: bias.then(|| Initializer::Zeros.init([output], device)),
        };
        let norm = || RmsNorm {
            gamma: Initializer::Ones.init([hidden], device),
            epsilon: config.rms_norm_eps,
        };
        let layer = |_| Layer {
            input_norm: norm(),
            q: linear(hidden, q, config.attention_bias),
            k: linear(hidden, kv, config.attention_bias),
            v: linear(hidden, kv, config.attention_bias),
            o: linear(q, hidden, config.output_bias),
            post_norm: norm(),
            gate: linear(hidden, inner, false),
            up: linear(hidden, inner, false),
            down: linear(inner, hidden, false),
        };
        Llama {
            embed: spread.init([config.vocab_size, hidden], device),
            layers: (0..config.layers).map(layer).collect(),
            norm: norm(),
            head: (!config.tie_embeddings).then(|| linear(hidden, config.vocab_size, false)),
            config: config.clone(),
        }
    }

    /// A model made of given tensors. `tensor` is asked for each by its Hugging Face name and
    /// answers with its numbers, row after row, and its shape (`[out, in]`).
    pub fn from_named(
        config: &LlamaConfig,
        device: &Device,
        mut tensor: impl FnMut(&str) -> Option<(Vec<f32>, Vec<usize>)>,
    ) -> Result<Llama, BuildError> {
        let mut source = Source {
            tensor: &mut tensor,
            device,
        };
        let hidden = config.hidden_size;
        let inner = config.intermediate_size;
        let q = config.heads * config.head_dim;
        let kv = config.kv_heads * config.head_dim;
        let eps = config.rms_norm_eps;
        let embed = source.matrix(names::EMBED, config.vocab_size, hidden)?;
        let mut layers = Vec::with_capacity(config.layers);
        for index in 0..config.layers {
            let name = |part: &str| names::in_layer(index, part);
            let bias = config.attention_bias;
            layers.push(Layer {
                input_norm: source.norm(&name(names::INPUT_NORM), hidden, eps)?,
                q: source.linear(&name(names::Q), hidden, q, bias)?,
                k: source.linear(&name(names::K), hidden, kv, bias)?,
                v: source.linear(&name(names::V), hidden, kv, bias)?,
                o: source.linear(&name(names::O), q, hidden, config.output_bias)?,
                post_norm: source.norm(&name(names::POST_NORM), hidden, eps)?,
                gate: source.linear(&name(names::GATE), hidden, inner, false)?,
                up: source.linear(&name(names::UP), hidden, inner, false)?,
                down: source.linear(&name(names::DOWN), inner, hidden, false)?,
            });
        }
        let norm = source.norm(names::FINAL_NORM, hidden, eps)?;
        let head = if config.tie_embeddings {
            None
        } else {
            Some(source.linear(names::HEAD, hidden, config.vocab_size, false)?)
        };
        Ok(Llama {
            embed,
            layers,
            norm,
            head,
            config: config.clone(),
        })
    }

    /// Every tensor under its Hugging Face name, in the order of [`LlamaConfig::tensor_shapes`].
    pub fn named_tensors(&self) -> Vec<NamedTensor> {
        let mut tensors = Vec::new();
        let matrix = |name: String, tensor: Tensor<2>| NamedTensor {
            name,
            shape: tensor.dims().to_vec(),
            values: values_of(tensor),
        };
        let vector = |name: String, tensor: Tensor<1>| NamedTensor {
            name,
            shape: tensor.dims().to_vec(),
            values: values_of(tensor),
        };
        tensors.push(matrix(names::EMBED.to_owned(), self.embed.val()));
        for (index, layer) in self.layers.iter().enumerate() {
            let name = |part: &str| names::in_layer(index, part);
            let mut linear = |part: &str, linear: &Linear| {
                tensors.push(matrix(
                    name(&names::weight(part)),
                    linear.weight.val().transpose(),
                ));
                if let Some(bias) = &linear.bias {
                    tensors.push(vector(name(&names::bias(part)), bias.val()));
                }
            };
            linear(names::Q, &layer.q);
            linear(names::K, &layer.k);
            linear(names::V, &layer.v);
            linear(names::O, &layer.o);
            linear(names::GATE, &layer.gate);
            linear(names::UP, &layer.up);
            linear(names::DOWN, &layer.down);
            tensors.push(vector(
                name(names::INPUT_NORM),
                layer.input_norm.gamma.val(),
            ));
            tensors.push(vector(name(names::POST_NORM), layer.post_norm.gamma.val()));
        }
        tensors.push(vector(names::FINAL_NORM.to_owned(), self.norm.gamma.val()));
        if let Some(head) = &self.head {
            tensors.push(matrix(
                names::weight(names::HEAD),
                head.weight.val().transpose(),
            ));
        }
        let order = self.config.tensor_shapes();
        tensors.sort_by_key(|tensor| order.iter().position(|(name, _)| *name == tensor.name));
        tensors
    }

    /// The model with the tensors that `is_frozen` picks, by Hugging Face name, left out of
    /// training. A weight and its bias share their fate, by the weight's name.
    #[must_use]
    pub fn freeze(mut self, is_frozen: impl Fn(&str) -> bool) -> Llama {
        let linear = |name: String, linear: &mut Linear| {
            if is_frozen(&names::weight(&name)) {
                *linear = linear.clone().no_grad();
            }
        };
        let norm = |name: String, norm: &mut RmsNorm| {
            if is_frozen(&name) {
                *norm = norm.clone().no_grad();
            }
        };
        if is_frozen(names::EMBED) {
            self.embed = self.embed.no_grad();
        }
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let name = |part: &str| names::in_layer(index, part);
            norm(name(names::INPUT_NORM), &mut layer.input_norm);
            linear(name(names::Q), &mut layer.q);
            linear(name(names::K), &mut layer.k);
            linear(name(names::V), &mut layer.v);
            linear(name(names::O), &mut layer.o);
            norm(name(names::POST_NORM), &mut layer.post_norm);
            linear(name(names::GATE), &mut layer.gate);
            linear(name(names::UP), &mut layer.up);
            linear(name(names::DOWN), &mut layer.down);
        }
        norm(names::FINAL_NORM.to_owned(), &mut self.norm);
        if let Some(head) = &mut self.head {
            linear(names::HEAD.to_owned(), head);
        }
        self
    }

    /// What the model was made from.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Logits `[batch, time, vocabulary]` of ids `[batch, time]`, each position seeing itself
    /// and what stands before it. Made of plain tensor operations, so that autodiff can follow.
    pub fn forward_train(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [batch, time] = ids.dims();
        let device = ids.device();
        let positions = Positions::new(&self.config, 0, time, &device);
        let mut stream = self.embed.val().select(0, ids.reshape([batch * time]));
        for layer in &self.layers {
            let [q, k, v] = layer.attention_input(stream.clone(), plain);
            let q = positions.rotate(split_heads(q, batch, self.config.heads));
            let k = positions.rotate(split_heads(k, batch, self.config.kv_heads));
            let v = split_heads(v, batch, self.config.kv_heads);
            stream = layer.rest(stream, attend(q, k, v, &positions), plain);
        }
        let logits = match &self.head {
            Some(head) => plain(self.norm.forward(stream), head),
            None => self
                .norm
                .forward(stream)
                .matmul(self.embed.val().transpose()),
        };
        logits.reshape([batch, time, self.config.vocab_size])
    }

    /// Logits `[1, vocabulary]` of the last of the ids `[1, time]`, which stand behind what the
    /// cache holds and are added to it. With a full cache nothing is changed.
    pub fn forward(
        &self,
        ids: Tensor<2, Int>,
        cache: &mut KvCache,
    ) -> Result<Tensor<2>, CacheFull> {
        let [batch, time] = ids.dims();
        let past = cache.reserve(time)?;
        let device = ids.device();
        let positions = Positions::new(&self.config, past, time, &device);
        let mut stream = self.embed.val().select(0, ids.reshape([batch * time]));
        for (index, layer) in self.layers.iter().enumerate() {
            let [q, k, v] = layer.attention_input(stream.clone(), project);
            let q = positions.rotate(split_heads(q, batch, self.config.heads));
            let k = positions.rotate(split_heads(k, batch, self.config.kv_heads));
            let v = split_heads(v, batch, self.config.kv_heads);
            let (k, v) = cache.extend(index, k, v);
            stream = layer.rest(stream, attend(q, k, v, &positions), project);
        }
        cache.advance(time);
        let last = self.norm.forward(stream.narrow(0, batch * time - 1, 1));
        Ok(match &self.head {
            Some(head) => project(last, head),
            None => crate::matvec::project_rows(last, self.embed.val()),
        })
    }
}

impl Layer {
    fn attention_input(
        &self,
        stream: Tensor<2>,
        apply: impl Fn(Tensor<2>, &Linear) -> Tensor<2>,
    ) -> [Tensor<2>; 3] {
        let x = self.input_norm.forward(stream);
        [
            apply(x.clone(), &self.q),
            apply(x.clone(), &self.k),
            apply(x, &self.v),
        ]
    }

    fn rest(
        &self,
        stream: Tensor<2>,
        attended: Tensor<2>,
        apply: impl Fn(Tensor<2>, &Linear) -> Tensor<2>,
    ) -> Tensor<2> {
        let stream = stream + apply(attended, &self.o);
        let x = self.post_norm.forward(stream.clone());
        let inner = silu(apply(x.clone(), &self.gate)) * apply(x, &self.up);
        stream + apply(inner, &self.down)
    }
}

fn plain(x: Tensor<2>, linear: &Linear) -> Tensor<2> {
    linear.forward(x)
}

/// `[batch · time, heads · width]` to `[batch, heads, time, width]`.
fn split_heads(x: Tensor<2>, batch: usize, heads: usize) -> Tensor<4> {
    let [rows, columns] = x.dims();
    x.reshape([batch, rows / batch, heads, columns / heads])
        .swap_dims(1, 2)
}

/// Where in the sequence the tokens of one pass stand: what rotates and masks them.
struct Positions {
    cos: Tensor<4>,
    sin: Tensor<4>,
    // [1, 1, group · time, past + time]; absent where every position may be seen.
    mask: Option<Tensor<4>>,
}

impl Positions {
    fn new(config: &LlamaConfig, past: usize, time: usize, device: &Device) -> Positions {
        let frequencies = config.inverse_frequencies();
        let dims = [1, 1, time, frequencies.len()];
        let angles: Vec<f32> = (past..past + time)
            .flat_map(|position| {
                frequencies
                    .iter()
                    .map(move |frequency| position as f32 * frequency)
            })
            .collect();
        let table = |function: fn(f32) -> f32| {
            let values = angles.iter().copied().map(function).collect::<Vec<f32>>();
            Tensor::from_data(TensorData::new(values, dims), device)
        };
        let group = config.heads / config.kv_heads;
        let mask = (time > 1).then(|| {
            let mut values = Vec::with_capacity(group * time * (past + time));
            for row in (0..group).flat_map(|_| 0..time) {
                let seen = past + row + 1;
                values.extend(std::iter::repeat_n(0.0, seen));
                values.extend(std::iter::repeat_n(MASKED, past + time - seen));
            }
            Tensor::from_data(
                TensorData::new(values, [1, 1, group * time, past + time]),
                device,
            )
        });
        Positions {
            cos: table(f32::cos),
            sin: table(f32::sin),
            mask,
        }
    }

    /// Turns each pair (i, i + half) of every head by its position's angle.
    fn rotate(&self, x: Tensor<4>) -> Tensor<4> {
        let half = x.dims()[3] / 2;
        let first = x.clone().narrow(3, 0, half);
        let second = x.narrow(3, half, half);
        Tensor::cat(
            vec![
                first.clone() * self.cos.clone() - second.clone() * self.sin.clone(),
                second * self.cos.clone() + first * self.sin.clone(),
            ],
            3,
        )
    }
}

/// Attention of `q` `[batch, heads, time, width]` over keys and values `[batch, kv heads, length,
/// width]`, as `[batch · time, heads · width]`.
///
/// Query heads that share a key head stand beside each other: they are folded into rows, so that
/// keys and values need not be repeated.
fn attend(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, positions: &Positions) -> Tensor<2> {
    let [batch, heads, time, width] = q.dims();
    let kv_heads = k.dims()[1];
    let q = q.reshape([batch, kv_heads, heads / kv_heads * time, width]);
    let scores = q
        .matmul(k.swap_dims(2, 3))
        .mul_scalar(1.0 / (width as f64).sqrt());
    let scores = match &positions.mask {
        Some(mask) => scores + mask.clone(),
        None => scores,
    };
    softmax(scores, 3)
        .matmul(v)
        .reshape([batch, heads, time, width])
        .swap_dims(1, 2)
        .reshape([batch * time, heads * width])
}

struct Source<'a, F> {
    tensor: &'a mut F,
    device: &'a Device,
}

impl<F: FnMut(&str) -> Option<(Vec<f32>, Vec<usize>)>> Source<'_, F> {
    fn matrix(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Param<Tensor<2>>, BuildError> {
        let values = self.values(name, &[rows, columns])?;
        Ok(Param::from_data(
            TensorData::new(values, [rows, columns]),
            self.device,
        ))
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Param<Tensor<1>>, BuildError> {
        let values = self.values(name, &[length])?;
        Ok(Param::from_data(
            TensorData::new(values, [length]),
            self.device,
        ))
    }

    fn norm(&mut self, name: &str, length: usize, epsilon: f64) -> Result<RmsNorm, BuildError> {
        Ok(RmsNorm {
            gamma: self.vector(name, length)?,
            epsilon,
        })
    }

    fn linear(
        &mut self,
        name: &str,
        input: usize,
        output: usize,
        bias: bool,
    ) -> Result<Linear, BuildError> {
        let values = self.values(&names::weight(name), &[output, input])?;
        let data = TensorData::new(transpose(&values, output, input), [input, output]);
        let weight = Param::from_data(data, self.device);
        let bias = if bias {
            Some(self.vector(&names::bias(name), output)?)
        } else {
            None
        };
        Ok(Linear { weight, bias })
    }

    fn values(&mut self, name: &str, expected: &[usize]) -> Result<Vec<f32>, BuildError> {
        let (values, found) = (self.tensor)(name).ok_or_else(|| BuildError::Missing {
            name: name.to_owned(),
        })?;
        if found == expected && values.len() == expected.iter().product::<usize>() {
            Ok(values)
        } else {
            Err(BuildError::Shape {
                name: name.to_owned(),
                expected: expected.to_vec(),
                found,
                values: values.len(),
            })
        }
    }
}

/// `[rows, columns]` to `[columns, rows]`, in tiles that stay in the cache.
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const TILE: usize = 32;
    let mut out = vec![0.0; values.len()];
    for row_start in (0..rows).step_by(TILE) {
        for column_start in (0..columns).step_by(TILE) {
            for row in row_start..(row_start + TILE).min(rows) {
                for column in column_start..(column_start + TILE).min(columns) {
                    out[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    out
}

fn values_of<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .into_data()
        .try_into_vec::<f32>()
        .expect("a float model holds f32")
}
