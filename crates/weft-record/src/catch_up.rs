//! How two verifiers find out that they differ, and what one sends the other.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Comparison, Envelope, Hash, Head, Kind, Name, RecordId, Release, RevokeTarget, Trust, Verified,
    bounds::{MAX_HAVE_HEADS, MAX_HAVE_OTHERS, MAX_HAVE_WANTS},
    line::Line,
    reconcile::Ordered,
};

/// What a verifier holds, in 96 bytes: with equal digests neither lacks anything that the
/// other has. Signatures beyond the threshold, releases that no head names, enrolments and
/// heads whose way was proven are not part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustDigest {
    /// Version of the newest root; 0 for none.
    pub root_version: u64,
    /// The newest root.
    pub root: RecordId,
    /// Over the list of what to do: the newest heads of every channel and what bears on them.
    pub list: Hash,
    /// Records in the sets that grow: all that are neither roots nor releases nor heads.
    pub set_records: u64,
    /// Over these.
    pub set_print: [u8; 16],
}

impl TrustDigest {
    /// Whether the other knows of the same roots and the same list of what to do.
    pub fn has_list_of(&self, other: &Self) -> bool {
        let judged = |one: &Self| (one.root_version, one.root, one.list);
        judged(self) == judged(other)
    }
}

/// What a verifier holds, as far as another must know it to send the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// Version of the newest root; 0 for none.
    pub root_version: u64,
    /// The newest root.
    pub root: RecordId,
    /// The newest head of each branch of each channel, and what its epoch begins with;
    /// then samples of what lies before.
    pub heads: Vec<HaveHead>,
    /// Releases that a reset vouches for and that are not here.
    pub wants: Vec<RecordId>,
    /// The first eight bytes of the ids of what bears on the newest heads, and of all
    /// records of the sets that grow if these are asked for, sorted.
    pub others: Vec<u64>,
    /// Channels of which every head is wanted: one came that may contend with one whose
    /// way is not known here.
    pub whole: Vec<Name>,
    /// Whether there are samples of what lies before the newest heads.
    pub samples: bool,
    /// Whether what is lacking of the sets that grow is asked for too.
    pub sets: bool,
}

/// How much a verifier says of what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// The newest heads and what bears on them.
    #[default]
    List,
    /// Samples of the heads before them too, so that the place is found where branches part.
    Lines,
    /// Every record of the sets that grow too.
    All,
}

/// What two nodes exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Everything.
    All,
    /// Roots, revocations and hashes over enrolments: enough to be mended by.
    Trust,
}

/// One head that a verifier holds, with all that it follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaveHead {
    /// Its channel.
    pub channel: Name,
    /// Its epoch.
    pub epoch: u64,
    /// Its place.
    pub seq: u64,
    /// The head.
    pub id: RecordId,
}

impl Have {
    fn holds(&self, id: &RecordId) -> bool {
        self.others.binary_search(&short(id)).is_ok()
    }
}

impl Trust {
    /// What this verifier holds, in brief.
    pub fn digest(&self) -> TrustDigest {
        let mut hasher = blake3::Hasher::new_derive_key("weft v1 trust digest");
        // the newest heads stand for all that they follow: each names those before it
        for line in self.lines.values() {
            for tip in line.tips() {
                hasher.update(tip.as_bytes());
            }
            hasher.update(&[u8::from(self.wants_whole(line))]);
            if let Some(base) = line.base_head() {
                hasher.update(base.id().as_bytes());
                let held = self.releases.contains_key(&base.release);
                hasher.update(&[u8::from(held)]);
            }
        }
        hasher.update(&[1]);
        let beside: BTreeSet<RecordId> = self.list_records().map(|(id, _)| id).collect();
        for id in &beside {
            hasher.update(id.as_bytes());
        }
        let mut sets = blake3::Hasher::new_derive_key("weft v1 set digest");
        let held: BTreeSet<RecordId> = self.set_records().map(|(id, _)| id).collect();
        for id in &held {
            sets.update(id.as_bytes());
        }
        let print = sets.finalize().as_bytes().first_chunk().copied();
        let (root_version, root) = self.newest_root();
        TrustDigest {
            root_version,
            root,
            list: Hash(*hasher.finalize().as_bytes()),
            set_records: held.len() as u64,
            set_print: print.unwrap_or_default(),
        }
    }

    /// All that this verifier holds, to be answered with all that it lacks.
    pub fn have(&self) -> Have {
        self.have_in(Detail::All)
    }

