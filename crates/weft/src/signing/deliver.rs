//! Signs records and brings them where they belong: into this folder's node, or into a
//! file that goes to the next admin.

use std::path::Path;

use weft_keys::PublicKey;
use weft_node::report::ImportReport;
use weft_record::Envelope;

use super::{
    ground::Ground,
    judge::{Judged, State},
    shelf,
    signer::{Signer, look, sign_with},
};
use crate::{
    context::Context,
    failure::{Exit, Failure},
    output::count,
};

/// A record, and who is to sign it.
pub(crate) struct Draft<'a> {
    pub(crate) envelope: Envelope,
    pub(crate) signers: &'a [Signer],
}

/// What was signed, and what became of it.
pub(crate) struct Delivered {
    pub(crate) records: Vec<Judged>,
    /// What the node said that took it in; none where a file was written.
    pub(crate) report: Option<ImportReport>,
}

impl Delivered {
    /// Whether all records have the signatures that they need.
    pub(crate) fn is_complete(&self) -> bool {
        self.records
            .iter()
            .all(|record| record.state != State::Lacking)
    }
}

/// Signs what is drafted and writes it to a file, or has this folder's node take it in.
///
/// Before a signature leaves this process, the record lies on a disk and the key's memory
/// says what it signed: a power cut loses neither. With no file named, nothing is signed
/// that would still lack signatures.
pub(crate) fn deliver(
    context: &Context,
    ground: &mut Ground,
    what: &str,
    drafts: Vec<Draft<'_>>,
    out: Option<&Path>,
    content: &[&Path],
) -> Result<Delivered, Failure> {
    refuse_existing(out)?;
    let unsigned: Vec<Envelope> = drafts.iter().map(|one| one.envelope.clone()).collect();
    let waiting = ground.open_records();
    let mut claims: Vec<(&Signer, Envelope)> = Vec::new();
    let mut signed = Vec::new();
    let mut given: Vec<&Signer> = Vec::new();
    for draft in drafts {
        let mut envelope = draft.envelope;
        let keys = sign_with(&ground.trust, &mut envelope, draft.signers)?;
        let by = draft.signers.iter();
        claims.extend(
            by.clone()
                .filter(|one| keys.contains(&one.public()))
                .map(|signer| (signer, envelope.clone())),
        );
        given.extend(by);
        signed.push(envelope);
    }
    for signer in given {
        if !has_signed(ground, &signed, &signer.public())? {
            return Err(may_not_sign(what, signer));
        }
    }
    // what is kept now bears no new signature
    keep(ground, [waiting.clone(), unsigned].concat(), out)?;
    ground.add(signed.clone());
    let records = ground.judge(&signed);
    if let Err(failure) = check(what, &records, ground.home.is_some(), out) {
        undo(ground, &waiting, out);
        return Err(failure);
    }
    let mut claimed = false;
    for (signer, envelope) in &claims {
        match signer.claim(ground, envelope) {
            Ok(took_place) => claimed |= took_place,
            Err(failure) if claimed => return Err(failure),
            Err(failure) => {
                undo(ground, &waiting, out);
                return Err(failure);
            }
        }
    }
    if let Some(home) = &ground.home {
        let kept = [ground.open_records(), signed.clone()].concat();
        shelf::write(home, &ground.trust, &kept)?;
    }
    let report = match (out, &ground.home) {
        (Some(path), home) => {
            ground.write(path, home.is_none(), &signed, content)?;
            None
        }
        (None, Some(home)) => Some(ground.take_in(context, home, &signed, content)?),
        (None, None) => None,
    };
    Ok(Delivered { records, report })
}

/// Refuses a file that exists before any work is done for it.
pub(crate) fn refuse_existing(out: Option<&Path>) -> Result<(), Failure> {
    match out.filter(|path| path.exists()) {
        Some(path) => {
            let error = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            let what = format!("{} was not written", path.display());
            Err(Failure::file(what, &error))
        }
        None => Ok(()),
    }
}

fn has_signed(ground: &Ground, signed: &[Envelope], key: &PublicKey) -> Result<bool, Failure> {
    for envelope in signed {
        if look(&ground.trust, envelope)?.has_signed(key) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A key that the newest root lets sign nothing of what it was given for.
pub(crate) fn may_not_sign(what: &str, signer: &Signer) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("{what} is not signed"),
        format!("the newest root does not let {} sign it", signer.name()),
        "weft trust show",
    )
}

/// Whether what was signed can be of use to anybody.
fn check(
    what: &str,
    records: &[Judged],
    has_home: bool,
    out: Option<&Path>,
) -> Result<(), Failure> {
    if let Some(refused) = records.iter().find(|one| one.state == State::Refused) {
        return Err(Failure::new(
            Exit::Refused,
            format!("{what} is not signed"),
            format!("no node of this mesh would take it: {}", refused.reason),
            "weft trust show",
        ));
    }
    if out.is_some() {
        return Ok(());
    }
    if !has_home {
        return Err(Failure::new(
            Exit::Usage,
            format!("{what} has nowhere to go"),
            "with --from there is no node that could take it in",
            "name a file with --out FILE",
        ));
    }
    match records.iter().find(|one| one.state == State::Lacking) {
        Some(lacking) => Err(Failure::new(
            Exit::Refused,
            format!("{what} is not signed"),
            format!(
                "the {} would lack {} of those that it needs",
                lacking.what,
                count(lacking.lacking, "more signature")
            ),
            "the same with --out FILE, then elsewhere weft trust cosign FILE --key KEY",
        )),
        None => Ok(()),
    }
}

/// Puts what is about to be signed on the shelf, or into the file where no node is.
fn keep(ground: &Ground, records: Vec<Envelope>, out: Option<&Path>) -> Result<(), Failure> {
    match (&ground.home, out) {
        (Some(home), _) => shelf::write(home, &ground.trust, &records),
        (None, Some(path)) => ground.write_drafts(path, &records),
        (None, None) => Ok(()),
    }
}

fn undo(ground: &Ground, waiting: &[Envelope], out: Option<&Path>) {
    // nothing was signed; what cannot be put back is an unsigned draft, and harms nobody
    match (&ground.home, out) {
        (Some(home), _) => {
            let _ = shelf::write(home, &ground.trust, waiting);
        }
        (None, Some(path)) => {
            let _ = std::fs::remove_file(path);
        }
        (None, None) => {}
    }
}
