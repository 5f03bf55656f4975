//! Revocations: what no longer counts, whenever it comes.

use weft_keys::PublicKey;

use super::{Admission, Missing, Trust, body::Body, signers::Signers};
use crate::{
    Envelope, Kind, Memo, RecordId, Refusal, Revoke, RevokeTarget, Root, Verified,
    bounds::MAX_REVOKES,
};

impl Trust {
    pub(super) fn admit_revoke(
        &mut self,
        revoke: Revoke,
        id: RecordId,
        mut envelope: Envelope,
        now_s: u64,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        let own = match revoke.target {
            RevokeTarget::Key(key) => Some(key),
            RevokeTarget::Release(_) => None,
        };
        if !self.revoke_backed(&revoke, &id, &envelope, memo)? {
            // a key that nobody knows may revoke itself as soon as somebody knows it
            return Ok(Admission::Waiting(Missing::Key));
        }
        if self.others.revokes.len() >= MAX_REVOKES {
            return Err(Refusal::Full {
                what: "revocations",
                limit: MAX_REVOKES,
            });
        }
        let also: Vec<PublicKey> = own.into_iter().collect();
        let body = Body::Revoke(revoke.clone());
        self.keep_signatures(&body, &id, &mut envelope, &also, memo);
        let record = Verified::new(revoke, id, envelope, now_s);
        self.others.revokes.insert(id, record);
        self.learn_revoked();
        // a node's key signs no record but aggregates; an admin's key may have signed all
        let signs = own.is_some_and(|key| self.has_admin(&key) || self.aggregates_by(&key));
        if signs {
            self.judge_again(memo);
        }
        Ok(Admission::New(Kind::Revoke, id))
    }

    /// Keeps of these revocations what the newest root still backs.
    pub(super) fn judge_revokes<'a>(
        &mut self,
        revokes: impl Iterator<Item = &'a Verified<Revoke>>,
        memo: &mut Memo,
    ) {
        for revoke in revokes {
            let (id, mut envelope) = (revoke.id(), revoke.envelope().clone());
            self.spare.return_to(&id, &mut envelope);
            if self.revoke_backed(revoke, &id, &envelope, memo) == Ok(true) {
                self.others.revokes.insert(id, revoke.clone());
            }
        }
        self.learn_revoked();
    }

    /// Signed by the key itself if it is known here, by the root, or by a role. Revoked
    /// keys still revoke: else a thief could undo a revocation by revoking its signer.
    fn revoke_backed(
        &self,
        revoke: &Revoke,
        id: &RecordId,
        envelope: &Envelope,
        memo: &mut Memo,
    ) -> Result<bool, Refusal> {
        let Some(root) = self.roots.last() else {
            return Ok(false);
        };
        let mut signers = Signers::new(envelope, id, memo, None);
        if let RevokeTarget::Key(key) = &revoke.target
            && signers.has_signed(key)?
        {
            return Ok(self.has_admin(key) || self.others.enrolments.contains_key(key));
        }
        if signers.root_threshold(root, Kind::Revoke).is_ok() {
            return Ok(true);
        }
        let body = Body::Revoke(revoke.clone());
        if let RevokeTarget::Key(key) = &revoke.target
            && is_admin(root, key)
        {
            // whoever enrolls nodes has no say about admins
            signers.root_threshold(root, Kind::Revoke)?;
        }
        match signers.role_threshold(root, &body) {
            Ok(()) => Ok(true),
            Err(refusal) => {
                let kept = crate::Kept {
                    kind: Kind::Revoke.number(),
                    id: *id,
                };
                if root.kept.binary_search(&kept).is_err() {
                    return Err(refusal);
                }
                self.roots
                    .iter()
                    .any(|root| {
                        signers.root_threshold(root, Kind::Revoke).is_ok()
                            || signers.role_threshold(root, &body).is_ok()
                    })
                    .then_some(true)
                    .ok_or(refusal)
            }
        }
    }

    fn learn_revoked(&mut self) {
        self.revoked_keys.clear();
        self.revoked_releases.clear();
        for revoke in self.others.revokes.values() {
            match revoke.target {
                RevokeTarget::Key(key) => {
                    self.revoked_keys.insert(key);
                }
                RevokeTarget::Release(release) => {
                    self.revoked_releases.insert(release);
                }
            }
        }
    }

    fn has_admin(&self, key: &PublicKey) -> bool {
        self.roots.iter().any(|root| is_admin(root, key))
    }

    fn aggregates_by(&self, key: &PublicKey) -> bool {
        let mut tasks = self.others.tasks.values();
        tasks.any(|task| task.leader.node == *key || task.helper.node == *key)
    }
}

/// Whether a root names this key for anything.
fn is_admin(root: &Root, key: &PublicKey) -> bool {
    root.keys.binary_search(key).is_ok()
        || root
            .roles
            .iter()
            .any(|role| role.keys.binary_search(key).is_ok())
}
