//! `weft release pack|publish|inspect`

use std::path::{Path, PathBuf};

use serde::Serialize;
use weft_model::Quantization;
use weft_node::report::ImportReport;
use weft_record::{Name, RecordId, Release as ReleaseRecord};

use crate::{
    context::{Context, quoted},
    failure::Failure,
    output::size,
    pack::Pack,
    packing::{self, Order},
    progress::Spinner,
    refusals, signing,
    verbs::{
        bundle::{import_failure, short, take_in},
        show,
    },
};

/// Pack, publish or look at a release.
#[derive(clap::Subcommand)]
pub(crate) enum Release {
    Pack(PackVerb),
    Publish(Publish),
    Inspect(Inspect),
}

/// Pack a model into one file, ready to be signed.
///
/// Quantizes it, cuts it into chunks along its tensors, and asks it golden prompts whose
/// answers every node will hold it to. Needs no key and no node.
#[derive(clap::Args)]
#[command(
    name = "pack",
    after_help = "Example:\n  weft release pack ./incident-1.0.0 --name incident --version 1.0.0 --quantization q8_0,q4_0 --out incident.weft"
)]
pub(crate) struct PackVerb {
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

/// Sign a packed release and put it at the front of a channel, from this folder's node.
///
/// Returns when this node runs it; the others hear of it at once. Works without a running
/// node too: then they hear of it when it runs.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft release publish incident.weft --key admin.key")]
pub(crate) struct Publish {
    /// What `weft release pack` wrote
    file: PathBuf,
    /// The admin key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The channel
    #[arg(long, value_name = "CHANNEL", default_value = "stable")]
    channel: Name,
    /// Sign a new head although the channel is at this release: nodes that refused it try anew
    #[arg(long)]
    again: bool,
    /// Keep the signed bundle here too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Tell what is in a pack, in a bundle, or in a release that this node knows.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft release inspect incident.weft\n  weft release inspect incident@1.1.0"
)]
pub(crate) struct Inspect {
    /// A file, or a release as `weft show` takes it
    release: String,
}

impl Release {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Pack(verb) => verb.run(context),
            Self::Publish(verb) => verb.run(context),
            Self::Inspect(verb) => verb.run(context),
        }
    }
}

impl PackVerb {
    fn run(self, context: &Context) -> Result<(), Failure> {
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

impl Publish {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let home = context.home()?;
        let key = weft_keys::load_secret(&self.key)
            .map_err(|error| refusals::key_file(&self.key, &error))?;
        let pack = Pack::open(&self.file)?;
        let mut trust = signing::trust(context, &home)?;
        let signed = signing::publish(
            context,
            &mut trust,
            &key,
            &pack.release,
            &self.channel,
            self.again,
        )?;
        let folder = signing::scratch(home.directory())?;
        let path = match &self.out {
            Some(path) => path.clone(),
            None => folder.path().join("signed.weft"),
        };
        let spinner = Spinner::start(context.output, "signing, and taking it in");
        pack.write_signed(&path, trust.mesh_id(), &signed.records)?;
        let report = match home.running() {
            Some(_) => take_in(context, &context.client()?, &path)?,
            None => weft_node::import_offline(&home, &path)
                .map_err(|error| refusals::import(context, &path, &error))?,
        };
        drop(spinner);
        if let Some(failure) = import_failure(context, &self.file, &report) {
            return Err(failure);
        }
        self.tell(context, &pack, &signed, &report)
    }

    fn tell(
        &self,
        context: &Context,
        pack: &Pack,
        signed: &signing::Signed,
        report: &ImportReport,
    ) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Report<'a> {
            release: RecordId,
            model: &'a Name,
            version: &'a str,
            channel: &'a Name,
            epoch: u64,
            seq: u64,
            was_there: bool,
            bytes_taken: u64,
        }
        let told = Report {
            release: signed.release,
            model: &pack.release.model,
            version: &pack.release.version,
            channel: &self.channel,
            epoch: signed.head.epoch,
            seq: signed.head.seq,
            was_there: signed.was_there,
            bytes_taken: report.bytes_taken,
        };
        context.output.result(&told, |style| {
            let is = if signed.was_there {
                "is already"
            } else {
                "is now"
            };
            format!(
                "{} {} {is} place {} of channel {}: {} taken in, release {}\nNext: {}\n",
                told.model,
                told.version,
                told.seq,
                told.channel,
                size(told.bytes_taken),
                short(&told.release.to_string()),
                style.bold(&context.command("status --watch")),
            )
        })
    }
}

impl Inspect {
    fn run(&self, context: &Context) -> Result<(), Failure> {
        let path = Path::new(&self.release);
        // a name without a slash that is no file here is a release of the node
        if !path.exists() && !self.release.contains('/') {
            return show::show(context, &self.release);
        }
        let pack = Pack::open(path)?;
        #[derive(Serialize)]
        struct Report<'a> {
            file: &'a Path,
            mesh_id: Option<String>,
            signatures: usize,
            chunks: usize,
            #[serde(flatten)]
            release: &'a ReleaseRecord,
        }
        let report = Report {
            file: path,
            mesh_id: pack.mesh_id().map(|id| id.to_string()),
            signatures: pack.signatures,
            chunks: pack.chunks().count(),
            release: &pack.release,
        };
        context.output.result(&report, |style| {
            let mesh = report
                .mesh_id
                .as_deref()
                .unwrap_or("none: it is not signed yet");
            format!(
                "mesh     {mesh}\nchunks   {}\n{}",
                report.chunks,
                show::describe(style, &pack.release)
            )
        })
    }
}
