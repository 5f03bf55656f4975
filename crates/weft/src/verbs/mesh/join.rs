//! `weft mesh join`

use std::{
    fmt::Write as _,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use weft_core::NodeStanding;
use weft_node::{Home, client::Client, report::StatusReport};
use weft_record::{INVITATION_PREFIX, Invitation, MeshId, Name};

use super::{NodeFlags, refuse_existing};
use crate::{
    context::Context,
    failure::{Exit, Failure},
    interrupt,
    output::fields,
    signing,
};

/// Longest file that is read for an invitation.
const INVITATION_FILE_BYTES: u64 = 64 * 1024;
/// How often `--wait` looks.
const WAIT_INTERVAL: Duration = Duration::from_millis(200);

/// Make this folder's node one that joins a mesh, with an invitation of its admin.
///
/// Nothing is asked yet: `weft up` asks the members that the invitation names, and the node
/// waits at their door until the admin's node answers.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft mesh join weft-invitation-1-3f09…\n  weft mesh join ./line-2.invitation\n  weft mesh join --wait"
)]
pub(crate) struct Join {
    /// The invitation, a file that holds it, or - for standard input; left out with --wait where
    /// this folder's node joins already
    #[arg(value_name = "INVITATION", required_unless_present = "wait")]
    invitation: Option<String>,
    /// Wait until the running node belongs to the mesh, and tell how far it is
    #[arg(long)]
    wait: bool,
    /// A further member to begin with, a multiaddress that ends in /p2p/…; may be given more than
    /// once
    #[arg(long, value_name = "ADDRESS")]
    peer: Vec<String>,
    #[command(flatten)]
    node: NodeFlags,
}

#[derive(Serialize)]
struct Report {
    mesh_id: MeshId,
    directory: PathBuf,
    /// The node's key as addresses have it.
    peer_id: String,
    site: Name,
    channels: Vec<Name>,
    /// Where it will look for members.
    addresses: Vec<String>,
    expires_s: u64,
}

impl Join {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let Some(text) = &self.invitation else {
            return wait(context);
        };
        let invitation = read(text)?;
        refuse_existing(context)?;
        if let Some(peer) = self.peer.iter().find(|peer| !names_a_peer(peer)) {
            return Err(Failure::new(
                Exit::Usage,
                format!("`{peer}` names no peer"),
                "a peer is a multiaddress that ends in /p2p/ and its id, as `weft status` prints it",
                "weft mesh join --help",
            ));
        }
        let now_s = signing::now_s();
        if invitation.expires_s < now_s {
            let ago = super::invite::days(now_s - invitation.expires_s);
            return Err(Failure::new(
                Exit::Refused,
                "the invitation has expired",
                format!("it could be used until {ago} ago by this machine's clock"),
                "ask the admin for a new one: weft mesh invite",
            ));
        }
        let mut addresses = invitation.addresses.clone();
        addresses.extend(self.peer);
        let settings = self.node.settings(invitation.mesh_id, addresses);
        let home = Home::init(context.directory(), settings, Some(invitation.clone()))
            .map_err(|error| context.home_refused(&error))?;
        report(context, &home, &invitation)?;
        if self.wait { wait(context) } else { Ok(()) }
    }
}

fn names_a_peer(address: &str) -> bool {
    address.starts_with('/') && address.contains("/p2p/")
}

/// Reads an invitation from the command line, a file or standard input.
fn read(text: &str) -> Result<Invitation, Failure> {
    let bad = |why: String| {
        Failure::new(
            Exit::Usage,
            "this is no invitation",
            why,
            "ask the admin for one: weft mesh invite",
        )
    };
    if text.starts_with(INVITATION_PREFIX) {
        return text
            .parse()
            .map_err(|error: weft_record::InvitationError| bad(error.to_string()));
    }
    if text.parse::<MeshId>().is_ok() {
        return Err(bad(
            "the id of a mesh lets nobody in: a node joins with an invitation, which names it too"
                .to_owned(),
        ));
    }
    let mut found = String::new();
    let limit = INVITATION_FILE_BYTES;
    let read = if text == "-" {
        std::io::stdin().take(limit).read_to_string(&mut found)
    } else {
        std::fs::File::open(Path::new(text))
            .and_then(|file| file.take(limit).read_to_string(&mut found))
    };
    read.map_err(|error| {
        Failure::file(format!("there is no invitation in {text}"), &error)
            .with_next("ask the admin for one: weft mesh invite")
    })?;
    found
        .parse()
        .map_err(|error: weft_record::InvitationError| bad(format!("{text}: {error}")))
}

