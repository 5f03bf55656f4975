//! `weft release cosign` and `weft trust cosign`

use std::path::{Path, PathBuf};

use serde::Serialize;
use weft_keys::PublicKey;
use weft_record::{Envelope, MeshId, RecordId};

use super::sign::next;
use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
    signing::{self, Ground, Judged, SignedFile, Signer, State, look},
};

/// Add a key's signature to the records in a file that lack it.
///
/// Signs what the newest root lets this key sign and what still needs signatures, and says
/// what it was. Works without a node: the file brings the roots that say who may sign.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft release cosign signed.weft --key release.key\n  weft trust cosign rotation.weft --key root.key --dry-run"
)]
pub(crate) struct Cosign {
    /// What `weft release sign` or a verb of `weft trust` wrote
    file: PathBuf,
    /// The key; may be given more than once
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// Sign only this record, by the first digits of its id; may be given more than once. Also one
    /// that has signatures enough, or only those of lost keys
    #[arg(long, value_name = "RECORD")]
    record: Vec<String>,
    /// Sign also what has signatures enough: before the keys that gave them go
    #[arg(long, conflicts_with = "record")]
    all: bool,
    /// Only say what would be signed
    #[arg(long)]
    dry_run: bool,
    /// Write the result here [default: in the place of the file]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    mesh_id: MeshId,
    /// Records that carry a new signature now.
    signed: Vec<RecordId>,
    complete: bool,
    /// What a root among them changes, in words.
    does: Vec<String>,
    records: Vec<Judged>,
    next: String,
}

