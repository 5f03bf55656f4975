//! Signatures by keys that no root names yet: they wait, since a rotation may be on its
//! way, and are passed on to nobody.

use std::collections::BTreeMap;

use weft_keys::{PublicKey, Signature};

use crate::{
    Envelope, Memo, RecordId,
    bounds::{MAX_SPARE_RECORDS, MAX_SPARE_SIGNATURES},
};

/// Bounded; what does not fit is dropped and may come again.
#[derive(Clone, Debug, Default)]
pub(super) struct Spare {
    records: BTreeMap<RecordId, BTreeMap<PublicKey, Signature>>,
}

impl Spare {
    /// Keeps what verifies over the message, of two by one key the smaller: nobody can put
    /// rubbish in the place of what waits.
    pub(super) fn keep(
        &mut self,
        id: RecordId,
        message: &[u8],
        signatures: Vec<(PublicKey, Signature)>,
        memo: &mut Memo,
    ) {
        let mut signatures = signatures;
        signatures.retain(|(key, signature)| memo.verify(key, message, signature));
        if signatures.is_empty() {
            return;
        }
        if self.records.len() >= MAX_SPARE_RECORDS && !self.records.contains_key(&id) {
            self.records.pop_first();
        }
        let held = self.records.entry(id).or_default();
        for (key, signature) in signatures {
            let known = held.get(&key);
            let better = known.map_or(held.len() < MAX_SPARE_SIGNATURES, |known| {
                signature < *known
            });
            if better {
                held.insert(key, signature);
            }
        }
    }

    /// Puts what waits for this record back into its envelope.
    pub(super) fn return_to(&self, id: &RecordId, envelope: &mut Envelope) {
        let Some(held) = self.records.get(id) else {
            return;
        };
        let other = Envelope {
            sigs: held
                .iter()
                .map(|(key, signature)| (*key, *signature))
                .collect(),
            ..envelope.clone()
        };
        envelope.merge_signatures(&other);
    }
}
