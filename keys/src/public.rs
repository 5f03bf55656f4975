use std::{fmt, str::FromStr};

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Signature, hex};

/// An Ed25519 public key that is a canonical point of large order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// Why bytes are no key, or a signature does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not 64 lower-case hexadecimal digits.
    #[error("a public key is 64 lower-case hexadecimal digits")]
    Text,
    /// Not on the curve.
    #[error("the public key is not a point of the curve")]
    NotAPoint,
    /// A second encoding of a point that has another, canonical one.
    #[error("the public key is not encoded canonically")]
    NotCanonical,
    /// A key for which signatures of any message can be made by anyone.
    #[error("the public key is of small order")]
    SmallOrder,
    /// The signature is not this key's over this message.
    #[error("the signature does not verify")]
    BadSignature,
    /// No key can be made.
    #[error("the operating system gives no random numbers")]
    NoRandomness,
}

impl PublicKey {
    /// Length in bytes.
    pub const LENGTH: usize = 32;

    /// Checks and takes a key's bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let point = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        if point.is_weak() {
            return Err(KeyError::SmallOrder);
        }
        // the decoder reduces a coordinate above the field's order in silence
        if !is_reduced(bytes) {
            return Err(KeyError::NotCanonical);
        }
        Ok(Self(*bytes))
    }

    /// The key's 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Verifies strictly: no malleable signature, no small-order component.
    pub fn verify_strict(&self, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        let point = VerifyingKey::from_bytes(&self.0).map_err(|_| KeyError::NotAPoint)?;
        let signature = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
        point
            .verify_strict(message, &signature)
            .map_err(|_| KeyError::BadSignature)
    }

    /// Only for keys that were derived from a secret key.
    pub(crate) fn from_point(point: &VerifyingKey) -> Self {
        Self(point.to_bytes())
    }
}

/// Whether the y coordinate is below the field's order, 2²⁵⁵ − 19. The other second
/// encodings, of an x of zero with a sign, are those of points of small order.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    high & 0x7f < 0x7f || middle.iter().any(|byte| *byte < 0xff) || *low < 0xed
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, formatter)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&hex::read(text).ok_or(KeyError::Text)?)
    }
}

/// Text for people (JSON), 32 bytes on the wire.
impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            let bytes = <[u8; 32]>::deserialize(deserializer)?;
            Self::from_bytes(&bytes).map_err(de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::SecretKey;

    fn bytes(text: &str) -> [u8; 32] {
        hex::read(text).unwrap()
    }

    /// The eight points of small order, as they are encoded canonically.
    const SMALL_ORDER: [&str; 8] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    ];

    #[test]
    fn refuses_every_point_of_small_order() {
        for text in SMALL_ORDER {
            assert_eq!(
                PublicKey::from_bytes(&bytes(text)),
                Err(KeyError::SmallOrder),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_a_second_encoding_of_a_point() {
        // y = p + 3 is a second encoding of y = 3, a point of large order
        let second = "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
        assert_eq!(
            PublicKey::from_bytes(&bytes(second)),
            Err(KeyError::NotCanonical)
        );
        let mut canonical = [0; 32];
        canonical[0] = 3;
        assert!(PublicKey::from_bytes(&canonical).is_ok());
    }

    #[test]
    fn whatever_is_taken_is_the_encoding_of_its_point() {
        // all that lie near the field's order, with both signs, and some others
        let near = (0..=255).map(|low| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, 0x7f);
            bytes
        });
        let small = (0..=255).map(|low| {
            let mut bytes = [0; 32];
            bytes[0] = low;
            bytes
        });
        let mut taken = 0;
        for mut bytes in near.chain(small) {
            for sign in [0, 0x80] {
                bytes[31] = bytes[31] & 0x7f | sign;
                if PublicKey::from_bytes(&bytes).is_ok() {
                    let point = VerifyingKey::from_bytes(&bytes).unwrap();
                    assert_eq!(point.to_edwards().compress().as_bytes(), &bytes);
                    taken += 1;
                } else if let Ok(point) = VerifyingKey::from_bytes(&bytes) {
                    let other = point.to_edwards().compress().as_bytes() != &bytes;
                    assert!(other || point.is_weak(), "{bytes:?}");
                }
            }
        }
        assert!(taken > 300, "{taken}");
    }

    #[test]
    fn refuses_what_is_not_on_the_curve() {
        let mut off = [0; 32];
        off[0] = 2;
        assert_eq!(PublicKey::from_bytes(&off), Err(KeyError::NotAPoint));
    }

    #[test]
    fn reads_back_its_own_text_and_no_other() {
        let key = SecretKey::from_seed([7; 32]).public();
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key));
        assert_eq!(
            text.to_uppercase().parse::<PublicKey>(),
            Err(KeyError::Text)
        );
        assert_eq!(text[1..].parse::<PublicKey>(), Err(KeyError::Text));
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);
    }
}
