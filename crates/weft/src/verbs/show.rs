//! `weft show RELEASE`

use serde::Serialize;
use weft_record::{Name, RecordId, Release, Trust, Verified};

use crate::{
    context::Context,
    failure::{Exit, Failure},
    output::{fields, size, table},
    signing,
    style::Style,
    verbs::bundle::short,
};

/// Show one release.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  weft show incident@1.1.0\n  weft show 3fb1c0")]
pub(crate) struct Show {
    /// A model's name (its newest release), name@version, or the first digits of a release's id
    release: String,
}

#[derive(Serialize)]
struct Report<'a> {
    id: RecordId,
    signers: Vec<String>,
    channels: Vec<Placed>,
    #[serde(flatten)]
    release: &'a Release,
}

#[derive(Serialize)]
struct Placed {
    channel: Name,
    seq: u64,
    issued_at_s: u64,
}

impl Show {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        show(context, &self.release)
    }
}

/// Shows the release that these words name.
pub(crate) fn show(context: &Context, words: &str) -> Result<(), Failure> {
    let home = context.home()?;
    let trust = signing::trust(context, &home)?;
    let release = find(context, &trust, words)?;
    let placed = trust.channels().flat_map(|channel| {
        let heads = trust
            .heads(channel)
            .iter()
            .filter(|head| head.release == release.id());
        let placed = heads.map(|head| Placed {
            channel: channel.clone(),
            seq: head.seq,
            issued_at_s: head.issued_at_s,
        });
        placed.collect::<Vec<_>>()
    });
    let report = Report {
        id: release.id(),
        signers: release
            .envelope()
            .sigs
            .iter()
            .map(|(key, _)| key.to_string())
            .collect(),
        channels: placed.collect(),
        release,
    };
    context.output.result(&report, |style| report.text(style))
}

pub(crate) fn find<'a>(
    context: &Context,
    trust: &'a Trust,
    words: &str,
) -> Result<&'a Verified<Release>, Failure> {
    let (model, version) = match words.split_once(['@', ':']) {
        Some((model, version)) => (model, Some(version)),
        None => (words, None),
    };
    let mut named: Vec<&Verified<Release>> = trust
        .releases()
        .filter(|release| {
            release.model.as_str() == model
                && version.is_none_or(|version| release.version == version)
        })
        .collect();
    if named.len() > 1 {
        // of several by that name, the one that a channel is at
        let current = |release: &&Verified<Release>| {
            trust.channels().any(|channel| {
                trust
                    .head(channel)
                    .is_some_and(|head| head.release == release.id())
            })
        };
        let newest: Vec<_> = named.iter().copied().filter(current).collect();
        if newest.len() == 1 {
            named = newest;
        }
    }
    if named.is_empty() && words.len() >= 4 {
        named = trust
            .releases()
            .filter(|release| release.id().to_string().starts_with(words))
            .collect();
    }
    match named.as_slice() {
        [release] => Ok(release),
        [] => Err(Failure::new(
            Exit::NotFound,
            format!("there is no release `{words}` here"),
            "no release of that name, name@version or id is known to this node",
            context.command("list"),
        )),
        several => {
            let ids: Vec<String> = several
                .iter()
                .map(|release| {
                    format!(
                        "{}@{} {}",
                        release.model,
                        release.version,
                        short(&release.id().to_string())
                    )
                })
                .collect();
            Err(Failure::new(
                Exit::NotFound,
                format!("`{words}` names several releases"),
                ids.join(", "),
                context.command("show ID"),
            ))
        }
    }
}

impl Report<'_> {
    fn text(&self, style: Style) -> String {
        let placed: Vec<String> = self
            .channels
            .iter()
            .map(|placed| format!("{} (place {})", placed.channel, placed.seq))
            .collect();
        let signers = if self.signers.is_empty() {
            "nobody".to_owned()
        } else {
            self.signers.join(", ")
        };
        let rows = [
            ("id", self.id.to_string()),
            ("signed by", signers),
            (
                "channels",
                if placed.is_empty() {
                    "-".to_owned()
                } else {
                    placed.join(", ")
                },
            ),
        ];
        let text = describe(style, self.release);
        format!("{}{text}", fields(style, &rows))
    }
}

/// What a release says about itself.
pub(crate) fn describe(style: Style, release: &Release) -> String {
    let mut rows = vec![
        ("model", format!("{} {}", release.model, release.version)),
        ("counter", release.counter.to_string()),
        (
            "probes",
            format!("{} golden prompts", release.probe_set.probes.len()),
        ),
    ];
    let optional = [
        ("notes", &release.notes),
        ("licence", &release.licence),
        ("teacher", &release.lineage.teacher),
        ("dataset", &release.lineage.dataset),
        ("tool", &release.lineage.tool),
        ("evaluation", &release.lineage.evaluation),
    ];
    rows.extend(
        optional
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| (name, text.clone())),
    );
    let mut text = fields(style, &rows);
    let rows: Vec<Vec<String>> = release
        .variants
        .iter()
        .flat_map(|variant| {
            variant.files.iter().map(|file| {
                vec![
                    variant.quantization.to_string(),
                    file.path.clone(),
                    size(file.length),
                    size(variant.requires.ram_bytes),
                    short(&file.blake3.to_string()).to_owned(),
                ]
            })
        })
        .collect();
    text.push('\n');
    text.push_str(&table(
        style,
        &["format", "file", "bytes", "memory", "BLAKE3"],
        &rows,
    ));
    text
}
