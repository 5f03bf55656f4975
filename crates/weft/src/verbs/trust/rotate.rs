//! `weft trust rotate|threshold|reset`: three ways to sign the next root.

use std::path::PathBuf;

use weft_keys::PublicKey;
use weft_record::{Kind, Name, codec, seal};

use super::{
    change::{self, Change},
    place::{Base, ResetTo},
    public::{Public, RoleKey, RoleNumber},
    told::Told,
};
use crate::{
    context::Context,
    failure::{Exit, Failure},
    signing::{self, Draft, From, Ground, Signer, now_s, words},
};

/// Sign the next root: other keys, other roles, channels taken back.
///
/// A key that goes takes its signatures with it. So every channel for which it may have signed
/// begins anew at its newest head, unless --reset names an earlier one: the last that you trust.
/// Says in words what it will do; --dry-run says it and signs nothing.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft trust rotate --remove 5f0c…e1 --add head=new-head.pub --reset stable=7 --key root.key --out rotation.weft\n  weft trust rotate --add release=ci.pub --key admin.key"
)]
pub(crate) struct Rotate {
    /// Take this key out of every role it has: 64 digits, or a file; may be given more than once
    #[arg(long, value_name = "PUBLIC_KEY")]
    remove: Vec<Public>,
    /// Give a role this key: root, release, head, enroll or beacon; may be given more than once
    #[arg(long, value_name = "ROLE=PUBLIC_KEY")]
    add: Vec<RoleKey>,
    /// How many keys of a role must sign; may be given more than once
    #[arg(long, value_name = "ROLE=NUMBER")]
    threshold: Vec<RoleNumber>,
    /// Take a channel back to a head, by its place or its id, or to none; may be given more than once
    #[arg(long, value_name = "CHANNEL=HEAD|none")]
    reset: Vec<ResetTo>,
    /// Leave this channel as it is; may be given more than once
    #[arg(long, value_name = "CHANNEL")]
    no_reset: Vec<Name>,
    /// Keep this record although its signer goes, by the first digits of its id
    #[arg(long, value_name = "RECORD")]
    keep: Vec<String>,
    /// Set the least time that nodes believe in to this machine's clock
    #[arg(long)]
    time_reset: bool,
    #[command(flatten)]
    sign: SignFlags,
}

/// Change how many of a role's keys must sign.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  weft trust threshold root 2 --key root.key --out threshold.weft"
)]
pub(crate) struct Threshold {
    /// The role, or root
    role: Name,
    /// How many keys must sign
    number: u16,
    #[command(flatten)]
    sign: SignFlags,
}

/// Take a channel back to an earlier head, or begin it anew.
///
/// Ends a fork too, and takes back a security counter that was driven up.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  weft trust reset stable --to 7 --key root.key --out reset.weft"
)]
pub(crate) struct Reset {
    /// The channel
    channel: Name,
    /// The head, by its place or the first digits of its id, or none
    #[arg(long, value_name = "HEAD|none")]
    to: Base,
    #[command(flatten)]
    sign: SignFlags,
}

/// Who signs, and where it goes.
#[derive(clap::Args)]
struct SignFlags {
    /// A root key; may be given more than once. Without one the file holds a draft for others
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// Write a file instead of telling this folder's node; it may still lack signatures
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only say what it would do
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    from: From,
}

impl Rotate {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let remove: Vec<PublicKey> = self.remove.iter().map(|key| key.0).collect();
        let change = Change {
            remove,
            add: self.add,
            thresholds: self.threshold,
            resets: self.reset,
            no_reset: self.no_reset,
            keep: self.keep,
            time_reset: self.time_reset,
            now_s: now_s(),
        };
        self.sign.run(context, &change)
    }
}

impl Threshold {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let threshold = RoleNumber {
            role: self.role,
            number: self.number,
        };
        let change = Change {
            thresholds: vec![threshold],
            now_s: now_s(),
            ..Change::default()
        };
        self.sign.run(context, &change)
    }
}

impl Reset {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let reset = ResetTo {
            channel: self.channel,
            base: self.to,
        };
        let change = Change {
            resets: vec![reset],
            now_s: now_s(),
            ..Change::default()
        };
        self.sign.run(context, &change)
    }
}

impl SignFlags {
    fn run(self, context: &Context, change: &Change) -> Result<(), Failure> {
        let signers = Signer::open_all(&self.key)?;
        if signers.is_empty() && self.out.is_none() && !self.dry_run {
            return Err(Failure::new(
                Exit::Usage,
                "the next root is not signed",
                "no root key is given, and no file for others to sign",
                "give --key ROOT_KEY, or --out FILE",
            ));
        }
        let mut ground = Ground::open(context, &self.from)?;
        let (root, does) = change::draft(&ground.trust, &ground.releases(), change)?;
        if self.dry_run {
            return tell_dry(context, root.version, &does);
        }
        let waits = ground.open_records().into_iter();
        let mut waits = waits.filter(|one| {
            words::of_kind::<weft_record::Root>(one, Kind::Root)
                .is_some_and(|other| other.version == root.version)
        });
        if let Some(other) = waits.next() {
            context.output.note(&format!(
                "another root {}, {}, waits for signatures here; only one of them can ever count",
                root.version,
                words::short_id(&other.record_id())
            ));
        }
        let body = codec::encode(&root);
        let envelope = seal(Kind::Root, ground.trust.mesh_id(), body, &[]);
        let drafts = vec![Draft {
            envelope,
            signers: &signers,
        }];
        let what = format!("root {}", root.version);
        let delivered = signing::deliver(
            context,
            &mut ground,
            &what,
            drafts,
            self.out.as_deref(),
            &[],
        )?;
        Told::new(context, &ground, does, delivered, self.out).tell(context)
    }
}

fn tell_dry(context: &Context, version: u64, does: &[String]) -> Result<(), Failure> {
    #[derive(serde::Serialize)]
    struct Report<'a> {
        dry_run: bool,
        version: u64,
        does: &'a [String],
    }
    let report = Report {
        dry_run: true,
        version,
        does,
    };
    context.output.result(&report, |_| {
        let lines = does.iter().map(|line| format!("- {line}\n"));
        format!(
            "Root {version} would do this:\n{}",
            lines.collect::<String>()
        )
    })
}