    /// What this verifier holds, to be answered with what it lacks.
    pub fn have_in(&self, detail: Detail) -> Have {
        let samples_asked = detail != Detail::List;
        let (root_version, root) = self.newest_root();
        let mut heads = Vec::new();
        let mut wants = Vec::new();
        for line in self.lines.values() {
            let base = line.base_head().into_iter();
            let whole = self.wants_whole(line);
            let certain = |head: &&Verified<Head>| {
                !whole || line.certain_heads().any(|one| one.id() == head.id())
            };
            let tips = line.tips().filter_map(|tip| line.find(tip)).filter(certain);
            heads.extend(base.chain(tips).map(have_head));
            let wanted = line.base_head().map(|base| base.release);
            wants.extend(wanted.filter(|release| !self.releases.contains_key(release)));
        }
        // only then, so that no channel is left out for another's samples
        for line in self.lines.values() {
            let whole = self.wants_whole(line);
            let certain: Vec<&Verified<Head>> = if whole {
                line.certain_heads().collect()
            } else {
                line.own_heads().iter().collect()
            };
            let newest = certain.last().filter(|_| whole);
            heads.extend(newest.copied().map(have_head));
            if samples_asked || whole {
                heads.extend(samples(&certain).map(have_head));
            }
        }
        heads.truncate(MAX_HAVE_HEADS);
        wants.truncate(MAX_HAVE_WANTS);
        let mut others: Vec<u64> = self.list_records().map(|(id, _)| short(&id)).collect();
        if detail == Detail::All {
            others.extend(self.set_records().map(|(id, _)| short(&id)));
        }
        others.sort_unstable();
        others.dedup();
        others.truncate(MAX_HAVE_OTHERS);
        let undecided = self.lines.values().filter(|line| self.wants_whole(line));
        let whole = undecided.map(|line| line.channel.clone()).collect();
        Have {
            root_version,
            root,
            heads,
            wants,
            others,
            whole,
            samples: samples_asked,
            sets: detail == Detail::All,
        }
    }

    /// What a verifier that holds this lacks, in an order in which it can admit it,
    /// at most `budget_bytes` encoded, but at least one record (a head with its release)
    /// if it lacks any. What did not fit comes when it asks again with what it then holds.
    ///
    /// Who is far behind on a channel gets its newest head with the proof that it continues
    /// what they hold, not all heads between.
    pub fn missing_for(
        &self,
        have: &Have,
        exchange: Exchange,
        budget_bytes: usize,
    ) -> Vec<Envelope> {
        let mut batch = Batch::of(budget_bytes);
        // who has a newer root judges by it: what stands here may be void there
        let known_roots = usize::try_from(have.root_version).unwrap_or(usize::MAX);
        let Some(roots) = self.root_chain().get(known_roots..) else {
            return Vec::new();
        };
        let same = known_roots.checked_sub(1).is_none_or(|index| {
            self.root_chain()
                .get(index)
                .is_some_and(|root| root.id() == have.root)
        });
        if !same {
            return Vec::new();
        }
        for root in roots {
            batch.add(root.envelope());
        }
        // first what takes something away
        let lacking = |(id, _): &(RecordId, &Envelope)| !have.holds(id);
        let is_first = |(_, envelope): &(RecordId, &Envelope)| {
            [Kind::Revoke, Kind::EnrollRoot]
                .map(Kind::number)
                .contains(&envelope.kind)
        };
        let sets = || self.set_records().filter(|_| have.sets).filter(lacking);
        for (id, envelope) in sets().filter(is_first) {
            batch.add_after(self.needed_by(&id), envelope);
        }
        if exchange == Exchange::Trust {
            return batch.envelopes;
        }
        let list: BTreeMap<RecordId, &Envelope> = self.list_records().filter(lacking).collect();
        let list = || list.iter().map(|(id, envelope)| (*id, *envelope));
        for (id, envelope) in list().filter(is_first).filter(|_| !have.sets) {
            batch.add_after(self.needed_by(&id), envelope);
        }
        // bases first: a release that only one of them vouches for may serve any channel
        for line in self.lines.values() {
            self.add_base(&mut batch, line, have);
        }
        for line in self.lines.values() {
            self.add_line(&mut batch, line, have);
        }
        for id in have.wants.iter().take(MAX_HAVE_WANTS) {
            if let Some(release) = self.release(id) {
                batch.add_release(release);
            }
        }
        let mut sent = BTreeSet::new();
        for (id, envelope) in list().chain(sets()).filter(|one| !is_first(one)) {
            if sent.insert(id) {
                batch.add_after(self.needed_by(&id), envelope);
            }
        }
        batch.envelopes
    }

    /// Begins to compare the sets that grow with another's; a comparison is answered with
    /// [`Trust::compare`] by both, until one has nothing to say.
    pub fn open_comparison(&self, salt: u64) -> Comparison {
        let ids = self.set_records().map(|(id, _)| id);
        Comparison {
            salt,
            root: self.newest_root().1,
            parts: vec![Ordered::new(salt, ids).open()],
        }
    }

