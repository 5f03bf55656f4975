//! The command line of the training workspace; `--help` lists its verbs.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::tensor::Device;
use clap::{Args, Parser, Subcommand, ValueEnum};
use weft_infer::arch::{Llama, LlamaConfig};
use weft_training::baseline::{Nearest, Rules};
use weft_training::generate::{self, Example, Split};
use weft_training::recipe::{
    ADAPT_FULL, ADAPT_LORA, ADAPT_SEED, BATCH, FINETUNE, FINETUNE_SEED, FROZEN_FROM,
    HELD_OUT_LINES, HELD_OUT_SEED, Method, Recipe, TRAIN, TRAIN_SEED,
};
use weft_training::train::{self, Plan};
use weft_training::{checkpoint, evaluate, vocabulary};

#[derive(Parser)]
#[command(about = "Makes the demo's model")]
struct Arguments {
    /// The part of burn that computes.
    #[arg(long, global = true, default_value = "flex")]
    backend: Backend,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Copy, ValueEnum)]
enum Backend {
    Flex,
    Ndarray,
}

#[derive(Clone, Copy, ValueEnum)]
enum Lines {
    Plain,
    Varied,
    Wild,
    HeldOut,
}

#[derive(Subcommand)]
enum Verb {
    /// Print lines with their answers, one JSON object each.
    Data {
        #[arg(long, default_value = "held-out")]
        split: Lines,
        #[arg(long, default_value_t = HELD_OUT_SEED)]
        seed: u64,
        #[arg(long, default_value_t = HELD_OUT_LINES)]
        count: usize,
        /// Write to this file instead.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Learn the tokenizer and write tokenizer.json.
    Tokenizer {
        #[arg(long)]
        out: PathBuf,
    },
    /// Train 1.0.0 from scratch.
    Train {
        #[command(flatten)]
        schedule: Schedule,
    },
    /// Tune 1.1.0 from 1.0.0.
    Finetune {
        /// The folder of 1.0.0.
        #[arg(long)]
        from: PathBuf,
        #[command(flatten)]
        schedule: Schedule,
    },
    /// Tune a model lightly, all weights and by LoRA, into the folders `full` and `lora`: pairs
    /// to measure deltas on.
    Adapt {
        /// The folder of the model.
        #[arg(long)]
        from: PathBuf,
        #[command(flatten)]
        schedule: Schedule,
    },
    /// Score model folders on lines.
    Eval {
        models: Vec<PathBuf>,
        #[command(flatten)]
        asked: Asked,
    },
    /// Score the rules and the nearest training line on lines.
    Baselines {
        #[command(flatten)]
        asked: Asked,
    },
    /// Ask a model about one line.
    Ask { model: PathBuf, line: String },
}

#[derive(Args)]
struct Schedule {
    /// Where checkpoints, the result and train.log go.
    #[arg(long)]
    out: PathBuf,
    /// Steps of the whole schedule, instead of the recipe's.
    #[arg(long)]
    steps: Option<usize>,
    /// The step to stop after, instead of the recipe's.
    #[arg(long)]
    stop_after: Option<usize>,
    /// Go on from the checkpoint in `out` at this step.
    #[arg(long, default_value_t = 0)]
    first_step: usize,
}

#[derive(Args)]
struct Asked {
    /// A file of lines; without it, lines are drawn.
    #[arg(long)]
    file: Option<PathBuf>,
    #[arg(long, default_value = "held-out")]
    split: Lines,
    #[arg(long, default_value_t = VALIDATION_SEED)]
    seed: u64,
    #[arg(long, default_value_t = HELD_OUT_LINES)]
    count: usize,
    /// Print so many wrong answers.
    #[arg(long, default_value_t = 0)]
    wrong: usize,
}

/// Seed of lines to look at while tuning, so that the held-out file is not.
const VALIDATION_SEED: u64 = 77;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let device = device(arguments.backend);
    match arguments.verb {
        Verb::Data {
            split,
            seed,
            count,
            out,
        } => data(split.into(), seed, count, out),
        Verb::Tokenizer { out } => {
            let json = vocabulary::to_json(&vocabulary::train(TRAIN_SEED)?)?;
            fs::write(&out, serde_json::to_string_pretty(&json)? + "\n")
                .with_context(|| format!("cannot write {}", out.display()))
        }
        Verb::Train { schedule } => train_first(&schedule, device.autodiff()),
        Verb::Finetune { from, schedule } => finetune(&from, &schedule, device.autodiff()),
        Verb::Adapt { from, schedule } => {
            anyhow::ensure!(schedule.first_step == 0, "these runs are short: begin anew");
            adapt(&from, &schedule, &device.autodiff())
        }
        Verb::Eval { models, asked } => {
            let examples = asked.examples()?;
            models
                .iter()
                .try_for_each(|folder| eval(folder, &examples, asked.wrong, &device))
        }
        Verb::Baselines { asked } => baselines(&asked.examples()?, asked.wrong),
        Verb::Ask { model, line } => {
            let (model, tokenizer) = checkpoint::load(&model, &device)?;
            say(&evaluate::answer(&model, &tokenizer, &line, &device)?)
        }
    }
}

fn data(split: Split, seed: u64, count: usize, out: Option<PathBuf>) -> Result<()> {
    let mut text = String::new();
    for example in generate::lines(split, seed, count) {
        text.push_str(&serde_json::to_string(&example)?);
        text.push('\n');
    }
    match out {
        Some(path) => {
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        }
        None => Ok(std::io::stdout().write_all(text.as_bytes())?),
    }
}

