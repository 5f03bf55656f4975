use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weft_keys::PublicKey;

use crate::{
    Hash, Invalid, Label, Name, RecordId, bounds::MAX_LABELS, check, history::History, label,
};

/// A node belongs to the mesh. It travels with the node, which shows it to every peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enroll {
    /// The node's key.
    pub node: PublicKey,
    /// How often it was enrolled before: the highest counts.
    pub number: u32,
    /// Where it stands.
    pub site: Name,
    /// Whose it is.
    pub owner: Name,
    /// What else is said of it, sorted.
    pub labels: Vec<Label>,
    /// Its class of hardware.
    pub class: Name,
    /// When it was signed, in seconds since 1970.
    pub issued_at_s: u64,
    /// Until when it counts.
    pub expires_s: u64,
}

/// All live enrolments in one hash, for meshes in which no node holds them all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollRoot {
    /// Its place: one more than the one before.
    pub seq: u64,
    /// The one before; none for the first.
    pub prev: Option<RecordId>,
    /// Merkle root (RFC 6962 over BLAKE3) over the ids of live enrolments, sorted.
    pub merkle_root: Hash,
    /// How many there are.
    pub count: u64,
    /// When it was signed, in seconds since 1970.
    pub issued_at_s: u64,
}

impl Enroll {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        label::check("an enrolment's labels", &self.labels, MAX_LABELS)?;
        check::number("expires_s", self.expires_s, self.issued_at_s, u64::MAX)
    }
}

impl EnrollRoot {
    /// The hash over these live enrolments.
    pub fn over(enrolments: &BTreeSet<RecordId>) -> Hash {
        let mut tree = History::default();
        for id in enrolments {
            tree.push(std::iter::once(id));
        }
        tree.root()
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if (self.seq == 0) == self.prev.is_none() {
            Ok(())
        } else {
            Err(Invalid::Contradiction(
                "the first enrolment root follows none, every other one follows one",
            ))
        }
    }
}
