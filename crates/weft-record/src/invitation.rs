use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use weft_keys::PublicKey;

use crate::{
    Invalid, Label, MeshId, Name,
    bounds::{MAX_ADDRESS_BYTES, MAX_ADDRESSES, MAX_INVITATION_BYTES, MAX_LABELS},
    check,
    codec::{self, CodecError},
    label,
};

/// What an admin hands to the owner of a new node. Its secret is never sent: the node
/// shows a code made with it, so that who listens or passes it on cannot join in its place.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The mesh.
    pub mesh_id: MeshId,
    /// Names the invitation.
    pub id: [u8; 16],
    /// Known to the admin's node and the holder alone.
    pub secret: [u8; 32],
    /// Where members listen, each with the peer id that must answer there.
    pub addresses: Vec<String>,
    /// The site that the node will be at.
    pub site: Name,
    /// Labels that it will have, sorted.
    pub labels: Vec<Label>,
    /// Until when it can be used.
    pub expires_s: u64,
}

/// What a node sends in order to join.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The node's key: the one that its connection proves.
    pub node: PublicKey,
    /// Which invitation it holds.
    pub invitation: [u8; 16],
    /// Keyed BLAKE3 of the invitation's secret over mesh, node and invitation.
    pub code: [u8; 32],
}

/// Text that is no invitation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvitationError {
    /// It does not begin as one.
    #[error("an invitation begins with {INVITATION_PREFIX:?}")]
    Prefix,
    /// A character that is no hexadecimal digit, or half a byte.
    #[error(
        "what follows {INVITATION_PREFIX:?} must be hexadecimal digits: it was cut or mistyped"
    )]
    Digits,
    /// The sum at its end is wrong.
    #[error("its check sum is wrong: it was cut or mistyped")]
    CheckSum,
    /// It cannot be decoded.
    #[error(transparent)]
    Malformed(#[from] CodecError),
    /// A field is not allowed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// What the text of an invitation begins with.
pub const INVITATION_PREFIX: &str = "weft-invitation-1-";

impl Invitation {
    /// The request of this node.
    pub fn request(&self, node: PublicKey) -> JoinRequest {
        JoinRequest {
            node,
            invitation: self.id,
            code: join_code(&self.secret, &self.mesh_id, &node, &self.id),
        }
    }

    /// Checks its fields.
    pub fn check(&self) -> Result<(), Invalid> {
        check::length("addresses", self.addresses.len(), 0, MAX_ADDRESSES)?;
        for address in &self.addresses {
            check::length("an address", address.len(), 1, MAX_ADDRESS_BYTES)?;
            check::text("an address", address, MAX_ADDRESS_BYTES)?;
        }
        label::check("an invitation's labels", &self.labels, MAX_LABELS)
    }
}

/// The text that travels: prefix, hexadecimal digits, four bytes of check sum.
impl fmt::Display for Invitation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = codec::encode(self);
        formatter.write_str(INVITATION_PREFIX)?;
        let sum = check_sum(&bytes);
        let mut all = bytes.iter().chain(&sum);
        all.try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    fn from_str(text: &str) -> Result<Self, InvitationError> {
        let digits = text
            .trim()
            .strip_prefix(INVITATION_PREFIX)
            .ok_or(InvitationError::Prefix)?;
        if !digits.len().is_multiple_of(2) || digits.len() > 2 * MAX_INVITATION_BYTES {
            return Err(InvitationError::Digits);
        }
        let pairs = digits.as_bytes().chunks_exact(2);
        let bytes: Option<Vec<u8>> = pairs.map(|pair| byte_of(pair[0], pair[1])).collect();
        let bytes = bytes.ok_or(InvitationError::Digits)?;
        let (body, sum) = bytes
            .split_last_chunk::<4>()
            .ok_or(InvitationError::CheckSum)?;
        if check_sum(body) != *sum {
            return Err(InvitationError::CheckSum);
        }
        let invitation: Self = codec::decode(body, MAX_INVITATION_BYTES)?;
        invitation.check()?;
        Ok(invitation)
    }
}

/// Never shows the secret.
impl fmt::Debug for Invitation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Invitation")
            .field("mesh_id", &self.mesh_id)
            .field("site", &self.site)
            .field("expires_s", &self.expires_s)
            .finish_non_exhaustive()
    }
}

impl JoinRequest {
    /// Whether its sender knows the secret of this invitation.
    pub fn is_by_holder(&self, secret: &[u8; 32], mesh_id: &MeshId) -> bool {
        let expected = join_code(secret, mesh_id, &self.node, &self.invitation);
        // blake3's own comparison takes the same time whatever differs
        blake3::Hash::from_bytes(expected) == blake3::Hash::from_bytes(self.code)
    }
}

fn join_code(secret: &[u8; 32], mesh_id: &MeshId, node: &PublicKey, id: &[u8; 16]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher
        .update(b"weft v1 join request\0")
        .update(mesh_id.as_bytes())
        .update(node.as_bytes())
        .update(id);
    *hasher.finalize().as_bytes()
}

fn check_sum(bytes: &[u8]) -> [u8; 4] {
    let mut sum = [0; 4];
    blake3::Hasher::new_derive_key("weft v1 invitation check sum")
        .update(bytes)
        .finalize_xof()
        .fill(&mut sum);
    sum
}

fn byte_of(high: u8, low: u8) -> Option<u8> {
    let digit = |character: u8| char::from(character).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}
