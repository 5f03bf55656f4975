//! `weft list`

use serde::Serialize;
use weft_node::report::PinnedBy;
use weft_record::{Name, RecordId};

use crate::{
    context::Context,
    failure::Failure,
    output::{size, table},
    signing,
    verbs::{bundle::short, pin},
};

/// List the models that are here.
///
/// Works whether the node runs or not.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft list")]
pub(crate) struct List {
    /// Only releases that a channel is at now
    #[arg(long)]
    current: bool,
}

#[derive(Serialize)]
struct Report {
    releases: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    model: Name,
    version: String,
    release: RecordId,
    /// Channels whose newest head names it.
    channels: Vec<Name>,
    /// Whether this node answers with it now; null while the node does not run.
    active: Option<bool>,
    /// Where it stands that its files stay whatever room is needed, if they do.
    pinned: Option<PinnedBy>,
    quantizations: Vec<Name>,
    /// Bytes of the smallest variant.
    bytes: u64,
}

impl List {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let home = context.home()?;
        let trust = signing::trust(context, &home)?;
        let status = match home.running() {
            Some(_) => Some(
                context
                    .client()?
                    .status()
                    .map_err(|error| context.client_refused(&error))?,
            ),
            None => None,
        };
        let pins = match &status {
            Some(status) => status.pins.clone(),
            None => pin::all(context, &home)?,
        };
        let mut releases: Vec<Row> = trust
            .releases()
            .map(|release| {
                let current = |channel: &&Name| {
                    trust
                        .head(channel)
                        .is_some_and(|head| head.release == release.id())
                };
                let active = status.as_ref().map(|status| {
                    status
                        .node
                        .channels
                        .iter()
                        .any(|channel| channel.active == Some(release.id()))
                });
                let lengths = release
                    .variants
                    .iter()
                    .map(|variant| variant.files.iter().map(|file| file.length).sum());
                Row {
                    model: release.model.clone(),
                    version: release.version.clone(),
                    release: release.id(),
                    channels: trust.channels().filter(current).cloned().collect(),
                    active,
                    pinned: pins
                        .iter()
                        .find(|pin| pin.release == release.id())
                        .map(|pin| pin.by),
                    quantizations: release
                        .variants
                        .iter()
                        .map(|variant| variant.quantization.clone())
                        .collect(),
                    bytes: lengths.min().unwrap_or(0),
                }
            })
            .filter(|row| !self.current || !row.channels.is_empty())
            .collect();
        releases.sort_by(|a, b| (&a.model, &a.version).cmp(&(&b.model, &b.version)));
        let report = Report { releases };
        context.output.result(&report, |style| {
            if report.releases.is_empty() {
                return "No release has come here yet.\n".to_owned();
            }
            let rows: Vec<Vec<String>> = report.releases.iter().map(Row::cells).collect();
            table(
                style,
                &[
                    "model", "version", "channel", "here", "pinned", "formats", "bytes", "release",
                ],
                &rows,
            )
        })
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let joined = |names: &[Name]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            if names.is_empty() {
                "-".to_owned()
            } else {
                names.join(",")
            }
        };
        vec![
            self.model.to_string(),
            self.version.clone(),
            joined(&self.channels),
            match self.active {
                None => "node is down".to_owned(),
                Some(true) => "active".to_owned(),
                Some(false) => "-".to_owned(),
            },
            self.pinned.map_or("-", pin::place).to_owned(),
            joined(&self.quantizations),
            size(self.bytes),
            short(&self.release.to_string()).to_owned(),
        ]
    }
}
