//! Records: the one place where they come in, whoever sent them, and what follows.

use std::collections::BTreeMap;

use weft_record::{Admission, Envelope, Kind, Name, RecordId, Refusal, RevokeTarget};

use crate::{
    bounds,
    io::{Disk, Event, Output},
    members::Standing,
    message::Payload,
    node::Node,
    pending::Pending,
    score::Source,
};

/// What came in of a batch.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// What is new, as it came.
    bytes: Vec<Vec<u8>>,
    accepted: Vec<(Kind, RecordId)>,
    /// Something builds on what is not here.
    pub(crate) waits: bool,
    /// What that is, of what the owner handed in: no peer may have it.
    unplaced: Vec<Vec<u8>>,
}

impl Taken {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn has(&self, kinds: &[Kind]) -> bool {
        self.accepted.iter().any(|(kind, _)| kinds.contains(kind))
    }
}

/// What may come from whoever does not belong: all that it takes to be judged, and to judge.
const DOOR_KINDS: [Kind; 4] = [Kind::Root, Kind::Revoke, Kind::Enroll, Kind::EnrollRoot];

impl<P: Payload> Node<P> {
    /// Envelopes from the owner or an admin at this node: admitted like a peer's.
    pub(crate) fn import(&mut self, envelopes: Vec<Vec<u8>>) {
        let taken = self.take_in(Source::Owner, &envelopes);
        self.unplaced.extend(taken.unplaced);
        let excess = self.unplaced.len().saturating_sub(bounds::UNPLACED);
        self.unplaced.drain(..excess);
        if taken.waits {
            self.ask_members();
        }
    }

    /// One announcement. What it builds on may be missing: then members are asked.
    pub(crate) fn gossip(&mut self, envelope: Vec<u8>) {
        let taken = self.take_in(Source::Gossip, &[envelope]);
        if taken.waits {
            self.ask_members();
        }
    }

    /// Admits, saves and spreads.
    pub(crate) fn take_in(&mut self, source: Source, envelopes: &[Vec<u8>]) -> Taken {
        let (had_root, forks) = (self.trust.root().is_some(), self.forked_channels());
        self.own_digest();
        let mut taken = Taken::default();
        for bytes in envelopes {
            // its sender was let go meanwhile, or has cost enough for now
            if self.refuse_source(source) || !self.has_checks(source) {
                break;
            }
            self.take(source, bytes, &mut taken);
        }
        if taken.is_empty() {
            return taken;
        }
        self.digest = None;
        self.forget_own_reach();
        self.save(taken.bytes.clone());
        for channel in self.forked_channels() {
            if !forks.contains(&channel) {
                self.event(Event::Forked { channel });
            }
        }
        self.learned(&taken, had_root);
        if source != Source::Gossip {
            self.announce(&taken);
        }
        // neighbours that lack what is new see another digest and ask
        self.send_digests_soon();
        if source != Source::Owner && !self.unplaced.is_empty() {
            // what the owner handed in may have waited for this
            let unplaced = std::mem::take(&mut self.unplaced);
            self.import(unplaced);
        }
        taken
    }

    /// A peer's own enrolment: known to this node alone, so nobody is told of it.
    pub(crate) fn take_shown(&mut self, source: Source, bytes: Vec<u8>) {
        let mut taken = Taken::default();
        if self.has_checks(source) {
            self.take(source, &bytes, &mut taken);
        }
        if !taken.is_empty() {
            self.save(taken.bytes);
            self.pass_back(&taken.accepted);
        }
    }

    pub(crate) fn save(&mut self, envelopes: Vec<Vec<u8>>) {
        self.disk(
            Pending::SaveRecords(envelopes.clone()),
            Disk::SaveRecords(envelopes),
        );
    }

    /// One record: what it cost is counted against its source, unless it is new.
    fn take(&mut self, source: Source, bytes: &[u8], taken: &mut Taken) {
        let checks = self.memo.checks();
        let admitted = self.admit(source, bytes);
        let checks = self.memo.checks() - checks;
        self.counters.signature_checks += checks;
        match admitted {
            // further signatures may make it count again, as if it came only now
            Ok(Some((kind, id, Admission::New(..) | Admission::Floor(_) | Admission::Merged))) => {
                taken.bytes.push(bytes.to_vec());
                taken.accepted.push((kind, id));
                return;
            }
            Ok(Some((kind, id, Admission::Waiting(_)))) => {
                taken.waits = true;
                if source == Source::Owner {
                    taken.unplaced.push(bytes.to_vec());
                }
                // a head that waits may hold a floor already, which must last
                if kind == Kind::Head && self.digest != Some(self.trust.digest()) {
                    self.digest = None;
                    self.forget_own_reach();
                    taken.bytes.push(bytes.to_vec());
                    taken.accepted.push((kind, id));
                }
            }
            Ok(Some((_, _, Admission::Known | Admission::Superseded)) | None) => {}
            Err(refusal) => {
                self.charge(source, checks.max(1));
                self.refused(source, &refusal);
                return;
            }
        }
        self.charge(source, checks.max(1));
    }

