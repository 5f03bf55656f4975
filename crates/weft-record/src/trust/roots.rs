//! Roots: a chain in which each is signed by the one before it and by itself.

use std::collections::BTreeMap;

use super::{Admission, Missing, Trust, signers::Signers};
use crate::{
    Envelope, Head, Kind, Memo, Name, RecordId, Refusal, Release, Root, Verified,
    bounds::{MAX_CHANNELS, MAX_ROOTS},
    mesh_id_of,
};

impl Trust {
    pub(super) fn admit_root(
        &mut self,
        root: Root,
        id: RecordId,
        mut envelope: Envelope,
        now_s: u64,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        if root.version == 1 && mesh_id_of(&root) != self.mesh_id {
            let (found, expected) = (mesh_id_of(&root), self.mesh_id);
            return Err(Refusal::OtherMesh { found, expected });
        }
        let before = usize::try_from(root.version - 1).unwrap_or(usize::MAX);
        if before > self.roots.len() {
            return Ok(Admission::Waiting(Missing::Root));
        }
        let old = before.checked_sub(1).map(|index| self.roots[index].clone());
        let mut counted = Signers::new(&envelope, &id, memo);
        if let Some(old) = &old {
            counted.root_threshold(old)?;
        }
        counted.root_threshold(&root)?;
        let keys = counted.keys;
        if let Some(old) = &old
            && root.prev != Some(old.id())
        {
            return Err(Refusal::RootDoesNotFollow {
                version: root.version,
                expected: old.id(),
            });
        }
        if let Some(accepted) = self.roots.get(before) {
            let (version, accepted) = (root.version, accepted.id());
            return Err(Refusal::RootConflict { version, accepted });
        }
        if self.roots.len() >= MAX_ROOTS {
            return Err(Refusal::Full {
                what: "roots",
                limit: MAX_ROOTS,
            });
        }
        let epochs = self.epochs_after(&root)?;
        envelope.sigs.retain(|(key, _)| keys.contains(key));
        self.roots.push(Verified::new(root, id, envelope, now_s));
        self.epochs = epochs;
        self.judge_again(memo);
        Ok(Admission::New(Kind::Root, id))
    }

    fn epochs_after(
        &self,
        root: &Root,
    ) -> Result<BTreeMap<Name, (u64, Option<RecordId>)>, Refusal> {
        let mut epochs = self.epochs.clone();
        for reset in &root.resets {
            let current = epochs.get(&reset.channel).copied().unwrap_or((0, None));
            let stands = current == (reset.epoch, reset.base);
            if reset.epoch <= current.0 && !stands {
                let (channel, current) = (reset.channel.clone(), current.0);
                return Err(Refusal::ResetGoesBack {
                    channel,
                    current,
                    epoch: reset.epoch,
                });
            }
            epochs.insert(reset.channel.clone(), (reset.epoch, reset.base));
        }
        if epochs.len() > MAX_CHANNELS {
            return Err(Refusal::Full {
                what: "channels",
                limit: MAX_CHANNELS,
            });
        }
        Ok(epochs)
    }

    /// Under a new root everything is looked at again, as if it came only now: what
    /// lost its signers or its epoch goes. Signatures cost nothing, the memo has them.
    fn judge_again(&mut self, memo: &mut Memo) {
        let releases = std::mem::take(&mut self.releases);
        let lines = std::mem::take(&mut self.lines);
        let heads: Vec<Verified<Head>> = lines
            .into_values()
            .flat_map(|line| line.heads().to_vec())
            .collect();
        for head in &heads {
            if self.is_base(head, &head.id()) {
                self.judge_head_again(head, memo);
            }
        }
        for release in releases.into_values() {
            let (id, envelope) = (release.id(), release.envelope().clone());
            let at_s = release.admitted_at_s();
            // a refusal here means that the new root no longer backs it
            let _ = self.admit_release(Release::clone(&release), id, envelope, at_s, memo);
        }
        for head in &heads {
            if !self.is_base(head, &head.id()) {
                self.judge_head_again(head, memo);
            }
        }
    }

    fn judge_head_again(&mut self, head: &Verified<Head>, memo: &mut Memo) {
        let (id, envelope) = (head.id(), head.envelope().clone());
        // as above
        let _ = self.admit_head(Head::clone(head), id, envelope, head.admitted_at_s(), memo);
    }
}
