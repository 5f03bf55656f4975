//! `weft bundle import`

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use weft_node::{
    Home,
    client::Client,
    report::{ImportOutcome, ImportReport, ImportedChannel},
};
use weft_record::{Envelope, Kind};

use super::short;
use crate::{
    bundle_file,
    bundle_pipe::Front,
    context::{Context, quoted},
    failure::{Exit, Failure},
    output::{count, size, table},
    progress::Spinner,
    refusals,
    signing::{self, Ground, Judged, SignedFile, State, without_models},
};

/// Take a file in, as if a neighbour had sent what is in it.
///
/// Everything in it goes through the same checks. Returns when the node runs what the file names.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft bundle import /mnt/stick/stable.weft")]
pub(crate) struct Import {
    /// The file to read, or - for standard input
    file: PathBuf,
}

impl Import {
    pub(super) fn run(&self, context: &Context) -> Result<(), Failure> {
        let home = context.home()?;
        let is_pipe = self.file == Path::new("-");
        let mut pipe = is_pipe
            .then(|| Front::read(context, io::stdin()))
            .transpose()?;
        let path = pipe.as_ref().map_or(&*self.file, Front::path).to_owned();
        let path = &*path;
        if bundle_file::mesh_of(path)?.is_zero() {
            return Err(Failure::new(
                Exit::Verification,
                format!("{} was not taken in", self.file.display()),
                "it is a packed release that nobody has signed",
                format!("weft release publish {} --key KEY", quoted(&self.file)),
            ));
        }
        let named = if is_pipe {
            Path::new("standard input")
        } else {
            &self.file
        };
        let spinner = Spinner::start(context.output, "taking the bundle in");
        // where it cannot be read, whoever takes it in says what is wrong with it
        let front = SignedFile::open_front(path).ok();
        let has_models = front.as_ref().is_none_or(|file| file.has_content);
        let (mut report, waiting) = match Halves::of(context, &home, front)? {
            Some(halves) => {
                // what waits for signatures is looked at more than once
                if let Some(pipe) = &mut pipe {
                    pipe.spool(context)?;
                }
                halves.take_in(context, &home, path, named)?
            }
            None => match pipe {
                Some(pipe) => (take_in_pipe(context, &home, pipe)?, Vec::new()),
                None => (take_in_whole(context, &home, path)?, Vec::new()),
            },
        };
        if !has_models {
            without_models(&mut report);
        }
        drop(spinner);
        tell(context, named, &report, waiting)
    }
}

/// A bundle with records that lack signatures, or that complete such records on the shelf.
struct Halves {
    ground: Ground,
    /// Records of the bundle that the node has not accepted yet.
    new: Vec<Envelope>,
    has_content: bool,
}

impl Halves {
    /// None where the bundle holds no such record and nothing waits here.
    fn of(
        context: &Context,
        home: &Home,
        front: Option<SignedFile>,
    ) -> Result<Option<Self>, Failure> {
        let ours = |file: &SignedFile| file.mesh_id == home.settings().mesh_id;
        let Some(file) = front.filter(ours) else {
            return Ok(None);
        };
        let mut ground = Ground::of_home(context, context.home()?)?;
        ground.add(file.records.clone());
        let before = ground.believed();
        // records alone, of models that are not here, would keep the node waiting for these
        let bare = !file.has_content
            && file.records.iter().any(|one| {
                one.kind == Kind::Release.number() && before.release(&one.record_id()).is_none()
            });
        if ground.shelf.is_empty() && ground.open_records().is_empty() && !bare {
            return Ok(None);
        }
        let is_new = |one: &&Envelope| before.envelope(&one.record_id()).is_none();
        let new = file.records.iter().filter(is_new).cloned().collect();
        Ok(Some(Self {
            new,
            has_content: file.has_content,
            ground,
        }))
    }

