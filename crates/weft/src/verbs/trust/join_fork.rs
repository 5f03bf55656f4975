//! `weft trust join-fork`

use std::path::PathBuf;

use weft_record::Name;

use super::told::Told;
use crate::{
    context::Context,
    failure::{Exit, Failure},
    signing::{self, From, Ground, HeadOrder, Signer, words},
    verbs::show,
};

/// End a fork: sign a head that follows all branches of a channel.
///
/// Two admins who sign at once leave a channel with two newest heads, and no node activates
/// either. This names the release that counts.
#[derive(clap::Args)]
#[command(
    name = "join-fork",
    after_help = "Example:\n  weft trust join-fork stable --release incident@1.1.0 --key head.key"
)]
pub(crate) struct JoinFork {
    /// The channel
    channel: Name,
    /// What the channel is to be at, as `weft show` takes it
    #[arg(long, value_name = "RELEASE")]
    release: String,
    /// A key that signs heads; may be given more than once
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// Write a file instead of telling this folder's node; it may still lack signatures
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    from: From,
}

impl JoinFork {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let signers = Signer::open_all(&self.key)?;
        let mut ground = Ground::open(context, &self.from)?;
        let Some(fork) = ground.trust.fork(&self.channel) else {
            return Err(Failure::new(
                Exit::Refused,
                format!("channel {} has no fork", self.channel),
                "its heads follow each other in one line",
                context.command("trust show"),
            ));
        };
        let tips: Vec<String> = fork.tips.iter().map(words::short_id).collect();
        let release = show::find(context, &ground.trust, &self.release)?;
        let (id, counter) = (release.id(), release.counter);
        let order = HeadOrder {
            channel: &self.channel,
            signers: &signers,
            again: true,
        };
        let drafted = signing::draft_head(context, &ground, (id, counter), &order)?;
        let drafts: Vec<_> = drafted.into_iter().collect();
        let does = vec![format!(
            "channel {} goes on with release {} after both branches, heads {}",
            self.channel,
            ground.releases().name(&id),
            tips.join(" and ")
        )];
        let delivered = signing::deliver(
            context,
            &mut ground,
            "the head",
            drafts,
            self.out.as_deref(),
            &[],
        )?;
        Told::new(context, &ground, does, delivered, self.out).tell(context)
    }
}
