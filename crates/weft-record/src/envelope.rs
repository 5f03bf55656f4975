use serde::{Deserialize, Serialize};
use weft_keys::{PublicKey, SecretKey, Signature, domain};

use crate::{
    HistoryProof, Kind, MeshId, RecordId, Refusal,
    bounds::{MAX_ENVELOPE_BYTES, MAX_PROOF_HASHES, MAX_RECORD_BYTES, MAX_SIGNATURES},
    codec::{self, byte_string},
};

/// The version of the envelope.
pub const ENVELOPE_VERSION: u8 = 1;
/// Stands first where a proof of history precedes the envelope.
const PROVEN: u8 = 128;

/// A record as it travels and is kept: the body exactly as it was signed, and
/// the signatures over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Version of the envelope.
    pub v: u8,
    /// What the body is, by number.
    pub kind: u8,
    /// The mesh.
    pub mesh_id: MeshId,
    /// The encoded record.
    pub body: Vec<u8>,
    /// Signatures, sorted by key, one a key.
    pub sigs: Vec<(PublicKey, Signature)>,
    /// For a head far ahead of the verifier: that it continues the verifier's line. Not
    /// signed, since it needs no trust.
    pub proof: Option<HistoryProof>,
}

impl Envelope {
    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let plain = self.encode_plain();
        match &self.proof {
            None => plain,
            Some(proof) => codec::encode(&Proven {
                mark: PROVEN,
                proof: proof.clone(),
                envelope: plain,
            }),
        }
    }

    fn encode_plain(&self) -> Vec<u8> {
        let sigs = self
            .sigs
            .iter()
            .map(|(key, signature)| (*key.as_bytes(), *signature))
            .collect();
        codec::encode(&Wire {
            v: self.v,
            kind: self.kind,
            mesh_id: self.mesh_id,
            body: self.body.clone(),
            sigs,
        })
    }

    /// Takes an envelope apart; whether its signatures count is for
    /// [`Trust`](crate::Trust) to say.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.first() != Some(&PROVEN) {
            return Self::decode_plain(bytes);
        }
        let malformed = |source| Refusal::Malformed {
            part: "proof",
            source,
        };
        let proven: Proven = codec::decode(bytes, MAX_ENVELOPE_BYTES).map_err(malformed)?;
        let hashes = proven.proof.subtrees.len();
        if hashes > MAX_PROOF_HASHES {
            return Err(Refusal::TooLong {
                bytes: hashes * 32,
                limit: MAX_PROOF_HASHES * 32,
            });
        }
        let envelope = Self::decode_plain(&proven.envelope)?;
        if envelope.kind != Kind::Head.number() {
            return Err(Refusal::UnknownKind(envelope.kind));
        }
        Ok(Self {
            proof: Some(proven.proof),
            ..envelope
        })
    }

    fn decode_plain(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(Refusal::TooLong {
                bytes: bytes.len(),
                limit: MAX_RECORD_BYTES,
            });
        }
        // version and kind stand first, so that a later form is told from a broken one
        if let Some(version) = bytes
            .first()
            .filter(|version| **version != ENVELOPE_VERSION)
        {
            return Err(Refusal::UnknownVersion(*version));
        }
        if let Some(kind) = bytes
            .get(1)
            .filter(|kind| Kind::from_number(**kind).is_none())
        {
            return Err(Refusal::UnknownKind(*kind));
        }
        let wire: Wire =
            codec::decode(bytes, MAX_RECORD_BYTES).map_err(|source| Refusal::Malformed {
                part: "envelope",
                source,
            })?;
        if wire.sigs.len() > MAX_SIGNATURES {
            return Err(Refusal::TooManySignatures(wire.sigs.len()));
        }
        if !wire.sigs.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(Refusal::UnsortedSignatures);
        }
        let mut sigs = Vec::with_capacity(wire.sigs.len());
        for (key, signature) in wire.sigs {
            let key = PublicKey::from_bytes(&key).map_err(Refusal::WeakKey)?;
            sigs.push((key, signature));
        }
        Ok(Self {
            v: wire.v,
            kind: wire.kind,
            mesh_id: wire.mesh_id,
            body: wire.body,
            sigs,
            proof: None,
        })
    }

    /// The record's name: it does not depend on who signed.
    pub fn record_id(&self) -> RecordId {
        let context = format!("weft v1 record {}", self.kind);
        let mut hasher = blake3::Hasher::new_derive_key(&context);
        hasher.update(&self.body);
        RecordId(*hasher.finalize().as_bytes())
    }

    /// The bytes that every signature is over.
    pub fn signed_bytes(&self) -> Vec<u8> {
        self.signed_bytes_of(&self.record_id())
    }

    /// Adds this key's signature.
    pub fn sign(&mut self, key: &SecretKey) {
        let signature = key.sign(&self.signed_bytes());
        self.insert(key.public(), signature);
    }

    /// Adds the other's signatures of the same record; those that do not verify are
    /// left out, and of two by one key the smaller stays, so that any order of merging
    /// ends with the same envelope. Returns whether anything was added.
    pub fn merge_signatures(&mut self, other: &Self) -> bool {
        let same = self.v == other.v
            && self.kind == other.kind
            && self.mesh_id == other.mesh_id
            && self.body == other.body;
        if !same {
            return false;
        }
        let message = self.signed_bytes();
        let mut added = false;
        for (key, signature) in &other.sigs {
            let held = self.signature_of(key);
            let better = held
                .is_none_or(|held| signature < held || key.verify_strict(&message, held).is_err());
            let room = held.is_some() || self.has_room();
            if better && room && key.verify_strict(&message, signature).is_ok() {
                self.insert(*key, *signature);
                added = true;
            }
        }
        added
    }

    /// Whether one more signature keeps it within its bounds.
    pub(crate) fn has_room(&self) -> bool {
        self.sigs.len() < MAX_SIGNATURES
            && encoded_length(self.body.len(), self.sigs.len() + 1) <= MAX_RECORD_BYTES
    }

    pub(crate) fn signed_bytes_of(&self, id: &RecordId) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(domain::RECORD.len() + 2 + 64);
        bytes.extend_from_slice(domain::RECORD);
        bytes.push(self.v);
        bytes.push(self.kind);
        bytes.extend_from_slice(self.mesh_id.as_bytes());
        bytes.extend_from_slice(id.as_bytes());
        bytes
    }

    pub(crate) fn signature_of(&self, key: &PublicKey) -> Option<&Signature> {
        let found = self.sigs.binary_search_by(|(held, _)| held.cmp(key));
        found.ok().map(|index| &self.sigs[index].1)
    }

    pub(crate) fn insert(&mut self, key: PublicKey, signature: Signature) {
        match self.sigs.binary_search_by(|(held, _)| held.cmp(&key)) {
            Ok(index) => self.sigs[index].1 = signature,
            Err(index) => self.sigs.insert(index, (key, signature)),
        }
    }
}

/// Version, kind and mesh; two lengths of 8 bytes; the body; key and signature each.
pub(crate) fn encoded_length(body: usize, signatures: usize) -> usize {
    2 + 32 + 16 + body + signatures * (32 + 64)
}

/// The same fields with keys not yet checked, so that a weak one gets a name of its own.
#[derive(Serialize, Deserialize)]
struct Wire {
    v: u8,
    kind: u8,
    mesh_id: MeshId,
    #[serde(with = "byte_string")]
    body: Vec<u8>,
    sigs: Vec<([u8; 32], Signature)>,
}

/// An envelope after the proof that goes with it.
#[derive(Serialize, Deserialize)]
struct Proven {
    mark: u8,
    proof: HistoryProof,
    #[serde(with = "byte_string")]
    envelope: Vec<u8>,
}