impl Cosign {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        signing::refuse_existing(self.out.as_deref())?;
        let signers = Signer::open_all(&self.key)?;
        let file = SignedFile::open(&self.file)?;
        let mut ground = Ground::of_file(context, &file)?;
        let before = ground.judge(&file.records);
        let chosen = self.chosen(&file, &before)?;
        let mut signed = Vec::new();
        let mut claims: Vec<(&Signer, Envelope)> = Vec::new();
        for mut envelope in chosen {
            let keys = signing::sign_with(&ground.trust, &mut envelope, &signers)?;
            for signer in signers.iter().filter(|one| keys.contains(&one.public())) {
                claims.push((signer, envelope.clone()));
            }
            if !keys.is_empty() {
                signed.push(envelope);
            }
        }
        for signer in &signers {
            if !claims
                .iter()
                .any(|(one, _)| one.public() == signer.public())
            {
                return Err(self.nothing_to_sign(&ground, &file, &before, signer));
            }
        }
        if !self.dry_run {
            // the records lie in the file already, so that no signature can be lost
            for (signer, envelope) in &claims {
                signer.claim(&ground, envelope)?;
            }
        }
        let does = ground.root_words(&signed);
        ground.add(signed.clone());
        let records = mentioned(&ground, &file, &signed);
        let complete = records.iter().all(|one| one.state != State::Lacking);
        if !self.dry_run {
            let content: Vec<&Path> = file
                .has_content
                .then_some(self.file.as_path())
                .into_iter()
                .collect();
            match &self.out {
                Some(out) => ground.write(out, false, &file.records, &content)?,
                None => ground.write(&self.file, true, &file.records, &content)?,
            }
        }
        let path = self.out.unwrap_or(self.file);
        let report = Report {
            next: if self.dry_run {
                "the same without --dry-run".to_owned()
            } else {
                next(&path, complete, file.records.len())
            },
            file: path,
            mesh_id: file.mesh_id,
            signed: signed.iter().map(Envelope::record_id).collect(),
            complete,
            does,
            records,
        };
        let verb = if self.dry_run { "Would sign" } else { "Signed" };
        context.output.result(&report, |style| {
            let new = |one: &&Judged| report.signed.contains(&one.id);
            let what: Vec<&str> = report
                .records
                .iter()
                .filter(new)
                .map(|one| one.what.as_str())
                .collect();
            let does = report.does.iter().map(|line| format!("- {line}\n"));
            format!(
                "Mesh {}\n{verb}: {}\n{}\n{}\nNext: {}\n",
                report.mesh_id,
                what.join(", "),
                does.collect::<String>(),
                signing::lines(style, &report.records),
                style.bold(&report.next)
            )
        })
    }

    /// The records that are to be signed.
    fn chosen(&self, file: &SignedFile, before: &[Judged]) -> Result<Vec<Envelope>, Failure> {
        if self.record.is_empty() {
            let wanted = |one: &&Judged| match one.state {
                State::Lacking => true,
                State::Accepted | State::Waiting => self.all,
                State::Refused => false,
            };
            let lacking = before.iter().filter(wanted);
            let lacking: Vec<RecordId> = lacking.map(|one| one.id).collect();
            let all = file.records.iter();
            let lacking = all.filter(|one| lacking.contains(&one.record_id()));
            return Ok(lacking.cloned().collect());
        }
        let named = self.record.iter().map(|digits| {
            let mut found = file
                .records
                .iter()
                .filter(|one| digits.len() >= 4 && one.record_id().to_string().starts_with(digits));
            match (found.next(), found.next()) {
                (Some(envelope), None) => Ok(envelope.clone()),
                (found, _) => Err(Failure::new(
                    Exit::NotFound,
                    format!("`{digits}` names no record in {}", self.file.display()),
                    match found {
                        Some(_) => "several ids begin with these digits",
                        None => "no id begins with these digits; at least four are needed",
                    },
                    format!("weft --json release inspect {}", quoted(&self.file)),
                )),
            }
        });
        named.collect()
    }

    fn nothing_to_sign(
        &self,
        ground: &Ground,
        file: &SignedFile,
        before: &[Judged],
        signer: &Signer,
    ) -> Failure {
        let key = signer.public();
        let found = |envelope: &Envelope,
                     test: fn(&weft_record::Signatures, &PublicKey) -> bool| {
            look(&ground.trust, envelope).is_ok_and(|found| test(&found, &key))
        };
        let lacking: Vec<RecordId> = before
            .iter()
            .filter(|one| one.state == State::Lacking)
            .map(|one| one.id)
            .collect();
        let mut open = file
            .records
            .iter()
            .filter(|one| lacking.contains(&one.record_id()))
            .peekable();
        let refused = before.iter().find(|one| one.state == State::Refused);
        if let (Some(refused), None) = (refused, open.peek()) {
            return Failure::new(
                Exit::Verification,
                format!("{} is not signed", self.file.display()),
                format!(
                    "the {} in it counts nowhere: {}",
                    refused.what, refused.reason
                ),
                format!("weft release inspect {}", quoted(&self.file)),
            );
        }
        let why = if ground.trust.root().is_none() && lacking.is_empty() {
            "it holds no root, so nobody may sign anything".to_owned()
        } else if open.peek().is_none() {
            "every record in it has the signatures that it needs".to_owned()
        } else if open
            .clone()
            .any(|one| found(one, weft_record::Signatures::has_signed))
        {
            format!(
                "{} has signed it already; another key is needed",
                signer.name()
            )
        } else {
            format!(
                "the newest root lets {} sign nothing of what lacks signatures",
                signer.name()
            )
        };
        Failure::new(
            Exit::Refused,
            format!("{} is not signed", self.file.display()),
            why,
            format!("weft release inspect {}", quoted(&self.file)),
        )
    }
}

/// What is told of: what was signed, and what still needs something.
fn mentioned(ground: &Ground, file: &SignedFile, signed: &[Envelope]) -> Vec<Judged> {
    let signed: Vec<RecordId> = signed.iter().map(Envelope::record_id).collect();
    let all = ground.judge(&file.records).into_iter();
    all.filter(|one| {
        signed.contains(&one.id) || matches!(one.state, State::Lacking | State::Waiting)
    })
    .collect()
}
