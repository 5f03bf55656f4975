//! `weft release publish`

use std::path::PathBuf;

use serde::Serialize;
use weft_node::report::ImportReport;
use weft_record::{Head, Name, RecordId};

use crate::{
    context::Context,
    failure::{Exit, Failure},
    output::size,
    pack::Pack,
    progress::Spinner,
    signing::{self, Delivered, Ground, HeadOrder, Signer, words},
    verbs::bundle::short,
};

/// Sign a packed release and put it at the front of a channel, from this folder's node.
///
/// Returns when this node runs it; the others hear of it at once. Works without a running
/// node too: then they hear of it when it runs. Where several admins must sign, each key
/// is given, or `weft release sign` makes a file for the next admin.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft release publish incident.weft --key admin.key\n  weft release publish incident.weft --key release.key --head-key head.key --channel beta"
)]
pub(crate) struct Publish {
    /// What `weft release pack` wrote
    file: PathBuf,
    /// A key that signs releases; more than once where several must sign
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// A key that signs heads; more than once where several must sign [default: those of --key]
    #[arg(long, value_name = "FILE")]
    head_key: Vec<PathBuf>,
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

impl Publish {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        signing::refuse_existing(self.out.as_deref())?;
        let home = context.home()?;
        let keys = Signer::open_all(&self.key)?;
        let head_keys = match self.head_key.as_slice() {
            [] => None,
            paths => Some(Signer::open_all(paths)?),
        };
        let pack = Pack::open(&self.file)?;
        let mut ground = Ground::of_home(context, home)?;
        let release = signing::draft_release(context, &ground, &pack.release, &keys)?;
        let id = release.envelope.record_id();
        let order = HeadOrder {
            channel: &self.channel,
            signers: head_keys.as_deref().unwrap_or(&keys),
            again: self.again,
        };
        let drafted = signing::draft_head(context, &ground, (id, pack.release.counter), &order)?;
        let (mut drafts, was_there) = (vec![release], drafted.is_err());
        let head = match drafted {
            Err(head) => head,
            Ok(draft) => {
                let head = words::head(&draft.envelope);
                drafts.push(draft);
                head.ok_or_else(|| {
                    Failure::new(Exit::Failed, "the head cannot be read", "it is no head", "")
                })?
            }
        };
        let spinner = Spinner::start(context.output, "signing, and taking it in");
        let content = [self.file.as_path()];
        let delivered =
            signing::deliver(context, &mut ground, "the release", drafts, None, &content)?;
        if let Some(out) = &self.out {
            ground.write(out, false, &[], &content)?;
        }
        drop(spinner);
        self.tell(context, &pack, id, &head, was_there, &delivered)
    }

    fn tell(
        &self,
        context: &Context,
        pack: &Pack,
        release: RecordId,
        head: &Head,
        was_there: bool,
        delivered: &Delivered,
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
        let taken = delivered.report.as_ref();
        let told = Report {
            release,
            model: &pack.release.model,
            version: &pack.release.version,
            channel: &self.channel,
            epoch: head.epoch,
            seq: head.seq,
            was_there,
            bytes_taken: taken.map_or(0, |report: &ImportReport| report.bytes_taken),
        };
        context.output.result(&told, |style| {
            let is = if was_there { "is already" } else { "is now" };
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
