//! The heads of one channel since its last reset: a line, unless two admins
//! signed at once; then it has branches until a head joins them.

use std::collections::{BTreeMap, BTreeSet};

use litemap::LiteMap;

use crate::{
    Head, HistoryProof, Missing, Name, RecordId, Refusal, Verified,
    bounds::{MAX_CONTENDERS, MAX_HEADS, MAX_PREVS},
    history::{self, History, Subtrees},
};

/// Two valid heads contend for one place. Nobody newly activates anything of this
/// channel until a head follows all branches, or a root resets the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The channel.
    pub channel: Name,
    /// Its epoch.
    pub epoch: u64,
    /// The place for which they contend.
    pub seq: u64,
    /// Two heads at that place, on different branches: the proof.
    pub proof: (RecordId, RecordId),
    /// The newest head of each branch, sorted: what a joining head follows.
    pub tips: Vec<RecordId>,
    /// The newest head that every branch follows, if there is one.
    pub common: Option<RecordId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) channel: Name,
    pub(crate) epoch: u64,
    /// What the epoch begins with.
    pub(crate) base: Option<RecordId>,
    /// The base first, if it is here, then by place.
    heads: Vec<Verified<Head>>,
    has_base: bool,
    places: LiteMap<RecordId, Box<Place>>,
    tips: BTreeSet<RecordId>,
    fork: Option<Fork>,
    floor: u64,
    /// Heads whose way from an earlier one was proven, not walked.
    gaps: BTreeMap<RecordId, Gap>,
}

/// What lies between a head and the earlier one from which it was proven.
#[derive(Clone, Debug)]
struct Gap {
    from: Option<RecordId>,
    /// The first place whose head is not here...
    start: u64,
    /// ...and the first after it whose head is.
    seq: u64,
    subtrees: Subtrees,
}

#[derive(Clone, Debug)]
struct Place {
    seq: u64,
    prevs: Vec<RecordId>,
    /// Over the heads before it.
    history: History,
    counter_floor: u64,
}

/// Where a head would go.
pub(crate) struct Opening {
    history: History,
    gap: Option<Gap>,
    /// The least floor it may have.
    pub(crate) floor: u64,
}

impl Opening {
    /// Whether it was found by a proof, which then must stay with the head.
    pub(crate) fn is_proven(&self) -> bool {
        self.gap.is_some()
    }
}

/// All heads that some heads follow, and these themselves, by place.
type Ancestry = BTreeMap<u64, BTreeSet<RecordId>>;

impl Line {
    pub(crate) fn new(channel: Name, epoch: u64, base: Option<RecordId>) -> Self {
        Self {
            channel,
            epoch,
            base,
            heads: Vec::new(),
            has_base: false,
            places: LiteMap::default(),
            tips: BTreeSet::new(),
            fork: None,
            floor: 0,
            gaps: BTreeMap::new(),
        }
    }

    pub(crate) fn heads(&self) -> &[Verified<Head>] {
        &self.heads
    }

    pub(crate) fn heads_mut(&mut self) -> &mut [Verified<Head>] {
        &mut self.heads
    }

    pub(crate) fn base_head(&self) -> Option<&Verified<Head>> {
        self.heads.first().filter(|_| self.has_base)
    }

    /// Heads of this epoch, without the base.
    pub(crate) fn own_heads(&self) -> &[Verified<Head>] {
        &self.heads[usize::from(self.has_base)..]
    }

    pub(crate) fn fork(&self) -> Option<&Fork> {
        self.fork.as_ref()
    }

    pub(crate) fn tips(&self) -> impl Iterator<Item = &RecordId> {
        self.tips.iter()
    }

    pub(crate) fn find(&self, id: &RecordId) -> Option<&Verified<Head>> {
        if let Some(place) = self.places.get(id) {
            let own = self.own_heads();
            let index = own.partition_point(|head| (head.seq, head.id()) < (place.seq, *id));
            return own.get(index);
        }
        self.base_head().filter(|base| base.id() == *id)
    }

    /// The newest head that nothing contends with.
    pub(crate) fn newest(&self) -> Option<&Verified<Head>> {
        match &self.fork {
            Some(fork) => match &fork.common {
                Some(id) => self.find(id),
                None => self.base_head(),
            },
            None => self.heads.last(),
        }
    }

    /// The highest floor that any head has set: also one in a gap, after which the way
    /// was proven to a head that lowers it.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// Whether a head lies where the way was proven and not walked: only the whole line
    /// tells if it is part of it or contends with it.
    pub(crate) fn is_undecided(&self) -> bool {
        self.tips.len() > 1 && !self.gaps.is_empty()
    }

