//! `weft bundle export|wants|import|expect`

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;
use weft_node::{
    Home,
    client::Client,
    report::{ImportOutcome, ImportReport, ImportedChannel, WantsReport},
};
use weft_record::{Envelope, Hash, Kind, Name};

use super::expect::Expect;
use crate::{
    bundle_file,
    bundle_lack::{Has, Lack},
    bundle_part::{self, Part, Written},
    bundle_pipe::Front,
    context::{Context, quoted},
    failure::{Exit, Failure},
    output::{count, size, table, written},
    progress::Spinner,
    refusals,
    signing::{self, Ground, Judged, SignedFile, State, without_models},
};

/// Carry releases in files, where there is no network.
#[derive(clap::Subcommand)]
pub(crate) enum Bundle {
    Export(Export),
    Wants(Wants),
    Import(Import),
    Expect(Expect),
}

/// Write this node's release and all records to a file, or to a pipe.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft bundle export /mnt/stick/stable.weft\n  weft bundle export - | ssh site weft bundle import -\n  weft bundle export one.weft --max-bytes 4GB\n  weft bundle export two.weft --max-bytes 4GB --without one.weft\n  weft bundle export update.weft --delta-from 1.4.0\n  ssh site weft bundle wants > site.wants && weft bundle export update.weft --for site.wants"
)]
pub(crate) struct Export {
    /// The file to write, or - for standard output
    file: PathBuf,
    /// Whose release
    #[arg(long, value_name = "CHANNEL", default_value = "stable")]
    channel: Name,
    /// Write no more than this, such as 4GB: the chunks that fit
    #[arg(long, value_name = "SIZE", value_parser = weft_node::parse_bytes)]
    max_bytes: Option<u64>,
    /// Leave out the chunks of this bundle: it is there, or on its way; may be repeated
    #[arg(long, value_name = "BUNDLE")]
    without: Vec<PathBuf>,
    /// Write what a site lacks, by the list that weft bundle wants wrote there
    #[arg(long = "for", value_name = "LIST")]
    site: Option<PathBuf>,
    /// Write what a site lacks that runs this version
    #[arg(long, value_name = "VERSION")]
    delta_from: Option<String>,
}

/// List what is here already, for who brings the rest.
///
/// Whoever writes a bundle for this site leaves that out, and a file that can be made from one
/// that is here comes as its difference.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  weft bundle wants > site.wants\n  weft bundle export stick.weft --for site.wants   (where the release is)"
)]
pub(crate) struct Wants {}

/// Take a file in, as if a neighbour had sent what is in it.
///
/// Everything in it goes through the same checks. Returns when the node runs what the file names.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft bundle import /mnt/stick/stable.weft")]
pub(crate) struct Import {
    /// The file to read, or - for standard input
    file: PathBuf,
}

impl Bundle {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Export(verb) => verb.run(context),
            Self::Wants(Wants {}) => wants(context),
            Self::Import(verb) => verb.run(context),
            Self::Expect(verb) => verb.run(context),
        }
    }
}

impl Export {
    fn run(&self, context: &Context) -> Result<(), Failure> {
        let home = context.home()?;
        let held = bundle_part::chunks_of(self.without.iter().map(PathBuf::as_path))?;
        let lack = self.lack(context, &home)?;
        let spinner = Spinner::start(context.output, "writing the bundle");
        if self.file == Path::new("-") {
            let mut out = io::stdout().lock();
            self.write(context, &home, (held, lack), &spinner, &mut out)?;
            return out.flush().map_err(|error| written(&error));
        }
        let part = into_new_file(&self.file, |out| {
            self.write(context, &home, (held, lack), &spinner, out)
        })?;
        drop(spinner);
        self.tell(context, part)
    }

    /// What the other side lacks, if it is told what it has.
    fn lack(&self, context: &Context, home: &Home) -> Result<Option<Lack>, Failure> {
        let mut has = Has::default();
        if let Some(path) = &self.site {
            has.add(read_wants(context, home, path)?);
        }
        if let Some(version) = &self.delta_from {
            has.add(list(context, home, Some(version))?);
        }
        let is_told = self.site.is_some() || self.delta_from.is_some();
        Ok(is_told.then(|| Lack::of(has)))
    }

    fn write(
        &self,
        context: &Context,
        home: &Home,
        (held, lack): (BTreeSet<Hash>, Option<Lack>),
        spinner: &Spinner,
        out: &mut dyn Write,
    ) -> Result<Written, Failure> {
        let mut part = Part::new(out, held, lack, self.max_bytes);
        if home.running().is_none() {
            weft_node::export_offline(home, &self.channel, &mut part)
                .map_err(|error| refusals::export(context, &error))?;
            return part.finish();
        }
        let mut reader = context
            .client()?
            .export(&self.channel)
            .map_err(|error| context.client_refused(&error))?;
        copy(&mut reader, &mut part, |bytes| {
            spinner.say(format!("read {}", size(bytes)));
        })?;
        part.finish()
    }

