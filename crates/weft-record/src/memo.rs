use std::collections::BTreeMap;

use weft_keys::{PublicKey, Signature};

use crate::bounds::MAX_MEMO_ENTRIES;

/// Results of signature checks, so that a record that comes again, or is looked at
/// again under a new root, costs no second check. Bounded: the older half is
/// forgotten when it is full.
///
/// It is owned by whoever drives the verifier; several verifiers may share one.
#[derive(Clone, Debug, Default)]
pub struct Memo {
    young: BTreeMap<[u8; 32], bool>,
    old: BTreeMap<[u8; 32], bool>,
    checks: u64,
}

impl Memo {
    /// How many signatures were really checked.
    pub fn checks(&self) -> u64 {
        self.checks
    }

    /// Whether the signature is this key's over these bytes.
    pub(crate) fn verify(
        &mut self,
        key: &PublicKey,
        message: &[u8],
        signature: &Signature,
    ) -> bool {
        let place = place_of(key, message, signature);
        if let Some(result) = self.young.get(&place) {
            return *result;
        }
        let result = if let Some(result) = self.old.remove(&place) {
            result
        } else {
            self.checks += 1;
            key.verify_strict(message, signature).is_ok()
        };
        if self.young.len() >= MAX_MEMO_ENTRIES / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, result);
        result
    }
}

/// One name for key, exact bytes and signature.
fn place_of(key: &PublicKey, message: &[u8], signature: &Signature) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(blake3::hash(message).as_bytes());
    hasher.update(signature.as_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use weft_keys::SecretKey;

    use super::*;

    #[test]
    fn checks_each_signature_once_and_stays_bounded() {
        let key = SecretKey::from_seed([1; 32]);
        let (mut memo, signature) = (Memo::default(), key.sign(b"weft"));
        for _ in 0..3 {
            assert!(memo.verify(&key.public(), b"weft", &signature));
            assert!(!memo.verify(&key.public(), b"other", &signature));
        }
        assert_eq!(memo.checks(), 2);
        memo.young = (0..MAX_MEMO_ENTRIES as u64 / 2)
            .map(|number| (*blake3::hash(&number.to_le_bytes()).as_bytes(), true))
            .collect();
        assert!(memo.verify(&key.public(), b"weft", &signature));
        assert_eq!(
            memo.checks(),
            3,
            "it was forgotten with the generation it was in"
        );
        assert_eq!(
            (memo.young.len(), memo.old.len()),
            (1, MAX_MEMO_ENTRIES / 2)
        );
    }
}
