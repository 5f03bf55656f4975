//! Who belongs to the mesh.

use weft_keys::PublicKey;

use super::{Admission, Trust, body::Body};
use crate::{
    Enroll, Envelope, Kind, Memo, RecordId, Refusal, Verified,
    bounds::{MAX_ENROLMENTS, MAX_ENROLMENTS_PER_NODE},
};

/// What a node may take part in.
#[derive(Clone, Debug)]
pub enum Standing {
    /// All of it.
    Member(Verified<Enroll>),
    /// Its enrolment ran out, or lost its signer: it may exchange roots, revocations and
    /// enrolments, so that it can be mended.
    Lapsed(Verified<Enroll>),
    /// Nothing but the door: it never belonged, or was revoked.
    Stranger,
}

/// An enrolment, and whether a threshold of keys that count now has signed it.
#[derive(Clone, Debug)]
pub(super) struct HeldEnroll {
    pub(super) enroll: Verified<Enroll>,
    pub(super) current: bool,
}

impl Trust {
    /// What this node may take part in at this time.
    pub fn standing(&self, node: &PublicKey, now_s: u64) -> Standing {
        if self.revoked_keys.contains(node) {
            return Standing::Stranger;
        }
        let Some(held) = self.others.enrolments.get(node) else {
            return Standing::Stranger;
        };
        // the newest alone: an earlier one that runs longer was replaced for a reason
        match held.first() {
            Some(held) if held.current && held.enroll.expires_s >= now_s => {
                Standing::Member(held.enroll.clone())
            }
            Some(held) => Standing::Lapsed(held.enroll.clone()),
            None => Standing::Stranger,
        }
    }

    /// The newest enrolment of every node known here.
    pub fn enrolments(&self) -> impl Iterator<Item = &Verified<Enroll>> {
        let nodes = self.others.enrolments.values();
        nodes
            .filter_map(|held| held.first())
            .map(|held| &held.enroll)
    }

    /// The newest enrolment of one node, whether it still counts or not.
    pub fn enrolment(&self, node: &PublicKey) -> Option<&Verified<Enroll>> {
        Some(&self.others.enrolments.get(node)?.first()?.enroll)
    }

    pub(super) fn admit_enroll(
        &mut self,
        enroll: Enroll,
        id: RecordId,
        mut envelope: Envelope,
        now_s: u64,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        let body = Body::Enroll(enroll.clone());
        // one that lost its signer is kept too: it shows that the node once belonged
        let now = self.backed(&body, &id, &envelope, false, memo);
        let current = now.is_ok();
        if let Err(refusal) = now {
            let once = self.once_backed(&body, &id, &envelope, 0, memo);
            once.map_err(|_| refusal)?;
        }
        let node = enroll.node;
        let known = self.others.enrolments.contains_key(&node);
        if !known && self.others.enrolments.len() >= MAX_ENROLMENTS {
            self.forget_an_enrolment(current)?;
        }
        self.keep_signatures(&body, &id, &mut envelope, &[], memo);
        let mut held = self.others.enrolments.remove(&node).unwrap_or_default();
        held.push(HeldEnroll {
            enroll: memo.shelve(enroll, id, envelope, now_s),
            current,
        });
        held.sort_by_key(|held| {
            let number = std::cmp::Reverse(held.enroll.number);
            (!held.current, number, held.enroll.id())
        });
        held.truncate(MAX_ENROLMENTS_PER_NODE);
        // nearly always there is one, and a large mesh holds many such lists
        held.shrink_to_fit();
        let stays = held.iter().any(|held| held.enroll.id() == id);
        self.others.enrolments.insert(node, held);
        if stays {
            Ok(Admission::New(Kind::Enroll, id))
        } else {
            Ok(Admission::Superseded)
        }
    }

    /// Looks again at which enrolments count.
    pub(super) fn judge_enrolments(&mut self, memo: &mut Memo) {
        let enrolments = std::mem::take(&mut self.others.enrolments);
        for held in enrolments.into_iter().flat_map(|(_, held)| held) {
            self.judge(Body::Enroll((*held.enroll).clone()), &held.enroll, memo);
        }
    }

    /// Makes room for another: a node that comes again shows its enrolment again. One that
    /// no longer counts goes first and takes the place of none that does: who stole a key
    /// that was replaced since could else push all nodes out.
    fn forget_an_enrolment(&mut self, for_current: bool) -> Result<(), Refusal> {
        let needed = |node: &PublicKey| {
            let mut tasks = self.others.tasks.values();
            // a node's word about its own key counts as long as the node is known
            self.revoked_keys.contains(node)
                || tasks.any(|task| task.leader.node == *node || task.helper.node == *node)
        };
        let counts = |held: &[HeldEnroll]| held.iter().any(|held| held.current);
        let held = self.others.enrolments.iter();
        let free = held.filter(|(node, _)| !needed(node));
        let lapsed = free.clone().find(|(_, held)| !counts(held));
        let found = lapsed.or_else(|| free.clone().find(|_| for_current));
        let Some(node) = found.map(|(node, _)| *node) else {
            let (what, limit) = ("enrolments", MAX_ENROLMENTS);
            return Err(Refusal::Full { what, limit });
        };
        self.others.enrolments.remove(&node);
        Ok(())
    }
}
