//! The node that enrolls others: holds the enroll key, and knows which invitations were
//! given out and to whom.

use std::path::Path;

use weft_keys::SecretKey;
use weft_record::{
    Enroll, Invitation, JoinRequest, Kind, Label, MeshId, Name, RevokeTarget, Trust, codec, seal,
};

use crate::ledger::{Ledger, LedgerError, Used};

/// For how long an enrolment counts unless told otherwise.
const ENROLLED_S: u64 = 365 * 24 * 3600;

/// Answers requests to join.
pub(crate) struct Registrar {
    mesh_id: MeshId,
    key: SecretKey,
    ledger: Ledger,
}

/// The class of a node of which nothing more is known.
pub fn default_class() -> Name {
    "node".parse().expect("a short word is a name")
}

/// What the verifier knows of the node that asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Number and time of its newest enrolment.
    enrolment: Option<(u32, u64)>,
    revoked: bool,
}

/// Why no invitation was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InviteError {
    /// This node holds no enroll key.
    #[error("this node does not enroll others: it holds no enroll key")]
    NoRegistrar,
    /// What was asked for cannot be.
    #[error("{0}")]
    Asked(String),
    /// It cannot be written down.
    #[error(transparent)]
    Ledger(LedgerError),
}

/// What an invitation says beside the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    pub(crate) site: Name,
    /// Sorted by name.
    pub(crate) labels: Vec<Label>,
    pub(crate) addresses: Vec<String>,
    pub(crate) expires_s: u64,
}

impl Registrar {
    /// Opens the list of invitations in a node's folder.
    pub(crate) fn open(
        directory: &Path,
        mesh_id: MeshId,
        key: SecretKey,
    ) -> Result<Self, LedgerError> {
        Ok(Self {
            mesh_id,
            key,
            ledger: Ledger::open(directory)?,
        })
    }

    /// Makes an invitation, and writes it down before it is handed out.
    pub(crate) fn invite(&mut self, guest: Guest) -> Result<Invitation, LedgerError> {
        let (id, secret) = (random()?, random()?);
        let invitation = Invitation {
            mesh_id: self.mesh_id,
            id,
            secret,
            addresses: guest.addresses,
            site: guest.site,
            labels: guest.labels,
            expires_s: guest.expires_s,
        };
        invitation.check().map_err(LedgerError::Invalid)?;
        self.ledger.issue(&invitation)?;
        Ok(invitation)
    }

    /// Enrolls the node that asks, if it holds an invitation of this registrar that no
    /// other node has used; the error is told to the node. The same request again is
    /// answered with the same record.
    pub(crate) fn enroll(
        &mut self,
        request: &JoinRequest,
        held: Held,
        now_s: u64,
    ) -> Result<Vec<u8>, String> {
        if held.revoked {
            return Err("this node's key was revoked".to_owned());
        }
        let unknown = "no such invitation was given out here";
        let issued = self.ledger.find(&request.invitation).ok_or(unknown)?;
        let invitation = &issued.invitation;
        // the same words as for one that is unknown: who guesses learns nothing
        if !request.is_by_holder(&invitation.secret, &self.mesh_id) {
            return Err(unknown.to_owned());
        }
        let invitation = invitation.clone();
        let used = match issued.used {
            Some(used) if used.node == request.node => used,
            Some(_) => return Err("another node has used this invitation".to_owned()),
            None if invitation.expires_s < now_s => {
                return Err("the invitation has expired".to_owned());
            }
            None => {
                let used = Used {
                    node: request.node,
                    at_s: now_s,
                };
                // Durable before anything is signed: whatever happens now, no other node
                // can use it, and this one gets its enrolment when it asks again.
                self.ledger
                    .mark_used(&request.invitation, used)
                    .map_err(|error| {
                        tracing::error!(%error, "an invitation cannot be marked as used");
                        "the admin's node cannot write to its disk".to_owned()
                    })?;
                used
            }
        };
        let number = match held.enrolment {
            Some((number, at_s)) if at_s == used.at_s => number,
            Some((number, _)) => number.saturating_add(1),
            None => 0,
        };
        let enroll = Enroll {
            node: request.node,
            number,
            owner: invitation.site.clone(),
            site: invitation.site,
            labels: invitation.labels,
            class: default_class(),
            issued_at_s: used.at_s,
            expires_s: used.at_s.saturating_add(ENROLLED_S),
        };
        let body = codec::encode(&enroll);
        Ok(seal(Kind::Enroll, self.mesh_id, body, &[&self.key]).encode())
    }
}

impl Held {
    /// Of this node.
    pub(crate) fn of(trust: &Trust, node: &weft_keys::PublicKey) -> Self {
        let revoked = |target: &RevokeTarget| *target == RevokeTarget::Key(*node);
        Self {
            enrolment: trust
                .enrolment(node)
                .map(|enroll| (enroll.number, enroll.issued_at_s)),
            revoked: trust.revokes().any(|revoke| revoked(&revoke.target)),
        }
    }
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], LedgerError> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| LedgerError::Machine(error.to_string()))?;
    Ok(bytes)
}
