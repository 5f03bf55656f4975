//! What an envelope holds, decoded and with its own rules checked.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    ENVELOPE_VERSION, Envelope, Head, Invalid, Kind, Refusal, Release, Root,
    bounds::{MAX_RECORD_BYTES, MAX_SIGNATURES},
    codec,
};

/// A decoded body whose own rules hold.
pub(super) enum Body {
    Root(Box<Root>),
    Release(Box<Release>),
    Head(Head),
}

impl Body {
    pub(super) fn decode(kind: Kind, bytes: &[u8]) -> Result<Self, Refusal> {
        match kind {
            Kind::Root => decode(kind, bytes, Root::check)
                .map(Box::new)
                .map(Self::Root),
            Kind::Release => decode(kind, bytes, Release::check)
                .map(Box::new)
                .map(Self::Release),
            Kind::Head => decode(kind, bytes, Head::check).map(Self::Head),
        }
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
    if !envelope.sigs.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(Refusal::UnsortedSignatures);
    }
    Ok(())
}

/// Version, kind and mesh; two lengths of 8 bytes; the body; key and signature each.
pub(super) fn encoded_length(body: usize, signatures: usize) -> usize {
    2 + 32 + 16 + body + signatures * (32 + 64)
}