fn train_first(schedule: &Schedule, device: Device) -> Result<()> {
    device.seed(TRAIN_SEED);
    let (model, tokenizer) = if schedule.first_step > 0 {
        checkpoint::load(&schedule.out, &device)?
    } else {
        let tokenizer = vocabulary::train(TRAIN_SEED)?;
        let shape = shape(vocabulary::size(&tokenizer));
        (Llama::init(&shape, &device), tokenizer)
    };
    let plan = schedule.plan(&TRAIN, Method::Muon, TRAIN_SEED);
    train::run(model, &tokenizer, &plan, &device).map(drop)
}

fn finetune(from: &Path, schedule: &Schedule, device: Device) -> Result<()> {
    device.seed(FINETUNE_SEED);
    let source = if schedule.first_step > 0 {
        &schedule.out
    } else {
        from
    };
    let (model, tokenizer) = checkpoint::load(source, &device)?;
    let mut plan = schedule.plan(&FINETUNE, Method::Muon, FINETUNE_SEED);
    plan.frozen_from = Some(FROZEN_FROM);
    train::run(model, &tokenizer, &plan, &device).map(drop)
}

fn adapt(from: &Path, schedule: &Schedule, device: &Device) -> Result<()> {
    for (name, recipe, method) in [
        ("full", &ADAPT_FULL, Method::AdamW),
        ("lora", &ADAPT_LORA, Method::Lora),
    ] {
        device.seed(ADAPT_SEED);
        let (model, tokenizer) = checkpoint::load(from, device)?;
        let mut plan = schedule.plan(recipe, method, ADAPT_SEED);
        plan.out = schedule.out.join(name);
        train::run(model, &tokenizer, &plan, device)?;
    }
    Ok(())
}

fn eval(folder: &Path, examples: &[Example], wrong: usize, device: &Device) -> Result<()> {
    let (model, tokenizer) = checkpoint::load(folder, device)?;
    let right = evaluate::exact_matches(&model, &tokenizer, examples, device)?;
    let missed = examples.iter().zip(&right).filter(|(_, right)| !**right);
    for (example, _) in missed.take(wrong) {
        let said = evaluate::answer(&model, &tokenizer, &example.line, device)?;
        show_wrong(example, &said)?;
    }
    score(&folder.display().to_string(), &right)
}

/// Training lines of each kind that the nearest neighbour may look up.
const NEAREST_LINES: usize = 20_000;

fn baselines(examples: &[Example], wrong: usize) -> Result<()> {
    let rules = Rules::new()?;
    let said: Vec<_> = examples
        .iter()
        .map(|example| rules.answer(&example.line))
        .collect();
    let is_right =
        |(example, said): (&Example, &Option<String>)| said.as_ref() == Some(&example.expected);
    let missed = examples.iter().zip(&said).filter(|pair| !is_right(*pair));
    for (example, said) in missed.take(wrong) {
        show_wrong(example, said.as_deref().unwrap_or("nothing"))?;
    }
    let right: Vec<bool> = examples.iter().zip(&said).map(is_right).collect();
    score("rules", &right)?;

    let mut known = generate::lines(Split::Plain, TRAIN_SEED, NEAREST_LINES);
    known.extend(generate::lines(Split::Wild, FINETUNE_SEED, NEAREST_LINES));
    let nearest = Nearest::new(&known);
    let right: Vec<bool> = examples
        .iter()
        .map(|example| nearest.answer(&example.line).as_ref() == Some(&example.expected))
        .collect();
    score("nearest training line", &right)
}

impl Schedule {
    fn plan(&self, recipe: &Recipe, method: Method, seed: u64) -> Plan {
        let steps = self.steps.unwrap_or(recipe.steps);
        Plan {
            steps,
            first_step: self.first_step,
            last_step: self.stop_after.unwrap_or(recipe.stop_after).min(steps),
            batch: BATCH,
            method,
            peak_rate: recipe.peak_rate,
            others: recipe.others,
            frozen_from: None,
            seed,
            out: self.out.clone(),
        }
    }
}

impl Asked {
    fn examples(&self) -> Result<Vec<Example>> {
        let Some(path) = &self.file else {
            return Ok(generate::lines(self.split.into(), self.seed, self.count));
        };
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        text.lines()
            .map(|line| Ok(serde_json::from_str(line)?))
            .collect()
    }
}

impl From<Lines> for Split {
    fn from(lines: Lines) -> Self {
        match lines {
            Lines::Plain => Split::Plain,
            Lines::Varied => Split::Varied,
            Lines::Wild => Split::Wild,
            Lines::HeldOut => Split::HeldOut,
        }
    }
}

fn device(backend: Backend) -> Device {
    match backend {
        Backend::Flex => Device::flex(),
        // The product's own default; burn would rather be rid of it.
        #[allow(deprecated)]
        Backend::Ndarray => Device::ndarray(),
    }
}

/// The model's measures: 1.26 million parameters, all widths multiples of 32.
fn shape(vocab_size: usize) -> LlamaConfig {
    LlamaConfig {
        vocab_size,
        hidden_size: 128,
        intermediate_size: 384,
        layers: 6,
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
        rope_theta: 10_000.0,
        rope_factors: None,
        rms_norm_eps: 1e-5,
        attention_bias: false,
        output_bias: false,
        tie_embeddings: true,
        context_length: checkpoint::CONTEXT_TOKENS,
    }
}

fn show_wrong(example: &Example, said: &str) -> Result<()> {
    let Example { line, expected } = example;
    say(&format!(
        "  {line}\n    should {expected}\n    said   {said}"
    ))
}

fn score(name: &str, right: &[bool]) -> Result<()> {
    let matched = right.iter().filter(|right| **right).count();
    say(&format!(
        "{name}: {matched} of {} exact, {:.1} %",
        right.len(),
        100.0 * matched as f64 / right.len() as f64
    ))
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
