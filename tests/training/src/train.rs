//! The training loop: Muon and AdamW, or LoRA, with warm-up and a cosine, on
//! lines that are drawn as they are needed. The loss counts the answer only.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use burn::grad_clipping::GradientClippingConfig;
use burn::module::{Lora, Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamWConfig, AdjustLrFn, GradientsParams, ModuleOptimizer, MuonConfig};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use tokenizers::Tokenizer;
use weft_infer::arch::Llama;

use crate::checkpoint;
use crate::generate::{self, Drawn, Split};
use crate::random::Random;
use crate::recipe::{LORA_ALPHA, LORA_RANK, Method};
use crate::vocabulary;

/// What a run does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Steps of the whole schedule.
    pub steps: usize,
    /// The step to begin at, if an earlier run was cut off.
    pub first_step: usize,
    /// The step to stop after.
    pub last_step: usize,
    /// Lines in a batch.
    pub batch: usize,
    /// How the weights change.
    pub method: Method,
    /// The learning rate at its highest.
    pub peak_rate: f64,
    /// Lines that are not plain, and their share.
    pub others: (Split, f64),
    /// Leave the embeddings, the last norm and the layers from this one on as
    /// they are.
    pub frozen_from: Option<usize>,
    /// Where the data's random stream begins.
    pub seed: u64,
    /// Where checkpoints and the log go.
    pub out: PathBuf,
}

/// Steps until the learning rate is at its highest.
const WARM_UP_STEPS: usize = 60;
/// The cosine ends at this share of the highest rate.
const LAST_RATE_SHARE: f64 = 0.05;
/// Batches drawn at once and sorted by length, so that little is padding.
pub const BATCHES_DRAWN_TOGETHER: usize = 16;
/// A log line every so many steps.
const STEPS_PER_REPORT: usize = 20;
/// A checkpoint every so many steps.
const STEPS_PER_CHECKPOINT: usize = 100;

/// Trains `model` and leaves the result in `plan.out`.
pub fn run(mut model: Llama, tokenizer: &Tokenizer, plan: &Plan, device: &Device) -> Result<Llama> {
    if let Some(first) = plan.frozen_from {
        model = model.freeze(|name| is_frozen(name, first));
    }
    if plan.method == Method::Lora {
        // burn's error is none of the standard library's
        let adapted = ParamGroup::from_regex(ADAPTED)
            .map_err(|error| anyhow::anyhow!("{ADAPTED}: {error:?}"))?;
        let lora = Lora::new(LORA_RANK, LORA_ALPHA).set_param_group(adapted);
        model = model.apply_lora(lora);
    }
    let mut optimizer = optimizer(&model, plan.method);
    let mut feed = Feed::new(tokenizer, plan);
    let started = Instant::now();
    let (mut tokens, mut loss_sum, mut losses) = (0usize, 0.0f64, 0usize);
    log(
        &plan.out,
        &format!("parameters {} plan {plan:?}", model.num_params()),
    )?;
    for step in plan.first_step..plan.last_step {
        let batch = feed.next()?;
        tokens += batch.rows * batch.time;
        let loss = loss(&model, &batch, device);
        // On a CPU, which computes at once, reading the loss costs nothing.
        loss_sum += f64::from(loss.clone().into_scalar::<f32>());
        losses += 1;
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(rate(plan, step), model, gradients);
        let done = step + 1;
        if done % STEPS_PER_REPORT == 0 || done == plan.last_step {
            let seconds = started.elapsed().as_secs_f64();
            log(
                &plan.out,
                &format!(
                    "step {done}/{} loss {:.4} rate {:.2e} tokens/s {:.0} minutes {:.1}",
                    plan.steps,
                    loss_sum / losses as f64,
                    rate(plan, step),
                    tokens as f64 / seconds,
                    seconds / 60.0
                ),
            )?;
            (loss_sum, losses) = (0.0, 0);
        }
        if done % STEPS_PER_CHECKPOINT == 0 || done == plan.last_step {
            checkpoint::save(&plan.out, &model, tokenizer)?;
        }
    }
    Ok(model)
}

/// Warm-up, then a cosine. A run that was cut off warms up again, since the
/// optimizer's moments are not kept.
fn rate(plan: &Plan, step: usize) -> f64 {
    let warm = ((step - plan.first_step + 1) as f64 / WARM_UP_STEPS as f64).min(1.0);
    let progress = step as f64 / plan.steps as f64;
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
    plan.peak_rate * warm * (LAST_RATE_SHARE + (1.0 - LAST_RATE_SHARE) * cosine)
}

/// The matrices that LoRA adapts, by where they lie in the module.
const ADAPTED: &str = r"^layers\.\d+\.(q|v)\.weight$";

fn optimizer(model: &Llama, method: Method) -> ModuleOptimizer {
    let clip = GradientClippingConfig::Norm(1.0);
    let adam = AdamWConfig::new()
        .with_beta_2(0.99)
        .with_epsilon(1e-8)
        .with_weight_decay(0.01)
        .with_grad_clipping(Some(clip))
        .init();
    if method != Method::Muon {
        return adam;
    }
    let mut matrices = Matrices {
        embedding_rows: model.config().vocab_size,
        ids: Vec::new(),
    };
    model.visit(&mut matrices);
    adam.with_group(
        ParamGroup::from_ids(matrices.ids),
        MuonConfig::new()
            .with_weight_decay(Some(WeightDecayConfig { penalty: 0.01 }))
            .with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW)
            .build(),
        None,
    )
}

struct Matrices {
    embedding_rows: usize,
    ids: Vec<ParamId>,
}

