//! Signed files: bundles whose records may still lack signatures, on their way from one
//! admin to the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::{Path, PathBuf},
};

use weft_record::{
    Admission, Envelope, Kind, Memo, MeshId, Missing, RecordId, Refusal, Trust, bundle::Frame,
};

use super::{now_s, words};
use crate::{
    bundle_file::{self, BundleWriter},
    context::quoted,
    failure::{Exit, Failure},
    verbs::bundle::into_new_file,
};

/// Records read of one file: far more than a mesh makes in years.
const RECORDS: usize = 65_536;

/// What a signed file holds.
#[derive(Debug)]
pub(crate) struct SignedFile {
    pub(crate) path: PathBuf,
    pub(crate) mesh_id: MeshId,
    /// Each record once, with the signatures of all its copies, in the file's order.
    pub(crate) records: Vec<Envelope>,
    /// Whether bytes of models come with them.
    pub(crate) has_content: bool,
}

/// Why a record is not accepted.
#[derive(Clone, Debug)]
pub(crate) enum Left {
    /// It has fewer signatures than it needs.
    Lacking,
    /// It builds on something that is not here.
    Waiting(Missing),
    /// It never will be.
    Refused(Refusal),
}

impl SignedFile {
    /// Reads a whole file, held against its own hashes.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        Self::read(path, false)
    }

    /// Reads the records that stand before the models, where weft puts them, and not
    /// the gigabytes behind.
    pub(crate) fn open_front(path: &Path) -> Result<Self, Failure> {
        Self::read(path, true)
    }

    fn read(path: &Path, front: bool) -> Result<Self, Failure> {
        let mut file = Self {
            path: path.to_owned(),
            mesh_id: MeshId::ZERO,
            records: Vec::new(),
            has_content: false,
        };
        let (mut places, stop) = (BTreeMap::<RecordId, usize>::new(), Failure::quiet());
        let result = bundle_file::read(path, |frame| {
            match frame {
                Frame::Header { mesh_id } => file.mesh_id = mesh_id,
                Frame::Record(bytes) => {
                    let envelope = Envelope::decode(&bytes);
                    let envelope = envelope.map_err(|refusal| broken(path, &refusal))?;
                    if envelope.mesh_id != file.mesh_id {
                        let refusal = Refusal::OtherMesh {
                            found: envelope.mesh_id,
                            expected: file.mesh_id,
                        };
                        return Err(broken(path, &refusal));
                    }
                    file.add(&mut places, envelope)
                        .map_err(|refusal| broken(path, &refusal))?;
                }
                Frame::Blob { .. } | Frame::Chunk { .. } => {
                    file.has_content = true;
                    if front {
                        return Err(stop.clone());
                    }
                }
                Frame::End { .. } => {}
            }
            Ok(())
        });
        match result {
            Err(failure) if failure != stop => return Err(failure),
            _ => {}
        }
        if file.mesh_id.is_zero() {
            return Err(Failure::new(
                Exit::Verification,
                format!("{} is signed by nobody", path.display()),
                "it is a packed release, of no mesh yet",
                format!("weft release sign {} --key KEY --out FILE", quoted(path)),
            ));
        }
        Ok(file)
    }

    fn add(
        &mut self,
        places: &mut BTreeMap<RecordId, usize>,
        envelope: Envelope,
    ) -> Result<(), Refusal> {
        let id = envelope.record_id();
        if let Some(index) = places.get(&id) {
            self.records[*index].merge_signatures(&envelope);
            return Ok(());
        }
        if self.records.len() >= RECORDS {
            let what = "records of a file";
            return Err(Refusal::Full {
                what,
                limit: RECORDS,
            });
        }
        places.insert(id, self.records.len());
        self.records.push(envelope);
        Ok(())
    }

    /// Takes the other's records in too.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), Failure> {
        if other.mesh_id != self.mesh_id {
            return Err(Failure::new(
                Exit::Verification,
                format!("{} is of another mesh", other.path.display()),
                format!(
                    "it is of mesh {}, {} of mesh {}",
                    other.mesh_id,
                    self.path.display(),
                    self.mesh_id
                ),
                format!("weft release inspect {}", quoted(&other.path)),
            ));
        }
        let ids = self.records.iter().map(Envelope::record_id);
        let mut places = ids.zip(0..).collect();
        for envelope in &other.records {
            self.add(&mut places, envelope.clone())
                .map_err(|refusal| broken(&other.path, &refusal))?;
        }
        self.has_content |= other.has_content;
        Ok(())
    }
}

