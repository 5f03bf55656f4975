//! The verifier: what it accepted, and how it decides about the next record.

mod body;
mod fallen;
mod heads;
mod members;
mod merge;
mod others;
mod revokes;
mod roots;
mod signers;
mod spare;

use std::collections::{BTreeMap, BTreeSet};

use litemap::LiteMap;
use weft_keys::PublicKey;

use crate::{
    Envelope, Fork, Head, Kind, Memo, MeshId, Name, RecordId, Refusal, Release, Root, Verified,
    bounds::MAX_HALF_SIGNED, line::Line,
};
use body::{Body, check_frame};
use fallen::Fallen;
use others::Others;
use spare::Spare;

pub use body::Decoded;
pub use heads::Verdict;
pub use members::Standing;

/// All that a node believes: the root chain, the releases and the heads of every
/// channel. It begins with the mesh id alone; every record comes in through
/// [`Trust::admit`].
///
/// What it holds follows from the records alone, in whatever order they came and
/// however often.
#[derive(Clone, Debug)]
pub struct Trust {
    mesh_id: MeshId,
    roots: Vec<Verified<Root>>,
    /// Of channels that were reset: the epoch and what it begins with.
    epochs: BTreeMap<Name, Epoch>,
    pub(crate) releases: LiteMap<RecordId, Verified<Release>>,
    pub(crate) lines: LiteMap<Name, Line>,
    others: Others,
    /// Of channels whose floor was set by a head that no longer counts, or that does not
    /// count yet: that head.
    pub(crate) witnesses: BTreeMap<Name, Verified<Head>>,
    /// Of channels that were reset: what the base and the heads before it name.
    before_base: BTreeMap<Name, BTreeSet<RecordId>>,
    revoked_keys: BTreeSet<PublicKey>,
    revoked_releases: BTreeSet<RecordId>,
    fallen: Fallen,
    spare: Spare,
    /// Records that lack signatures, until the rest comes by another path.
    half_signed: BTreeMap<RecordId, Envelope>,
}

/// A channel's epoch.
#[derive(Clone, Copy, Debug, Default)]
struct Epoch {
    number: u64,
    /// What it begins with.
    base: Option<RecordId>,
    /// Place in the chain of the root that began it.
    since: usize,
}

/// What became of a record that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is accepted.
    New(Kind, RecordId),
    /// It was accepted before.
    Known,
    /// It was accepted before, and carried signatures that are new.
    Merged,
    /// It is in order, and a newer one is here.
    Superseded,
    /// A head that no longer counts, since a signer was revoked or replaced; but the floor
    /// that it set does.
    Floor(RecordId),
    /// It builds on something that is not here yet, and was not kept.
    Waiting(Missing),
}

/// What a record waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// A root of an earlier version.
    Root,
    /// A head that it follows.
    Head(RecordId),
    /// The release that it names.
    Release(RecordId),
    /// Anything that names the key which revokes itself.
    Key,
    /// The task that it is of.
    Task(RecordId),
    /// The enrolment of an aggregator.
    Enrolment(PublicKey),
}

/// How far the newest root can be believed to be the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeState {
    /// Within its validity.
    Fresh,
    /// It should have been renewed. What is active stays active.
    Stale,
    /// No root yet, or a clock that stands before the root was signed.
    Unknown,
}

impl Trust {
    /// Knows nothing but the mesh.
    pub fn new(mesh_id: MeshId) -> Self {
        Self {
            mesh_id,
            roots: Vec::new(),
            epochs: BTreeMap::new(),
            releases: LiteMap::default(),
            lines: LiteMap::default(),
            others: Others::default(),
            witnesses: BTreeMap::new(),
            before_base: BTreeMap::new(),
            revoked_keys: BTreeSet::new(),
            revoked_releases: BTreeSet::new(),
            fallen: Fallen::default(),
            spare: Spare::default(),
            half_signed: BTreeMap::new(),
        }
    }

    /// Decides about one record. A refusal changes nothing that was accepted.
    ///
    /// In this order: size, canonical decoding, kind and mesh, role and scope,
    /// threshold of distinct keys, chain, fork, floor.
    pub fn admit(
        &mut self,
        envelope: Envelope,
        now_s: u64,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        check_frame(&envelope)?;
        let decoded = Decoded::new(envelope)?;
        self.admit_decoded(&decoded, now_s, memo)
    }

