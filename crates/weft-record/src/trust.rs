//! The verifier: what it accepted, and how it decides about the next record.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use weft_keys::PublicKey;

use crate::{
    ENVELOPE_VERSION, Envelope, Fork, Head, Invalid, Kind, Memo, MeshId, Name, RecordId, Refusal,
    Release, Role, Root, Verified,
    bounds::{
        MAX_CHANNELS, MAX_HALF_SIGNED, MAX_RECORD_BYTES, MAX_RELEASES, MAX_ROOTS, MAX_SIGNATURES,
    },
    codec,
    line::{Line, Opening},
    mesh_id_of,
};

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
    epochs: BTreeMap<Name, (u64, Option<RecordId>)>,
    pub(crate) releases: BTreeMap<RecordId, Verified<Release>>,
    pub(crate) lines: BTreeMap<Name, Line>,
    /// Records that lack signatures, until the rest comes by another path.
    half_signed: BTreeMap<RecordId, Envelope>,
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
            releases: BTreeMap::new(),
            lines: BTreeMap::new(),
            half_signed: BTreeMap::new(),
        }
    }

    /// Decides about one record. A refusal changes nothing that was accepted.
    ///
    /// In this order: size, canonical decoding, kind and mesh, role and scope,
    /// threshold of distinct keys, chain, fork, floor.
    pub fn admit(
        &mut self,
        mut envelope: Envelope,
        now_s: u64,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        check_frame(&envelope)?;
        let kind = Kind::from_number(envelope.kind).ok_or(Refusal::UnknownKind(envelope.kind))?;
        let body = Body::decode(kind, &envelope.body)?;
        if envelope.mesh_id != self.mesh_id {
            let (found, expected) = (envelope.mesh_id, self.mesh_id);
            return Err(Refusal::OtherMesh { found, expected });
        }
        let id = envelope.record_id();
        if let Some(known) = self.envelope(&id) {
            let known = known.clone();
            return self.merge(&body, id, known, &envelope, memo);
        }
        if let Some(half) = self.half_signed.get(&id) {
            envelope.merge_signatures(half);
        }
        let admitted = match body {
            Body::Root(root) => self.admit_root(root, id, envelope.clone(), now_s, memo),
            Body::Release(release) => {
                self.admit_release(release, id, envelope.clone(), now_s, memo)
            }
            Body::Head(head) => self.admit_head(head, id, envelope.clone(), now_s, memo),
        };
        match &admitted {
            Ok(Admission::New(..)) => {
                self.half_signed.remove(&id);
            }
            Err(Refusal::BelowThreshold { have, .. }) if *have > 0 => {
                self.keep_half_signed(id, envelope);
            }
            _ => {}
        }
        admitted
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
        let used = self.lines.iter().filter(|(_, line)| !line.heads().is_empty());
        used.map(|(channel, _)| channel)
    }

    /// The fork of a channel, if it has one.
    pub fn fork(&self, channel: &Name) -> Option<&Fork> {
        self.lines.get(channel).and_then(Line::fork)
    }

    /// The least security counter that a channel allows.
    pub fn floor(&self, channel: &Name) -> u64 {
        self.lines.get(channel).map_or(0, Line::floor)
    }

    /// How often a channel was reset.
    pub fn epoch(&self, channel: &Name) -> u64 {
        self.epochs.get(channel).map_or(0, |(epoch, _)| *epoch)
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
        let bases = self.lines.values().filter_map(Line::base_head).map(Verified::envelope);
        let releases = self.releases.values().map(Verified::envelope);
        let heads = self.lines.values().flat_map(Line::own_heads).map(Verified::envelope);
        roots.chain(bases).chain(releases).chain(heads)
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
        self.roots.iter().find(|root| root.id() == *id).map(Verified::envelope)
    }

    /// The line on which the next head of this channel goes.
    pub(crate) fn line(&self, channel: &Name) -> Line {
        self.lines.get(channel).cloned().unwrap_or_else(|| self.new_line(channel))
    }

    fn new_line(&self, channel: &Name) -> Line {
        let (epoch, base) = self.epochs.get(channel).copied().unwrap_or((0, None));
        Line::new(channel.clone(), epoch, base)
    }

    fn keep_half_signed(&mut self, id: RecordId, envelope: Envelope) {
        if self.half_signed.len() >= MAX_HALF_SIGNED && !self.half_signed.contains_key(&id) {
            self.half_signed.pop_first();
        }
        self.half_signed.insert(id, envelope);
    }
}

// ---- roots ------------------------------------------------------------------

