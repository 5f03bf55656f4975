//! What an envelope holds, decoded and with its own rules checked.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Aggregate, Beacon, Blueprint, Control, ENVELOPE_VERSION, Enroll, EnrollRoot, Envelope, Head,
    Invalid, Kind, Name, RecordId, Refusal, Release, Revoke, RevokeTarget, Role, Root, Scope, Task,
    bounds::{MAX_PROOF_HASHES, MAX_RECORD_BYTES, MAX_SIGNATURES},
    codec,
    envelope::encoded_length,
};

/// A decoded body whose own rules hold.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Root(Box<Root>),
    Release(Box<Release>),
    /// Not decoded: a release as one channel's role must have signed it.
    ReleaseFor(Name),
    Head(Head),
    Control(Control),
    Blueprint(Box<Blueprint>),
    Beacon(Beacon),
    Enroll(Enroll),
    EnrollRoot(EnrollRoot),
    Revoke(Revoke),
    Task(Box<Task>),
    Aggregate(Box<Aggregate>),
}

impl Body {
    pub(super) fn decode(kind: Kind, bytes: &[u8]) -> Result<Self, Refusal> {
        Ok(match kind {
            Kind::Root => Self::Root(Box::new(decode(kind, bytes, Root::check)?)),
            Kind::Release => Self::Release(Box::new(decode(kind, bytes, Release::check)?)),
            Kind::Head => Self::Head(decode(kind, bytes, Head::check)?),
            Kind::Control => Self::Control(decode(kind, bytes, Control::check)?),
            Kind::Blueprint => Self::Blueprint(Box::new(decode(kind, bytes, Blueprint::check)?)),
            Kind::Beacon => Self::Beacon(decode(kind, bytes, Beacon::check)?),
            Kind::Enroll => Self::Enroll(decode(kind, bytes, Enroll::check)?),
            Kind::EnrollRoot => Self::EnrollRoot(decode(kind, bytes, EnrollRoot::check)?),
            Kind::Revoke => Self::Revoke(decode(kind, bytes, Revoke::check)?),
            Kind::Task => Self::Task(Box::new(decode(kind, bytes, Task::check)?)),
            Kind::Aggregate => Self::Aggregate(Box::new(decode(kind, bytes, Aggregate::check)?)),
        })
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Root(_) => Kind::Root,
            Self::Release(_) | Self::ReleaseFor(_) => Kind::Release,
            Self::Head(_) => Kind::Head,
            Self::Control(_) => Kind::Control,
            Self::Blueprint(_) => Kind::Blueprint,
            Self::Beacon(_) => Kind::Beacon,
            Self::Enroll(_) => Kind::Enroll,
            Self::EnrollRoot(_) => Kind::EnrollRoot,
            Self::Revoke(_) => Kind::Revoke,
            Self::Task(_) => Kind::Task,
            Self::Aggregate(_) => Kind::Aggregate,
        }
    }

    /// The channel that it is for, if its kind has one.
    pub(super) fn channel(&self) -> Option<&Name> {
        match self {
            Self::ReleaseFor(channel) => Some(channel),
            Self::Head(head) => Some(&head.channel),
            Self::Control(control) => Some(&control.channel),
            Self::Blueprint(blueprint) => blueprint.settings.channel.as_ref(),
            _ => None,
        }
    }

    /// Whether this role may sign it: kind, channel and site.
    pub(super) fn is_signed_by(&self, role: &Role) -> bool {
        let sites = match self {
            Self::Enroll(enroll) => role.sites.contains(&enroll.site),
            Self::Blueprint(blueprint) => role.sites.covers(&blueprint.selector.sites),
            Self::Task(task) => match &task.site {
                Some(site) => role.sites.contains(site),
                None => role.sites == Scope::All,
            },
            _ => true,
        };
        // a role takes back what it may give: releases, or enrolments
        let gives = match self {
            Self::Revoke(revoke) => match revoke.target {
                RevokeTarget::Release(_) => Kind::Release,
                RevokeTarget::Key(_) => Kind::Enroll,
            },
            _ => self.kind(),
        };
        let signs = |kind: Kind| role.kinds.binary_search(&kind.number()).is_ok();
        signs(self.kind())
            && signs(gives)
            && self
                .channel()
                .is_none_or(|channel| role.channels.contains(channel))
            && sites
    }
}

fn decode<T: Serialize + DeserializeOwned>(
    kind: Kind,
    bytes: &[u8],
    check: impl Fn(&T) -> Result<(), Invalid>,
) -> Result<T, Refusal> {
    let record = codec::decode(bytes, MAX_RECORD_BYTES).map_err(|source| Refusal::Malformed {
        part: kind.name(),
        source,
    })?;
    check(&record).map_err(|source| Refusal::Invalid { kind, source })?;
    Ok(record)
}

/// An envelope and what it holds; a copy is cheap.
#[derive(Clone, Debug)]
pub struct Decoded(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    envelope: Envelope,
    body: Body,
    id: RecordId,
    kind: Kind,
}

impl Decoded {
    pub(crate) fn new(envelope: Envelope) -> Result<Self, Refusal> {
        let number = envelope.kind;
        let kind = Kind::from_number(number).ok_or(Refusal::UnknownKind(number))?;
        Ok(Self(Arc::new(Parts {
            body: Body::decode(kind, &envelope.body)?,
            id: envelope.record_id(),
            envelope,
            kind,
        })))
    }

    /// What kind of record it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The record's name.
    pub fn id(&self) -> RecordId {
        self.0.id
    }

    /// As it travels.
    pub fn envelope(&self) -> &Envelope {
        &self.0.envelope
    }

    /// What it says, if it is a head; nobody has looked at its signatures.
    pub fn head(&self) -> Option<&Head> {
        match &self.0.body {
            Body::Head(head) => Some(head),
            _ => None,
        }
    }

    pub(super) fn parts(&self) -> (&Envelope, &Body, RecordId) {
        (&self.0.envelope, &self.0.body, self.0.id)
    }
}

/// What decoding checks, for envelopes that were built by hand.
pub(super) fn check_frame(envelope: &Envelope) -> Result<(), Refusal> {
    let bytes = encoded_length(envelope.body.len(), envelope.sigs.len());
    if bytes > MAX_RECORD_BYTES {
        return Err(Refusal::TooLong {
            bytes,
            limit: MAX_RECORD_BYTES,
        });
    }
    if envelope.v != ENVELOPE_VERSION {
        return Err(Refusal::UnknownVersion(envelope.v));
    }
    if envelope.sigs.len() > MAX_SIGNATURES {
        return Err(Refusal::TooManySignatures(envelope.sigs.len()));
    }
    let hashes = envelope
        .proof
        .as_ref()
        .map_or(0, |proof| proof.subtrees.len());
    if hashes > MAX_PROOF_HASHES {
        return Err(Refusal::TooLong {
            bytes: hashes * 32,
            limit: MAX_PROOF_HASHES * 32,
        });
    }
    if !envelope.sigs.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(Refusal::UnsortedSignatures);
    }
    Ok(())
}