    fn tell(&self, context: &Context, part: Written) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Report<'a> {
            file: &'a Path,
            channel: &'a Name,
            bytes: u64,
            chunks: u64,
            chunks_spared: u64,
            bytes_spared: u64,
            chunks_left: u64,
            bytes_left: u64,
        }
        let report = Report {
            file: &self.file,
            channel: &self.channel,
            bytes: part.bytes,
            chunks: part.chunks,
            chunks_spared: part.chunks_spared,
            bytes_spared: part.bytes_spared,
            chunks_left: part.chunks_left,
            bytes_left: part.bytes_left,
        };
        context.output.result(&report, |_| {
            let spared = match part.chunks_spared {
                0 => String::new(),
                spared => format!(
                    ", without {}, {}, that are not needed there",
                    count(spared as usize, "chunk"),
                    size(part.bytes_spared)
                ),
            };
            let text = format!(
                "{}: {} of channel {}{spared}\n",
                self.file.display(),
                size(part.bytes),
                self.channel
            );
            if part.chunks_left == 0 {
                return text;
            }
            text + &format!(
                "{} more, {}, did not fit; the next bundle takes them with --without {}\n",
                count(part.chunks_left as usize, "chunk"),
                size(part.bytes_left),
                quoted(&self.file)
            )
        })
    }
}

/// What is here or, with a version, what a site that runs it has.
fn list(context: &Context, home: &Home, version: Option<&str>) -> Result<WantsReport, Failure> {
    match home.running() {
        None => weft_node::wants_offline(home, version)
            .map_err(|error| refusals::export(context, &error)),
        Some(_) => context
            .client()?
            .wants(version)
            .map_err(|error| context.client_refused(&error)),
    }
}

/// A list is for programs alone: it looks the same with and without --json.
fn wants(context: &Context) -> Result<(), Failure> {
    let list = list(context, &context.home()?, None)?;
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &list).map_err(|error| written(&error.into()))?;
    writeln!(out).map_err(|error| written(&error))
}

fn read_wants(context: &Context, home: &Home, path: &Path) -> Result<WantsReport, Failure> {
    let failed =
        |error: &io::Error| Failure::file(format!("{} cannot be read", path.display()), error);
    let mut text = String::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(WANTS_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| failed(&error))?;
    let next = "weft bundle wants > LIST   (at the site that lacks the release)";
    let list: WantsReport = serde_json::from_str(&text).map_err(|error| {
        let what = format!("{} is no list of what a site has", path.display());
        Failure::new(Exit::Verification, what, error.to_string(), next)
    })?;
    if list.mesh_id != home.settings().mesh_id {
        let what = format!("{} is the list of another mesh", path.display());
        let why = format!(
            "it is of {}, this node is of {}",
            short(&list.mesh_id.to_string()),
            short(&home.settings().mesh_id.to_string())
        );
        return Err(Failure::new(
            Exit::Refused,
            what,
            why,
            context.command("status"),
        ));
    }
    Ok(list)
}

/// Longest list that is read: the chunks of a terabyte.
const WANTS_BYTES: u64 = 256 * 1024 * 1024;

impl Import {
    fn run(&self, context: &Context) -> Result<(), Failure> {
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

/// The first digits of an id: enough to tell a mesh's releases apart.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Writes a file that must not exist; nothing is left of it after a failure.
pub(crate) fn into_new_file<T>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failed =
        |error: &io::Error| Failure::file(format!("{} cannot be written", path.display()), error);
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let file = file.map_err(|error| failed(&error))?;
    let mut out = io::BufWriter::with_capacity(COPY_BYTES, file);
    let result = write(&mut out).and_then(|value| {
        let file = out.into_inner().map_err(|error| failed(error.error()))?;
        file.sync_all().map_err(|error| failed(&error))?;
        Ok(value)
    });
    if result.is_err() {
        let _ = std::fs::remove_file(path);
    }
    result
}

const COPY_BYTES: usize = 1024 * 1024;

fn copy(
    from: &mut impl Read,
    to: &mut dyn Write,
    mut progress: impl FnMut(u64),
) -> Result<u64, Failure> {
    let (mut buffer, mut total) = (vec![0; COPY_BYTES], 0);
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let what = "the bundle broke off";
                return Err(Failure::new(
                    Exit::Network,
                    what,
                    error.to_string(),
                    "try again",
                ));
            }
        };
        to.write_all(&buffer[..read])
            .map_err(|error| written(&error))?;
        total += read as u64;
        progress(total);
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
