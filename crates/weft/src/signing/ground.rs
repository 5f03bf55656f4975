//! What a verb judges by, and where what it signs goes: this folder's node, or files
//! alone.

use std::path::{Path, PathBuf};

use weft_node::{
    Home, HomeError,
    report::{ImportOutcome, ImportReport},
};
use weft_record::{Envelope, Kind, RecordId, Root, Trust};

use super::{
    file::{self, Left, SignedFile},
    judge::{self, Judged},
    root_words, shelf,
    words::{self, Releases},
};
use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
    refusals,
    verbs::bundle::{import_failure, into_new_file, take_in},
};

/// Which records to judge by.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct From {
    /// Judge by the records in this file instead of this folder's node; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Vec<PathBuf>,
}

/// What is known of a mesh, and the node that knows it.
pub(crate) struct Ground {
    pub(crate) trust: Trust,
    /// None where only files are judged.
    pub(crate) home: Option<Home>,
    /// Records that are not accepted, with the reason.
    pub(crate) left: Vec<(Envelope, Left)>,
    /// What the node itself accepted, without what waits on its shelf.
    node: Option<Trust>,
    /// What lay on the shelf.
    pub(crate) shelf: Vec<Envelope>,
}

impl Ground {
    /// This folder's node, or the files that the user names.
    pub(crate) fn open(context: &Context, from: &From) -> Result<Self, Failure> {
        let mut paths = from.from.iter();
        let Some(first) = paths.next() else {
            let home = context.home().map_err(|failure| match failure.exit {
                Exit::NotFound => failure.with_next(
                    "name a file of that mesh with --from FILE, or a node's folder with --dir DIR",
                ),
                _ => failure,
            })?;
            return Self::of_home(context, home);
        };
        let mut file = SignedFile::open_front(first)?;
        for path in paths {
            file.merge(&SignedFile::open_front(path)?)?;
        }
        let mut trust = Trust::new(file.mesh_id);
        let left = file::admit_all(&mut trust, file.records);
        let ground = Self::of_records(trust, left);
        ground.need_root(first)?;
        Ok(ground)
    }

    /// Records without a node.
    pub(crate) fn of_records(trust: Trust, left: Vec<(Envelope, Left)>) -> Self {
        Self {
            trust,
            home: None,
            left,
            node: None,
            shelf: Vec::new(),
        }
    }

    /// This folder's node with what waits on its shelf.
    pub(crate) fn of_home(context: &Context, home: Home) -> Result<Self, Failure> {
        let mut trust = super::trust(context, &home)?;
        let node = Some(trust.clone());
        let shelf = shelf::read(&home)?;
        let left = file::admit_all(&mut trust, shelf.clone());
        Ok(Self {
            trust,
            home: Some(home),
            left,
            node,
            shelf,
        })
    }

    /// A file's records, and those of this folder's node if it has one.
    pub(crate) fn of_file(context: &Context, file: &SignedFile) -> Result<Self, Failure> {
        let mut ground = match Home::open(context.directory()) {
            Ok(home) if home.settings().mesh_id == file.mesh_id => Self::of_home(context, home)?,
            Ok(home) => {
                return Err(Failure::new(
                    Exit::Verification,
                    format!("{} is of another mesh", file.path.display()),
                    format!(
                        "it is of mesh {}, the node in {} belongs to mesh {}",
                        file.mesh_id,
                        context.directory().display(),
                        home.settings().mesh_id
                    ),
                    "weft --dir FOLDER_OF_THAT_MESH …",
                ));
            }
            Err(HomeError::Missing(_)) => Self::of_records(Trust::new(file.mesh_id), Vec::new()),
            Err(error) => return Err(context.home_refused(&error)),
        };
        ground.add(file.records.clone());
        Ok(ground)
    }

    /// Hands it further records.
    pub(crate) fn add(&mut self, records: Vec<Envelope>) {
        let open = std::mem::take(&mut self.left);
        let mut open: Vec<Envelope> = open.into_iter().map(|(envelope, _)| envelope).collect();
        for envelope in records {
            let id = envelope.record_id();
            match open.iter_mut().find(|one| one.record_id() == id) {
                Some(one) => {
                    one.merge_signatures(&envelope);
                }
                None => open.push(envelope),
            }
        }
        self.left = file::admit_all(&mut self.trust, open);
    }

