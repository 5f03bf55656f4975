//! `weft mesh init|join`

use std::{fmt::Write as _, path::PathBuf};

use serde::Serialize;
use weft_node::{Home, Settings};
use weft_record::{MeshId, Name};

use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
    output::fields,
    refusals, signing,
};

/// Make or join a mesh.
#[derive(clap::Subcommand)]
pub(crate) enum Mesh {
    Init(Init),
    Join(Join),
}

/// Make a new mesh: an admin key, the record that everything is held against, and this folder's node.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft mesh init --listen /ip4/0.0.0.0/tcp/4001")]
pub(crate) struct Init {
    /// Where to keep the admin key [default: admin.key in the node's folder]
    ///
    /// A key file that exists is used; else one is made.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    node: NodeFlags,
}

/// Make this folder's node a member of a mesh that exists.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  weft mesh join 5f0c…e1 --peer /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…"
)]
pub(crate) struct Join {
    /// The mesh, as `weft mesh init` printed it
    mesh_id: MeshId,
    /// A member to begin with, a multiaddress that ends in /p2p/…; may be given more than once,
    /// and left out where bundles are carried by hand
    #[arg(long, value_name = "ADDRESS")]
    peer: Vec<String>,
    #[command(flatten)]
    node: NodeFlags,
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

#[derive(Serialize)]
struct Report {
    mesh_id: MeshId,
    directory: PathBuf,
    /// The admin key; null where another node has it.
    key: Option<PathBuf>,
    /// The node's key as addresses have it.
    peer_id: String,
    channels: Vec<Name>,
    /// The command that makes another node a member.
    join: String,
}

impl Mesh {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Init(verb) => verb.run(context),
            Self::Join(verb) => verb.run(context),
        }
    }
}

impl Init {
    fn run(self, context: &Context) -> Result<(), Failure> {
        refuse_existing(context)?;
        let path = match self.key {
            Some(path) => std::path::absolute(&path)
                .map_err(|error| Failure::file(path.display().to_string(), &error))?,
            None => context.directory().join("admin.key"),
        };
        let key = signing::load_or_make_key(&path)?;
        let genesis = signing::Genesis::new(&key)?;
        let home = Home::init(
            context.directory(),
            self.node.settings(genesis.mesh_id, Vec::new()),
        )
        .map_err(|error| context.home_refused(&error))?;
        if let Err(failure) = genesis.store(context, &home) {
            // without its root the folder is no member of anything
            let _ = std::fs::remove_file(context.directory().join("node.toml"));
            return Err(failure);
        }
        report(context, &home, Some(path))
    }
}

impl Join {
    fn run(self, context: &Context) -> Result<(), Failure> {
        refuse_existing(context)?;
        for peer in &self.peer {
            if !peer.starts_with('/') || !peer.contains("/p2p/") {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("`{peer}` names no peer"),
                    "a peer is a multiaddress that ends in /p2p/ and its id, as `weft status` prints it",
                    "weft mesh join --help",
                ));
            }
        }
        let home = Home::init(
            context.directory(),
            self.node.settings(self.mesh_id, self.peer),
        )
        .map_err(|error| context.home_refused(&error))?;
        report(context, &home, None)
    }
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
        Err(weft_node::HomeError::Missing(_)) => Ok(()),
        _ => Err(refusals::home(
            context,
            &weft_node::HomeError::Exists(context.directory().to_owned()),
        )),
    }
}

fn report(context: &Context, home: &Home, key: Option<PathBuf>) -> Result<(), Failure> {
    let settings = home.settings();
    let peer_id = weft_node::peer_name(&home.key());
    let mesh_id = settings.mesh_id;
    // with a fixed port the address is known before the node runs
    let fixed = settings.listen.iter().find(|address| {
        !address.contains("/0.0.0.0/") && !address.contains("/tcp/0") && !address.contains("/udp/0")
    });
    let peer = fixed.map_or_else(
        || format!("ADDRESS/p2p/{peer_id}"),
        |address| format!("{address}/p2p/{peer_id}"),
    );
    let report = Report {
        mesh_id,
        directory: context.directory().to_owned(),
        key,
        peer_id,
        channels: settings.channels.clone(),
        join: format!("weft mesh join {mesh_id} --peer {peer}"),
    };
    context.output.result(&report, |style| {
        let mut rows = vec![
            ("mesh", report.mesh_id.to_string()),
            ("node", report.peer_id.clone()),
            ("folder", report.directory.display().to_string()),
        ];
        if let Some(key) = &report.key {
            rows.push((
                "admin key",
                format!("{}  (keep it safe: it signs releases)", quoted(key)),
            ));
        }
        let mut text = fields(style, &rows);
        let _ = writeln!(text, "\nNext: {}", style.bold(&context.command("up")));
        if report.key.is_some() {
            let _ = writeln!(text, "Elsewhere: {}", style.bold(&report.join));
            if fixed.is_none() {
                text.push_str("  (`weft status` prints the addresses once the node runs)\n");
            }
        }
        text
    })
}