    /// The same for a record that was taken apart already, by [`Memo::decode`].
    pub fn admit_decoded(
        &mut self,
        decoded: &Decoded,
        now_s: u64,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        let (envelope, body, id) = decoded.parts();
        if envelope.mesh_id != self.mesh_id {
            let (found, expected) = (envelope.mesh_id, self.mesh_id);
            return Err(Refusal::OtherMesh { found, expected });
        }
        if let Some(known) = self.held(body, &id) {
            if known.sigs == envelope.sigs {
                return Ok(Admission::Known);
            }
            let known = known.clone();
            return self.merge(body, id, known, envelope, memo);
        }
        let mut envelope = envelope.clone();
        let seen = [self.half_signed.get(&id), self.once_held(body, &id)];
        for seen in seen.into_iter().flatten() {
            envelope.merge_signatures(seen);
        }
        let admitted = self.admit_body(body.clone(), id, envelope.clone(), now_s, memo);
        match &admitted {
            Ok(Admission::New(kind, _)) => {
                self.half_signed.remove(&id);
                self.fallen.forget(&id);
                if matches!(kind, Kind::Release | Kind::Head) {
                    self.lift_fallen(memo);
                }
            }
            Ok(Admission::Superseded) => {
                self.half_signed.remove(&id);
            }
            Err(Refusal::BelowThreshold { have, .. }) if *have > 0 => {
                self.keep_half_signed(body, id, envelope, memo);
            }
            // others may yet sign it as well
            Err(Refusal::RevokedKey(_)) => self.keep_half_signed(body, id, envelope, memo),
            _ => {}
        }
        admitted
    }

    fn admit_body(
        &mut self,
        body: Body,
        id: RecordId,
        envelope: Envelope,
        now_s: u64,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        if self.roots.is_empty() && body.kind() != Kind::Root {
            return Ok(Admission::Waiting(Missing::Root));
        }
        match body {
            Body::Root(root) => self.admit_root(*root, id, envelope, now_s, memo),
            Body::Release(release) => self.admit_release(*release, id, envelope, now_s, memo),
            Body::Head(head) => self.admit_head(head, id, envelope, now_s, memo),
            Body::Enroll(enroll) => self.admit_enroll(enroll, id, envelope, now_s, memo),
            Body::Revoke(revoke) => self.admit_revoke(revoke, id, envelope, now_s, memo),
            other => self.admit_other(other, id, envelope, now_s, memo),
        }
    }

    /// The mesh.
    pub fn mesh_id(&self) -> MeshId {
        self.mesh_id
    }

    /// The newest root.
    pub fn root(&self) -> Option<&Verified<Root>> {
        self.roots.last()
    }

    /// All roots, the first of the mesh first.
    pub fn root_chain(&self) -> &[Verified<Root>] {
        &self.roots
    }

    /// A release.
    pub fn release(&self, id: &RecordId) -> Option<&Verified<Release>> {
        self.releases.get(id)
    }

    /// The same, also of one that counted once and does so no more.
    pub fn release_known(&self, id: &RecordId) -> Option<&Verified<Release>> {
        self.release(id).or_else(|| self.fallen.releases.get(id))
    }

    /// All releases, by id.
    pub fn releases(&self) -> impl Iterator<Item = &Verified<Release>> {
        self.releases.values()
    }

    /// The heads of a channel since its last reset, by place: the reset's base first,
    /// contending heads beside each other.
    pub fn heads(&self, channel: &Name) -> &[Verified<Head>] {
        self.lines.get(channel).map_or(&[], Line::heads)
    }

    /// The newest head of a channel; while it is forked, the newest that every branch follows.
    pub fn head(&self, channel: &Name) -> Option<&Verified<Head>> {
        self.lines.get(channel).and_then(Line::newest)
    }

    /// Channels with at least one head.
    pub fn channels(&self) -> impl Iterator<Item = &Name> {
        let used = self
            .lines
            .iter()
            .filter(|(_, line)| !line.heads().is_empty());
        used.map(|(channel, _)| channel)
    }

    /// The fork of a channel, if it has one.
    pub fn fork(&self, channel: &Name) -> Option<&Fork> {
        self.lines.get(channel).and_then(Line::fork)
    }

