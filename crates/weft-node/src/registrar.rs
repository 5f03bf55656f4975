//! The node that enrolls others: holds the enroll key, and knows which invitations were
//! given out and to whom.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weft_keys::{Invitations, InvitationsError, LedgerError, PublicKey, SecretKey};
use weft_record::{
    Enroll, Invitation, JoinRequest, Kind, Label, MeshId, Name, RevokeTarget, Trust,
    bounds::MAX_ADDRESSES, codec, seal,
};
use zeroize::Zeroizing;

use crate::{
    home::Home,
    report::{InviteReport, InviteRequest, SCHEMA},
};

/// For how long an enrolment counts unless told otherwise.
const ENROLLED_S: u64 = 365 * 24 * 3600;
/// Invitations are remembered for this long after they ended, so that who comes late is
/// told why.
const REMEMBERED_S: u64 = 30 * 24 * 3600;

/// Answers requests to join.
pub(crate) struct Registrar {
    book: Book,
    key: SecretKey,
}

/// The invitations of a node's folder.
pub(crate) struct Book {
    mesh_id: MeshId,
    invitations: Invitations,
}

/// What the verifier knows of the node that asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Number of its newest enrolment, whether it counts or not.
    number: Option<u32>,
    revoked: bool,
}

/// What an invitation says beside the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    pub(crate) site: Name,
    pub(crate) labels: Vec<Label>,
    pub(crate) addresses: Vec<String>,
    pub(crate) expires_in_s: u64,
}

/// What is kept with an invitation.
#[derive(Serialize, Deserialize)]
struct Issue {
    site: Name,
    labels: Vec<Label>,
}

/// Longest encoding of [`Issue`].
const ISSUE_BYTES: usize = weft_keys::MAX_ISSUE_BYTES;

/// Why no invitation was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// This node holds no enroll key.
    #[error("this node does not enroll others: it holds no enroll key")]
    NoRegistrar,
    /// What was asked for cannot be.
    #[error("{0}")]
    Asked(String),
    /// It cannot be written down.
    #[error(transparent)]
    Invitations(#[from] InvitationsError),
    /// The machine refused.
    #[error("no invitation can be made: {0}")]
    Machine(String),
}

impl Registrar {
    /// Opens the invitations in a node's folder.
    pub(crate) fn open(home: &Home, key: SecretKey) -> Result<Self, LedgerError> {
        Ok(Self {
            book: Book::open(home)?,
            key,
        })
    }

    pub(crate) fn invite(&mut self, guest: Guest, now_s: u64) -> Result<InviteReport, InviteError> {
        self.book.invite(guest, now_s)
    }

    /// Enrolls the node that asks, if it holds an invitation of this registrar that no
    /// other node has used; the error is told to the node.
    pub(crate) fn enroll(
        &mut self,
        request: &JoinRequest,
        held: Held,
        now_s: u64,
    ) -> Result<Vec<u8>, String> {
        let (mesh_id, invitations) = (self.book.mesh_id, &mut self.book.invitations);
        if held.revoked {
            return Err("this node's key was revoked".to_owned());
        }
        let unknown = "no such invitation was given out here";
        let issued = invitations.get(&request.invitation).ok_or(unknown)?;
        // the same words as for one that is unknown: who guesses learns nothing
        if !request.is_by_holder(&issued.secret, &mesh_id) {
            return Err(unknown.to_owned());
        }
        match issued.used_by {
            Some(node) if node != request.node => {
                return Err("another node has used this invitation".to_owned());
            }
            // taken in time, but this registrar was stopped before it signed
            Some(_) if held.number.is_none() => {}
            _ if issued.expires_s < now_s => {
                return Err("the invitation has expired".to_owned());
            }
            _ => {}
        }
        let issue: Issue = codec::decode(&issued.issue, ISSUE_BYTES)
            .map_err(|_| "the admin's node cannot read its list of invitations")?;
        // Durable before anything is signed: whatever happens now, no other node can use
        // it, and this one gets its enrolment when it asks again.
        invitations
            .mark_used(&request.invitation, &request.node)
            .map_err(|error| {
                tracing::error!(%error, "an invitation cannot be marked as used");
                "the admin's node cannot write to its disk".to_owned()
            })?;
        let enroll = Enroll {
            node: request.node,
            number: held.number.map_or(0, |number| number.saturating_add(1)),
            owner: issue.site.clone(),
            site: issue.site,
            labels: issue.labels,
            class: default_class(),
            issued_at_s: now_s,
            expires_s: now_s.saturating_add(ENROLLED_S),
        };
        let body = codec::encode(&enroll);
        Ok(seal(Kind::Enroll, mesh_id, body, &[&self.key]).encode())
    }
}

impl Book {
    pub(crate) fn open(home: &Home) -> Result<Self, LedgerError> {
        Ok(Self {
            mesh_id: home.settings().mesh_id,
            invitations: Invitations::open(&path(home.directory()))?,
        })
    }

