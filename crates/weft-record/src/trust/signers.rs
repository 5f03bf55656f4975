//! Thresholds: which keys signed, and may.

use weft_keys::PublicKey;

use crate::{Envelope, Kind, Memo, Name, RecordId, Refusal, Root, Verified};

/// Counts the keys that signed a record and may.
pub(super) struct Signers<'a> {
    envelope: &'a Envelope,
    message: Vec<u8>,
    memo: &'a mut Memo,
    /// Keys that count and whose signature verified.
    pub(super) keys: Vec<PublicKey>,
}

impl<'a> Signers<'a> {
    pub(super) fn new(envelope: &'a Envelope, id: &RecordId, memo: &'a mut Memo) -> Self {
        Self {
            envelope,
            message: envelope.signed_bytes_of(id),
            memo,
            keys: Vec::new(),
        }
    }

    pub(super) fn root_threshold(&mut self, root: &Root) -> Result<(), Refusal> {
        let (have, need) = (self.count(&root.keys)?, usize::from(root.threshold));
        if have < need {
            return Err(Refusal::BelowThreshold {
                kind: Kind::Root,
                have,
                need,
            });
        }
        Ok(())
    }

    /// Whether any one role reaches its threshold.
    pub(super) fn role_threshold(
        &mut self,
        root: &Root,
        kind: Kind,
        channel: Option<&Name>,
    ) -> Result<(), Refusal> {
        let mut refusal = Refusal::OutOfScope {
            kind,
            channel: channel.cloned(),
        };
        let (mut reached, mut best) = (false, 0);
        for role in root.roles_for(kind, channel) {
            let (have, need) = (self.count(&role.keys)?, usize::from(role.threshold));
            reached |= have >= need;
            if have >= best {
                best = have;
                refusal = Refusal::BelowThreshold { kind, have, need };
            }
        }
        if reached { Ok(()) } else { Err(refusal) }
    }

    /// Whether any root so far backs it.
    pub(super) fn earlier_threshold(
        &mut self,
        roots: &[Verified<Root>],
        kind: Kind,
        channel: Option<&Name>,
    ) -> Result<(), Refusal> {
        let mut last = Err(Refusal::OutOfScope {
            kind,
            channel: channel.cloned(),
        });
        for root in roots.iter().rev() {
            last = self.role_threshold(root, kind, channel);
            if last.is_ok() {
                break;
            }
        }
        last
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
            count += 1;
            if !self.keys.contains(key) {
                self.keys.push(*key);
            }
        }
        Ok(count)
    }
}
