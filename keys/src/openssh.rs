//! OpenSSH's one-line public keys: `ssh-ed25519 AAAA… comment`.

use ssh_key::public::{Ed25519PublicKey, KeyData};

use crate::{KeyError, PublicKey};

/// Longest line that is read: an Ed25519 key takes 80 characters, the rest is comment.
const MAX_LINE_BYTES: usize = 1024;
/// Longest comment or identity that is written.
const MAX_WORD_BYTES: usize = 256;

/// Why a line is no public key, or cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpensshError {
    /// Not in this format, or another kind of key.
    #[error("not an OpenSSH public key of Ed25519 on one line: {0}")]
    Format(String),
    /// A key that must not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A comment that would break its line.
    #[error("a comment is one line of at most {MAX_WORD_BYTES} bytes without control characters")]
    Comment,
    /// An identity that an `allowed_signers` file would read as something else.
    #[error("an identity is 1 to {MAX_WORD_BYTES} letters, digits and any of . _ - + @")]
    Identity,
}

/// Reads `ssh-ed25519 AAAA… comment`.
pub fn parse_public(line: &str) -> Result<PublicKey, OpensshError> {
    let line = line.trim();
    if line.len() > MAX_LINE_BYTES {
        let why = format!("it is longer than {MAX_LINE_BYTES} bytes");
        return Err(OpensshError::Format(why));
    }
    if line.contains(['\n', '\r']) {
        return Err(OpensshError::Format("there is a second line".to_owned()));
    }
    let key = ssh_key::PublicKey::from_openssh(line)
        .map_err(|error| OpensshError::Format(error.to_string()))?;
    let public = from_key_data(key.key_data())?;
    // the library takes more than one spelling of a length
    let mut words = line.split_whitespace();
    let given = (words.next(), words.next());
    let spelled = public_line(&public, "")?;
    if given == (spelled.split(' ').next(), spelled.split(' ').nth(1)) {
        Ok(public)
    } else {
        let why = "it is spelled in another way than OpenSSH does".to_owned();
        Err(OpensshError::Format(why))
    }
}

/// Writes `ssh-ed25519 AAAA… comment`, without the end of the line.
pub fn public_line(key: &PublicKey, comment: &str) -> Result<String, OpensshError> {
    if comment.len() > MAX_WORD_BYTES || comment.chars().any(char::is_control) {
        return Err(OpensshError::Comment);
    }
    ssh_key::PublicKey::new(key_data(key), comment.trim())
        .to_openssh()
        .map_err(|error| OpensshError::Format(error.to_string()))
}

/// Writes a line of an `allowed_signers` file, by which `ssh-keygen -Y verify` knows who
/// may sign, without its end.
pub fn allowed_signer_line(key: &PublicKey, identity: &str) -> Result<String, OpensshError> {
    // blanks, quotes, commas, wildcards and # mean something in that file
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+@".contains(c);
    let fits = (1..=MAX_WORD_BYTES).contains(&identity.len());
    if !fits || !identity.chars().all(plain) {
        return Err(OpensshError::Identity);
    }
    Ok(format!("{identity} {}", public_line(key, "")?))
}

pub(crate) fn key_data(key: &PublicKey) -> KeyData {
    KeyData::Ed25519(Ed25519PublicKey(*key.as_bytes()))
}

pub(crate) fn from_key_data(data: &KeyData) -> Result<PublicKey, OpensshError> {
    let key = data
        .ed25519()
        .ok_or_else(|| OpensshError::Format(format!("it is of kind {}", data.algorithm())))?;
    Ok(PublicKey::from_bytes(&key.0)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::SecretKey;

    fn key() -> PublicKey {
        SecretKey::from_seed([7; 32]).public()
    }

    #[test]
    fn what_is_written_is_read_with_and_without_comment() {
        for comment in ["", "admin@site", "two words"] {
            let line = public_line(&key(), comment).unwrap();
            assert!(
                line.starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"),
                "{line}"
            );
            assert!(line.ends_with(comment), "{line}");
            assert_eq!(parse_public(&line), Ok(key()));
            assert_eq!(parse_public(&format!("{line}\n")), Ok(key()));
        }
    }

    #[test]
    fn refuses_comments_and_identities_that_mean_something_else() {
        let two_lines = public_line(&key(), "a\nssh-ed25519 x");
        assert_eq!(two_lines, Err(OpensshError::Comment));
        for identity in ["", "a b", "*", "a,b", "\"a\"", "#a", "cert-authority "] {
            let refused = allowed_signer_line(&key(), identity);
            assert_eq!(refused, Err(OpensshError::Identity), "{identity:?}");
        }
        let line = allowed_signer_line(&key(), "admin@site").unwrap();
        assert!(line.starts_with("admin@site ssh-ed25519 AAAA"), "{line}");
    }

    #[test]
    fn refuses_other_kinds_weak_keys_and_second_lines() {
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABB\
            BHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";
        assert!(matches!(parse_public(ecdsa), Err(OpensshError::Format(_))));
        let weak = ssh_key::PublicKey::new(KeyData::Ed25519(Ed25519PublicKey([0; 32])), "");
        assert_eq!(
            parse_public(&weak.to_openssh().unwrap()),
            Err(OpensshError::Key(KeyError::SmallOrder))
        );
        let line = public_line(&key(), "").unwrap();
        let two = parse_public(&format!("{line}\n{line}\n"));
        assert!(matches!(two, Err(OpensshError::Format(_))), "{two:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            let _ = parse_public(&text);
        }

        #[test]
        fn a_changed_line_is_never_taken_for_the_same_key_with_another_spelling(
            at in 0_usize..80, byte in 0x20_u8..0x7f,
        ) {
            let line = public_line(&key(), "").unwrap();
            let mut changed = line.clone().into_bytes();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            if let Ok(read) = parse_public(&changed) {
                prop_assert_eq!(read == key(), changed == line);
            }
        }

        #[test]
        fn a_line_cut_short_is_refused(length in 0_usize..80) {
            let line = public_line(&key(), "").unwrap();
            prop_assert!(parse_public(&line[..length]).is_err());
        }
    }
}
