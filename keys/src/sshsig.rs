//! Detached signatures that `ssh-keygen -Y verify` checks, with nothing of weft installed.
//!
//! What is signed begins with `SSHSIG` and not with one of [`crate::domain`]'s texts, so
//! that neither passes for the other.

use std::io::{self, Read};

use sha2::{Digest, Sha256, Sha512};
use ssh_key::{Algorithm, HashAlg, LineEnding, SshSig};

use crate::{KeyError, OpensshError, PublicKey, SecretKey, Signature, openssh};

/// Longest namespace: a word or two, such as `file` or `release@weft`.
const MAX_NAMESPACE_BYTES: usize = 64;
/// Longest signature that is read: an Ed25519 one takes 300 bytes.
const MAX_ARMORED_BYTES: usize = 4096;
/// How much of a message is in memory at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Why nothing was signed, or a signature is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshsigError {
    /// The message cannot be read.
    #[error("the message cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A namespace says what a signature is for.
    #[error("a namespace is 1 to {MAX_NAMESPACE_BYTES} letters, digits and any of . _ - + @ /")]
    Namespace,
    /// Not a signature of this format, or one of another kind of key.
    #[error("not an SSH signature of an Ed25519 key: {0}")]
    Format(String),
    /// Made for something else.
    #[error("the signature is for `{0}`")]
    OtherNamespace(String),
    /// Made by a key that is not among those that may.
    #[error("the signature is by another key: {0}")]
    OtherKey(PublicKey),
    /// The key is one of those that may, and the message is another one.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Signs a message for a namespace: the armored text of a `.sig` file.
pub fn sign(key: &SecretKey, namespace: &str, message: impl Read) -> Result<String, SshsigError> {
    check_namespace(namespace)?;
    let hash = digest::<Sha512>(message)?;
    let signature = key.sign(&signed_data(namespace, HashAlg::Sha512, &hash));
    let format = |error: ssh_key::Error| SshsigError::Format(error.to_string());
    let signature =
        ssh_key::Signature::new(Algorithm::Ed25519, *signature.as_bytes()).map_err(format)?;
    let public = openssh::key_data(&key.public());
    SshSig::new(public, namespace, HashAlg::Sha512, signature)
        .and_then(|signed| signed.to_pem(LineEnding::LF))
        .map_err(format)
}

/// Verifies a signature of a message for a namespace by one of the keys that may make it;
/// tells which.
pub fn verify(
    armored: &str,
    allowed: &[PublicKey],
    namespace: &str,
    message: impl Read,
) -> Result<PublicKey, SshsigError> {
    check_namespace(namespace)?;
    let (signed, key) = parse(armored)?;
    if signed.namespace() != namespace {
        return Err(SshsigError::OtherNamespace(signed.namespace().to_owned()));
    }
    if !allowed.contains(&key) {
        return Err(SshsigError::OtherKey(key));
    }
    let hash = match signed.hash_alg() {
        HashAlg::Sha256 => digest::<Sha256>(message)?,
        HashAlg::Sha512 => digest::<Sha512>(message)?,
        other => return Err(SshsigError::Format(format!("it is over {other}"))),
    };
    let bytes = signed
        .signature_bytes()
        .try_into()
        .map_err(|_| KeyError::BadSignature)?;
    let data = signed_data(namespace, signed.hash_alg(), &hash);
    key.verify_strict(&data, &Signature::from_bytes(bytes))?;
    Ok(key)
}

fn check_namespace(namespace: &str) -> Result<(), SshsigError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+@/".contains(c);
    let fits = (1..=MAX_NAMESPACE_BYTES).contains(&namespace.len());
    if fits && namespace.chars().all(plain) {
        Ok(())
    } else {
        Err(SshsigError::Namespace)
    }
}