    /// Without a root nothing can be judged.
    pub(crate) fn need_root(&self, path: &Path) -> Result<(), Failure> {
        if self.trust.root().is_some() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Verification,
            format!("{} proves no mesh", path.display()),
            format!(
                "it holds no first root of mesh {} with enough signatures",
                self.trust.mesh_id()
            ),
            format!("weft release inspect {}", quoted(path)),
        ))
    }

    /// What waiting roots would do, if anything waits.
    pub(crate) fn root_words(&self, records: &[Envelope]) -> Vec<String> {
        let releases = self.releases();
        let roots = records.iter().filter_map(|envelope| {
            let root: Root = words::of_kind(envelope, Kind::Root)?;
            let before = usize::try_from(root.version.checked_sub(2)?).ok()?;
            let older = self.trust.root_chain().get(before)?;
            Some(root_words(&self.trust, &releases, older, &root))
        });
        roots.flatten().collect()
    }

    /// A node tells of a fork for a moment after a head has joined it.
    fn joined(&self, mut report: ImportReport) -> ImportReport {
        report.channels.retain(|channel| {
            channel.outcome != ImportOutcome::Forked || self.trust.fork(&channel.channel).is_some()
        });
        report
    }

    /// What still lacks signatures or something else, without what is refused.
    pub(crate) fn open_records(&self) -> Vec<Envelope> {
        let open = self.left.iter();
        open.filter(|(_, why)| !matches!(why, Left::Refused(_)))
            .map(|(envelope, _)| envelope.clone())
            .collect()
    }

    /// What counts already: for the node, if there is one.
    pub(crate) fn believed(&self) -> &Trust {
        self.node.as_ref().unwrap_or(&self.trust)
    }

    /// A record that is known here, accepted or not.
    pub(crate) fn find(&self, id: &RecordId) -> Option<Envelope> {
        let mut left = self.left.iter().map(|(one, _)| one);
        let found = self.trust.envelope(id);
        let found = found.or_else(|| left.find(|one| one.record_id() == *id));
        found.cloned()
    }

    /// Names of all releases that are known here, accepted or not.
    pub(crate) fn releases(&self) -> Releases {
        Releases::of(&self.trust, self.left.iter().map(|(one, _)| one))
    }

    /// What these records have become.
    pub(crate) fn judge(&self, records: &[Envelope]) -> Vec<Judged> {
        let (mut accepted, mut left) = (Vec::new(), Vec::new());
        for envelope in records {
            let id = envelope.record_id();
            match self.left.iter().find(|(one, _)| one.record_id() == id) {
                Some(found) => left.push(found.clone()),
                None => accepted.push(envelope.clone()),
            }
        }
        judge::judge(&self.trust, &accepted, &left)
    }

    /// Writes all that counts or is on its way, to a new file or in the place of one. Of
    /// these records it writes enrolments too; one that counts no more is left out.
    pub(crate) fn write(
        &self,
        path: &Path,
        replace: bool,
        records: &[Envelope],
        content: &[&Path],
    ) -> Result<(), Failure> {
        let counts = |one: &&Envelope| self.trust.envelope(&one.record_id()).is_some();
        let mut further = self.open_records();
        further.extend(records.iter().filter(counts).cloned());
        let write = |out: &mut dyn std::io::Write| file::write(out, &self.trust, &further, content);
        if replace {
            file::replace(path, write)
        } else {
            into_new_file(path, write)
        }
    }

    /// Writes all that counts or is on its way, and drafts that nobody has judged yet.
    pub(crate) fn write_drafts(&self, path: &Path, drafts: &[Envelope]) -> Result<(), Failure> {
        let further = [self.open_records(), drafts.to_vec()].concat();
        into_new_file(path, |out| file::write(out, &self.trust, &further, &[]))
    }

    /// Has the node take in what is known here now, and takes it off the shelf.
    pub(crate) fn take_in(
        &self,
        context: &Context,
        home: &Home,
        records: &[Envelope],
        content: &[&Path],
    ) -> Result<ImportReport, Failure> {
        let folder = super::scratch(home.directory())?;
        let path = folder.path().join("signed.weft");
        let accepted: Vec<Envelope> = records
            .iter()
            .filter(|one| self.trust.envelope(&one.record_id()).is_some())
            .cloned()
            .collect();
        // a head whose model neither the node has nor the file would keep it waiting
        let bare = |envelope: &Envelope| {
            let release = match words::head(envelope) {
                Some(head) => head.release,
                None if envelope.kind == Kind::Release.number() => envelope.record_id(),
                None => return false,
            };
            content.is_empty() && self.believed().release(&release).is_none()
        };
        into_new_file(&path, |out| {
            file::write_some(out, &self.trust, &accepted, content, |one| !bare(one))
        })?;
        let report = match home.running() {
            Some(_) => take_in(context, &context.client()?, &path)?,
            None => weft_node::import_offline(home, &path)
                .map_err(|error| refusals::import(context, &path, &error))?,
        };
        let named = content.first().copied().unwrap_or(&path);
        let mut judged = self.joined(report.clone());
        if content.is_empty() {
            without_models(&mut judged);
        }
        if let Some(failure) = import_failure(context, named, &judged) {
            return Err(failure);
        }
        shelf::write(home, &self.trust, &self.open_records())?;
        Ok(report)
    }
}

/// A file of records alone is not to blame for models that are not here, or that it takes
/// back.
pub(crate) fn without_models(report: &mut ImportReport) {
    report.channels.retain(|channel| {
        !matches!(
            channel.outcome,
            ImportOutcome::ReleaseRefused | ImportOutcome::Incomplete | ImportOutcome::Superseded
        )
    });
}
