//! `weft model inspect|quantize|logits|bench`

use std::path::{Path, PathBuf};

use serde::Serialize;
use weft_infer::{Engine, EngineOptions};
use weft_model::{ModelSource, Quantization, TokenizerState};

use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
    output::{fields, size, table},
    progress::Spinner,
    refusals,
    style::Style,
};

/// Work with model files.
#[derive(clap::Subcommand)]
pub(crate) enum Model {
    Inspect(Inspect),
    Quantize(Quantize),
    Logits(Logits),
    Bench(Bench),
}

/// Tell what is inside a model file or folder.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft model inspect ./incident-1.0.0")]
pub(crate) struct Inspect {
    /// A GGUF file or a Hugging Face folder
    path: PathBuf,
    /// List every tensor too
    #[arg(long)]
    tensors: bool,
}

/// Write a model as one GGUF file with smaller numbers.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft model quantize ./incident-1.0.0 incident.gguf --to q8_0")]
pub(crate) struct Quantize {
    /// A GGUF file or a Hugging Face folder
    from: PathBuf,
    /// The GGUF file to write
    to_file: PathBuf,
    /// f32, f16, q8_0 or q4_0
    #[arg(long, value_name = "QUANTIZATION")]
    to: Quantization,
}

/// Print the logits behind the last of some tokens.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft model logits incident.gguf --tokens 1,2,3 --json")]
pub(crate) struct Logits {
    /// A GGUF file or a Hugging Face folder
    path: PathBuf,
    /// Token numbers
    #[arg(long, value_name = "NUMBER,…", value_delimiter = ',', required = true)]
    tokens: Vec<u32>,
}

/// Measure how fast a model reads and answers here.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft model bench incident.gguf -p 128 -n 64 --json")]
pub(crate) struct Bench {
    /// A GGUF file or a Hugging Face folder
    path: PathBuf,
    /// Tokens of the prompt
    #[arg(short, long, value_name = "COUNT", default_value_t = 128)]
    prompt: usize,
    /// Tokens of the answer
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 64)]
    decode: usize,
}

impl Model {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Inspect(verb) => verb.run(context),
            Self::Quantize(verb) => verb.run(context),
            Self::Logits(verb) => verb.run(context),
            Self::Bench(verb) => verb.run(context),
        }
    }
}

impl Inspect {
    fn run(&self, context: &Context) -> Result<(), Failure> {
        let inspection = weft_model::inspect(&self.path).map_err(|error| match error {
            weft_model::InspectError::Open(error) => refusals::model(&self.path, &error),
            error => unsound(&self.path, &error),
        })?;
        context
            .output
            .result(&inspection, |style| self.text(style, &inspection))
    }

    fn text(&self, style: Style, inspection: &weft_model::Inspection) -> String {
        let config = &inspection.config;
        let tokenizer = match &inspection.tokenizer {
            TokenizerState::Ready { kind, vocab_size } => format!("{kind}, {vocab_size} tokens"),
            TokenizerState::Unusable { reason } => format!("unusable: {reason}"),
        };
        let shape = format!(
            "{} layers of {}, {} heads ({} of keys) of {}, {} inside",
            config.layers,
            config.hidden_size,
            config.heads,
            config.kv_heads,
            config.head_dim,
            config.intermediate_size,
        );
        let mut text = fields(
            style,
            &[
                ("path", inspection.path.display().to_string()),
                ("container", inspection.container.to_owned()),
                ("architecture", config.architecture.name().to_owned()),
                ("shape", shape),
                ("context", format!("{} tokens", config.context_length)),
                ("parameters", inspection.parameters.to_string()),
                (
                    "files",
                    format!(
                        "{} of {}",
                        inspection.files.len(),
                        size(inspection.file_bytes)
                    ),
                ),
                ("tokenizer", tokenizer),
                (
                    "chat",
                    if inspection.chat_template {
                        "has a template"
                    } else {
                        "no template"
                    }
                    .to_owned(),
                ),
            ],
        );
        let rows: Vec<Vec<String>> = inspection
            .formats
            .iter()
            .map(|share| {
                vec![
                    share.dtype.to_string(),
                    share.tensors.to_string(),
                    share.parameters.to_string(),
                    size(share.bytes),
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(
            style,
            &["format", "tensors", "weights", "bytes"],
            &rows,
        ));
        if self.tensors {
            let rows: Vec<Vec<String>> = inspection
                .tensors
                .iter()
                .map(|tensor| {
                    let shape: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
                    vec![
                        tensor.name.clone(),
                        tensor.dtype.to_string(),
                        shape.join(" × "),
                        size(tensor.bytes),
                    ]
                })
                .collect();
            text.push('\n');
            text.push_str(&table(
                style,
                &["tensor", "format", "shape", "bytes"],
                &rows,
            ));
        }
        text
    }
}

impl Quantize {
    fn run(&self, context: &Context) -> Result<(), Failure> {
        let source =
            ModelSource::open(&self.from).map_err(|error| refusals::model(&self.from, &error))?;
        let spinner = Spinner::start(
            context.output,
            format!("writing {}", self.to_file.display()),
        );
        let summary = weft_model::quantize(&source, self.to, &self.to_file)
            .map_err(|error| refusals::quantize(&self.from, &error))?;
        drop(spinner);
        context.output.result(&summary, |_| {
            let share = summary.bytes as f64 / summary.source_bytes.max(1) as f64;
            format!(
                "{}: {} tensors, {} in {}, {:.2} of the weights it was made from\n",
                self.to_file.display(),
                summary.tensors,
                summary.quantization,
                size(summary.bytes),
                share,
            )
        })
    }
}

impl Logits {
    fn run(&self, context: &Context) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Report {
            logits: Vec<f32>,
        }
        // no longer context than these tokens need: even a large model stays in memory
        let options = EngineOptions {
            context_length: Some(self.tokens.len()),
            ..EngineOptions::default()
        };
        let mut engine = Engine::load(&self.path, &options)
            .map_err(|error| refusals::load(&self.path, &error))?;
        let logits = engine.logits(&self.tokens).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("no logits from {}", self.path.display()),
                error.to_string(),
                format!("weft model inspect {}", quoted(&self.path)),
            )
        })?;
        if context.output.json {
            return context.output.bare_object(&Report { logits });
        }
        let lines: Vec<String> = logits.iter().map(ToString::to_string).collect();
        context.output.text(&(lines.join("\n") + "\n"))
    }
}

impl Bench {
    fn run(&self, context: &Context) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Report {
            #[serde(flatten)]
            figures: weft_infer::BenchFigures,
            prompt_tokens: usize,
            decode_tokens: usize,
        }
        let spinner = Spinner::start(context.output, format!("measuring {}", self.path.display()));
        let measured = weft_infer::bench(
            &self.path,
            self.prompt,
            self.decode,
            &EngineOptions::default(),
        );
        drop(spinner);
        let figures = measured.map_err(|error| match error {
            weft_infer::BenchError::Load(error) => refusals::load(&self.path, &error),
            error => unsound(&self.path, &error),
        })?;
        let report = Report {
            figures,
            prompt_tokens: self.prompt,
            decode_tokens: self.decode,
        };
        context.output.result(&report, |_| {
            format!(
                "prefill  {:.1} tokens/s\ndecode   {:.1} tokens/s\n",
                figures.prefill_tokens_per_sec, figures.decode_tokens_per_sec
            )
        })
    }
}

fn unsound(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("{} could not be used", path.display()),
        error.to_string(),
        format!("weft model inspect {}", quoted(path)),
    )
}
