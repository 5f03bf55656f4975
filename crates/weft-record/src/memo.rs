//! What a verifier looked at before and need not look at again.

use weft_keys::{PublicKey, Signature};

use crate::{
    Enroll, Envelope, Head, RecordId, Refusal, Release, Root, Verified,
    bounds::{MAX_MEMO_ENTRIES, MAX_MEMO_RECORD_BYTES, MAX_MEMO_RECORDS},
    generations::Generations,
    trust::Decoded,
};

/// Results of signature checks, so that a record that comes again, or is looked at
/// again under a new root, costs no second check; and records as they were decoded.
/// Bounded: the older half is forgotten when it is full.
///
/// It is owned by whoever drives the verifier; several verifiers may share one, and then
/// hold each record only once in memory.
#[derive(Clone, Debug, Default)]
pub struct Memo(Option<Box<Tables>>);

/// Made when they are first needed: most of many verifiers are lent those of another.
#[derive(Clone, Debug)]
struct Tables {
    checked: Generations<bool>,
    checks: u64,
    decoded: Generations<Decoded>,
    shelf: Shelf,
}

/// Records that were accepted, by name.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    roots: Generations<Verified<Root>>,
    releases: Generations<Verified<Release>>,
    heads: Generations<Verified<Head>>,
    enrolments: Generations<Verified<Enroll>>,
}

impl Tables {
    fn new(checks: usize, records: usize) -> Self {
        Self {
            checked: Generations::new(checks),
            checks: 0,
            decoded: Generations::new(records),
            shelf: Shelf {
                roots: Generations::new(records),
                releases: Generations::new(records),
                heads: Generations::new(records),
                enrolments: Generations::new(records),
            },
        }
    }
}

impl Memo {
    /// One that remembers so many signature checks and so many records of each kind: for
    /// whoever drives many verifiers.
    pub fn with_capacity(checks: usize, records: usize) -> Self {
        Self(Some(Box::new(Tables::new(checks, records))))
    }

    /// How many signatures were really checked.
    pub fn checks(&self) -> u64 {
        self.0.as_ref().map_or(0, |tables| tables.checks)
    }

    /// Whether the signature is this key's over these bytes.
    pub(crate) fn verify(
        &mut self,
        key: &PublicKey,
        message: &[u8],
        signature: &Signature,
    ) -> bool {
        let (place, tables) = (place_of(key, message, signature), self.tables());
        if let Some(result) = tables.checked.get(&place) {
            return *result;
        }
        tables.checks += 1;
        let result = key.verify_strict(message, signature).is_ok();
        tables.checked.insert(place, result);
        result
    }

    /// Takes an encoded envelope and its body apart. Whether its signatures count is for
    /// [`Trust`](crate::Trust) to say.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, Refusal> {
        if bytes.len() > MAX_MEMO_RECORD_BYTES {
            return Decoded::new(Envelope::decode(bytes)?);
        }
        let (place, tables) = (*blake3::hash(bytes).as_bytes(), self.tables());
        if let Some(decoded) = tables.decoded.get(&place) {
            return Ok(decoded.clone());
        }
        let decoded = Decoded::new(Envelope::decode(bytes)?)?;
        tables.decoded.insert(place, decoded.clone());
        Ok(decoded)
    }

    /// An accepted record, once for all verifiers that share this.
    pub(crate) fn shelve<T: Shelved>(
        &mut self,
        record: T,
        id: RecordId,
        envelope: Envelope,
        admitted_at_s: u64,
    ) -> Verified<T> {
        let shelf = T::shelf(&mut self.tables().shelf);
        if let Some(held) = shelf.get(id.as_bytes())
            && *held.envelope() == envelope
        {
            return held.admitted_at(admitted_at_s);
        }
        let short = envelope.body.len() <= MAX_MEMO_RECORD_BYTES;
        let record = Verified::new(record, id, envelope, admitted_at_s);
        if short {
            shelf.insert(*id.as_bytes(), record.clone());
        }
        record
    }

    fn tables(&mut self) -> &mut Tables {
        self.0
            .get_or_insert_with(|| Box::new(Tables::new(MAX_MEMO_ENTRIES, MAX_MEMO_RECORDS)))
    }
}

/// Kinds of which every node of a mesh holds many of the same.
pub(crate) trait Shelved: Sized {
    fn shelf(shelf: &mut Shelf) -> &mut Generations<Verified<Self>>;
}

impl Shelved for Root {
    fn shelf(shelf: &mut Shelf) -> &mut Generations<Verified<Self>> {
        &mut shelf.roots
    }
}

impl Shelved for Release {
    fn shelf(shelf: &mut Shelf) -> &mut Generations<Verified<Self>> {
        &mut shelf.releases
    }
}

impl Shelved for Head {
    fn shelf(shelf: &mut Shelf) -> &mut Generations<Verified<Self>> {
        &mut shelf.heads
    }
}

impl Shelved for Enroll {
    fn shelf(shelf: &mut Shelf) -> &mut Generations<Verified<Self>> {
        &mut shelf.enrolments
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
        for number in 0..MAX_MEMO_ENTRIES as u64 {
            let place = *blake3::hash(&number.to_le_bytes()).as_bytes();
            memo.tables().checked.insert(place, true);
        }
        assert!(memo.verify(&key.public(), b"weft", &signature));
        assert_eq!(memo.checks(), 3, "it was forgotten");
        assert!(memo.tables().checked.len() <= MAX_MEMO_ENTRIES);
    }
}
