//! `weft release pack`

use std::path::{Path, PathBuf};

use serde::Serialize;
use weft_model::Quantization;
use weft_record::{Name, Release as ReleaseRecord};

use crate::{
    context::{Context, quoted},
    failure::Failure,
    packing::{self, Order},
    progress::Spinner,
    verbs::show,
};

/// Pack a model into one file, ready to be signed.
///
/// Quantizes it, cuts it into chunks along its tensors, and asks it golden prompts whose
/// answers every node will hold it to. Needs no key and no node.
#[derive(clap::Args)]
#[command(
    name = "pack",
    after_help = "Example:\n  weft release pack ./incident-1.0.0 --name incident --version 1.0.0 --quantization q8_0,q4_0 --out incident.weft"
)]
pub(crate) struct Pack {
    /// A Hugging Face folder or a GGUF file
    source: PathBuf,
    /// The model's name
    #[arg(long)]
    name: Name,
    /// Its version, for people
    #[arg(long)]
    version: String,
    /// Formats to offer: f32, f16, q8_0, q4_0 [default: q8_0 of a folder, a GGUF file as it is]
    #[arg(long, value_name = "FORMAT,…", value_delimiter = ',')]
    quantization: Vec<Quantization>,
    /// An earlier release, packed or published: nodes that have it fetch a delta [repeatable]
    #[arg(long, value_name = "FILE")]
    base: Vec<PathBuf>,
    /// Golden prompts, one JSON object {"prompt": …} a line [default: a few of weft's own]
    #[arg(long, value_name = "FILE", conflicts_with = "no_probe")]
    probe: Option<PathBuf>,
    /// Carry no golden prompts: nodes only check that the model loads
    #[arg(long)]
    no_probe: bool,
    /// Security counter: channels can refuse what is below theirs
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    counter: u64,
    /// What is new, for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    notes: String,
    /// Licence of the weights, an SPDX expression
    #[arg(long, value_name = "LICENCE", default_value = "")]
    licence: String,
    /// The file to write; an existing one is never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Pack {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let prompts = match &self.probe {
            Some(path) => packing::read_prompts(path)?,
            None if self.no_probe => Vec::new(),
            None => packing::default_prompts(),
        };
        let order = Order {
            source: self.source,
            name: self.name,
            version: self.version,
            counter: self.counter,
            quantizations: self.quantization,
            bases: self.base,
            prompts,
            notes: self.notes,
            licence: self.licence,
            out: self.out,
        };
        let spinner = Spinner::start(context.output, "opening the model");
        let release = packing::pack(&order, |step| spinner.say(step))?;
        drop(spinner);
        #[derive(Serialize)]
        struct Report<'a> {
            file: &'a Path,
            #[serde(flatten)]
            release: &'a ReleaseRecord,
        }
        context.output.result(
            &Report {
                file: &order.out,
                release: &release,
            },
            |style| {
                let publish = format!(
                    "weft release publish {} --key admin.key",
                    quoted(&order.out)
                );
                format!(
                    "{}\nNext: {}\n",
                    show::describe(style, &release),
                    style.bold(&publish)
                )
            },
        )
    }
}