    /// Has the node take in what is complete now; the rest goes to the shelf.
    fn take_in(
        self,
        context: &Context,
        home: &Home,
        path: &Path,
        named: &Path,
    ) -> Result<(ImportReport, Vec<Judged>), Failure> {
        let judged = self.ground.judge(&self.new);
        if judged.iter().any(|one| one.state == State::Refused) {
            // whoever takes it in says why, and nothing of it goes to the shelf
            return Ok((take_in_whole(context, home, path)?, Vec::new()));
        }
        let lacks = |one: &&Judged| matches!(one.state, State::Lacking | State::Waiting);
        let waiting: Vec<Judged> = judged.iter().filter(lacks).cloned().collect();
        if let Some(first) = waiting.first()
            && waiting.len() == judged.len()
        {
            signing::shelf::write(home, &self.ground.trust, &self.ground.open_records())?;
            let why = match first.state {
                State::Lacking => format!("lacks {}", count(first.lacking, "more signature")),
                _ => format!("waits for {}", first.reason),
            };
            return Err(Failure::new(
                Exit::Refused,
                format!("{} is not complete", named.display()),
                format!(
                    "the {} {why}; it is kept here for when they come",
                    first.what
                ),
                format!("weft trust cosign {} --key KEY", quoted(named)),
            ));
        }
        let content = [path];
        let content = if self.has_content { &content[..] } else { &[] };
        let report = self.ground.take_in(context, home, &self.new, content)?;
        Ok((report, waiting))
    }
}

fn take_in_whole(context: &Context, home: &Home, path: &Path) -> Result<ImportReport, Failure> {
    match home.running() {
        Some(_) => take_in(context, &context.client()?, path),
        None => weft_node::import_offline(home, path)
            .map_err(|error| refusals::import(context, path, &error)),
    }
}

fn take_in_pipe(
    context: &Context,
    home: &Home,
    pipe: Front<io::Stdin>,
) -> Result<ImportReport, Failure> {
    let source = pipe.into_reader(context)?;
    match home.running() {
        Some(_) => context
            .client()?
            .import_pipe(source)
            .map_err(|error| context.client_refused(&error)),
        None => weft_node::import_pipe_offline(home, source)
            .map_err(|error| refusals::import(context, Path::new("standard input"), &error)),
    }
}

/// Has the running node take a bundle in.
pub(crate) fn take_in(
    context: &Context,
    client: &Client,
    path: &Path,
) -> Result<ImportReport, Failure> {
    if let Err(error) = File::open(path) {
        return Err(Failure::file(
            format!("{} cannot be opened", path.display()),
            &error,
        ));
    }
    client.import(path).map_err(|error| {
        let failure = context.client_refused(&error);
        if failure.exit != Exit::Verification {
            return failure;
        }
        // told as it is told where no node runs
        let what = format!("{} was not taken in", path.display());
        let next = format!("weft release inspect {}", quoted(path));
        Failure::new(Exit::Verification, what, error.to_string(), next)
    })
}

/// The result of an import; a failure if anything in it was refused.
fn tell(
    context: &Context,
    file: &Path,
    report: &ImportReport,
    waiting: Vec<Judged>,
) -> Result<(), Failure> {
    if let Some(failure) = import_failure(context, file, report) {
        return Err(failure);
    }
    let told = Unversioned { report, waiting };
    context.output.result(&told, |style| {
        let mut text = format!(
            "{}: {} records, {} chunks taken, {}\n",
            file.display(),
            report.records,
            report.chunks_taken,
            size(report.bytes_taken)
        );
        let rows: Vec<Vec<String>> = report
            .channels
            .iter()
            .map(|channel| {
                vec![
                    channel.channel.to_string(),
                    channel.seq.to_string(),
                    short(&channel.release.to_string()).to_owned(),
                    outcome(channel.outcome).to_owned(),
                ]
            })
            .collect();
        if !rows.is_empty() {
            text.push_str(&table(
                style,
                &["channel", "seq", "release", "outcome"],
                &rows,
            ));
        }
        if !told.waiting.is_empty() {
            text.push('\n');
            text.push_str(&signing::lines(style, &told.waiting));
        }
        text
    })
}