impl Trust {
    fn admit_root(
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
            return Err(Refusal::RootDoesNotFollow { version: root.version, expected: old.id() });
        }
        if let Some(accepted) = self.roots.get(before) {
            let (version, accepted) = (root.version, accepted.id());
            return Err(Refusal::RootConflict { version, accepted });
        }
        if self.roots.len() >= MAX_ROOTS {
            return Err(Refusal::Full { what: "roots", limit: MAX_ROOTS });
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
                return Err(Refusal::ResetGoesBack { channel, current, epoch: reset.epoch });
            }
            epochs.insert(reset.channel.clone(), (reset.epoch, reset.base));
        }
        if epochs.len() > MAX_CHANNELS {
            return Err(Refusal::Full { what: "channels", limit: MAX_CHANNELS });
        }
        Ok(epochs)
    }

    /// Under a new root everything is looked at again, as if it came only now: what
    /// lost its signers or its epoch goes. Signatures cost nothing, the memo has them.
    fn judge_again(&mut self, memo: &mut Memo) {
        let releases = std::mem::take(&mut self.releases);
        let lines = std::mem::take(&mut self.lines);
        let heads: Vec<Verified<Head>> =
            lines.into_values().flat_map(|line| line.heads().to_vec()).collect();
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

// ---- releases ---------------------------------------------------------------

impl Trust {
    fn admit_release(
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
            return Err(Refusal::Full { what: "releases", limit: MAX_RELEASES });
        }
        envelope.sigs.retain(|(key, _)| keys.contains(key));
        self.releases.insert(id, Verified::new(release, id, envelope, now_s));
        Ok(Admission::New(Kind::Release, id))
    }

    /// What a reset's base names counts although its signer may be gone.
    fn is_release_of_base(&self, id: &RecordId) -> bool {
        let mut bases = self.lines.values().filter_map(Line::base_head);
        bases.any(|base| base.release == *id)
    }
}

// ---- heads ------------------------------------------------------------------

impl Trust {
    fn admit_head(
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
            return Err(Refusal::Full { what: "channels", limit: MAX_CHANNELS });
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
    fn is_base(&self, head: &Head, id: &RecordId) -> bool {
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
            return Err(Refusal::EpochPast { channel, current, epoch });
        }
        let opened = match self.lines.get(channel) {
            Some(line) => line.open(head)?,
            None => self.new_line(channel).open(head)?,
        };
        let opening = match opened {
            Ok(opening) => opening,
            Err(Missing::Head(prev)) if self.is_head_elsewhere(&prev, channel) => {
                return Err(Refusal::BrokenChain { channel: channel.clone(), seq: head.seq });
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
                return Err(Refusal::OutOfScope { kind: Kind::Release, channel });
            }
        }
        Ok(Ok(opening))
    }

    fn is_head_elsewhere(&self, id: &RecordId, channel: &Name) -> bool {
        let mut others = self.lines.iter().filter(|(name, _)| *name != channel);
        others.any(|(_, line)| line.find(id).is_some())
    }
}

// ---- signatures -------------------------------------------------------------

/// Counts the keys that signed a record and may.
struct Signers<'a> {
    envelope: &'a Envelope,
    message: Vec<u8>,
    memo: &'a mut Memo,
    /// Keys that count and whose signature verified.
    keys: Vec<PublicKey>,
}

impl<'a> Signers<'a> {
    fn new(envelope: &'a Envelope, id: &RecordId, memo: &'a mut Memo) -> Self {
        Self { envelope, message: envelope.signed_bytes_of(id), memo, keys: Vec::new() }
    }

    fn root_threshold(&mut self, root: &Root) -> Result<(), Refusal> {
        let (have, need) = (self.count(&root.keys)?, usize::from(root.threshold));
        if have < need {
            return Err(Refusal::BelowThreshold { kind: Kind::Root, have, need });
        }
        Ok(())
    }

