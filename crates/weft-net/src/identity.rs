//! A peer's key and its libp2p name are the same 32 bytes.

use libp2p::PeerId;
use weft_core::Peer;

/// An identity multihash (code 0, 36 bytes) of the protobuf (type 1 = Ed25519,
/// then 32 bytes of data) that libp2p wraps a public key in.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// A peer's name as it ends addresses: `12D3KooW…`.
pub fn peer_name(peer: &Peer) -> String {
    peer_id(peer).to_base58()
}

/// The libp2p name of a peer.
pub(crate) fn peer_id(peer: &Peer) -> PeerId {
    let mut bytes = [0; 38];
    bytes[..6].copy_from_slice(&PREFIX);
    bytes[6..].copy_from_slice(peer.as_bytes());
    PeerId::from_bytes(&bytes).expect("an identity multihash of 36 bytes is a peer id")
}

/// The key behind a libp2p name, if it is a valid Ed25519 key.
pub(crate) fn peer(peer_id: &PeerId) -> Option<Peer> {
    let bytes = peer_id.to_bytes();
    let key: [u8; 32] = bytes.strip_prefix(&PREFIX)?.try_into().ok()?;
    Peer::from_bytes(&key).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    #[test]
    fn a_key_and_its_libp2p_name_are_one() {
        for seed in 0..32 {
            let secret = weft_keys::SecretKey::from_seed([seed; 32]);
            let name = Keypair::ed25519_from_bytes([seed; 32])
                .unwrap()
                .public()
                .to_peer_id();
            assert_eq!(peer_id(&secret.public()), name);
            assert_eq!(peer_name(&secret.public()), name.to_string());
            assert_eq!(peer(&name), Some(secret.public()));
        }
    }

    #[test]
    fn a_name_that_is_no_good_ed25519_key_has_no_peer() {
        // A random name is a hash; the identity point is a key of small order.
        assert_eq!(peer(&PeerId::random()), None);
        let mut bytes = [0; 38];
        bytes[..6].copy_from_slice(&PREFIX);
        bytes[6] = 1;
        assert_eq!(peer(&PeerId::from_bytes(&bytes).unwrap()), None);
    }
}
