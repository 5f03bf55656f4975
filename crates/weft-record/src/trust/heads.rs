//! Releases, the heads that name them, and what a channel is at.

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
        let floor = self.floor(channel);
        let counts = |head: &&Verified<Head>| {
            let release = self.releases.get(&head.release);
            // the base's release may be on its way still
            let above = release.is_none_or(|release| release.counter >= floor);
            above && !self.is_revoked(&head.release)
        };
        let newest = line.heads().iter().rev().find(counts);
        newest.map_or(Verdict::Withdrawn, Verdict::Go)
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
            .insert(id, Verified::new(release, id, envelope, now_s));
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
            match self.place(&head, &envelope, memo)? {
                Ok(opening) => Some(opening),
                Err(missing) => return Ok(Admission::Waiting(missing)),
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
        let fresh = self.new_line(&head.channel);
        let line = self.lines.entry(head.channel.clone()).or_insert(fresh);
        let head = Verified::new(head, id, envelope, now_s);
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
        mut envelope: Envelope,
        now_s: u64,
        refusal: Refusal,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        let epoch = self.epochs.get(&head.channel).copied().unwrap_or_default();
        let held = self.witnesses.get(&head.channel);
        let held = held.is_some_and(|held| {
            (held.counter_floor, std::cmp::Reverse(held.id()))
                >= (head.counter_floor, std::cmp::Reverse(id))
        });
        let lowered = held || head.counter_floor <= self.line_floor(&head.channel);
        if head.epoch != epoch.number || matches!(refusal, Refusal::BadSignature(_)) || lowered {
            return Err(refusal);
        }
        self.once_backed(body, &id, &envelope, epoch.since, memo)
            .map_err(|_| refusal)?;
        self.keep_signatures(body, &id, &mut envelope, &[], memo);
        envelope.proof = None;
        let channel = head.channel.clone();
        let witness = Verified::new(head, id, envelope, now_s);
        self.witnesses.insert(channel, witness);
        Ok(Admission::Floor(id))
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
