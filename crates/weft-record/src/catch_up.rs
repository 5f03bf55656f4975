//! How two verifiers find out that they differ, and what one sends the other.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    Envelope, Hash, Head, Name, RecordId, Release, Trust, Verified,
    bounds::{MAX_HAVE_HEADS, MAX_HAVE_WANTS},
    line::Line,
};

/// What a verifier holds, in 72 bytes: equal digests mean equal records. Signatures
/// beyond the threshold, and releases that no head names, are not part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustDigest {
    /// Version of the newest root; 0 for none.
    pub root_version: u64,
    /// The newest root.
    pub root: RecordId,
    /// Over the ids of all heads and of the releases that they name.
    pub records: Hash,
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

impl Trust {
    /// What this verifier holds, in brief.
    pub fn digest(&self) -> TrustDigest {
        let mut hasher = blake3::Hasher::new_derive_key("weft v1 trust digest");
        let mut releases = BTreeSet::new();
        for line in self.lines.values() {
            for head in line.heads() {
                hasher.update(head.id().as_bytes());
                releases.insert(head.release);
            }
        }
        // a mark between them: 32 bytes of head are never taken for a release
        hasher.update(&[0]);
        for release in releases.iter().filter(|id| self.releases.contains_key(id)) {
            hasher.update(release.as_bytes());
        }
        let (root_version, root) = self.newest_root();
        TrustDigest {
            root_version,
            root,
            records: Hash(*hasher.finalize().as_bytes()),
        }
    }

    /// What this verifier holds, to be answered with what it lacks.
    pub fn have(&self) -> Have {
        let (root_version, root) = self.newest_root();
        let mut heads = Vec::new();
        let mut wants = Vec::new();
        for line in self.lines.values() {
            let base = line.base_head().into_iter();
            let tips = line.tips().filter_map(|tip| line.find(tip));
            heads.extend(base.chain(tips).map(have_head));
            let wanted = line.base_head().map(|base| base.release);
            wants.extend(wanted.filter(|release| !self.releases.contains_key(release)));
        }
        // only then, so that no channel is left out for another's samples
        for line in self.lines.values() {
            heads.extend(samples(line.own_heads()).map(have_head));
        }
        heads.truncate(MAX_HAVE_HEADS);
        wants.truncate(MAX_HAVE_WANTS);
        Have {
            root_version,
            root,
            heads,
            wants,
        }
    }

    /// What a verifier that holds this lacks, in an order in which it can admit it,
    /// at most `budget_bytes` encoded, but at least one record (a head with its release)
    /// if it lacks any. What did not fit comes when it asks again with what it then holds.
    pub fn missing_for(&self, have: &Have, budget_bytes: usize) -> Vec<Envelope> {
        let mut batch = Batch {
            left_bytes: budget_bytes,
            ..Batch::default()
        };
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
        for line in self.lines.values() {
            self.add_line(&mut batch, line, have);
        }
        for id in have.wants.iter().take(MAX_HAVE_WANTS) {
            if let Some(release) = self.release(id) {
                batch.add_release(release);
            }
        }
        batch.envelopes
    }

    fn add_line(&self, batch: &mut Batch, line: &Line, have: &Have) {
        let theirs = have.heads.iter().take(MAX_HAVE_HEADS);
        let theirs = theirs.filter(|head| head.channel == line.channel);
        let their_newest = theirs
            .clone()
            .filter(|head| head.epoch == line.epoch)
            .map(|head| (head.seq, head.id));
        if is_ahead(line, their_newest.max()) {
            return;
        }
        let theirs = theirs.map(|head| &head.id);
        let known = line.known_by(theirs.clone());
        let mut releases: BTreeSet<RecordId> = BTreeSet::new();
        if let Some(base) = line.base_head() {
            if !theirs.clone().any(|id| *id == base.id()) {
                batch.add(base.envelope());
                if let Some(release) = self.release(&base.release) {
                    batch.add_release(release);
                }
            }
            releases.insert(base.release);
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

/// Whether the other's newest head is not known here and lies beyond all that are. What
/// it lacks, if anything, can be told only once this side has caught up; without this
/// rule the whole line would be sent in vain.
fn is_ahead(line: &Line, their_newest: Option<(u64, RecordId)>) -> bool {
    let newest = line.own_heads().last().map(|head| (head.seq, head.id()));
    their_newest.is_some_and(|theirs| Some(theirs) > newest && line.find(&theirs.1).is_none())
}

/// Heads before the newest: all of the last few, then at doubling distances, so that one
/// on another branch finds the place where the branches part.
fn samples(heads: &[Verified<Head>]) -> impl Iterator<Item = &Verified<Head>> {
    let before = heads.iter().rev().enumerate().skip(1);
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
    fn add(&mut self, envelope: &Envelope) {
        self.add_together(None, envelope);
    }

    /// A release and the head that names it: apart, the release would not show in what
    /// the other then says it holds, and would be sent for ever.
    fn add_together(&mut self, release: Option<&Verified<Release>>, envelope: &Envelope) {
        let release = release.filter(|release| !self.releases.contains(&release.id()));
        let before = release.map_or(0, |release| release.envelope().encode().len());
        let bytes = before + envelope.encode().len();
        self.full |= bytes > self.left_bytes && !self.envelopes.is_empty();
        if self.full {
            return;
        }
        self.left_bytes = self.left_bytes.saturating_sub(bytes);
        if let Some(release) = release {
            self.releases.insert(release.id());
            self.envelopes.push(release.envelope().clone());
        }
        self.envelopes.push(envelope.clone());
    }

    fn add_release(&mut self, release: &Verified<Release>) {
        if self.releases.insert(release.id()) {
            self.add(release.envelope());
        }
    }
}