/// Why an import is not what was hoped for.
pub(crate) fn import_failure(
    context: &Context,
    file: &Path,
    report: &ImportReport,
) -> Option<Failure> {
    if report.succeeded() {
        return None;
    }
    let failed = report
        .channels
        .iter()
        .find(|channel| exit_of(channel).is_some());
    let exit = failed.and_then(exit_of).unwrap_or(Exit::Verification);
    let why = match failed {
        Some(channel) => format!(
            "channel {}: {}: {}",
            channel.channel,
            outcome(channel.outcome),
            channel.reason
        ),
        None => report.refused.join("; "),
    };
    let what = format!("{} was not taken in whole", file.display());
    let next = match exit {
        Exit::Disk => "make room on that disk and try again".to_owned(),
        Exit::Verification => format!("weft release inspect {}", quoted(file)),
        // what came stays; the next bundle goes on from there
        Exit::Network => context.command("bundle import NEXT"),
        _ => context.command("status"),
    };
    Some(Failure::new(exit, what, why, next))
}

fn exit_of(channel: &ImportedChannel) -> Option<Exit> {
    match channel.outcome {
        ImportOutcome::Activated | ImportOutcome::AlreadyActive | ImportOutcome::NotFollowed => {
            None
        }
        // a model that this machine has no room for is a good model
        ImportOutcome::ReleaseRefused if channel.reason.starts_with("no variant fits") => {
            let disk = channel.reason.contains("bytes of disk");
            Some(if disk { Exit::Disk } else { Exit::Refused })
        }
        ImportOutcome::HeadRefused | ImportOutcome::ReleaseRefused => Some(Exit::Verification),
        ImportOutcome::Superseded | ImportOutcome::Forked => Some(Exit::Refused),
        // the store's own words for a full disk
        ImportOutcome::Incomplete if channel.reason.contains("no space left") => Some(Exit::Disk),
        ImportOutcome::Incomplete => Some(Exit::Network),
    }
}

fn outcome(outcome: ImportOutcome) -> &'static str {
    match outcome {
        ImportOutcome::Activated => "activated",
        ImportOutcome::AlreadyActive => "was active already",
        ImportOutcome::NotFollowed => "not followed by this node, records kept",
        ImportOutcome::Superseded => "older than what the node follows",
        ImportOutcome::HeadRefused => "the head was refused",
        ImportOutcome::ReleaseRefused => "the release was refused",
        ImportOutcome::Forked => "two heads contend",
        ImportOutcome::Incomplete => "not all of it is there",
    }
}

/// A report that brings its own schema number is printed without it: every object
/// gets one in the same place.
#[derive(Serialize)]
struct UnversionedFields<'a> {
    records: u64,
    refused: &'a [String],
    chunks_taken: u64,
    bytes_taken: u64,
    channels: &'a [ImportedChannel],
    /// Records that lack signatures and are kept until these come.
    waiting: &'a [Judged],
}

struct Unversioned<'a> {
    report: &'a ImportReport,
    waiting: Vec<Judged>,
}

impl Serialize for Unversioned<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        UnversionedFields {
            records: self.report.records,
            refused: &self.report.refused,
            chunks_taken: self.report.chunks_taken,
            bytes_taken: self.report.bytes_taken,
            channels: &self.report.channels,
            waiting: &self.waiting,
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn exit(outcome: ImportOutcome, reason: &str) -> Option<Exit> {
        exit_of(&ImportedChannel {
            channel: "stable".parse().unwrap(),
            seq: 0,
            release: weft_record::RecordId::ZERO,
            outcome,
            reason: reason.to_owned(),
        })
    }

    #[test]
    fn a_full_disk_has_its_own_code() {
        let full = "no space left: no space left to write 00ab: 1 byte is missing";
        assert_eq!(exit(ImportOutcome::Incomplete, full), Some(Exit::Disk));
        assert_eq!(
            exit(ImportOutcome::Incomplete, "0 of 5 bytes"),
            Some(Exit::Network)
        );
        let small = "no variant fits this machine: q8_0 needs 9 bytes of disk, 5 are free";
        assert_eq!(exit(ImportOutcome::ReleaseRefused, small), Some(Exit::Disk));
        let other = "no variant fits this machine: q8_0 is for aarch64, this is x86_64";
        assert_eq!(
            exit(ImportOutcome::ReleaseRefused, other),
            Some(Exit::Refused)
        );
        let probe = "1 of 8 probe answers match";
        assert_eq!(
            exit(ImportOutcome::ReleaseRefused, probe),
            Some(Exit::Verification)
        );
        assert_eq!(exit(ImportOutcome::Activated, ""), None);
    }
}
