//! Thresholds: which keys signed, and may.

use std::collections::BTreeSet;

use weft_keys::PublicKey;

use super::{Trust, body::Body};
use crate::{Envelope, Kind, Memo, RecordId, Refusal, Role, Root, Verified};

/// Counts the keys that signed a record and may.
pub(super) struct Signers<'a> {
    envelope: &'a Envelope,
    message: Vec<u8>,
    memo: &'a mut Memo,
    /// Whose signatures no longer count.
    revoked: Option<&'a BTreeSet<PublicKey>>,
    /// One of them that signed.
    revoked_signer: Option<PublicKey>,
}

impl Trust {
    /// Whether a record is backed now: by a threshold of keys that the newest root names
    /// and nobody revoked, or because a root vouches for it by name.
    pub(super) fn backed(
        &self,
        body: &Body,
        id: &RecordId,
        envelope: &Envelope,
        vouched: bool,
        memo: &mut Memo,
    ) -> Result<(), Refusal> {
        let Some(root) = self.roots.last() else {
            return Ok(());
        };
        let mut signers = Signers::new(envelope, id, memo, Some(&self.revoked_keys));
        let now = signers.role_threshold(root, body);
        if now.is_ok() {
            return now;
        }
        let revoked = signers.revoked_signer;
        if vouched || is_kept(root, body.kind(), id) {
            return self.once_backed(body, id, envelope, 0, memo);
        }
        match (now, revoked) {
            (Err(Refusal::BelowThreshold { .. }), Some(key)) => Err(Refusal::RevokedKey(key)),
            (now, _) => now,
        }
    }

    /// Whether a threshold that any root since this place in the chain named has signed,
    /// revoked or not.
    pub(super) fn once_backed(
        &self,
        body: &Body,
        id: &RecordId,
        envelope: &Envelope,
        since: usize,
        memo: &mut Memo,
    ) -> Result<(), Refusal> {
        let mut signers = Signers::new(envelope, id, memo, None);
        let mut last = signers.out_of_scope(body);
        for root in self.roots.iter().skip(since).rev() {
            last = signers.role_threshold(root, body);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// Leaves in the envelope the signatures of keys that some root names (or `also`);
    /// the others wait beside it, should a root come that names them.
    pub(super) fn keep_signatures(
        &mut self,
        body: &Body,
        id: &RecordId,
        envelope: &mut Envelope,
        also: &[PublicKey],
        memo: &mut Memo,
    ) {
        let message = envelope.signed_bytes_of(id);
        let mut spare = Vec::new();
        let known = |key: &PublicKey| also.contains(key) || self.is_named(body, key);
        envelope.sigs.retain(|(key, signature)| {
            let named = known(key);
            if !named {
                spare.push((*key, *signature));
                return false;
            }
            memo.verify(key, &message, signature)
        });
        self.spare.keep(*id, &message, spare, memo);
    }

    /// Whether some root names this key for such a record.
    pub(super) fn is_named(&self, body: &Body, key: &PublicKey) -> bool {
        let own = match body {
            Body::Root(root) => root.keys.binary_search(key).is_ok(),
            Body::Revoke(_) => self
                .roots
                .iter()
                .any(|root| root.keys.binary_search(key).is_ok()),
            _ => false,
        };
        let in_roots = |root: &Verified<Root>| match body {
            Body::Root(_) => root.keys.binary_search(key).is_ok(),
            _ => root
                .roles
                .iter()
                .any(|role| body.is_signed_by(role) && has(role, key)),
        };
        own || self.roots.iter().any(in_roots)
    }
}

impl<'a> Signers<'a> {
    pub(super) fn new(
        envelope: &'a Envelope,
        id: &RecordId,
        memo: &'a mut Memo,
        revoked: Option<&'a BTreeSet<PublicKey>>,
    ) -> Self {
        Self {
            envelope,
            message: envelope.signed_bytes_of(id),
            memo,
            revoked,
            revoked_signer: None,
        }
    }

    pub(super) fn root_threshold(&mut self, root: &Root, kind: Kind) -> Result<(), Refusal> {
        let (have, need) = (self.count(&root.keys)?, usize::from(root.threshold));
        if have < need {
            return Err(Refusal::BelowThreshold { kind, have, need });
        }
        Ok(())
    }

    /// Whether any one role reaches its threshold.
    pub(super) fn role_threshold(&mut self, root: &Root, body: &Body) -> Result<(), Refusal> {
        let mut refusal = self.out_of_scope(body);
        let (mut reached, mut best) = (false, 0);
        for role in root.roles.iter().filter(|role| body.is_signed_by(role)) {
            let (have, need) = (self.count(&role.keys)?, usize::from(role.threshold));
            reached |= have >= need;
            if have >= best {
                best = have;
                let kind = body.kind();
                refusal = Err(Refusal::BelowThreshold { kind, have, need });
            }
        }
        if reached { Ok(()) } else { refusal }
    }

    /// Whether this one key signed.
    pub(super) fn has_signed(&mut self, key: &PublicKey) -> Result<bool, Refusal> {
        Ok(self.count(std::slice::from_ref(key))? == 1)
    }

    #[allow(clippy::unused_self)] // reads as the last of several outcomes
    fn out_of_scope(&self, body: &Body) -> Result<(), Refusal> {
        Err(Refusal::OutOfScope {
            kind: body.kind(),
            channel: body.channel().cloned(),
        })
    }

    fn count(&mut self, keys: &[PublicKey]) -> Result<usize, Refusal> {
        let mut count = 0;
        for key in keys {
            let Some(signature) = self.envelope.signature_of(key) else {
                continue;
            };
            if !self.memo.verify(key, &self.message, signature) {
                return Err(Refusal::BadSignature(*key));
            }
            if self.revoked.is_some_and(|revoked| revoked.contains(key)) {
                self.revoked_signer = Some(*key);
            } else {
                count += 1;
            }
        }
        Ok(count)
    }
}

fn is_kept(root: &Root, kind: Kind, id: &RecordId) -> bool {
    let kept = crate::Kept {
        kind: kind.number(),
        id: *id,
    };
    root.kept.binary_search(&kept).is_ok()
}

fn has(role: &Role, key: &PublicKey) -> bool {
    role.keys.binary_search(key).is_ok()
}
