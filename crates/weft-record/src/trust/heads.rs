//! Releases, and the heads that name them.

use super::{Admission, Missing, Trust, signers::Signers};
use crate::{
    Envelope, Head, Kind, Memo, Name, RecordId, Refusal, Release, Verified,
    bounds::{MAX_CHANNELS, MAX_RELEASES},
    line::{Line, Opening},
};

impl Trust {
    pub(super) fn admit_release(
        &mut self,
        release: Release,
        id: RecordId,
        mut envelope: Envelope,
        now_s: u64,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        let Some(root) = self.roots.last() else {
            return Ok(Admission::Waiting(Missing::Root));
        };
        let mut signers = Signers::new(&envelope, &id, memo);
        let mut backed = signers.role_threshold(root, Kind::Release, None);
        if backed.is_err() && self.is_release_of_base(&id) {
            backed = signers.earlier_threshold(&self.roots, Kind::Release, None);
        }
        backed?;
        let keys = signers.keys;
        if self.releases.len() >= MAX_RELEASES {
            return Err(Refusal::Full {
                what: "releases",
                limit: MAX_RELEASES,
            });
        }
        envelope.sigs.retain(|(key, _)| keys.contains(key));
        self.releases
            .insert(id, Verified::new(release, id, envelope, now_s));
        Ok(Admission::New(Kind::Release, id))
    }

    /// What a reset's base names counts although its signer may be gone.
    fn is_release_of_base(&self, id: &RecordId) -> bool {
        let mut bases = self.lines.values().filter_map(Line::base_head);
        bases.any(|base| base.release == *id)
    }
}

impl Trust {
    pub(super) fn admit_head(
        &mut self,
        head: Head,
        id: RecordId,
        mut envelope: Envelope,
        now_s: u64,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        let Some(root) = self.roots.last() else {
            return Ok(Admission::Waiting(Missing::Root));
        };
        let is_base = self.is_base(&head, &id);
        let mut signers = Signers::new(&envelope, &id, memo);
        let mut backed = signers.role_threshold(root, Kind::Head, Some(&head.channel));
        if backed.is_err() && is_base {
            backed = signers.earlier_threshold(&self.roots, Kind::Head, Some(&head.channel));
        }
        backed?;
        let keys = signers.keys;
        let opening = if is_base {
            None
        } else {
            match self.place(&head, memo)? {
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
        envelope.sigs.retain(|(key, _)| keys.contains(key));
        let fresh = self.new_line(&head.channel);
        let line = self.lines.entry(head.channel.clone()).or_insert(fresh);
        let head = Verified::new(head, id, envelope, now_s);
        match opening {
            Some(opening) => line.insert(head, opening),
            None => line.insert_base(head),
        }
        Ok(Admission::New(Kind::Head, id))
    }

    /// Whether the newest reset of its channel names this head as what is still trusted.
    pub(super) fn is_base(&self, head: &Head, id: &RecordId) -> bool {
        let reset = self.epochs.get(&head.channel);
        reset.is_some_and(|(epoch, base)| *base == Some(*id) && head.epoch < *epoch)
    }

    /// Chain, fork and floor.
    fn place(&self, head: &Head, memo: &mut Memo) -> Result<Result<Opening, Missing>, Refusal> {
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
        let opened = match self.lines.get(channel) {
            Some(line) => line.open(head)?,
            None => self.new_line(channel).open(head)?,
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
        if let Some(root) = self.roots.last() {
            // a release signed for other channels must not slip into this one
            let mut signers = Signers::new(release.envelope(), &release.id(), memo);
            let backed = signers.role_threshold(root, Kind::Release, Some(channel));
            if backed.is_err() && !self.is_release_of_base(&release.id()) {
                let channel = Some(channel.clone());
                return Err(Refusal::OutOfScope {
                    kind: Kind::Release,
                    channel,
                });
            }
        }
        Ok(Ok(opening))
    }

    fn is_head_elsewhere(&self, id: &RecordId, channel: &Name) -> bool {
        let mut others = self.lines.iter().filter(|(name, _)| *name != channel);
        others.any(|(_, line)| line.find(id).is_some())
    }
}