/// Hands records to a verifier, in any order; returns those that it did not accept.
pub(crate) fn admit_all(trust: &mut Trust, records: Vec<Envelope>) -> Vec<(Envelope, Left)> {
    let (mut memo, mut open) = (Memo::default(), records);
    loop {
        let before = open.len();
        let mut left = Vec::new();
        for envelope in open {
            match trust.admit(envelope.clone(), now_s(), &mut memo) {
                Ok(Admission::Waiting(missing)) => left.push((envelope, Left::Waiting(missing))),
                Ok(_) => {}
                Err(Refusal::BelowThreshold { .. }) if is_open(trust, &envelope) => {
                    left.push((envelope, Left::Lacking));
                }
                Err(refusal) => left.push((envelope, Left::Refused(refusal))),
            }
        }
        if left.is_empty() || left.len() == before {
            return left;
        }
        // what was accepted may be what others waited for
        open = left.into_iter().map(|(envelope, _)| envelope).collect();
    }
}

/// Whether a record is on its way to be signed: nobody has, or somebody who may. One that
/// only lost keys have signed is not, nor a head whose epoch a reset has ended.
fn is_open(trust: &Trust, envelope: &Envelope) -> bool {
    if words::head(envelope).is_some_and(|head| head.epoch < trust.epoch(&head.channel)) {
        return false;
    }
    let found = weft_record::signatures(trust, envelope).unwrap_or_default();
    let mut quorums = found.quorums.iter();
    envelope.sigs.is_empty() || quorums.any(|quorum| !quorum.signed.is_empty())
}

/// Writes what a verifier accepted, further records, and the bytes of these files, each
/// once. Enrolments stay out unless they are among the further records: they travel with
/// their nodes.
pub(crate) fn write(
    out: &mut dyn Write,
    trust: &Trust,
    further: &[Envelope],
    content: &[&Path],
) -> Result<(), Failure> {
    write_some(out, trust, further, content, |_| true)
}

/// The same without the records that are not wanted.
pub(crate) fn write_some(
    out: &mut dyn Write,
    trust: &Trust,
    further: &[Envelope],
    content: &[&Path],
    wanted: impl Fn(&Envelope) -> bool,
) -> Result<(), Failure> {
    let mut writer = BundleWriter::begin(out, trust.mesh_id())?;
    let further_ids: BTreeSet<RecordId> = further.iter().map(Envelope::record_id).collect();
    let mut written = BTreeSet::new();
    let stays = |envelope: &&Envelope| {
        envelope.kind != Kind::Enroll.number() || further_ids.contains(&envelope.record_id())
    };
    for envelope in trust.records().filter(stays).chain(further) {
        if wanted(envelope) && written.insert(envelope.record_id()) {
            writer.record(&envelope.encode())?;
        }
    }
    let mut hashes = BTreeSet::new();
    for path in content {
        bundle_file::read(path, |frame| match frame {
            Frame::Blob { hash, bytes } if hashes.insert(hash) => writer.blob(&bytes),
            Frame::Chunk { hash, bytes } if hashes.insert(hash) => writer.chunk(&bytes),
            _ => Ok(()),
        })?;
    }
    writer.finish()
}

/// Puts a file in the place of another, or where none is, in one step: whoever reads it
/// sees the old one or the new one whole.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let beside = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = super::scratch(beside)?;
    let new = folder.path().join("new.weft");
    into_new_file(&new, write)?;
    std::fs::rename(&new, path)
        .map_err(|error| Failure::file(format!("{} cannot be written", path.display()), &error))
}

fn broken(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Verification,
        format!("{} cannot be used", path.display()),
        error.to_string(),
        "get the file again, from where it came",
    )
}
