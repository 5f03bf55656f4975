//! Releases, the heads that name them, and what a channel is at.

use litemap::LiteMap;

use super::{Admission, Missing, Trust, body::Body};
use crate::{
    Envelope, Fork, Head, Kind, Memo, Name, RecordId, Refusal, Release, Verified,
    bounds::{MAX_CHANNELS, MAX_RELEASES},
    line::{Line, Opening},
};

/// What a channel asks of a node now.
#[derive(Clone, Debug)]
pub enum Verdict<'a> {
    /// Nothing: no head counts. What is active stays.
    Nothing,
    /// Two heads contend: nothing new is activated, what is active stays.
    Forked(&'a Fork),
    /// A head came that may contend with one whose way is not known here: nothing new is
    /// activated until the whole line is here.
    Undecided,
    /// Every release that the line names is revoked or below the floor.
    Withdrawn,
    /// The release of this head is to be active.
    Go(&'a Verified<Head>),
}

impl Trust {
    /// What a channel asks for: the newest head whose release is not revoked and not
    /// below the floor.
    pub fn verdict(&self, channel: &Name) -> Verdict<'_> {
        let Some(line) = self.lines.get(channel) else {
            return Verdict::Nothing;
        };
        if let Some(fork) = line.fork() {
            return Verdict::Forked(fork);
        }
        if line.is_undecided() {
            return Verdict::Undecided;
        }
        if line.heads().is_empty() {
            return Verdict::Nothing;
        }
        match self.newest_usable(line) {
            Some(head) if head.epoch == line.epoch && line.has_gap_after(Some(head.seq)) => {
                Verdict::Undecided
            }
            Some(head) if head.epoch < line.epoch && line.has_gap_after(None) => Verdict::Undecided,
            Some(head) => Verdict::Go(head),
            None if line.has_gap_after(None) => Verdict::Undecided,
            None => Verdict::Withdrawn,
        }
    }

    /// The newest head whose release is not revoked and not below the floor.
    fn newest_usable<'a>(&self, line: &'a Line) -> Option<&'a Verified<Head>> {
        let floor = self.floor(&line.channel);
        let counts = |head: &&Verified<Head>| {
            let release = self.releases.get(&head.release);
            // the base's release may be on its way still
            let above = release.is_none_or(|release| release.counter >= floor);
            above && !self.is_revoked(&head.release)
        };
        line.heads().iter().rev().find(counts)
    }

    /// Whether heads that were proven and not walked matter after all: one may contend with
    /// another, or all that are newer name releases that count no more.
    pub(crate) fn wants_whole(&self, line: &Line) -> bool {
        if line.is_undecided() {
            return true;
        }
        line.has_gap_after(None)
            && match self.newest_usable(line) {
                Some(head) => {
                    line.has_gap_after(Some(head.seq).filter(|_| head.epoch == line.epoch))
                }
                None => true,
            }
    }

    /// Whether a release that was activated by a head of this epoch has lost its ground: it
    /// was revoked, or a reset began a newer epoch and neither that epoch nor the head with
    /// which it begins, nor one before it, names the release, nor the root keeps it.
    pub fn is_void(&self, channel: &Name, epoch: u64, release: &RecordId) -> bool {
        if self.is_revoked(release) {
            return true;
        }
        let current = self.epoch(channel);
        if epoch >= current {
            return false;
        }
        let line = self.lines.get(channel);
        let heads = line.map_or(&[][..], Line::heads);
        let named = heads.iter().any(|head| head.release == *release);
        let before = self.before_base.get(channel);
        let kept = crate::Kept {
            kind: Kind::Release.number(),
            id: *release,
        };
        let kept = self.root().is_some_and(|root| root.kept.contains(&kept));
        !named && !kept && !before.is_some_and(|releases| releases.contains(release))
    }

    /// The least security counter that a channel allows: what any head of this epoch ever
    /// set, also one whose signer has gone since. Only a reset takes it back.
    pub fn floor(&self, channel: &Name) -> u64 {
        let witness = self.witness(channel).map(|head| head.counter_floor);
        witness.unwrap_or_else(|| self.line_floor(channel))
    }

    /// The head that holds the floor of a channel, if none that counts does.
    pub(crate) fn witness(&self, channel: &Name) -> Option<&Verified<Head>> {
        let line = self.line_floor(channel);
        let held = self.witnesses.get(channel);
        held.filter(|head| head.counter_floor > line)
    }

    fn line_floor(&self, channel: &Name) -> u64 {
        self.lines.get(channel).map_or(0, Line::floor)
    }

    pub(super) fn admit_release(
        &mut self,
        release: Release,
        id: RecordId,
        mut envelope: Envelope,
        now_s: u64,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        let body = Body::Release(Box::new(release.clone()));
        self.backed(&body, &id, &envelope, self.is_release_of_base(&id), memo)?;
        if self.releases.len() >= MAX_RELEASES {
            return Err(Refusal::Full {
                what: "releases",
                limit: MAX_RELEASES,
            });
        }
        self.keep_signatures(&body, &id, &mut envelope, &[], memo);
        self.releases
            .insert(id, memo.shelve(release, id, envelope, now_s));
        Ok(Admission::New(Kind::Release, id))
    }

    /// What a reset's base names counts although its signer may be gone.
    fn is_release_of_base(&self, id: &RecordId) -> bool {
        let mut bases = self.lines.values().filter_map(Line::base_head);
        bases.any(|base| base.release == *id)
    }

    pub(super) fn admit_head(
        &mut self,
        head: Head,
        id: RecordId,
        mut envelope: Envelope,
        now_s: u64,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        let is_base = self.is_base(&head, &id);
        let body = Body::Head(head.clone());
        if let Err(refusal) = self.backed(&body, &id, &envelope, is_base, memo) {
            return self.admit_witness(&body, head, id, envelope, now_s, refusal, memo);
        }
        let opening = if is_base {
            None
        } else {
            match self.place(&head, &envelope, memo) {
                Ok(Ok(opening)) => Some(opening),
                Ok(Err(missing)) => {
                    self.hold_floor(&body, head, id, envelope, now_s, memo);
                    return Ok(Admission::Waiting(missing));
                }
                Err(refusal @ Refusal::OutOfScope { .. }) => {
                    self.hold_floor(&body, head, id, envelope, now_s, memo);
                    return Err(refusal);
                }
                Err(refusal) => return Err(refusal),
            }
        };
        if !self.lines.contains_key(&head.channel) && self.lines.len() >= MAX_CHANNELS {
            return Err(Refusal::Full {
                what: "channels",
                limit: MAX_CHANNELS,
            });
        }
        self.keep_signatures(&body, &id, &mut envelope, &[], memo);
        if opening.as_ref().is_none_or(|opening| !opening.is_proven()) {
            envelope.proof = None;
        }
        if self.is_witness(&head, &id) {
            self.witnesses.remove(&head.channel);
        }
        if self.lines.is_empty() {
            // nearly always there is one, and a large mesh holds many such tables
            self.lines = LiteMap::with_capacity(1);
        }
        let fresh = self.new_line(&head.channel);
        let line = self.lines.entry(head.channel.clone()).or_insert(fresh);
        let head = memo.shelve(head, id, envelope, now_s);
        match opening {
            Some(opening) => line.insert(head, opening),
            None => line.insert_base(head),
        }
        Ok(Admission::New(Kind::Head, id))
    }

    /// A head that does not count any more, since a signer was revoked or left its role,
    /// still holds the floor that it set in this epoch: who loses a key must not thereby
    /// give way to a rollback.
    #[allow(clippy::too_many_arguments)]
    fn admit_witness(
        &mut self,
        body: &Body,
        head: Head,
        id: RecordId,
        envelope: Envelope,
        now_s: u64,
        refusal: Refusal,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        if matches!(refusal, Refusal::BadSignature(_)) {
            return Err(refusal);
        }
        let epoch = self.epochs.get(&head.channel).copied().unwrap_or_default();
        let once = self.once_backed(body, &id, &envelope, epoch.since, memo);
        match once.map(|()| self.hold_floor(body, head, id, envelope, now_s, memo)) {
            Ok(Some(admission)) => Ok(admission),
            Ok(None) | Err(_) => Err(refusal),
        }
    }

    /// Keeps a head for its floor alone, if no other of this epoch has set one as high. It
    /// must have had its threshold under a root of this epoch.
    fn hold_floor(
        &mut self,
        body: &Body,
        head: Head,
        id: RecordId,
        mut envelope: Envelope,
        now_s: u64,
        memo: &mut Memo,
    ) -> Option<Admission> {
        let channel = head.channel.clone();
        let floor = head.counter_floor;
        if head.epoch != self.epoch(&channel) || floor <= self.line_floor(&channel) {
            return None;
        }
        envelope.proof = None;
        self.keep_signatures(body, &id, &mut envelope, &[], memo);
        let admission = match self.witnesses.get(&channel) {
            Some(held) if held.id() == id && *held.envelope() == envelope => {
                return Some(Admission::Known);
            }
            Some(held) if held.id() == id => Admission::Merged,
            // of two with one floor the smaller id, so that all hold the same
            Some(held) if (held.counter_floor, id) >= (floor, held.id()) => return None,
            None if self.witnesses.len() >= MAX_CHANNELS => return None,
            Some(_) | None => Admission::Floor(id),
        };
        let witness = memo.shelve(head, id, envelope, now_s);
        self.witnesses.insert(channel, witness);
        Some(admission)
    }

    fn is_witness(&self, head: &Head, id: &RecordId) -> bool {
        let held = self.witnesses.get(&head.channel);
        held.is_some_and(|held| held.id() == *id)
    }

    /// Holds the floors of heads that counted a moment ago: whatever they lost, what they
    /// asked for stands until a reset.
    pub(super) fn hold_floors<'a>(
        &mut self,
        heads: impl Iterator<Item = &'a Verified<Head>>,
        memo: &mut Memo,
    ) {
        for head in heads {
            let (body, id) = (Body::Head((**head).clone()), head.id());
            let mut envelope = head.envelope().clone();
            self.spare.return_to(&id, &mut envelope);
            let record = (**head).clone();
            self.hold_floor(&body, record, id, envelope, head.admitted_at_s(), memo);
        }
    }

    /// Whether the newest reset of its channel names this head as what is still trusted.
    pub(super) fn is_base(&self, head: &Head, id: &RecordId) -> bool {
        let reset = self.epochs.get(&head.channel);
        reset.is_some_and(|epoch| epoch.base == Some(*id) && head.epoch < epoch.number)
    }

    /// Chain, fork and floor.
    fn place(
        &self,
        head: &Head,
        envelope: &Envelope,
        memo: &mut Memo,
    ) -> Result<Result<Opening, Missing>, Refusal> {
        let channel = &head.channel;
        let current = self.epoch(channel);
        if head.epoch > current {
            // the root that began this epoch has not come yet
            return Ok(Err(Missing::Root));
        }
        if head.epoch < current {
            let (channel, epoch) = (channel.clone(), head.epoch);
            return Err(Refusal::EpochPast {
                channel,
                current,
                epoch,
            });
        }
        let proof = envelope.proof.as_ref();
        let opened = match self.lines.get(channel) {
            Some(line) => line.open(head, proof)?,
            None => self.new_line(channel).open(head, proof)?,
        };
        let opening = match opened {
            Ok(opening) => opening,
            Err(Missing::Head(prev)) if self.is_head_elsewhere(&prev, channel) => {
                return Err(Refusal::BrokenChain {
                    channel: channel.clone(),
                    seq: head.seq,
                });
            }
            Err(missing) => return Ok(Err(missing)),
        };
        if head.counter_floor < opening.floor {
            return Err(Refusal::FloorLowered {
                channel: channel.clone(),
                current: opening.floor,
                floor: head.counter_floor,
            });
        }
        let Some(release) = self.releases.get(&head.release) else {
            return Ok(Err(Missing::Release(head.release)));
        };
        if release.counter < head.counter_floor {
            return Err(Refusal::BelowFloor {
                channel: channel.clone(),
                counter: release.counter,
                floor: head.counter_floor,
            });
        }
        self.check_channel(release, channel, memo)?;
        Ok(Ok(opening))
    }

    /// A release signed for other channels must not slip into this one.
    fn check_channel(
        &self,
        release: &Verified<Release>,
        channel: &Name,
        memo: &mut Memo,
    ) -> Result<(), Refusal> {
        let id = release.id();
        let body = Body::ReleaseFor(channel.clone());
        let vouched = self.is_release_of_base(&id);
        let backed = self.backed(&body, &id, release.envelope(), vouched, memo);
        if backed.is_err() && !vouched {
            return Err(Refusal::OutOfScope {
                kind: Kind::Release,
                channel: Some(channel.clone()),
            });
        }
        Ok(())
    }

    fn is_head_elsewhere(&self, id: &RecordId, channel: &Name) -> bool {
        let mut others = self.lines.iter().filter(|(name, _)| *name != channel);
        others.any(|(_, line)| line.find(id).is_some())
    }
}