    /// Whether heads between this place and the newest were proven and not walked; without
    /// a place, whether any were.
    pub(crate) fn has_gap_after(&self, seq: Option<u64>) -> bool {
        let mut starts = self.gaps.values().map(|gap| gap.start);
        starts.any(|start| seq.is_none_or(|seq| start > seq))
    }

    /// Heads whose way is walked: neither proven over a gap that is still open, nor after
    /// one that is. What fills a gap is among them, so that who asks for a long line in
    /// several messages comes forward.
    pub(crate) fn certain_heads(&self) -> impl Iterator<Item = &Verified<Head>> {
        let mut after_gap = BTreeSet::new();
        self.own_heads().iter().filter(move |head| {
            let id = head.id();
            let proven = self.gaps.contains_key(&id)
                || head.prevs.iter().any(|prev| after_gap.contains(prev));
            if proven {
                after_gap.insert(id);
            }
            !proven
        })
    }

    /// Shows that the newest head continues the line of an earlier one, which must be the
    /// only one at its place, or of none.
    pub(crate) fn prove(&self, from: Option<&RecordId>) -> Option<(&Verified<Head>, HistoryProof)> {
        let tip = match self.tips.len() {
            1 => self.tips.first()?,
            _ => return None,
        };
        let end = self.places.get(tip)?.seq;
        let ancestry = self.ancestry(std::iter::once(tip));
        let start = match from {
            Some(from) => {
                let seq = self.places.get(from)?.seq;
                if ancestry.get(&seq)?.iter().ne(std::iter::once(from)) {
                    return None;
                }
                seq + 1
            }
            None => 0,
        };
        if start >= end {
            return None;
        }
        let leaves = ancestry.range(start..end);
        let mut known: Subtrees = leaves
            .map(|(seq, heads)| ((*seq, 0), history::leaf(heads.iter())))
            .collect();
        for gap in self.gaps.values() {
            known.extend(&gap.subtrees);
        }
        let proof = HistoryProof {
            from: from.copied(),
            subtrees: history::prove(start, end, &known)?,
        };
        Some((self.find(tip)?, proof))
    }

    /// What a new head must say: its place, what it follows, and its history.
    pub(crate) fn next(&self) -> Result<(u64, Vec<RecordId>, History), Missing> {
        if self.tips.is_empty() {
            return match (self.base, self.base_head()) {
                (Some(base), None) => Err(Missing::Head(base)),
                (base, _) => Ok((0, base.into_iter().collect(), History::default())),
            };
        }
        let mut prevs: Vec<RecordId> = self.tips.iter().copied().collect();
        // with more branches than one head may follow, the newest are joined first
        prevs.sort_by_key(|id| std::cmp::Reverse(self.places.get(id).map(|place| place.seq)));
        prevs.truncate(MAX_PREVS);
        prevs.sort_unstable();
        let newest = prevs
            .iter()
            .filter_map(|id| self.places.get(id))
            .map(|place| place.seq)
            .max();
        let history = self.history_after(&prevs)?;
        Ok((newest.map_or(0, |seq| seq + 1), prevs, history))
    }

    /// Holds a head against the heads that it says it follows or, where they are not
    /// here, against the proof that it continues this line.
    pub(crate) fn open(
        &self,
        head: &Head,
        proof: Option<&HistoryProof>,
    ) -> Result<Result<Opening, Missing>, Refusal> {
        let broken = || Refusal::BrokenChain {
            channel: head.channel.clone(),
            seq: head.seq,
        };
        let opening = if head.seq == 0 {
            if head.prevs != self.base.into_iter().collect::<Vec<_>>() {
                return Err(broken());
            }
            if let (Some(base), None) = (self.base, self.base_head()) {
                return Ok(Err(Missing::Head(base)));
            }
            let floor = self.base_head().map_or(0, |base| base.counter_floor);
            Opening {
                history: History::default(),
                gap: None,
                floor,
            }
        } else if let Some(missing) = self.first_missing(&head.prevs) {
            if self.base == Some(missing) {
                return Err(broken());
            }
            match proof.map(|proof| self.open_proven(head, proof)) {
                Some(Ok(Some(opening))) => opening,
                Some(Err(refusal)) => return Err(refusal),
                Some(Ok(None)) | None => return Ok(Err(Missing::Head(missing))),
            }
        } else {
            let (mut newest, mut floor) = (0, 0);
            for prev in &head.prevs {
                let Some(place) = self.places.get(prev) else {
                    continue;
                };
                newest = newest.max(place.seq);
                floor = floor.max(place.counter_floor);
            }
            if newest.checked_add(1) != Some(head.seq) || self.is_redundant(&head.prevs) {
                return Err(broken());
            }
            match self.history_after(&head.prevs) {
                Ok(history) => Opening {
                    history,
                    gap: None,
                    floor,
                },
                Err(missing) => return Ok(Err(missing)),
            }
        };
        if opening.history.root() != head.history {
            return Err(Refusal::OtherHistory {
                channel: head.channel.clone(),
                seq: head.seq,
            });
        }
        if self.places.len() >= MAX_HEADS {
            return Err(Refusal::Full {
                what: "heads of a channel",
                limit: MAX_HEADS,
            });
        }
        let own = self.own_heads();
        let first = own.partition_point(|other| other.seq < head.seq);
        let contenders = own[first..]
            .iter()
            .take_while(|other| other.seq == head.seq)
            .count();
        if contenders >= MAX_CONTENDERS {
            return Err(Refusal::Full {
                what: "heads at one place",
                limit: MAX_CONTENDERS,
            });
        }
        Ok(Ok(opening))
    }