    /// Whether any one role reaches its threshold.
    fn role_threshold(
        &mut self,
        root: &Root,
        kind: Kind,
        channel: Option<&Name>,
    ) -> Result<(), Refusal> {
        let mut refusal = Refusal::OutOfScope { kind, channel: channel.cloned() };
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
    fn earlier_threshold(
        &mut self,
        roots: &[Verified<Root>],
        kind: Kind,
        channel: Option<&Name>,
    ) -> Result<(), Refusal> {
        let mut last = Err(Refusal::OutOfScope { kind, channel: channel.cloned() });
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
            let Some(signature) = self.envelope.signature_of(key) else { continue };
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

impl Trust {
    /// Adds signatures of keys that count to a record that was accepted before.
    fn merge(
        &mut self,
        body: &Body,
        id: RecordId,
        mut known: Envelope,
        other: &Envelope,
        memo: &mut Memo,
    ) -> Result<Admission, Refusal> {
        let message = known.signed_bytes_of(&id);
        let mut merged = false;
        for (key, signature) in &other.sigs {
            let held = known.signature_of(key);
            if held.is_some_and(|held| held <= signature) || !self.may_sign(body, key) {
                continue;
            }
            let room = held.is_some() || has_room(&known);
            if !memo.verify(key, &message, signature) {
                return Err(Refusal::BadSignature(*key));
            }
            if room {
                known.insert(*key, *signature);
                merged = true;
            }
        }
        if !merged {
            return Ok(Admission::Known);
        }
        self.replace_envelope(body, &id, known);
        Ok(Admission::Merged)
    }

    fn may_sign(&self, body: &Body, key: &PublicKey) -> bool {
        let Some(newest) = self.roots.last() else { return false };
        let in_role = |role: &Role| role.keys.binary_search(key).is_ok();
        match body {
            Body::Root(root) => {
                let before = usize::try_from(root.version.saturating_sub(2)).ok();
                let old = before.and_then(|index| self.roots.get(index));
                root.keys.binary_search(key).is_ok()
                    || old.is_some_and(|old| old.keys.binary_search(key).is_ok())
            }
            Body::Release(_) => newest.roles_for(Kind::Release, None).any(in_role),
            Body::Head(head) => newest.roles_for(Kind::Head, Some(&head.channel)).any(in_role),
        }
    }

    fn replace_envelope(&mut self, body: &Body, id: &RecordId, envelope: Envelope) {
        match body {
            Body::Root(_) => {
                if let Some(root) = self.roots.iter_mut().find(|root| root.id() == *id) {
                    *root = root.with_envelope(envelope);
                }
            }
            Body::Release(_) => {
                if let Some(release) = self.releases.get_mut(id) {
                    *release = release.with_envelope(envelope);
                }
            }
            Body::Head(head) => {
                let heads = self.lines.get_mut(&head.channel).map(Line::heads_mut);
                let found = heads.into_iter().flatten().find(|head| head.id() == *id);
                if let Some(head) = found {
                    *head = head.with_envelope(envelope);
                }
            }
        }
    }
}

/// Whether one more signature keeps the envelope within its bounds.
fn has_room(envelope: &Envelope) -> bool {
    envelope.sigs.len() < MAX_SIGNATURES
        && encoded_length(envelope.body.len(), envelope.sigs.len() + 1) <= MAX_RECORD_BYTES
}

// ---- bodies -----------------------------------------------------------------

/// A decoded body whose own rules hold.
enum Body {
    Root(Root),
    Release(Release),
    Head(Head),
}

impl Body {
    fn decode(kind: Kind, bytes: &[u8]) -> Result<Self, Refusal> {
        match kind {
            Kind::Root => decode(kind, bytes, Root::check).map(Self::Root),
            Kind::Release => decode(kind, bytes, Release::check).map(Self::Release),
            Kind::Head => decode(kind, bytes, Head::check).map(Self::Head),
        }
    }
}

fn decode<T: serde::Serialize + DeserializeOwned>(
    kind: Kind,
    bytes: &[u8],
    check: impl Fn(&T) -> Result<(), Invalid>,
) -> Result<T, Refusal> {
    let record = codec::decode(bytes, MAX_RECORD_BYTES)
        .map_err(|source| Refusal::Malformed { part: kind.name(), source })?;
    check(&record).map_err(|source| Refusal::Invalid { kind, source })?;
    Ok(record)
}

/// What decoding checks, for envelopes that were built by hand.
fn check_frame(envelope: &Envelope) -> Result<(), Refusal> {
    let bytes = encoded_length(envelope.body.len(), envelope.sigs.len());
    if bytes > MAX_RECORD_BYTES {
        return Err(Refusal::TooLong { bytes, limit: MAX_RECORD_BYTES });
    }
    if envelope.v != ENVELOPE_VERSION {
        return Err(Refusal::UnknownVersion(envelope.v));
    }
    if envelope.sigs.len() > MAX_SIGNATURES {
        return Err(Refusal::TooManySignatures(envelope.sigs.len()));
    }
    if !envelope.sigs.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(Refusal::UnsortedSignatures);
    }
    Ok(())
}

/// Version, kind and mesh; two lengths of 8 bytes; the body; key and signature each.
fn encoded_length(body: usize, signatures: usize) -> usize {
    2 + 32 + 16 + body + signatures * (32 + 64)
}
