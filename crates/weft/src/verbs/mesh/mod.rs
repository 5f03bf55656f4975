//! `weft mesh init|invite|join|list`

mod admins;
mod init;
mod invite;
mod join;
mod list;

pub(crate) use invite::{days, seconds};
pub(crate) use join::joining;
pub(crate) use list::standing;

use weft_node::{Home, HomeError, Settings};
use weft_record::{MeshId, Name};

use crate::{context::Context, failure::Failure, refusals};

/// Make a mesh, invite nodes to it, join one.
#[derive(clap::Subcommand)]
pub(crate) enum Mesh {
    Init(init::Init),
    Invite(invite::Invite),
    Join(join::Join),
    List(list::List),
}

impl Mesh {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Init(verb) => verb.run(context),
            Self::Invite(verb) => verb.run(context),
            Self::Join(verb) => verb.run(context),
            Self::List(verb) => verb.run(context),
        }
    }
}

/// What the new node's `node.toml` begins with.
#[derive(clap::Args)]
struct NodeFlags {
    /// Follow this channel; may be given more than once
    #[arg(long, value_name = "CHANNEL", default_value = "stable")]
    channel: Vec<Name>,
    /// Prefer this quantization; may be given more than once, the best first
    #[arg(long, value_name = "QUANTIZATION")]
    variant: Vec<Name>,
    /// Listen here, a multiaddress; may be given more than once [default: any free port, TCP and QUIC]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Do not look for peers on the LAN
    #[arg(long)]
    no_mdns: bool,
}

impl NodeFlags {
    fn settings(self, mesh_id: MeshId, bootstrap: Vec<String>) -> Settings {
        let mut settings = Settings::new(mesh_id, self.channel);
        settings.variants = self.variant;
        settings.bootstrap = bootstrap;
        settings.mdns = !self.no_mdns;
        if !self.listen.is_empty() {
            settings.listen = self.listen;
        }
        settings
    }
}

fn refuse_existing(context: &Context) -> Result<(), Failure> {
    match Home::open(context.directory()) {
        Err(HomeError::Missing(_)) => Ok(()),
        _ => Err(refusals::home(
            context,
            &HomeError::Exists(context.directory().to_owned()),
        )),
    }
}
