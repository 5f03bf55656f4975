use serde::{Deserialize, Serialize};
use weft_keys::PublicKey;

use crate::{Invalid, RecordId, bounds::MAX_REASON_BYTES, check};

/// A key or a release that no longer counts, for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoke {
    /// What is revoked.
    pub target: RevokeTarget,
    /// For people.
    pub reason: String,
    /// When it was signed, in seconds since 1970; for people.
    pub issued_at_s: u64,
}

/// What is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RevokeTarget {
    /// An admin's or a node's key: signed by itself or the root, for a node's key also
    /// by a role that signs enrolments and revocations.
    Key(PublicKey),
    /// A release: signed by the root, or by a role that signs releases and revocations.
    Release(RecordId),
}

impl Revoke {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        check::text("reason", &self.reason, MAX_REASON_BYTES)
    }
}