    /// The way is not walked: it must be proven from a head that is here.
    fn open_proven(&self, head: &Head, proof: &HistoryProof) -> Result<Option<Opening>, Refusal> {
        let refused = || Refusal::BadProof {
            channel: head.channel.clone(),
            seq: head.seq,
        };
        let (mut history, floor) = match &proof.from {
            Some(from) => {
                let Some(place) = self.places.get(from) else {
                    return Ok(None);
                };
                let mut history = place.history.clone();
                history.push(std::iter::once(from));
                (history, place.counter_floor)
            }
            // it would say nothing about heads that are here
            None if !self.places.is_empty() || self.base.is_some() != self.has_base => {
                return Ok(None);
            }
            None => {
                let floor = self.base_head().map_or(0, |base| base.counter_floor);
                (History::default(), floor)
            }
        };
        let start = history.size();
        if start > head.seq {
            return Err(refused());
        }
        let subtrees = history.extend(head.seq, &proof.subtrees);
        let subtrees = subtrees.ok_or_else(refused)?;
        if history.root() != head.history {
            return Err(refused());
        }
        let gap = Gap {
            from: proof.from,
            start,
            seq: head.seq,
            subtrees,
        };
        Ok(Some(Opening {
            history,
            gap: Some(gap),
            floor,
        }))
    }

    fn first_missing(&self, prevs: &[RecordId]) -> Option<RecordId> {
        let mut missing = prevs.iter().filter(|prev| !self.places.contains_key(prev));
        missing.next().copied()
    }

    /// Puts in a head whose opening was found.
    pub(crate) fn insert(&mut self, head: Verified<Head>, opening: Opening) {
        let id = head.id();
        for prev in &head.prevs {
            self.tips.remove(prev);
        }
        if let Some(gap) = opening.gap {
            if let Some(from) = &gap.from {
                self.tips.remove(from);
            }
            self.gaps.insert(id, gap);
        }
        // where a gap is filled, what follows may be here already
        let followed =
            !self.gaps.is_empty() && self.places.values().any(|place| place.prevs.contains(&id));
        if !followed {
            self.tips.insert(id);
        }
        let place = Place {
            seq: head.seq,
            prevs: head.prevs.clone(),
            history: opening.history,
            counter_floor: head.counter_floor,
        };
        self.floor = self.floor.max(place.counter_floor);
        self.places.insert(id, Box::new(place));
        let before = |other: &Verified<Head>| (other.seq, other.id()) < (head.seq, id);
        let index = self.own_heads().partition_point(before) + usize::from(self.has_base);
        self.heads.insert(index, head);
        self.close_gaps();
        self.fork = self.look_for_fork();
    }

    /// Forgets the gaps whose heads are all here by now.
    fn close_gaps(&mut self) {
        let walked = |id: &RecordId, gap: &Gap| {
            let Some(place) = self.places.get(id) else {
                return false;
            };
            let mut ancestry = self.walk(place.prevs.iter(), false);
            ancestry.retain(|seq, _| (gap.start..gap.seq).contains(seq));
            ancestry.len() as u64 == gap.seq - gap.start
        };
        let closed: Vec<RecordId> = self
            .gaps
            .iter()
            .filter(|(id, gap)| walked(id, gap))
            .map(|(id, _)| *id)
            .collect();
        for id in closed {
            self.gaps.remove(&id);
        }
    }

