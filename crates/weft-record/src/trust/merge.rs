//! Further signatures of a record that was accepted before.

use weft_keys::PublicKey;

use super::{Admission, Trust, body::Body};
use crate::{Envelope, Memo, RecordId, Refusal, Verified, line::Line};

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
        let (mut merged, mut spare) = (false, Vec::new());
        for (key, signature) in &other.sigs {
            let held = known.signature_of(key);
            if held.is_some_and(|held| held <= signature) {
                continue;
            }
            if !self.may_sign(body, key) {
                spare.push((*key, *signature));
                continue;
            }
            let room = held.is_some() || known.has_room();
            if !memo.verify(key, &message, signature) {
                return Err(Refusal::BadSignature(*key));
            }
            if room {
                known.insert(*key, *signature);
                merged = true;
            }
        }
        self.spare.keep(id, &message, spare, memo);
        if !merged {
            return Ok(Admission::Known);
        }
        self.replace_envelope(body, &id, known);
        if matches!(body, Body::Enroll(_)) {
            // it may count again
            self.judge_enrolments(memo);
        }
        Ok(Admission::Merged)
    }

    fn may_sign(&self, body: &Body, key: &PublicKey) -> bool {
        let own = match body {
            Body::Root(root) => {
                let before = usize::try_from(root.version.saturating_sub(2)).ok();
                let old = before.and_then(|index| self.roots.get(index));
                return root.keys.binary_search(key).is_ok()
                    || old.is_some_and(|old| old.keys.binary_search(key).is_ok());
            }
            Body::Revoke(revoke) => revoke.target == crate::RevokeTarget::Key(*key),
            Body::Aggregate(_) => return false,
            _ => false,
        };
        own || self.is_named(body, key)
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
                let mut heads = heads.into_iter().flatten();
                if let Some(head) = heads.find(|head| head.id() == *id) {
                    *head = head.with_envelope(envelope);
                }
            }
            Body::Enroll(enroll) => {
                let held = self.others.enrolments.get_mut(&enroll.node);
                let mut held = held.into_iter().flatten();
                if let Some(held) = held.find(|held| held.enroll.id() == *id) {
                    held.enroll = held.enroll.with_envelope(envelope);
                }
            }
            Body::Control(_) => renew(self.others.controls.get_mut(id), envelope),
            Body::Revoke(_) => renew(self.others.revokes.get_mut(id), envelope),
            Body::Task(_) => renew(self.others.tasks.get_mut(id), envelope),
            Body::Blueprint(blueprint) => {
                renew(self.others.blueprints.get_mut(&blueprint.name), envelope);
            }
            Body::Beacon(_) => {
                let mut beacons = self.others.beacons.values_mut();
                renew(beacons.find(|beacon| beacon.id() == *id), envelope);
            }
            Body::EnrollRoot(_) => renew(self.others.enroll_root.as_mut(), envelope),
            Body::ReleaseFor(_) | Body::Aggregate(_) => {}
        }
    }
}

fn renew<T: Clone>(record: Option<&mut Verified<T>>, envelope: Envelope) {
    if let Some(record) = record {
        *record = record.with_envelope(envelope);
    }
}
