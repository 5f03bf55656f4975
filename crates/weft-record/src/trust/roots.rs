//! Roots: a chain in which each is signed by the one before it and by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{Admission, Epoch, Missing, Trust, body::Body, signers::Signers};
use crate::{
    Envelope, Head, Kind, Memo, Name, RecordId, Refusal, Root, Verified,
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
        // revocations do not reach here: who may sign a root must not depend on what else
        // a node has heard of, else two halves of a mesh could follow two chains
        let mut signers = Signers::new(&envelope, &id, memo, None);
        if let Some(old) = &old {
            signers.root_threshold(old, Kind::Root)?;
        }
        signers.root_threshold(&root, Kind::Root)?;
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
        let body = Body::Root(Box::new(root.clone()));
        self.keep_signatures(&body, &id, &mut envelope, &[], memo);
        self.roots.push(memo.shelve(root, id, envelope, now_s));
        self.epochs = epochs;
        self.judge_again(memo);
        Ok(Admission::New(Kind::Root, id))
    }

    fn epochs_after(&self, root: &Root) -> Result<BTreeMap<Name, Epoch>, Refusal> {
        let mut epochs = self.epochs.clone();
        for reset in &root.resets {
            let current = epochs.get(&reset.channel).copied().unwrap_or_default();
            let stands = (current.number, current.base) == (reset.epoch, reset.base);
            if stands {
                continue;
            }
            if reset.epoch <= current.number {
                return Err(Refusal::ResetGoesBack {
                    channel: reset.channel.clone(),
                    current: current.number,
                    epoch: reset.epoch,
                });
            }
            let begun = Epoch {
                number: reset.epoch,
                base: reset.base,
                since: self.roots.len(),
            };
            epochs.insert(reset.channel.clone(), begun);
        }
        if epochs.len() > MAX_CHANNELS {
            return Err(Refusal::Full {
                what: "channels",
                limit: MAX_CHANNELS,
            });
        }
        Ok(epochs)
    }

    /// Everything is looked at again, as if it came only now: what lost its signers or
    /// its epoch goes. Signatures cost nothing, the memo has them.
    pub(super) fn judge_again(&mut self, memo: &mut Memo) {
        self.remember_before_base();
        let lines = std::mem::take(&mut self.lines);
        let counted: Vec<_> = lines
            .into_iter()
            .flat_map(|(_, line)| line.heads().to_vec())
            .chain(std::mem::take(&mut self.witnesses).into_values())
            .collect();
        let fallen = std::mem::take(&mut self.fallen);
        let all_heads = fallen.heads.into_values().chain(counted.iter().cloned());
        let place = |head: Verified<Head>| ((head.epoch, head.seq, head.id()), head);
        let heads: BTreeMap<_, _> = all_heads.map(place).collect();
        let mut releases = fallen.releases;
        releases.extend(std::mem::take(&mut self.releases));
        let others = std::mem::take(&mut self.others);
        // who is known may revoke itself
        self.others.enrolments.clone_from(&others.enrolments);
        self.judge_revokes(others.revokes.values(), memo);
        self.others.enrolments.clear();
        let (bases, heads): (Vec<_>, Vec<_>) = heads
            .into_values()
            .partition(|head| self.is_base(head, &head.id()));
        for head in &bases {
            self.judge(Body::Head((**head).clone()), head, memo);
        }
        for release in releases.values() {
            self.judge(Body::Release(Box::new((**release).clone())), release, memo);
        }
        for head in &heads {
            self.judge(Body::Head((**head).clone()), head, memo);
        }
        self.hold_floors(counted.iter(), memo);
        for head in bases.into_iter().chain(heads) {
            let line = self.lines.get(&head.channel);
            if line.is_none_or(|line| line.find(&head.id()).is_none()) {
                self.fallen.keep_head(head);
            }
        }
        for (id, release) in releases {
            if !self.releases.contains_key(&id) {
                self.fallen.keep_release(release);
            }
        }
        self.others.enrolments = others.enrolments;
        self.judge_enrolments(memo);
        for control in others.controls.values() {
            self.judge(Body::Control((**control).clone()), control, memo);
        }
        for task in others.tasks.values() {
            self.judge(Body::Task(Box::new((**task).clone())), task, memo);
        }
        for aggregate in others.aggregates.values() {
            self.judge(
                Body::Aggregate(Box::new((**aggregate).clone())),
                aggregate,
                memo,
            );
        }
        for blueprint in others.blueprints.values() {
            self.judge(
                Body::Blueprint(Box::new((**blueprint).clone())),
                blueprint,
                memo,
            );
        }
        for beacon in others.beacons.values() {
            self.judge(Body::Beacon((**beacon).clone()), beacon, memo);
        }
        if let Some(root) = &others.enroll_root {
            self.judge(Body::EnrollRoot((**root).clone()), root, memo);
        }
    }

    /// What the base of a reset follows still has its ground, though nothing asks for it:
    /// a node that is at one of those releases stays there until it has the base's.
    fn remember_before_base(&mut self) {
        let mut found = Vec::new();
        for (channel, epoch) in &self.epochs {
            let line = self.lines.get(channel);
            let (Some(base), true) = (
                epoch.base,
                line.is_none_or(|line| line.epoch < epoch.number),
            ) else {
                continue;
            };
            let (mut releases, mut open) = (BTreeSet::new(), vec![base]);
            let mut seen = BTreeSet::new();
            while let Some(id) = open.pop() {
                let head = line.and_then(|line| line.find(&id));
                if let Some(head) = head.or_else(|| self.fallen.heads.get(&id))
                    && seen.insert(id)
                {
                    releases.insert(head.release);
                    open.extend(&head.prevs);
                }
            }
            found.push((channel.clone(), releases));
        }
        for (channel, releases) in found {
            if !releases.is_empty() {
                self.before_base.insert(channel, releases);
            }
        }
    }

    /// Heads that fell because what they build on had gone come back with it: nobody else
    /// may hold them.
    pub(super) fn lift_fallen(&mut self, memo: &mut Memo) {
        let mut fallen: Vec<_> = self.fallen.heads.values().cloned().collect();
        fallen.sort_by_key(|head| (head.epoch, head.seq));
        for head in fallen {
            let line = self.lines.get(&head.channel);
            let mut prevs = head.prevs.iter();
            let follows = prevs.all(|prev| line.is_some_and(|line| line.find(prev).is_some()));
            if !follows || !self.releases.contains_key(&head.release) {
                continue;
            }
            self.judge(Body::Head((*head).clone()), &head, memo);
            let line = self.lines.get(&head.channel);
            if line.is_some_and(|line| line.find(&head.id()).is_some()) {
                self.fallen.forget(&head.id());
            }
        }
    }

    /// One record again; if it is refused now, it is no longer backed, and gone.
    pub(super) fn judge<T>(&mut self, body: Body, record: &Verified<T>, memo: &mut Memo) {
        let id = record.id();
        let mut envelope = record.envelope().clone();
        self.spare.return_to(&id, &mut envelope);
        let _ = self.admit_body(body, id, envelope, record.admitted_at_s(), memo);
    }
}