    /// Puts in the head that the epoch begins with.
    pub(crate) fn insert_base(&mut self, head: Verified<Head>) {
        debug_assert!(!self.has_base && self.base == Some(head.id()));
        self.floor = self.floor.max(head.counter_floor);
        self.heads.insert(0, head);
        self.has_base = true;
    }

    /// The heads that these heads follow, and these themselves, as far as they are known.
    pub(crate) fn known_by<'a>(
        &self,
        tips: impl Iterator<Item = &'a RecordId>,
    ) -> BTreeSet<RecordId> {
        self.ancestry(tips).into_values().flatten().collect()
    }

    /// This head and all that it follows, as far as they are here, by place.
    pub(crate) fn upto(&self, id: &RecordId) -> Vec<Verified<Head>> {
        let before = self.ancestry(std::iter::once(id));
        let heads = before.values().flatten().filter_map(|id| self.find(id));
        let base = self.base_head().into_iter();
        base.chain(heads).cloned().collect()
    }

    fn ancestry<'a>(&self, tips: impl Iterator<Item = &'a RecordId>) -> Ancestry {
        self.walk(tips, true)
    }

    /// What these heads follow, over gaps too if wanted.
    fn walk<'a>(&self, tips: impl Iterator<Item = &'a RecordId>, over_gaps: bool) -> Ancestry {
        let mut found = Ancestry::new();
        let mut open: Vec<RecordId> = tips.copied().collect();
        while let Some(id) = open.pop() {
            let Some(place) = self.places.get(&id) else {
                continue;
            };
            if found.entry(place.seq).or_default().insert(id) {
                open.extend(&place.prevs);
                let gap = self.gaps.get(&id).filter(|_| over_gaps);
                open.extend(gap.and_then(|gap| gap.from));
            }
        }
        found
    }

    /// Whether one of them follows another, so that naming both says nothing more.
    fn is_redundant(&self, prevs: &[RecordId]) -> bool {
        if prevs.len() < 2 {
            return false;
        }
        let places = prevs.iter().filter_map(|prev| self.places.get(prev));
        let before = self.known_by(places.flat_map(|place| &place.prevs));
        prevs.iter().any(|prev| before.contains(prev))
    }

    /// Over these heads and all that they follow; with several, every one must be here.
    fn history_after(&self, prevs: &[RecordId]) -> Result<History, Missing> {
        if let [prev] = prevs
            && let Some(place) = self.places.get(prev)
        {
            let mut history = place.history.clone();
            history.push(std::iter::once(prev));
            return Ok(history);
        }
        let ancestry = self.ancestry(prevs.iter());
        let mut inside = self.gaps.keys().filter_map(|id| self.places.get(id));
        let crossed = inside.find(|place| ancestry.contains_key(&place.seq));
        if let Some(place) = crossed {
            let missing = self.first_missing(&place.prevs).unwrap_or(RecordId::ZERO);
            return Err(Missing::Head(missing));
        }
        let mut history = History::default();
        for heads in ancestry.values() {
            history.push(heads.iter());
        }
        Ok(history)
    }

    fn look_for_fork(&self) -> Option<Fork> {
        if self.tips.len() < 2 {
            return None;
        }
        let branches: Vec<Ancestry> = self
            .tips
            .iter()
            .map(|tip| self.ancestry(std::iter::once(tip)))
            .collect();
        let first = &branches[0];
        let contended = |ours: &Ancestry, theirs: &Ancestry| {
            ours.iter().find_map(|(seq, ours)| {
                let theirs = theirs.get(seq)?;
                let a = ours.difference(theirs).next()?;
                let b = theirs.difference(ours).next()?;
                Some((*seq, (*a.min(b), *a.max(b))))
            })
        };
        // two branches may not meet where a gap hides one of them
        let mut pairs = branches
            .iter()
            .enumerate()
            .flat_map(|(index, ours)| branches[index + 1..].iter().map(move |b| (ours, b)));
        let (seq, proof) = pairs.find_map(|(ours, theirs)| contended(ours, theirs))?;
        let common = first.iter().rev().find_map(|(seq, heads)| {
            let shared = branches.iter().all(|branch| branch.get(seq) == Some(heads));
            let single = heads.first().filter(|_| heads.len() == 1)?;
            shared.then_some(*single)
        });
        Some(Fork {
            channel: self.channel.clone(),
            epoch: self.epoch,
            seq,
            proof,
            tips: self.tips.iter().copied().collect(),
            common,
        })
    }
}
