//! `weft release sign`

use std::path::PathBuf;

use serde::Serialize;
use weft_record::{MeshId, Name, RecordId};

use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
    pack::Pack,
    progress::Spinner,
    signing::{self, From, Ground, HeadOrder, Judged, Signer},
};

/// Sign a packed release into a file, without publishing it.
///
/// The file holds the release, on wish the head that puts a channel at it, and the model. It
/// may still lack signatures: another admin adds theirs with `weft release cosign`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  weft release sign incident.weft --key release.key --head-key head.key --channel stable --out signed.weft"
)]
pub(crate) struct Sign {
    /// What `weft release pack` wrote
    file: PathBuf,
    /// A key that signs releases; may be given more than once
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// A key that signs heads; may be given more than once [default: those of --key]
    #[arg(long, value_name = "FILE")]
    head_key: Vec<PathBuf>,
    /// Sign the head too that puts this channel at the release [default: stable with --head-key]
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<Name>,
    /// Sign a new head although the channel is at this release
    #[arg(long)]
    again: bool,
    /// The file to write; an existing one is never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    from: From,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    mesh_id: MeshId,
    release: RecordId,
    complete: bool,
    records: Vec<Judged>,
    next: String,
}

impl Sign {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let keys = Signer::open_all(&self.key)?;
        let head_keys = match self.head_key.as_slice() {
            [] => None,
            paths => Some(Signer::open_all(paths)?),
        };
        let pack = Pack::open(&self.file)?;
        let mut ground = Ground::open(context, &self.from)?;
        let release = signing::draft_release(context, &ground, &pack.release, &keys)?;
        let id = release.envelope.record_id();
        let channel = match (self.channel, &head_keys) {
            (None, Some(_)) => Some("stable".parse::<Name>().map_err(|error| {
                Failure::new(Exit::Failed, "no channel", error.to_string(), "")
            })?),
            (channel, _) => channel,
        };
        let mut drafts = vec![release];
        if let Some(channel) = &channel {
            let order = HeadOrder {
                channel,
                signers: head_keys.as_deref().unwrap_or(&keys),
                again: self.again,
            };
            let counter = pack.release.counter;
            match signing::draft_head(context, &ground, (id, counter), &order)? {
                Ok(draft) => drafts.push(draft),
                Err(head) => context.output.note(&format!(
                    "channel {channel} is at this release already, by head {}",
                    head.seq
                )),
            }
        }
        let spinner = Spinner::start(context.output, "signing");
        let content = [self.file.as_path()];
        let delivered = signing::deliver(
            context,
            &mut ground,
            "the release",
            drafts,
            Some(&self.out),
            &content,
        )?;
        drop(spinner);
        let complete = delivered.is_complete();
        let report = Report {
            next: next(&self.out, complete, delivered.records.len() + 1),
            file: self.out,
            mesh_id: ground.trust.mesh_id(),
            release: id,
            complete,
            records: delivered.records,
        };
        context.output.result(&report, |style| {
            format!(
                "{}\nWritten: {}\nNext: {}\n",
                signing::lines(style, &report.records),
                report.file.display(),
                style.bold(&report.next)
            )
        })
    }
}

/// What to do with a signed file.
pub(crate) fn next(path: &std::path::Path, complete: bool, records: usize) -> String {
    if complete && records == 1 {
        // the first root alone: no node of this mesh is there yet
        format!("weft mesh init --root {} --key ENROLL_KEY", quoted(path))
    } else if complete {
        format!("weft bundle import {}", quoted(path))
    } else {
        format!("weft release cosign {} --key KEY", quoted(path))
    }
}
