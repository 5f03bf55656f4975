//! Keys that sign, and what keeps each from signing two records for one place.

use std::path::{Path, PathBuf};

use weft_keys::{Guard, GuardError, LedgerError, Place, PublicKey, SecretKey, Series};
use weft_record::{
    Control, EnrollRoot, Envelope, Head, Kind, RecordId, Root, Signatures, Trust, signatures,
};

use super::{Ground, words};

use crate::{
    context::quoted,
    failure::{Exit, Failure},
    keys,
    verbs::bundle::short,
};

/// A secret key from its file.
pub(crate) struct Signer {
    path: PathBuf,
    key: SecretKey,
}

impl Signer {
    /// Reads a key file.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let key = keys::load_key(path)?;
        Ok(Self {
            path: path.to_owned(),
            key,
        })
    }

    /// Reads several; one key in two files would not count twice.
    pub(crate) fn open_all(paths: &[PathBuf]) -> Result<Vec<Self>, Failure> {
        let mut signers: Vec<Self> = Vec::new();
        for path in paths {
            let signer = Self::open(path)?;
            if let Some(twin) = signers.iter().find(|one| one.public() == signer.public()) {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("{} is given twice", quoted(path)),
                    format!(
                        "it holds the same key as {}, and a threshold counts each key once",
                        quoted(&twin.path)
                    ),
                    "give each key once",
                ));
            }
            signers.push(signer);
        }
        Ok(signers)
    }

    /// The public half.
    pub(crate) fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// The key itself, for what is no record.
    pub(crate) fn secret(&self) -> &SecretKey {
        &self.key
    }

    /// The file, and the first digits of the key.
    pub(crate) fn name(&self) -> String {
        format!(
            "{} ({})",
            quoted(&self.path),
            short(&self.public().to_string())
        )
    }

    /// Signs a record if the newest root lets this key and it has not yet; returns whether
    /// it did. The signature must not leave this process before [`Self::claim`].
    fn sign(&self, trust: &Trust, envelope: &mut Envelope) -> Result<bool, Failure> {
        let public = self.public();
        let found = look(trust, envelope)?;
        if !found.may_sign(&public) || found.has_signed(&public) {
            return Ok(false);
        }
        envelope.sign(&self.key);
        Ok(true)
    }

    /// Writes down beside the key that it signed this record for its place; fails if it
    /// signed another one for the same place before, in whatever process. Tells whether it
    /// is a record that takes a place.
    pub(crate) fn claim(&self, ground: &Ground, envelope: &Envelope) -> Result<bool, Failure> {
        let Some(place) = place(envelope) else {
            return Ok(false);
        };
        let what = words::record(envelope, &ground.releases());
        let refused = |exit: Exit, why: String, next: String| {
            Failure::new(exit, format!("the {what} is not signed"), why, next)
        };
        let path = Guard::beside(&self.path);
        let promised = Guard::open(&path)
            .map_err(GuardError::from)
            .and_then(|mut guard| guard.promise(&place, envelope.record_id().as_bytes()));
        promised.map(|()| true).map_err(|error| match error {
            GuardError::AlreadySigned { id, .. } => {
                let id = RecordId(id);
                let before = match ground.find(&id) {
                    Some(other) => words::record(&other, &ground.releases()),
                    None => format!("record {}", words::short_id(&id)),
                };
                let why = format!(
                    "{} signed another record for this place before: {before}",
                    self.name()
                );
                refused(Exit::Refused, why, instead(envelope))
            }
            GuardError::Ledger(LedgerError::Busy { .. }) => refused(
                Exit::Refused,
                format!("another process signs with {}", quoted(&self.path)),
                "wait for it to end, and try again".to_owned(),
            ),
            GuardError::Ledger(LedgerError::Io { path, source }) => {
                Failure::file(path.display().to_string(), &source)
            }
            error => refused(
                Exit::Verification,
                format!("what the key signed before cannot be told: {error}"),
                format!("bring back {} from where it was kept", quoted(&path)),
            ),
        })
    }
}

/// What to do where a key signed another record for a place.
fn instead(envelope: &Envelope) -> String {
    match words::head(envelope) {
        Some(head) => format!(
            "take in the newest heads with weft bundle import; a fork ends with weft trust join-fork {}",
            head.channel
        ),
        None => {
            "sign that one on with weft trust cosign, or let other keys sign this one".to_owned()
        }
    }
}

/// Signs a record with all keys that may; returns which did.
pub(crate) fn sign_with<'a>(
    trust: &Trust,
    envelope: &mut Envelope,
    signers: impl IntoIterator<Item = &'a Signer>,
) -> Result<Vec<PublicKey>, Failure> {
    let mut signed = Vec::new();
    for signer in signers {
        if signer.sign(trust, envelope)? {
            signed.push(signer.public());
        }
    }
    Ok(signed)
}

/// The signatures of a record; one that is false is a failure.
pub(crate) fn look(trust: &Trust, envelope: &Envelope) -> Result<Signatures, Failure> {
    signatures(trust, envelope).map_err(|refusal| {
        Failure::new(
            Exit::Verification,
            format!(
                "record {} is not what was signed",
                short(&envelope.record_id().to_string())
            ),
            refusal.to_string(),
            "get the file again, from where it came",
        )
    })
}

/// The place that a record takes and that no other record of its signer may take too.
fn place(envelope: &Envelope) -> Option<Place> {
    let kind = Kind::from_number(envelope.kind)?;
    let (scope, epoch, seq) = match kind {
        Kind::Root => {
            let root: Root = words::of_kind(envelope, kind)?;
            (String::new(), 0, root.version)
        }
        Kind::Head => {
            let head: Head = words::of_kind(envelope, kind)?;
            (head.channel.to_string(), head.epoch, head.seq)
        }
        Kind::EnrollRoot => {
            let root: EnrollRoot = words::of_kind(envelope, kind)?;
            (String::new(), 0, root.seq)
        }
        Kind::Control => {
            let control: Control = words::of_kind(envelope, kind)?;
            (control.head.to_string(), 0, u64::from(control.number))
        }
        _ => return None,
    };
    let series = Series {
        mesh_id: envelope.mesh_id.0,
        kind: kind.number(),
        scope,
    };
    Some(Place { series, epoch, seq })
}