fn report(context: &Context, home: &Home, invitation: &Invitation) -> Result<(), Failure> {
    let settings = home.settings();
    let report = Report {
        mesh_id: settings.mesh_id,
        directory: context.directory().to_owned(),
        peer_id: weft_node::peer_name(&home.key()),
        site: invitation.site.clone(),
        channels: settings.channels.clone(),
        addresses: settings.bootstrap.clone(),
        expires_s: invitation.expires_s,
    };
    context.output.result(&report, |style| {
        let mut text = fields(
            style,
            &[
                ("mesh", report.mesh_id.to_string()),
                ("node", report.peer_id.clone()),
                ("folder", report.directory.display().to_string()),
                ("site", report.site.to_string()),
                ("asks", report.addresses.join("\n        ")),
            ],
        );
        let _ = writeln!(
            text,
            "\nIt is not a member yet. Next: {}",
            style.bold(&context.command("up"))
        );
        text
    })
}

/// Waits until the node of this folder belongs, and says what it waits for.
fn wait(context: &Context) -> Result<(), Failure> {
    context.home()?;
    interrupt::watch();
    let mut told = String::new();
    while !interrupt::came() {
        let status = Client::connect(context.directory()).and_then(|client| client.status());
        let now = match &status {
            Ok(status) => state(status)?,
            Err(weft_node::client::ClientError::NotRunning(_)) => State::Waiting(format!(
                "The node does not run yet: {}",
                context.command("up")
            )),
            Err(error) => return Err(context.client_refused(error)),
        };
        match now {
            State::Member(text) => {
                #[derive(Serialize)]
                struct Joined {
                    standing: NodeStanding,
                }
                let standing = NodeStanding::Member;
                return context
                    .output
                    .result(&Joined { standing }, |_| format!("{text}\n"));
            }
            State::Waiting(text) if text != told => {
                context.output.story(&text)?;
                told = text;
            }
            State::Waiting(_) => {}
        }
        interrupt::pause(WAIT_INTERVAL);
    }
    Err(Failure::interrupted(context.command("mesh join --wait")))
}

enum State {
    Member(String),
    Waiting(String),
}

fn state(status: &StatusReport) -> Result<State, Failure> {
    if status.node.standing == NodeStanding::Member {
        return Ok(State::Member(enrolled(status)));
    }
    if let Some(reason) = refusal(status) {
        return Err(Failure::new(
            Exit::Refused,
            "the mesh does not let this node in",
            reason,
            "ask the admin for a new invitation: weft mesh invite",
        ));
    }
    Ok(State::Waiting(joining(status).unwrap_or_else(|| {
        "This node is no member, and has no invitation to ask with.".to_owned()
    })))
}

/// `Enrolled at site main.`
fn enrolled(status: &StatusReport) -> String {
    match &status.enrolment {
        Some(enrolment) => format!("Enrolled at site {}.", enrolment.site),
        None => "Enrolled.".to_owned(),
    }
}

/// Why somebody said no, if somebody did.
fn refusal(status: &StatusReport) -> Option<String> {
    status.node.joining.as_ref()?.refused.clone()
}

/// How far a node is that joins, in one sentence.
pub(crate) fn joining(status: &StatusReport) -> Option<String> {
    let joining = status.node.joining.as_ref()?;
    if let Some(reason) = &joining.refused {
        return Some(format!("The mesh does not let this node in: {reason}."));
    }
    if joining.asked_peers == 0 {
        let wrong: Vec<&str> = status.places.iter().map(|place| &*place.text).collect();
        return Some(if wrong.is_empty() {
            "Looking for a member of the mesh.".to_owned()
        } else {
            format!("No member of the mesh was met yet: {}.", wrong.join("; "))
        });
    }
    Some("Asked; waiting at the door for the admin's node.".to_owned())
}
