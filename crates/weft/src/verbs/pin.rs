//! `weft pin` and `weft unpin`

use serde::Serialize;
use weft_node::{
    Home, PinError,
    report::{PinReport, PinRequest, PinnedBy, PinsReport},
};
use weft_record::RecordId;

use crate::{
    context::Context,
    failure::{Exit, Failure},
    output::table,
    refusals, signing,
    style::Style,
    verbs::{bundle::short, show},
};

/// Keep a release's files here whatever room is needed, or see which are kept so.
///
/// It counts at once and over restarts, until weft unpin. What node.toml pins (store.pinned)
/// counts beside it, from the node's start. Works whether the node runs or not.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  weft pin incident@1.0.0\n  weft pin")]
pub(crate) struct Pin {
    /// A model's name (its newest release), name@version, or the first digits of a release's
    /// id; none: tell what is pinned
    release: Option<String>,
}

/// Let a release's files go again when room is needed.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft unpin incident@1.0.0")]
pub(crate) struct Unpin {
    /// A model's name (its newest release), name@version, or the first digits of a release's id
    release: String,
}

#[derive(Serialize)]
struct Report<'a> {
    pins: &'a [PinReport],
}

impl Pin {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let home = context.home()?;
        let Some(words) = &self.release else {
            return tell(context, &all(context, &home)?, "");
        };
        let trust = signing::trust(context, &home)?;
        let release = show::find(context, &trust, words)?;
        let name = format!("{} {}", release.model, release.version);
        let pinned = change(context, &home, release.id(), true)?;
        let said = match pinned.files {
            0 => format!("{name} is pinned; nothing of it is here yet.\n"),
            _ => format!("{name} is pinned: its files stay.\n"),
        };
        tell(context, &pinned.pins, &said)
    }
}

impl Unpin {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let home = context.home()?;
        // one whose record is not here any more has its id alone
        let (release, name) = if let Ok(id) = self.release.parse::<RecordId>() {
            (id, format!("release {}", short(&self.release)))
        } else {
            let trust = signing::trust(context, &home)?;
            let release = show::find(context, &trust, &self.release)?;
            let name = format!("{} {}", release.model, release.version);
            (release.id(), name)
        };
        let pinned = change(context, &home, release, false)?;
        let said = format!("{name} is pinned no longer: its files go when room is needed.\n");
        tell(context, &pinned.pins, &said)
    }
}

/// All that is pinned for the node of this folder.
pub(crate) fn all(context: &Context, home: &Home) -> Result<Vec<PinReport>, Failure> {
    if home.running().is_some() {
        let status = context.client()?.status();
        return match status {
            Ok(status) => Ok(status.pins),
            Err(error) => Err(context.client_refused(&error)),
        };
    }
    weft_node::pins_offline(home).map_err(|error| refusals::run(context, &error))
}

/// Where it stands that a release is pinned.
pub(crate) fn place(by: PinnedBy) -> &'static str {
    match by {
        PinnedBy::Settings => "node.toml",
        PinnedBy::Command => "weft pin",
    }
}

fn change(
    context: &Context,
    home: &Home,
    release: RecordId,
    pinned: bool,
) -> Result<PinsReport, Failure> {
    let request = PinRequest { release, pinned };
    if home.running().is_some() {
        let changed = context.client()?.pin(&request);
        return changed.map_err(|error| {
            let failure = context.client_refused(&error);
            failure.with_next(context.command("pin"))
        });
    }
    weft_node::pin_offline(home, &request).map_err(|error| {
        let exit = match &error {
            PinError::Node(error) => return refusals::run(context, error),
            PinError::Unknown(_) | PinError::NotPinned(_) => Exit::NotFound,
            PinError::InSettings(_) | PinError::TooMany => Exit::Refused,
            _ => Exit::Disk,
        };
        let why = "what is pinned stays as it was";
        Failure::new(exit, error.to_string(), why, context.command("pin"))
    })
}

fn tell(context: &Context, pins: &[PinReport], said: &str) -> Result<(), Failure> {
    let report = Report { pins };
    context.output.result(&report, |style| {
        if said.is_empty() {
            text(style, pins)
        } else {
            said.to_owned()
        }
    })
}

fn text(style: Style, pins: &[PinReport]) -> String {
    if pins.is_empty() {
        return "Nothing is pinned.\n".to_owned();
    }
    let row = |pin: &PinReport| {
        let named = pin.named.as_ref();
        let told = |text: Option<&String>| text.map_or("not known here", String::as_str).to_owned();
        vec![
            told(named.map(|named| &named.model)),
            named.map_or_else(|| "-".to_owned(), |named| named.version.clone()),
            short(&pin.release.to_string()).to_owned(),
            place(pin.by).to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = pins.iter().map(row).collect();
    table(style, &["model", "version", "release", "pinned in"], &rows)
}
