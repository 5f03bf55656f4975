//! `weft node revoke`

use std::path::PathBuf;

use weft_keys::PublicKey;
use weft_record::{RevokeTarget, Trust};

use crate::{
    context::Context,
    failure::{Exit, Failure},
    signing::{From, Ground, Signer},
    verbs::release::revoke,
};

/// Take a node out of the mesh, for good.
///
/// No peer serves it any more. What it holds stays on it: weights are not encrypted.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  weft node revoke 12D3KooW… --reason 'lost on the way' --key enroll.key"
)]
pub(crate) struct Revoke {
    /// Its key, its peer id, or the first digits of either
    node: String,
    /// Why, for people
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// A key that signs enrolments or roots, or the node's own; may be given more than once
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
        let node = find(context, &ground.trust, &self.node)?;
        let target = RevokeTarget::Key(node);
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

/// A node by its whole key, or one that is enrolled by less.
fn find(context: &Context, trust: &Trust, words: &str) -> Result<PublicKey, Failure> {
    if let Ok(key) = words.parse() {
        return Ok(key);
    }
    let named = |node: &PublicKey| {
        words.len() >= 4
            && (node.to_string().starts_with(words)
                || weft_node::peer_name(node).starts_with(words))
    };
    let nodes = trust.enrolments().map(|enroll| enroll.node);
    let found: Vec<PublicKey> = nodes.filter(named).collect();
    match found.as_slice() {
        [node] => Ok(*node),
        [] => Err(Failure::new(
            Exit::NotFound,
            format!("no node `{words}` is known here"),
            "it is no whole key, and begins no key or peer id of an enrolled node",
            context.command("node list"),
        )),
        several => Err(Failure::new(
            Exit::NotFound,
            format!("`{words}` names {} nodes", several.len()),
            several
                .iter()
                .map(weft_node::peer_name)
                .collect::<Vec<_>>()
                .join(", "),
            context.command("node list"),
        )),
    }
}
