use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use zeroize::Zeroizing;

use crate::{KeyError, PublicKey, Signature};

/// An Ed25519 secret key; wiped from memory when dropped, never printed.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// A new key from the operating system's random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|_| KeyError::NoRandomness)?;
        Ok(Self::from_seed(*seed))
    }

    /// The key of a known seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        Self(SigningKey::from_bytes(&seed))
    }

    /// The seed: all there is to this key.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey::from_point(&self.0.verifying_key())
    }

    /// Signs a message; it should begin with one of [`crate::domain`]'s strings.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature::from_bytes(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretKey(of {})", self.public())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn signs_as_rfc_8032_says() {
        // RFC 8032, 7.1, TEST 2
        let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        let key = SecretKey::from_seed(crate::hex::read(seed).unwrap());
        assert_eq!(key.public().to_string(), public);
        assert_eq!(key.sign(&[0x72]).to_string(), signature);
    }

    #[test]
    fn verifies_its_own_signature_and_no_changed_one() {
        let key = SecretKey::generate().unwrap();
        let signature = key.sign(b"message");
        assert_eq!(key.public().verify_strict(b"message", &signature), Ok(()));
        assert_eq!(
            key.public().verify_strict(b"massage", &signature),
            Err(KeyError::BadSignature)
        );
        let mut bytes = *signature.as_bytes();
        bytes[40] ^= 1;
        let changed = Signature::from_bytes(bytes);
        assert_eq!(
            key.public().verify_strict(b"message", &changed),
            Err(KeyError::BadSignature)
        );
    }

    #[test]
    fn two_generated_keys_differ() {
        assert_ne!(
            SecretKey::generate().unwrap().public(),
            SecretKey::generate().unwrap().public()
        );
    }

    #[test]
    fn never_prints_its_seed() {
        let key = SecretKey::from_seed([0xab; 32]);
        assert!(!format!("{key:?}").contains("abab"));
    }
}