    /// How often a channel was reset.
    pub fn epoch(&self, channel: &Name) -> u64 {
        self.epochs.get(channel).map_or(0, |epoch| epoch.number)
    }

    /// Whether the newest root is fresh by this clock. A clock that stands before the
    /// root was signed is wrong, so nothing is known.
    pub fn time_state(&self, now_s: u64) -> TimeState {
        match self.root().map(|root| root.validity) {
            Some(validity) if now_s > validity.until_s => TimeState::Stale,
            Some(validity) if now_s >= validity.from_s => TimeState::Fresh,
            _ => TimeState::Unknown,
        }
    }

    /// Every accepted record, in an order in which a new verifier admits them all.
    pub fn records(&self) -> impl Iterator<Item = &Envelope> {
        let roots = self.roots.iter().map(Verified::envelope);
        let bases = self
            .lines
            .values()
            .filter_map(Line::base_head)
            .map(Verified::envelope);
        let releases = self.releases.values().map(Verified::envelope);
        let heads = self
            .lines
            .values()
            .flat_map(Line::own_heads)
            .map(Verified::envelope);
        let enrolments = self.others.enrolments.values().flatten();
        let enrolments = enrolments.map(|held| held.enroll.envelope());
        let others = self.others.envelopes().map(|(_, envelope)| envelope);
        let witnesses = self.witnesses.values().map(Verified::envelope);
        let signed = roots.chain(bases).chain(releases).chain(heads);
        signed.chain(enrolments).chain(others).chain(witnesses)
    }

    /// The envelope of an accepted record.
    pub fn envelope(&self, id: &RecordId) -> Option<&Envelope> {
        if let Some(release) = self.releases.get(id) {
            return Some(release.envelope());
        }
        let head = self.lines.values().find_map(|line| line.find(id));
        if let Some(head) = head {
            return Some(head.envelope());
        }
        let mut roots = self.roots.iter();
        if let Some(root) = roots.find(|root| root.id() == *id) {
            return Some(root.envelope());
        }
        self.others.find(id)
    }

    /// The same where its kind is known: a flood of records must not cost a search each.
    fn held(&self, body: &Body, id: &RecordId) -> Option<&Envelope> {
        match body {
            Body::Root(root) => {
                let place = usize::try_from(root.version.checked_sub(1)?).ok()?;
                let held = self.roots.get(place)?;
                (held.id() == *id).then(|| held.envelope())
            }
            Body::Release(_) | Body::ReleaseFor(_) => self.releases.get(id).map(Verified::envelope),
            Body::Head(head) => {
                let line = self.lines.get(&head.channel);
                line.and_then(|line| line.find(id)).map(Verified::envelope)
            }
            other => self.others.held(other, id),
        }
    }

    /// The envelope of a record that was accepted once, or that only holds a floor: what
    /// comes may add the signatures that it lacks.
    fn once_held(&self, body: &Body, id: &RecordId) -> Option<&Envelope> {
        let witness = match body {
            Body::Head(head) => self.witnesses.get(&head.channel),
            _ => None,
        };
        let witness = witness.filter(|head| head.id() == *id);
        let witness = witness.map(Verified::envelope);
        witness.or_else(|| self.fallen.find(id))
    }

    /// The line on which the next head of this channel goes.
    pub(crate) fn line(&self, channel: &Name) -> Line {
        self.lines
            .get(channel)
            .cloned()
            .unwrap_or_else(|| self.new_line(channel))
    }

    fn new_line(&self, channel: &Name) -> Line {
        let epoch = self.epochs.get(channel).copied().unwrap_or_default();
        Line::new(channel.clone(), epoch.number, epoch.base)
    }

    fn keep_half_signed(
        &mut self,
        body: &Body,
        id: RecordId,
        mut envelope: Envelope,
        memo: &mut Memo,
    ) {
        // anyone can sign; such signatures must not take the room of those that count
        self.keep_signatures(body, &id, &mut envelope, &[], memo);
        if self.half_signed.len() >= MAX_HALF_SIGNED && !self.half_signed.contains_key(&id) {
            self.half_signed.pop_first();
        }
        self.half_signed.insert(id, envelope);
    }
}