    /// `None` for a record that its source may not send.
    fn admit(
        &mut self,
        source: Source,
        bytes: &[u8],
    ) -> Result<Option<(Kind, RecordId, Admission)>, Refusal> {
        let decoded = self.memo.decode(bytes)?;
        let kind = decoded.kind();
        let belongs = match source {
            Source::Owner | Source::Gossip => true,
            Source::Peer(peer) => {
                matches!(self.standing_of(&peer), Standing::Member | Standing::Bundle)
            }
        };
        if !belongs && !DOOR_KINDS.contains(&kind) {
            return Ok(None);
        }
        let wall_s = self.wall_s();
        let admission = self.trust.admit_decoded(&decoded, wall_s, &mut self.memo)?;
        Ok(Some((kind, decoded.id(), admission)))
    }

    /// What follows from records that are new.
    fn learned(&mut self, taken: &Taken, had_root: bool) {
        if taken.has(&[Kind::Root, Kind::Beacon]) {
            self.learn_time();
        }
        if taken.has(&[Kind::Release]) {
            self.learn_pinned();
        }
        if !had_root && self.trust.root().is_some() {
            self.restart_door();
        }
        for (kind, id) in &taken.accepted {
            if *kind == Kind::Revoke {
                self.tell_revoke(id);
            }
        }
        if taken.has(&[Kind::Root, Kind::Revoke]) {
            self.leave_void_all();
        }
        if taken.has(&[Kind::Root, Kind::Revoke, Kind::Enroll]) {
            self.judge_all();
        }
        self.pass_back(&taken.accepted);
    }

    fn tell_revoke(&mut self, id: &RecordId) {
        let revoke = self.trust.revokes().find(|revoke| revoke.id() == *id);
        let Some(revoke) = revoke.cloned() else {
            return;
        };
        let (key, release) = match revoke.target {
            RevokeTarget::Key(key) => (Some(key), None),
            RevokeTarget::Release(release) => (None, Some(release)),
        };
        self.event(Event::Revoked {
            key,
            release,
            reason: revoke.reason.clone(),
        });
    }

    /// Spreads what is new by gossip: all that is small and that everybody needs. Of heads
    /// the newest of each channel is enough.
    fn announce(&mut self, taken: &Taken) {
        let mut newest: BTreeMap<Name, RecordId> = BTreeMap::new();
        let mut ids = Vec::new();
        for (kind, id) in &taken.accepted {
            match kind {
                Kind::Root | Kind::Revoke | Kind::Control => ids.push(*id),
                Kind::Head => {
                    for channel in self.trust.channels() {
                        if self
                            .trust
                            .head(channel)
                            .is_some_and(|head| head.id() == *id)
                        {
                            newest.insert(channel.clone(), *id);
                        }
                    }
                    // one that contends must be known everywhere soon
                    if self.is_contending(id) {
                        ids.push(*id);
                    }
                }
                _ => {}
            }
        }
        ids.extend(newest.into_values());
        let excess = ids.len().saturating_sub(bounds::ANNOUNCEMENTS_PER_BATCH);
        for id in ids.drain(excess..) {
            let envelope = self.trust.envelope(&id).map(Envelope::encode);
            let short = envelope.filter(|bytes| bytes.len() <= bounds::ANNOUNCEMENT_BYTES);
            if let Some(bytes) = short {
                self.emit(Output::Broadcast(bytes));
            }
        }
    }

    fn is_contending(&self, head: &RecordId) -> bool {
        let mut channels = self.trust.channels();
        channels.any(|channel| {
            let fork = self.trust.fork(channel);
            fork.is_some_and(|fork| fork.tips.contains(head))
        })
    }

    fn forked_channels(&self) -> Vec<Name> {
        let followed = self.channels.keys();
        followed
            .filter(|channel| self.trust.fork(channel).is_some())
            .cloned()
            .collect()
    }
}
