//! Whoever holds the key that enrolls, and the invitations it gave out.

use std::collections::BTreeMap;

use weft_keys::{PublicKey, SecretKey};
use weft_record::{Enroll, Invitation, JoinRequest, Kind, MeshId, codec, seal};

use crate::mesh::{NOW_S, YEAR_S};

/// Answers requests to join as a driver with an enrolling key does.
pub struct Registrar {
    key: SecretKey,
    mesh_id: MeshId,
    invitations: Vec<Invitation>,
    used: BTreeMap<[u8; 16], PublicKey>,
    /// Requests that it looked at.
    pub asked: u64,
}

impl Registrar {
    pub(crate) fn new(key: SecretKey, mesh_id: MeshId) -> Self {
        Self {
            key,
            mesh_id,
            invitations: Vec::new(),
            used: BTreeMap::new(),
            asked: 0,
        }
    }

    pub(crate) fn renew(&mut self, key: SecretKey) {
        self.key = key;
    }

    /// A new invitation, good until this second.
    pub fn invite(&mut self, expires_s: u64) -> Invitation {
        let number = self.invitations.len() as u64;
        let secret = blake3::derive_key("weft-sim invitation", &number.to_le_bytes());
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        let invitation = Invitation {
            mesh_id: self.mesh_id,
            id,
            secret,
            addresses: Vec::new(),
            site: "plant-1".parse().expect("a valid name"),
            labels: Vec::new(),
            expires_s,
        };
        self.invitations.push(invitation.clone());
        invitation
    }

    /// Enrolls the node that asks, or says why not.
    pub fn answer(&mut self, request: &JoinRequest, now_s: u64) -> Result<Vec<u8>, String> {
        self.asked += 1;
        let mut known = self.invitations.iter();
        let invitation = known.find(|one| one.id == request.invitation);
        let invitation = invitation.ok_or("no such invitation was given out here")?;
        if !request.is_by_holder(&invitation.secret, &self.mesh_id) {
            return Err("the code is not that of the invitation".to_owned());
        }
        if now_s > invitation.expires_s {
            return Err("the invitation has expired".to_owned());
        }
        let user = *self.used.entry(invitation.id).or_insert(request.node);
        if user != request.node {
            return Err("another node has used the invitation".to_owned());
        }
        let record = enrolment(request.node, 0, NOW_S + 10 * YEAR_S);
        let envelope = seal(
            Kind::Enroll,
            self.mesh_id,
            codec::encode(&record),
            &[&self.key],
        );
        Ok(envelope.encode())
    }
}

pub(crate) fn enrolment(node: PublicKey, number: u32, expires_s: u64) -> Enroll {
    Enroll {
        node,
        number,
        site: "plant-1".parse().expect("a valid name"),
        owner: "works".parse().expect("a valid name"),
        labels: Vec::new(),
        class: "box".parse().expect("a valid name"),
        issued_at_s: NOW_S,
        expires_s,
    }
}
