//! `weft release revoke`

use std::path::PathBuf;

use weft_keys::PublicKey;
use weft_record::{Kind, Revoke as RevokeRecord, RevokeTarget, codec, seal};

use crate::{
    context::Context,
    failure::Failure,
    signing::{self, Draft, From, Ground, Signer, now_s},
    verbs::{show, trust::told::Told},
};

/// Take a release or a key back, for good.
///
/// Nodes leave a revoked release for the one before it. What a revoked key signed counts no
/// more, except where a root keeps it: to replace a key, use `weft trust rotate` as well.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft release revoke incident@1.1.0 --reason 'gives wrong dosages' --key release.key\n  weft release revoke --public-key 5f0c…e1 --reason 'laptop stolen' --key stolen.key"
)]
pub(crate) struct Revoke {
    /// The release, as `weft show` takes it
    #[arg(required_unless_present = "public_key")]
    release: Option<String>,
    /// Revoke this key instead: signed by itself, or by the root
    #[arg(long, value_name = "KEY", conflicts_with = "release")]
    public_key: Option<PublicKey>,
    /// Why, for people
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// A key that signs; may be given more than once
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// Write a file instead of telling this folder's node; it may still lack signatures
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    from: From,
}

impl Revoke {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let signers = Signer::open_all(&self.key)?;
        let mut ground = Ground::open(context, &self.from)?;
        let target = match (&self.release, self.public_key) {
            (_, Some(key)) => RevokeTarget::Key(key),
            (release, None) => {
                let words = release.as_deref().unwrap_or_default();
                let found = show::find(context, &ground.trust, words)?;
                RevokeTarget::Release(found.id())
            }
        };
        revoke(
            context,
            &mut ground,
            target,
            self.reason,
            &signers,
            self.out,
        )
    }
}

/// Signs a revocation and tells what became of it.
pub(crate) fn revoke(
    context: &Context,
    ground: &mut Ground,
    target: RevokeTarget,
    reason: String,
    signers: &[Signer],
    out: Option<PathBuf>,
) -> Result<(), Failure> {
    let record = RevokeRecord {
        target,
        reason,
        issued_at_s: now_s(),
    };
    let body = codec::encode(&record);
    let envelope = seal(Kind::Revoke, ground.trust.mesh_id(), body, &[]);
    let drafts = vec![Draft { envelope, signers }];
    let delivered = signing::deliver(
        context,
        ground,
        "the revocation",
        drafts,
        out.as_deref(),
        &[],
    )?;
    Told::new(context, ground, Vec::new(), delivered, out).tell(context)
}
