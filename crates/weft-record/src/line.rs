//! The heads of one channel since its last reset: a line, unless two admins
//! signed at once; then it has branches until a head joins them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Head, Missing, Name, RecordId, Refusal, Verified,
    bounds::{MAX_CONTENDERS, MAX_HEADS, MAX_PREVS},
    history::History,
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
    places: BTreeMap<RecordId, Place>,
    tips: BTreeSet<RecordId>,
    fork: Option<Fork>,
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
    /// The least floor it may have.
    pub(crate) floor: u64,
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
            places: BTreeMap::new(),
            tips: BTreeSet::new(),
            fork: None,
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

    /// The highest floor that any branch has set.
    pub(crate) fn floor(&self) -> u64 {
        let tips = self.tips.iter().filter_map(|tip| self.places.get(tip));
        let highest = tips.map(|place| place.counter_floor).max();
        highest
            .or_else(|| self.base_head().map(|base| base.counter_floor))
            .unwrap_or(0)
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
        let history = self.history_after(&prevs);
        Ok((newest.map_or(0, |seq| seq + 1), prevs, history))
    }

    /// Holds a head against the heads that it says it follows.
    pub(crate) fn open(&self, head: &Head) -> Result<Result<Opening, Missing>, Refusal> {
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
                floor,
            }
        } else {
            let (mut newest, mut floor) = (0, 0);
            for prev in &head.prevs {
                let Some(place) = self.places.get(prev) else {
                    let misplaced = self.base == Some(*prev);
                    return if misplaced {
                        Err(broken())
                    } else {
                        Ok(Err(Missing::Head(*prev)))
                    };
                };
                newest = newest.max(place.seq);
                floor = floor.max(place.counter_floor);
            }
            if newest.checked_add(1) != Some(head.seq) || self.is_redundant(&head.prevs) {
                return Err(broken());
            }
            Opening {
                history: self.history_after(&head.prevs),
                floor,
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

    /// Puts in a head whose opening was found.
    pub(crate) fn insert(&mut self, head: Verified<Head>, opening: Opening) {
        let id = head.id();
        for prev in &head.prevs {
            self.tips.remove(prev);
        }
        self.tips.insert(id);
        let place = Place {
            seq: head.seq,
            prevs: head.prevs.clone(),
            history: opening.history,
            counter_floor: head.counter_floor,
        };
        self.places.insert(id, place);
        let before = |other: &Verified<Head>| (other.seq, other.id()) < (head.seq, id);
        let index = self.own_heads().partition_point(before) + usize::from(self.has_base);
        self.heads.insert(index, head);
        self.fork = self.look_for_fork();
    }

    /// Puts in the head that the epoch begins with.
    pub(crate) fn insert_base(&mut self, head: Verified<Head>) {
        debug_assert!(!self.has_base && self.base == Some(head.id()));
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

    fn ancestry<'a>(&self, tips: impl Iterator<Item = &'a RecordId>) -> Ancestry {
        let mut found = Ancestry::new();
        let mut open: Vec<&RecordId> = tips.collect();
        while let Some(id) = open.pop() {
            let Some(place) = self.places.get(id) else {
                continue;
            };
            if found.entry(place.seq).or_default().insert(*id) {
                open.extend(&place.prevs);
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

    fn history_after(&self, prevs: &[RecordId]) -> History {
        if let [prev] = prevs
            && let Some(place) = self.places.get(prev)
        {
            let mut history = place.history.clone();
            history.push(std::iter::once(prev));
            return history;
        }
        let mut history = History::default();
        for heads in self.ancestry(prevs.iter()).values() {
            history.push(heads.iter());
        }
        history
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
        let (first, second) = (&branches[0], &branches[1]);
        let contended = first.iter().find_map(|(seq, ours)| {
            let theirs = second.get(seq)?;
            let a = ours.difference(theirs).next()?;
            let b = theirs.difference(ours).next()?;
            Some((*seq, (*a.min(b), *a.max(b))))
        });
        let (seq, proof) = contended?;
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