/// Reads a signature and whose it says it is; nothing of it is proven yet.
fn parse(armored: &str) -> Result<(SshSig, PublicKey), SshsigError> {
    let format = |reason: String| SshsigError::Format(reason);
    if armored.len() > MAX_ARMORED_BYTES {
        return Err(format(format!(
            "it is longer than {MAX_ARMORED_BYTES} bytes"
        )));
    }
    let signed = SshSig::from_pem(armored.trim()).map_err(|error| format(error.to_string()))?;
    let key = openssh::from_key_data(signed.public_key()).map_err(|error| match error {
        OpensshError::Key(error) => SshsigError::Key(error),
        error => format(error.to_string()),
    })?;
    if signed.algorithm() != Algorithm::Ed25519 || !signed.reserved().is_empty() {
        return Err(format("it holds something else".to_owned()));
    }
    // the library takes more than one spelling of a length
    let spelled = signed
        .to_pem(LineEnding::LF)
        .map_err(|error| format(error.to_string()))?;
    if spelled.trim().lines().eq(armored.trim().lines()) {
        Ok((signed, key))
    } else {
        Err(format(
            "it is spelled in another way than OpenSSH does".to_owned(),
        ))
    }
}

fn digest<D: Digest>(mut message: impl Read) -> io::Result<Vec<u8>> {
    let mut hasher = D::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match message.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().to_vec()),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What the key signs: OpenSSH's `PROTOCOL.sshsig`, section 3.
fn signed_data(namespace: &str, hash_alg: HashAlg, hash: &[u8]) -> Vec<u8> {
    let mut data = b"SSHSIG".to_vec();
    for field in [
        namespace.as_bytes(),
        &[],
        hash_alg.as_str().as_bytes(),
        hash,
    ] {
        data.extend_from_slice(&(field.len() as u32).to_be_bytes());
        data.extend_from_slice(field);
    }
    data
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed([seed; 32])
    }

    fn signed() -> String {
        sign(&key(7), "file", &b"message"[..]).unwrap()
    }

    fn check(armored: &str) -> Result<PublicKey, SshsigError> {
        let allowed = [key(8).public(), key(7).public()];
        verify(armored, &allowed, "file", &b"message"[..])
    }

    #[test]
    fn verifies_its_own_and_tells_who_signed() {
        assert_eq!(check(&signed()).unwrap(), key(7).public());
        assert_eq!(
            check(&signed().replace('\n', "\r\n")).unwrap(),
            key(7).public()
        );
    }

    #[test]
    fn refuses_another_message_namespace_or_key() {
        let allowed = [key(7).public()];
        let other = verify(&signed(), &allowed, "file", &b"massage"[..]);
        assert!(
            matches!(other, Err(SshsigError::Key(KeyError::BadSignature))),
            "{other:?}"
        );
        let other = verify(&signed(), &allowed, "mail", &b"message"[..]);
        assert!(
            matches!(&other, Err(SshsigError::OtherNamespace(is)) if is == "file"),
            "{other:?}"
        );
        for allowed in [&[][..], &[key(8).public()]] {
            let other = verify(&signed(), allowed, "file", &b"message"[..]);
            assert!(
                matches!(other, Err(SshsigError::OtherKey(is)) if is == key(7).public()),
                "{other:?}"
            );
        }
        for namespace in ["", "a b", "\u{e4}", &"x".repeat(65)] {
            let refused = sign(&key(7), namespace, io::empty());
            assert!(
                matches!(refused, Err(SshsigError::Namespace)),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_message_that_cannot_be_read_is_not_signed() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let refused = sign(&key(7), "file", Broken);
        assert!(matches!(refused, Err(SshsigError::Read(_))), "{refused:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_refused(text in "\\PC{0,300}") {
            prop_assert!(check(&text).is_err());
        }

        #[test]
        fn a_changed_character_is_refused(at in any::<prop::sample::Index>(), byte in 0x20_u8..0x7f) {
            let text = signed();
            let at = at.index(text.len());
            let mut changed = text.clone().into_bytes();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            if changed.trim() != text.trim() {
                prop_assert!(check(&changed).is_err());
            }
        }

        #[test]
        fn one_cut_short_is_refused(share in 0.0_f64..1.0) {
            let text = signed();
            let length = (share * (text.len() - 2) as f64) as usize;
            prop_assert!(check(&text[..length]).is_err());
        }
    }
}