    /// What another lacks of the sets that grow, as far as what it said tells and at most
    /// `budget_bytes` encoded (but at least one record), in an order in which it can admit
    /// it; and what is to be said in return.
    pub fn compare(&self, theirs: &Comparison, budget_bytes: usize) -> (Comparison, Vec<Envelope>) {
        let root = self.newest_root().1;
        let mut answer = Comparison {
            salt: theirs.salt,
            root,
            parts: Vec::new(),
        };
        let mut batch = Batch::of(usize::MAX);
        if theirs.root != root {
            return (answer, batch.envelopes);
        }
        let held: BTreeMap<RecordId, &Envelope> = self.set_records().collect();
        let (mut left_bytes, mut chosen) = (budget_bytes, BTreeSet::new());
        let take = |id: &RecordId| {
            let all = self.needed_by(id).into_iter().chain(held.get(id).copied());
            let bytes: usize = all.map(|envelope| envelope.encode().len()).sum();
            if bytes > left_bytes && !chosen.is_empty() {
                return false;
            }
            left_bytes = left_bytes.saturating_sub(bytes);
            chosen.insert(*id);
            true
        };
        let ordered = Ordered::new(theirs.salt, held.keys().copied());
        answer.parts = ordered.answer(&theirs.parts, take);
        for (id, envelope) in self.set_records().filter(|(id, _)| chosen.contains(id)) {
            batch.add_after(self.needed_by(&id), envelope);
        }
        (answer, batch.envelopes)
    }

    /// What bears on the newest heads: their controls, what revokes their releases, and
    /// what holds a floor above theirs.
    fn list_records(&self) -> impl Iterator<Item = (RecordId, &Envelope)> {
        let mut newest = BTreeSet::new();
        let mut releases = BTreeSet::new();
        for line in self.lines.values() {
            let tips = line.tips().filter_map(|tip| line.find(tip));
            for head in line.base_head().into_iter().chain(tips) {
                newest.insert(head.id());
                releases.insert(head.release);
            }
        }
        let revokes = self.revokes().filter(move |revoke| match &revoke.target {
            RevokeTarget::Release(release) => releases.contains(release),
            RevokeTarget::Key(_) => false,
        });
        let controls = self.all_controls();
        let controls = controls.filter(move |control| newest.contains(&control.head));
        let witnesses = self.witnesses.keys();
        let witnesses = witnesses.filter_map(|channel| self.witness(channel));
        let revokes = revokes.map(|one| (one.id(), one.envelope()));
        let controls = controls.map(|one| (one.id(), one.envelope()));
        revokes
            .chain(controls)
            .chain(witnesses.map(|head| (head.id(), head.envelope())))
    }

    /// The sets that grow: all that are neither roots nor releases nor heads, without
    /// enrolments, which travel with their nodes.
    fn set_records(&self) -> impl Iterator<Item = (RecordId, &Envelope)> {
        self.other_envelopes()
    }

    /// Enrolments without which a record of the sets counts for nothing: a node's word about
    /// its own key counts only where the node is known.
    fn needed_by(&self, id: &RecordId) -> Vec<&Envelope> {
        let nodes = self.aggregators(id).into_iter().flatten();
        let nodes = nodes.chain(self.revoked_key(id));
        let enrolments = nodes.filter_map(|node| self.enrolment(&node));
        enrolments.map(Verified::envelope).collect()
    }

    fn add_base(&self, batch: &mut Batch, line: &Line, have: &Have) {
        let Some(base) = line.base_head() else { return };
        let mut theirs = have.heads.iter().take(MAX_HAVE_HEADS);
        let knows = theirs.any(|head| head.id == base.id());
        if !knows && !is_ahead(line, newest_of(have, line)) {
            batch.add(base.envelope());
            if let Some(release) = self.release(&base.release) {
                batch.add_release(release);
            }
        }
    }

    fn add_line(&self, batch: &mut Batch, line: &Line, have: &Have) {
        let theirs = have.heads.iter().take(MAX_HAVE_HEADS);
        let theirs = theirs.filter(|head| head.channel == line.channel);
        let their_newest = newest_of(have, line);
        if is_ahead(line, their_newest) {
            return;
        }
        let newest = their_newest.map(|(_, id)| id);
        let theirs = theirs.map(|head| &head.id);
        let known = line.known_by(theirs.clone());
        let whole = have.whole.contains(&line.channel);
        if newest.is_some() && known.is_empty() && !have.samples && !whole {
            // it is on another branch: that this waits there tells it to say more
            for head in line.tips().filter_map(|tip| line.find(tip)) {
                batch.add_together(self.release(&head.release), head.envelope());
            }
            return;
        }
        let lacking = line.own_heads().len().saturating_sub(known.len());
        let skip = !whole && lacking > SKIP_HEADS;
        let proven = skip.then(|| line.prove(newest.as_ref())).flatten();
        let mut releases: BTreeSet<RecordId> = BTreeSet::new();
        releases.extend(line.base_head().map(|base| base.release));
        if let Some((head, proof)) = proven {
            let mut envelope = head.envelope().clone();
            envelope.proof = Some(proof);
            let release = self.release(&head.release);
            batch.add_together(
                release.filter(|one| !releases.contains(&one.id())),
                &envelope,
            );
            return;
        }
        let own = line.own_heads();
        let held = own.iter().filter(|head| known.contains(&head.id()));
        releases.extend(held.map(|head| head.release));
        for head in own.iter().filter(|head| !known.contains(&head.id())) {
            let release = self.release(&head.release);
            let lacking = release.filter(|release| !releases.contains(&release.id()));
            batch.add_together(lacking, head.envelope());
        }
    }

