//! What admins, nodes' owners and thieves do: publish, rotate, revoke, lose and steal keys.

use weft_record::{Action as Rollout, RecordId, Verdict};

use super::{
    lies::with_each_signature_twice,
    play::Play,
    script::{Part, Worth},
};
use crate::mesh::Base;

impl Play<'_> {
    pub(super) fn publish(&mut self, raised: bool) {
        self.settle_keys();
        let index = self.published.len();
        // the last release is the thief's
        if index + 1 >= self.releases.len().max(2) {
            return;
        }
        let release = self.releases[index].clone();
        let (id, command) = if raised {
            self.admin.publish_raised(&release)
        } else {
            self.admin.publish(&release)
        };
        match self.script.releases[index].worth {
            Worth::Good => {}
            Worth::Bad => {
                self.subject.bad.insert(id);
                self.world.bad_models.insert(id);
            }
            Worth::Failing => {
                self.subject.failing.insert(id);
                self.world.failing_models.insert(id);
            }
        }
        self.signed.insert(id, index);
        self.published.push(id);
        self.hand(0, command);
    }

    /// The release before the newest that was published.
    pub(super) fn older(&self) -> Option<RecordId> {
        let before = self.published.len().checked_sub(2)?;
        self.published.get(before).copied()
    }

    pub(super) fn point_back(&mut self) {
        self.settle_keys();
        if let Some(older) = self.older().filter(|older| self.admin.may_point_at(*older)) {
            let command = self.admin.point_at(older);
            self.hand(0, command);
        }
    }

    pub(super) fn roll_back(&mut self, lowers: bool) {
        let Some(oldest) = self.published.first().copied() else {
            return;
        };
        let floor = self.admin.trust().floor(&self.channel());
        let floor = if lowers { 0 } else { floor };
        if self.lost.is_none()
            && !self.admin.may_point_at(oldest)
            && let Some(command) = self.admin.force(oldest, floor)
        {
            self.hand(0, command);
        }
    }

    /// Two admins, one place, and no harm meant.
    pub(super) fn sign_twice(&mut self, node: usize) {
        let newest = self.published.last().copied();
        let newest = newest.filter(|newest| self.admin.may_point_at(*newest));
        if let Some(newest) = newest.filter(|_| self.lost.is_none() && self.twin.is_none()) {
            let other = self.older().filter(|older| self.admin.may_point_at(*older));
            let second = self.admin.twin().point_at(other.unwrap_or(newest));
            let first = self.admin.point_at(newest);
            self.hand(0, first);
            self.hand(node, second.clone());
            self.twin = Some(second);
        }
    }

    /// Whatever is wrong with keys and heads is mended first: the admin hears of what
    /// another has signed, and makes new keys for lost ones.
    pub(super) fn settle_keys(&mut self) {
        if self.lost.is_some() {
            self.rotate();
        }
        if let Some(second) = self.twin.take() {
            self.admin.hear(&second);
            let newest = self.published.last().copied();
            let newest = newest.filter(|newest| self.admin.may_point_at(*newest));
            if let Some(newest) = newest.filter(|_| self.is_forked()) {
                let joined = self.admin.point_at(newest);
                self.hand(0, second);
                self.hand(0, joined);
            }
        }
    }

    pub(super) fn is_forked(&self) -> bool {
        self.admin.trust().fork(&self.channel()).is_some()
    }

    /// New keys, with all that was trusted before; or, if a key was lost, up to there.
    pub(super) fn rotate(&mut self) {
        let base = self.lost.take().map_or(Base::Newest, Base::Head);
        let command = self.admin.rotate(&["head", "release"], base);
        self.hand(0, command);
    }

    pub(super) fn rotate_enroll(&mut self) {
        self.enrolled_anew = true;
        let command = self.admin.rotate(&["enroll"], Base::Keep);
        if let Some(registrar) = &mut self.world.registrar {
            self.admin.renew_registrar(registrar);
        }
        self.hand(0, command);
    }

    pub(super) fn revoke_release(&mut self) {
        let newest = self.expected_release().filter(|_| self.lost.is_none());
        if let Some(release) = newest.filter(|newest| self.revoked_releases.insert(*newest)) {
            let command = self.admin.revoke_release(release);
            self.hand(0, command);
        }
    }

    /// More than one message names: who misses them has to compare.
    pub(super) fn revoke_many(&mut self, count: usize) {
        if self.lost.is_some() {
            return;
        }
        for _ in 0..count {
            self.revoked_many += 1;
            let number = self.revoked_many.to_le_bytes();
            let release = RecordId(*blake3::hash(&number).as_bytes());
            let command = self.admin.revoke_release(release);
            self.hand(0, command);
        }
    }

    pub(super) fn revoke_node(&mut self, node: usize) {
        // one is enough, and not one that plays a part of its own
        let plain = self.script.nodes[node].role == Part::Honest;
        if plain && self.revoked.is_empty() {
            self.revoked.insert(node);
            let command = self.admin.revoke_key(self.world.key(node));
            self.hand(0, command);
        }
    }

    pub(super) fn lose_key(&mut self) {
        if let Some(newest) = self.admin.newest().filter(|_| self.lost.is_none()) {
            self.lost = Some(newest);
            let all = usize::from(self.script.threshold);
            self.thief = Some(self.admin.thief(&[("head", all), ("release", all)]));
            let command = self.admin.revoke_itself("head");
            self.hand(0, command);
        }
    }

    pub(super) fn steal(&mut self, node: usize, keys: usize, doubled: bool) {
        if let Some(newest) = self.admin.newest().filter(|_| self.lost.is_none()) {
            let threshold = usize::from(self.script.threshold);
            let keys = keys.min(threshold);
            self.thief = Some(self.admin.thief(&[("head", keys), ("release", keys)]));
            if keys == threshold {
                self.lost = Some(newest);
            }
            self.forge(node, doubled);
        }
    }

    /// The thief signs once more, whether its keys still count or not.
    pub(super) fn forge(&mut self, node: usize, doubled: bool) {
        let Some(thief) = &mut self.thief else {
            return;
        };
        let bait = self.releases.len() - 1;
        let release = self.releases[bait].clone();
        let (id, command) = thief.forge(&release);
        self.signed.insert(id, bait);
        // not behind the back of a node that fetches it already
        if !self.world.peek(node).knows(&release.file) {
            self.world.disk(node).preload(&release);
        }
        if doubled {
            // what is forged so is vouched for by nobody
            let command = with_each_signature_twice(command);
            self.world.command(node, command);
        } else {
            self.hand(node, command);
        }
    }

    pub(super) fn equivocate(&mut self, node: usize) {
        let newest = self.published.last().copied();
        let newest = newest.filter(|newest| self.admin.may_point_at(*newest));
        let (Some(release), Some(head), None) = (newest, self.admin.newest(), self.lost) else {
            return;
        };
        self.lost = Some(head);
        let all = usize::from(self.script.threshold);
        self.thief = Some(self.admin.thief(&[("head", all), ("release", all)]));
        self.forge(node, false);
        let command = self.admin.point_at(release);
        self.hand(0, command);
    }

    pub(super) fn control(&mut self, number: u32) {
        if let Some(newest) = self.admin.newest()
            && self.controls.insert((newest, number))
        {
            let command = self.admin.control(number, Rollout::Resume);
            self.hand(0, command);
        }
    }

    /// What all must run in the end; nothing is expected where nothing counts, or where
    /// what counts does not work.
    pub(super) fn expected(&self) -> Option<RecordId> {
        let fails =
            |id: &RecordId| self.subject.bad.contains(id) || self.subject.failing.contains(id);
        self.expected_release().filter(|release| !fails(release))
    }

    pub(super) fn expected_release(&self) -> Option<RecordId> {
        match self.admin.trust().verdict(&self.channel()) {
            Verdict::Go(head) => Some(head.release),
            _ => None,
        }
    }
}