impl ModuleVisitor for Matrices {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if D == 2 && param.lazy_shape()[0] != self.embedding_rows {
            self.ids.push(param.id);
        }
    }
}

/// The tensors that a fine-tuning leaves as they are: the embeddings, the last
/// norm, and the layers from `first` on.
pub fn is_frozen(name: &str, first: usize) -> bool {
    match name.strip_prefix("model.layers.") {
        Some(rest) => rest
            .split('.')
            .next()
            .and_then(|layer| layer.parse::<usize>().ok())
            .is_some_and(|layer| layer >= first),
        None => true,
    }
}

fn loss(model: &Llama, batch: &Batch, device: &Device) -> Tensor<1> {
    let ids = Tensor::<2, Int>::from_data(
        TensorData::new(batch.ids.clone(), [batch.rows, batch.time]),
        device,
    );
    let logits = model
        .forward_train(ids)
        .reshape([batch.rows * batch.time, model.config().vocab_size]);
    let counted = batch.targets.len();
    let places = batch.places.clone();
    let places = Tensor::<1, Int>::from_data(TensorData::new(places, [counted]), device);
    let targets =
        Tensor::<2, Int>::from_data(TensorData::new(batch.targets.clone(), [counted, 1]), device);
    log_softmax(logits.select(0, places), 1)
        .gather(1, targets)
        .mean()
        .neg()
}

/// Padded lines, the places whose prediction counts, and what comes there.
pub struct Batch {
    /// Lines.
    pub rows: usize,
    /// Tokens of a line, padding included.
    pub time: usize,
    /// `[rows, time]`.
    pub ids: Vec<i64>,
    /// Positions in the flattened batch.
    pub places: Vec<i64>,
    /// The token that should follow each of `places`.
    pub targets: Vec<i64>,
    /// Which line each of `places` is of.
    pub owners: Vec<usize>,
}

impl Batch {
    /// Lays prompt and answer of each line side by side.
    pub fn new(lines: &[(Vec<u32>, Vec<u32>)]) -> Self {
        // The last token of an answer predicts nothing.
        let length = |(prompt, answer): &(Vec<u32>, Vec<u32>)| prompt.len() + answer.len() - 1;
        let time = lines.iter().map(length).max().unwrap_or(1);
        let mut batch = Self {
            rows: lines.len(),
            time,
            ids: vec![0; lines.len() * time],
            places: Vec::new(),
            targets: Vec::new(),
            owners: Vec::new(),
        };
        for (row, (prompt, answer)) in lines.iter().enumerate() {
            let start = row * time;
            let all = prompt.iter().chain(&answer[..answer.len() - 1]);
            for (place, id) in all.enumerate() {
                batch.ids[start + place] = i64::from(*id);
            }
            for (offset, id) in answer.iter().enumerate() {
                batch
                    .places
                    .push((start + prompt.len() - 1 + offset) as i64);
                batch.targets.push(i64::from(*id));
                batch.owners.push(row);
            }
        }
        batch
    }
}

/// The lines of a training run, block by block; the same for the same seed.
pub struct Blocks {
    random: Random,
    others: (Split, f64),
    batch: usize,
}

impl Blocks {
    /// Blocks of lines of which the share `others.1` is from `others.0`; the
    /// rest is plain.
    pub fn new(seed: u64, others: (Split, f64), batch: usize) -> Self {
        Self {
            random: Random::new(seed),
            others,
            batch,
        }
    }

    /// Lines for [`BATCHES_DRAWN_TOGETHER`] batches, and the order in which
    /// these come once they are sorted by length.
    pub fn draw(&mut self) -> (Vec<Drawn>, Vec<usize>) {
        let lines = (0..self.batch * BATCHES_DRAWN_TOGETHER)
            .map(|_| {
                let (other, share) = self.others;
                let split = if self.random.chance(share) {
                    other
                } else {
                    Split::Plain
                };
                generate::draw(split, &mut self.random)
            })
            .collect();
        let mut order: Vec<usize> = (0..BATCHES_DRAWN_TOGETHER).collect();
        for last in (1..order.len()).rev() {
            let other = self.random.below(last + 1);
            order.swap(last, other);
        }
        (lines, order)
    }
}

struct Feed {
    tokenizer: Tokenizer,
    blocks: Blocks,
    ready: Vec<Batch>,
}

impl Feed {
    fn new(tokenizer: &Tokenizer, plan: &Plan) -> Self {
        let seed = plan.seed.wrapping_add(plan.first_step as u64);
        Self {
            tokenizer: tokenizer.clone(),
            blocks: Blocks::new(seed, plan.others, plan.batch),
            ready: Vec::new(),
        }
    }

    fn next(&mut self) -> Result<Batch> {
        if self.ready.is_empty() {
            let (drawn, order) = self.blocks.draw();
            let mut lines = Vec::with_capacity(drawn.len());
            for Drawn { example, .. } in drawn {
                lines.push((
                    vocabulary::prompt(&self.tokenizer, &example.line)?,
                    vocabulary::answer(&self.tokenizer, &example.expected)?,
                ));
            }
            lines.sort_by_key(|(prompt, answer)| prompt.len() + answer.len());
            let batches: Vec<_> = lines.chunks(self.blocks.batch).collect();
            self.ready = order
                .iter()
                .map(|place| Batch::new(batches[*place]))
                .collect();
        }
        Ok(self.ready.pop().expect("just filled"))
    }
}

fn log(out: &Path, text: &str) -> Result<()> {
    std::fs::create_dir_all(out)?;
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(out.join("train.log"))?;
    writeln!(file, "{text}")?;
    // The terminal is a copy; the log file is what counts.
    let _ = writeln!(std::io::stderr(), "{text}");
    Ok(())
}