    /// Makes an invitation, and writes it down before it is handed out.
    pub(crate) fn invite(&mut self, guest: Guest, now_s: u64) -> Result<InviteReport, InviteError> {
        let named = |address: &&String| address.starts_with('/') && address.contains("/p2p/");
        if let Some(address) = guest.addresses.iter().find(|address| !named(address)) {
            return Err(InviteError::Asked(format!(
                "`{address}` does not end in /p2p/ and the id of the member that listens there"
            )));
        }
        let mut labels = guest.labels;
        labels.sort();
        let invitation = Invitation {
            mesh_id: self.mesh_id,
            id: random()?,
            secret: random()?,
            addresses: guest.addresses,
            site: guest.site,
            labels,
            expires_s: now_s.saturating_add(guest.expires_in_s),
        };
        let checked = invitation.check();
        checked.map_err(|error| InviteError::Asked(error.to_string()))?;
        self.invitations
            .forget_expired(now_s.saturating_sub(REMEMBERED_S))?;
        let issue = codec::encode(&Issue {
            site: invitation.site.clone(),
            labels: invitation.labels.clone(),
        });
        let secret = Zeroizing::new(invitation.secret);
        self.invitations
            .issue(&invitation.id, secret, invitation.expires_s, issue)?;
        Ok(InviteReport {
            schema: SCHEMA,
            invitation: invitation.to_string(),
            addresses: invitation.addresses,
            expires_s: invitation.expires_s,
        })
    }
}

impl Guest {
    /// What was asked for; where no address is given, `own` names some.
    pub(crate) fn new(request: InviteRequest, own: impl FnOnce() -> Vec<String>) -> Self {
        let mut addresses = request.addresses;
        if addresses.is_empty() {
            addresses = own();
            addresses.truncate(MAX_ADDRESSES);
        }
        Self {
            site: request.site,
            labels: request.labels,
            addresses,
            expires_in_s: request.expires_in_s,
        }
    }
}

impl Held {
    /// Of this node.
    pub(crate) fn of(trust: &Trust, node: &PublicKey) -> Self {
        let target = RevokeTarget::Key(*node);
        Self {
            number: trust.enrolment(node).map(|enroll| enroll.number),
            revoked: trust.revokes().any(|revoke| revoke.target == target),
        }
    }
}

/// The class of a node of which nothing more is known.
pub fn default_class() -> Name {
    "node".parse().expect("a short word is a name")
}

fn path(directory: &Path) -> PathBuf {
    directory.join("invitations")
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], InviteError> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| InviteError::Machine(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::settings::Settings;

    const NOW_S: u64 = 1_800_000_000;
    const DAY_S: u64 = 24 * 3600;

    fn home(folder: &Path) -> Home {
        let mesh_id = "ab".repeat(32).parse().unwrap();
        let settings = Settings::new(mesh_id, vec!["stable".parse().unwrap()]);
        Home::init(folder, settings, None).unwrap()
    }

    fn registrar(home: &Home) -> Registrar {
        Registrar::open(home, SecretKey::from_seed([1; 32])).unwrap()
    }

    fn node(number: u8) -> PublicKey {
        SecretKey::from_seed([number; 32]).public()
    }

    fn invited(registrar: &mut Registrar) -> Invitation {
        let guest = Guest {
            site: "ward".parse().unwrap(),
            labels: Vec::new(),
            addresses: Vec::new(),
            expires_in_s: 7 * DAY_S,
        };
        let report = registrar.invite(guest, NOW_S).unwrap();
        report.invitation.parse().unwrap()
    }

    fn enrolled(answer: Result<Vec<u8>, String>) -> Enroll {
        let envelope = weft_record::Envelope::decode(&answer.unwrap()).unwrap();
        codec::decode(&envelope.body, 1 << 16).unwrap()
    }

    #[test]
    fn an_invitation_lets_one_node_in_through_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(folder.path());
        let mut first = registrar(&home);
        let invitation = invited(&mut first);
        let held = Held::default();
        let enroll = enrolled(first.enroll(&invitation.request(node(2)), held, NOW_S));
        assert_eq!((enroll.node, enroll.number), (node(2), 0));
        assert_eq!(enroll.site.as_str(), "ward");
        drop(first);
        let mut again = registrar(&home);
        let other = again.enroll(&invitation.request(node(3)), held, NOW_S);
        assert!(other.unwrap_err().contains("another node"));
        // the answer was lost: the same node gets it once more, and late
        let late = again.enroll(&invitation.request(node(2)), held, NOW_S + 8 * DAY_S);
        assert_eq!(enrolled(late).node, node(2));
    }

    #[test]
    fn what_is_not_in_order_is_refused_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let mut registrar = registrar(&home(folder.path()));
        let invitation = invited(&mut registrar);
        let request = invitation.request(node(2));
        let mut ask = |request: &JoinRequest, held: Held, now_s: u64| {
            registrar.enroll(request, held, now_s).unwrap_err()
        };
        // a code that was made for another node, and an invitation of nobody
        let replayed = JoinRequest {
            node: node(3),
            ..request.clone()
        };
        let unknown = JoinRequest {
            invitation: [9; 16],
            ..request.clone()
        };
        let (fresh, late_s) = (Held::default(), NOW_S + 8 * DAY_S);
        for forged in [&replayed, &unknown] {
            assert!(ask(forged, fresh, NOW_S).contains("no such invitation"));
        }
        assert!(ask(&request, fresh, late_s).contains("expired"));
        let revoked = Held {
            revoked: true,
            ..fresh
        };
        assert!(ask(&request, revoked, NOW_S).contains("revoked"));
        // and after all of that it still counts
        assert!(registrar.enroll(&request, fresh, NOW_S).is_ok());
        // an enrolment that lapsed is not renewed by what has ended
        let held = Held {
            number: Some(0),
            revoked: false,
        };
        let renewed = enrolled(registrar.enroll(&request, held, NOW_S + DAY_S));
        assert_eq!(renewed.number, 1);
        let late = registrar.enroll(&request, held, late_s);
        assert!(late.unwrap_err().contains("expired"));
    }
}
