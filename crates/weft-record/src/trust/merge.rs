//! Further signatures of a record that was accepted before.

use weft_keys::PublicKey;

use super::{
    Admission, Trust,
    body::{Body, encoded_length},
};
use crate::{
    Envelope, Kind, Memo, RecordId, Refusal, Role,
    bounds::{MAX_RECORD_BYTES, MAX_SIGNATURES},
    line::Line,
};

impl Trust {
    /// Adds signatures of keys that count to a record that was accepted before.
    pub(super) fn merge(
        &mut self,
        body: &Body,
        id: RecordId,
        mut known: Envelope,
        other: &Envelope,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        let message = known.signed_bytes_of(&id);
        let mut merged = false;
        for (key, signature) in &other.sigs {
            let held = known.signature_of(key);
            if held.is_some_and(|held| held <= signature) || !self.may_sign(body, key) {
                continue;
            }
            let room = held.is_some() || has_room(&known);
            if !memo.verify(key, &message, signature) {
                return Err(Refusal::BadSignature(*key));
            }
            if room {
                known.insert(*key, *signature);
                merged = true;
            }
        }
        if !merged {
            return Ok(Admission::Known);
        }
        self.replace_envelope(body, &id, known);
        Ok(Admission::Merged)
    }

    fn may_sign(&self, body: &Body, key: &PublicKey) -> bool {
        let Some(newest) = self.roots.last() else {
            return false;
        };
        let in_role = |role: &Role| role.keys.binary_search(key).is_ok();
        match body {
            Body::Root(root) => {
                let before = usize::try_from(root.version.saturating_sub(2)).ok();
                let old = before.and_then(|index| self.roots.get(index));
                root.keys.binary_search(key).is_ok()
                    || old.is_some_and(|old| old.keys.binary_search(key).is_ok())
            }
            Body::Release(_) => newest.roles_for(Kind::Release, None).any(in_role),
            Body::Head(head) => newest
                .roles_for(Kind::Head, Some(&head.channel))
                .any(in_role),
        }
    }

    fn replace_envelope(&mut self, body: &Body, id: &RecordId, envelope: Envelope) {
        match body {
            Body::Root(_) => {
                if let Some(root) = self.roots.iter_mut().find(|root| root.id() == *id) {
                    *root = root.with_envelope(envelope);
                }
            }
            Body::Release(_) => {
                if let Some(release) = self.releases.get_mut(id) {
                    *release = release.with_envelope(envelope);
                }
            }
            Body::Head(head) => {
                let heads = self.lines.get_mut(&head.channel).map(Line::heads_mut);
                let found = heads.into_iter().flatten().find(|head| head.id() == *id);
                if let Some(head) = found {
                    *head = head.with_envelope(envelope);
                }
            }
        }
    }
}

/// Whether one more signature keeps the envelope within its bounds.
fn has_room(envelope: &Envelope) -> bool {
    envelope.sigs.len() < MAX_SIGNATURES
        && encoded_length(envelope.body.len(), envelope.sigs.len() + 1) <= MAX_RECORD_BYTES
}