    fn newest_root(&self) -> (u64, RecordId) {
        self.root()
            .map_or((0, RecordId::ZERO), |root| (root.version, root.id()))
    }
}

fn short(id: &RecordId) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&id.as_bytes()[..8]);
    u64::from_be_bytes(first)
}

/// The newest head of a line that another says it holds.
fn newest_of(have: &Have, line: &Line) -> Option<(u64, RecordId)> {
    let theirs = have.heads.iter().take(MAX_HAVE_HEADS);
    let theirs = theirs.filter(|head| head.channel == line.channel && head.epoch == line.epoch);
    theirs.map(|head| (head.seq, head.id)).max()
}

/// Whether the other's newest head is not known here and lies beyond all that are. What
/// it lacks, if anything, can be told only once this side has caught up; without this
/// rule the whole line would be sent in vain.
fn is_ahead(line: &Line, their_newest: Option<(u64, RecordId)>) -> bool {
    let newest = line.own_heads().last().map(|head| (head.seq, head.id()));
    their_newest.is_some_and(|theirs| Some(theirs) > newest && line.find(&theirs.1).is_none())
}

/// Heads before the newest: all of the last few, then at doubling distances, so that one
/// on another branch finds the place where the branches part.
fn samples<'a>(heads: &[&'a Verified<Head>]) -> impl Iterator<Item = &'a Verified<Head>> {
    let before = heads.iter().rev().copied().enumerate().skip(1);
    let near_or_doubling = |(distance, _): &(usize, &Verified<Head>)| {
        *distance <= SAMPLES_NEAR || distance.is_power_of_two()
    };
    before.filter(near_or_doubling).map(|(_, head)| head)
}

fn have_head(head: &Verified<Head>) -> HaveHead {
    HaveHead {
        channel: head.channel.clone(),
        epoch: head.epoch,
        seq: head.seq,
        id: head.id(),
    }
}

/// From so many heads on that are lacking, a proof takes their place: it is shorter than
/// a few of them.
const SKIP_HEADS: usize = 32;

/// Forks are noticed after a few heads.
const SAMPLES_NEAR: usize = 16;

/// Records to send, in order, up to a number of bytes; then nothing more, since
/// what follows builds on what was left out.
#[derive(Default)]
struct Batch {
    envelopes: Vec<Envelope>,
    releases: BTreeSet<RecordId>,
    left_bytes: usize,
    full: bool,
}

impl Batch {
    fn of(left_bytes: usize) -> Self {
        Self {
            left_bytes,
            ..Self::default()
        }
    }

    fn add(&mut self, envelope: &Envelope) {
        self.add_together(None, envelope);
    }

    /// A release and the head that names it: apart, the release would not show in what
    /// the other then says it holds, and would be sent for ever.
    fn add_together(&mut self, release: Option<&Verified<Release>>, envelope: &Envelope) {
        let release = release.filter(|release| !self.releases.contains(&release.id()));
        self.add_after(release.map(Verified::envelope), envelope);
        if !self.full {
            self.releases.extend(release.map(Verified::id));
        }
    }

    /// A record after others without which it counts for nothing: all of them or none.
    fn add_after<'a>(
        &mut self,
        before: impl IntoIterator<Item = &'a Envelope>,
        envelope: &'a Envelope,
    ) {
        let all: Vec<&Envelope> = before.into_iter().chain([envelope]).collect();
        let bytes = all.iter().map(|envelope| envelope.encode().len()).sum();
        self.full |= bytes > self.left_bytes && !self.envelopes.is_empty();
        if self.full {
            return;
        }
        self.left_bytes = self.left_bytes.saturating_sub(bytes);
        self.envelopes.extend(all.into_iter().cloned());
    }

    fn add_release(&mut self, release: &Verified<Release>) {
        if self.releases.insert(release.id()) {
            self.add(release.envelope());
        }
    }
}
