//! Signatures by keys that no root names yet: they wait, since a rotation may be on its
//! way, and are passed on to nobody.

use std::collections::BTreeMap;

use weft_keys::{PublicKey, Signature};

use crate::{
    Envelope, RecordId,
    bounds::{MAX_SPARE_RECORDS, MAX_SPARE_SIGNATURES},
};

/// Bounded; what does not fit is dropped and may come again.
#[derive(Clone, Debug, Default)]
pub(super) struct Spare {
    records: BTreeMap<RecordId, BTreeMap<PublicKey, Signature>>,
}

impl Spare {
    pub(super) fn keep(&mut self, id: RecordId, signatures: Vec<(PublicKey, Signature)>) {
        if signatures.is_empty() {
            return;
        }
        if self.records.len() >= MAX_SPARE_RECORDS && !self.records.contains_key(&id) {
            self.records.pop_first();
        }
        let held = self.records.entry(id).or_default();
        for (key, signature) in signatures {
            if held.len() < MAX_SPARE_SIGNATURES || held.contains_key(&key) {
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
