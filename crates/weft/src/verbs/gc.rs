//! `weft gc`

use std::fmt::Write as _;

use serde::Serialize;
use weft_core::Kept;
use weft_node::{
    CollectError,
    report::{CollectReport, CollectRequest, StockReport},
};

use super::mesh::{days, seconds};
use crate::{
    context::Context,
    failure::{Exit, Failure},
    output::{count, size, table},
    refusals, signing,
    style::Style,
    verbs::bundle::short,
};

/// Delete models that this node no longer needs.
///
/// What is active, what can be gone back to, what is on its way and what is pinned stays. A
/// node does this by itself, as far as it must, when it needs the room; until then old releases
/// stay, for neighbours and for deltas. Works whether the node runs or not.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft gc --dry-run\n  weft gc\n  weft gc --keep-free 20GB\n  weft gc --older-than 30d"
)]
pub(crate) struct Gc {
    /// Delete nothing: tell what would go, and what stays and why
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Delete no more than it takes to have so much of the disk free, such as 20GB: what was
    /// used longest ago first
    #[arg(long, value_name = "SIZE", value_parser = weft_node::parse_bytes)]
    keep_free: Option<u64>,
    /// Delete only what was not used for so long, such as 30d
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    older_than: Option<u64>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    dry_run: bool,
    /// What went, or would, in this order.
    goes: &'a [StockReport],
    stays: &'a [StockReport],
    files: u64,
    bytes: u64,
    stays_bytes: u64,
    free_bytes: u64,
}

impl Gc {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let home = context.home()?;
        let request = CollectRequest {
            dry_run: self.dry_run,
            keep_free_bytes: self.keep_free,
            unused_for_s: self.older_than,
        };
        let collected = match home.running() {
            Some(_) => {
                let collected = context.client()?.collect(&request);
                collected.map_err(|error| context.client_refused(&error))?
            }
            None => weft_node::collect_offline(&home, &request)
                .map_err(|error| refused(context, &error))?,
        };
        let report = Report {
            dry_run: collected.dry_run,
            goes: &collected.goes,
            stays: &collected.stays,
            files: collected.files,
            bytes: collected.bytes,
            stays_bytes: collected.stays_bytes,
            free_bytes: collected.free_bytes,
        };
        let output = context.output;
        output.result(&report, |style| text(style, &collected))?;
        self.fell_short(context, &collected)
    }

    /// Less became free than was asked for: a script must not take that for done.
    fn fell_short(&self, context: &Context, collected: &CollectReport) -> Result<(), Failure> {
        let free_bytes = collected.free_bytes;
        match self.keep_free {
            Some(wanted) if !self.dry_run && free_bytes < wanted => Err(Failure::new(
                Exit::Disk,
                format!(
                    "the disk has {} free, not {}",
                    size(free_bytes),
                    size(wanted)
                ),
                "what is left here is needed, was used lately, or is not weft's",
                context.command("gc --dry-run"),
            )),
            _ => Ok(()),
        }
    }
}

fn text(style: Style, report: &CollectReport) -> String {
    let files = count(usize::try_from(report.files).unwrap_or(usize::MAX), "file");
    let (bytes, free) = (size(report.bytes), size(report.free_bytes));
    let mut text = match (report.files, report.dry_run) {
        (0, true) => "Nothing would go.\n".to_owned(),
        (0, false) => format!("Nothing was deleted; the disk has {free} free.\n"),
        (_, true) => format!("{bytes} in {files} would go:\n"),
        (_, false) => format!("Freed {bytes}: {files} deleted; the disk has {free} free.\n"),
    };
    let now_s = signing::now_s();
    if !report.goes.is_empty() {
        let used = |row: &StockReport| match now_s.saturating_sub(row.used_s) {
            _ if row.used_s == 0 => "-".to_owned(),
            ago_s => format!("{} ago", days(ago_s)),
        };
        text.push('\n');
        text.push_str(&rows(style, &report.goes, "last used", used));
    }
    if report.dry_run && !report.stays.is_empty() {
        let why = |row: &StockReport| {
            let why: Vec<String> = row.kept.iter().map(told).collect();
            match why.as_slice() {
                [] => "nothing needs it; it may stay".to_owned(),
                _ => why.join("; "),
            }
        };
        let _ = writeln!(text, "\n{} stay:\n", size(report.stays_bytes));
        text.push_str(&rows(style, &report.stays, "because", why));
    }
    text
}

fn rows(
    style: Style,
    rows: &[StockReport],
    last: &str,
    tell: impl Fn(&StockReport) -> String,
) -> String {
    let row = |row: &StockReport| {
        let id = |id: &str| short(id).to_owned();
        let [model, version, name] = if let Some(one) = &row.release {
            let name = id(&one.release.to_string());
            [one.model.clone(), one.version.clone(), name]
        } else {
            let file = row.files.first().map(|file| id(&file.to_string()));
            let name = format!("file {}", file.unwrap_or_default());
            ["-".to_owned(), "-".to_owned(), name]
        };
        vec![
            model,
            version,
            row.files.len().to_string(),
            size(row.bytes),
            name,
            tell(row),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    let head = ["model", "version", "files", "bytes", "release", last];
    table(style, &head, &rows)
}

fn told(kept: &Kept) -> String {
    match kept {
        Kept::Active { channel } => format!("active in channel {channel}"),
        Kept::Previous { channel } => format!("channel {channel} can go back to it"),
        Kept::InFlight {
            channel: Some(channel),
        } => format!("on its way for channel {channel}"),
        Kept::InFlight { channel: None } => "on its way, or needed for what is".to_owned(),
        Kept::Pinned { .. } => "pinned".to_owned(),
        Kept::Unfollowed => "in a channel that this node no longer follows".to_owned(),
    }
}

fn refused(context: &Context, error: &CollectError) -> Failure {
    match error {
        CollectError::Node(error) => refusals::run(context, error),
        error => Failure::new(
            Exit::Disk,
            "the disk was not tidied up",
            error.to_string(),
            context.command("gc --dry-run"),
        ),
    }
}
