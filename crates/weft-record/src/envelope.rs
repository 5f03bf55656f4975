//! The signed envelope: an opaque body, what it is, for which mesh, and who signed.

use serde::{Deserialize, Serialize};
use weft_keys::{PublicKey, SecretKey, Signature};

use crate::{
    codec,
    hash::{MeshId, RecordId},
    refusal::Refusal,
};

/// The version of the envelope and of every kind in it.
pub const VERSION: u8 = 1;
/// Longest encoded envelope.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;
/// Most signatures of one envelope: more keys than a role can have.
pub const MAX_SIGNATURES: usize = 64;

/// In front of everything that is signed, so that no other protocol's signature fits.
const SIGNING_DOMAIN: &[u8] = b"weft v1 record signature\0";

/// What a record is. Unknown kinds are neither stored nor forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// Keys, roles and rules of the mesh.
    Root = 1,
    /// A model with its files.
    Release = 2,
    /// Which release a channel points to.
    Head = 3,
}

impl Kind {
    /// The kind of this number, if it is known.
    pub fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Root),
            2 => Some(Self::Release),
            3 => Some(Self::Head),
            _ => None,
        }
    }
}

/// A record as it travels and is stored. The body is kept exactly as received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`VERSION`].
    pub v: u8,
    /// The number of a [`Kind`].
    pub kind: u8,
    /// The mesh that it is for.
    pub mesh_id: MeshId,
    /// The encoded record.
    pub body: Vec<u8>,
    /// Strictly increasing by key: of one key at most one signature.
    pub sigs: Vec<(PublicKey, Signature)>,
}

impl Envelope {
    /// An unsigned envelope.
    pub fn new(kind: Kind, mesh_id: MeshId, body: Vec<u8>) -> Self {
        Self { v: VERSION, kind: kind as u8, mesh_id, body, sigs: Vec::new() }
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Checks size, encoding, version, kind and the order of signatures; verifies none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(Refusal::TooLarge { bytes: bytes.len() });
        }
        let envelope: Self = codec::decode(bytes, MAX_RECORD_BYTES)?;
        if envelope.v != VERSION || Kind::of(envelope.kind).is_none() {
            return Err(Refusal::UnknownKind { v: envelope.v, kind: envelope.kind });
        }
        let increasing = envelope.sigs.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !increasing || envelope.sigs.len() > MAX_SIGNATURES {
            return Err(Refusal::Signatures);
        }
        Ok(envelope)
    }

    /// The record's name: what it says, not who signed it.
    pub fn record_id(&self) -> RecordId {
        record_id(self.kind, &self.body)
    }

    /// What every signature of this envelope signs.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = SIGNING_DOMAIN.to_vec();
        bytes.extend([self.v, self.kind]);
        bytes.extend(self.mesh_id.0);
        bytes.extend(self.record_id().0);
        bytes
    }

    /// Adds this key's signature.
    pub fn sign(&mut self, key: &SecretKey) {
        let signature = key.sign(&self.signed_bytes());
        self.add_signature(key.public(), signature);
    }

    /// Adds the signatures of another copy of the same record; true if one was new.
    pub fn merge_signatures(&mut self, other: &[(PublicKey, Signature)]) -> bool {
        let before = self.sigs.clone();
        for (key, signature) in other {
            self.add_signature(*key, *signature);
        }
        self.sigs != before
    }

    /// Of one key the smaller signature stays, whatever the order of arrival.
    fn add_signature(&mut self, key: PublicKey, signature: Signature) {
        match self.sigs.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => self.sigs[at].1 = self.sigs[at].1.min(signature),
            Err(at) => self.sigs.insert(at, (key, signature)),
        }
    }
}

/// `BLAKE3 derive_key("weft v1 record <kind>", body)`.
pub(crate) fn record_id(kind: u8, body: &[u8]) -> RecordId {
    RecordId(blake3::derive_key(&format!("weft v1 record {kind}"), body))
}

/// Encodes a body, wraps and signs it.
pub fn seal<T: Serialize>(kind: Kind, mesh_id: MeshId, body: &T, keys: &[&SecretKey]) -> Envelope {
    let mut envelope = Envelope::new(kind, mesh_id, codec::encode(body));
    for key in keys {
        envelope.sign(key);
    }
    envelope
}
