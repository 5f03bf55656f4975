//! How two find out what each lacks of a set that grew over years, without naming all of it.
//!
//! Range-based set reconciliation (Meyer, 2023): the records stand in the order of keys that
//! a salt gives them. One side tells a fingerprint of each part of a range, the other answers
//! for the parts that differ, with finer ones or, where few records are left, with what it
//! holds there. Each difference costs a few hundred bytes, whatever the size of the set.
//!
//! The salt is new every time, so nobody can make records that look the same to others; and
//! where two do by chance, the digest still differs and the next salt parts them.

use serde::{Deserialize, Serialize};

use crate::{
    RecordId,
    bounds::{MAX_COMPARED_KEYS, MAX_COMPARED_PARTS},
};

/// A range is parted into so many: with more, a message names many that are the same; with
/// fewer, it takes more messages.
pub const COMPARED_FAN: usize = 16;

/// What one side says about its set, as far as the two are known to differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Gives the records their keys; whoever begins draws it.
    pub salt: u64,
    /// The newest root: whoever has another judges otherwise.
    pub root: RecordId,
    /// By range; in order, and none over another.
    pub parts: Vec<ComparedPart>,
}

/// What is said about a range of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparedPart {
    /// Its first key.
    pub from: u64,
    /// Its last key.
    pub to: u64,
    /// What the sender says.
    pub says: Says,
}

/// What one side says about a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Says {
    /// The sums of my keys in each part of it, modulo 2³²; 0 where I hold nothing.
    Prints([u32; COMPARED_FAN]),
    /// I hold these: the lower halves of the keys.
    Keys(Vec<u32>),
    /// Send me these.
    Wants(Vec<u32>),
    /// What I had to send did not fit: say again what you hold.
    Again,
}

/// A set of records in the order of their keys.
pub(crate) struct Ordered {
    keys: Vec<(u64, RecordId)>,
    /// Of the keys before each place, modulo 2³².
    sums: Vec<u32>,
}

impl Ordered {
    pub(crate) fn new(salt: u64, ids: impl Iterator<Item = RecordId>) -> Self {
        let secret = blake3::derive_key("weft v1 set comparison", &salt.to_le_bytes());
        let key = |id: RecordId| {
            let hash = blake3::keyed_hash(&secret, id.as_bytes());
            let first = hash.as_bytes().first_chunk().copied();
            (u64::from_le_bytes(first.unwrap_or_default()), id)
        };
        let mut keys: Vec<(u64, RecordId)> = ids.map(key).collect();
        keys.sort_unstable();
        let mut sums = Vec::with_capacity(keys.len() + 1);
        let mut sum = 0_u32;
        sums.push(sum);
        for (key, _) in &keys {
            sum = sum.wrapping_add(low(*key));
            sums.push(sum);
        }
        Self { keys, sums }
    }

    /// What is said about everything, to begin with.
    pub(crate) fn open(&self) -> ComparedPart {
        self.tell(0, u64::MAX)
    }

    /// Answers what another said, in at most [`MAX_COMPARED_PARTS`]. Each record that the
    /// other lacks is offered to `take`; with the first that it refuses the answer ends, and
    /// asks the other to say the rest again.
    pub(crate) fn answer(
        &self,
        theirs: &[ComparedPart],
        mut take: impl FnMut(&RecordId) -> bool,
    ) -> Vec<ComparedPart> {
        let theirs = in_order(theirs);
        let mut answer = Vec::new();
        let Some(end) = theirs.last().map(|part| part.to) else {
            return answer;
        };
        for part in theirs {
            if let Err(from) = self.answer_part(part, &mut take, &mut answer) {
                answer.push(part_of(from, end, Says::Again));
                break;
            }
        }
        answer
    }

    /// Where there is no room for more, `Err` with the key from which on nothing is answered.
    fn answer_part(
        &self,
        part: &ComparedPart,
        take: &mut impl FnMut(&RecordId) -> bool,
        answer: &mut Vec<ComparedPart>,
    ) -> Result<(), u64> {
        let (from, to) = (part.from, part.to);
        let mut say = |from, said: ComparedPart| {
            // one place is kept for what does not fit
            if answer.len() + 1 >= MAX_COMPARED_PARTS {
                return Err(from);
            }
            answer.push(said);
            Ok(())
        };
        match &part.says {
            Says::Prints(prints) => {
                for (print, (from, to)) in prints.iter().zip(parts(from, to)) {
                    if *print == self.print(from, to) {
                        continue;
                    }
                    if *print == 0 {
                        self.give(from, to, |_| true, take)?;
                    } else {
                        say(from, self.tell(from, to))?;
                    }
                }
            }
            // nobody lists more, and what nobody lists is not worth an answer
            Says::Keys(keys) | Says::Wants(keys) if keys.len() > MAX_COMPARED_KEYS => {}
            Says::Keys(keys) => {
                self.give(from, to, |key| !keys.contains(&key), take)?;
                let held = self.held(from, to);
                let lacks = |key: &&u32| !held.iter().any(|(held, _)| low(*held) == **key);
                let wants: Vec<u32> = keys.iter().filter(lacks).copied().collect();
                if !wants.is_empty() {
                    say(from, part_of(from, to, Says::Wants(wants)))?;
                }
            }
            Says::Wants(keys) => self.give(from, to, |key| keys.contains(&key), take)?,
            Says::Again => say(from, self.tell(from, to))?,
        }
        Ok(())
    }

    fn give(
        &self,
        from: u64,
        to: u64,
        chosen: impl Fn(u32) -> bool,
        take: &mut impl FnMut(&RecordId) -> bool,
    ) -> Result<(), u64> {
        let chosen = self.held(from, to).iter().filter(|one| chosen(low(one.0)));
        for (key, id) in chosen {
            if !take(id) {
                return Err(*key);
            }
        }
        Ok(())
    }

    /// The records of a range if they are few, else the fingerprints of its parts.
    fn tell(&self, from: u64, to: u64) -> ComparedPart {
        let held = self.held(from, to);
        // no finer than single keys
        if held.len() <= MAX_COMPARED_KEYS || to - from < COMPARED_FAN as u64 {
            let keys = held.iter().take(MAX_COMPARED_KEYS);
            let keys = keys.map(|(key, _)| low(*key)).collect();
            return part_of(from, to, Says::Keys(keys));
        }
        let mut prints = [0; COMPARED_FAN];
        for (print, (from, to)) in prints.iter_mut().zip(parts(from, to)) {
            *print = self.print(from, to);
        }
        part_of(from, to, Says::Prints(prints))
    }

    fn print(&self, from: u64, to: u64) -> u32 {
        let (start, end) = self.places(from, to);
        self.sums[end].wrapping_sub(self.sums[start])
    }

    fn held(&self, from: u64, to: u64) -> &[(u64, RecordId)] {
        let (start, end) = self.places(from, to);
        &self.keys[start..end]
    }

    fn places(&self, from: u64, to: u64) -> (usize, usize) {
        let start = self.keys.partition_point(|(key, _)| *key < from);
        let end = self.keys.partition_point(|(key, _)| *key <= to);
        (start, end.max(start))
    }
}

fn part_of(from: u64, to: u64, says: Says) -> ComparedPart {
    ComparedPart { from, to, says }
}

fn low(key: u64) -> u32 {
    (key & u64::from(u32::MAX)) as u32
}

/// The parts of a range, all but the last of one width. A short range has fewer.
fn parts(from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> {
    let width = (to - from) / COMPARED_FAN as u64 + 1;
    let starts = (0..COMPARED_FAN as u64).map_while(move |index| from.checked_add(index * width));
    let starts = starts.take_while(move |start| *start <= to);
    starts.map(move |start| (start, start.saturating_add(width - 1).min(to)))
}

/// As many parts as are in order, none over another: so no record is looked at twice.
fn in_order(parts: &[ComparedPart]) -> &[ComparedPart] {
    let mut next = Some(0);
    let good = parts.iter().take(MAX_COMPARED_PARTS).take_while(|part| {
        let good = part.from <= part.to && next.is_some_and(|next| part.from >= next);
        next = part.to.checked_add(1);
        good
    });
    &parts[..good.count()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn id(number: u64) -> RecordId {
        RecordId(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    type Set = BTreeSet<RecordId>;

    /// What one session took.
    #[derive(Debug, Default)]
    struct Session {
        messages: usize,
        bytes: usize,
        records: usize,
    }

    /// One side begins, and both answer until one has nothing left to say. At most so many
    /// records go with one message.
    fn compare(asks: &mut Set, answers: &mut Set, salt: u64, most: usize) -> Session {
        let mut session = Session::default();
        let mut said = vec![Ordered::new(salt, asks.iter().copied()).open()];
        let (mut from, mut to) = (asks, answers);
        while !said.is_empty() {
            session.messages += 1;
            assert!(session.messages < 10_000, "no end");
            assert!(said.len() <= MAX_COMPARED_PARTS);
            let bytes = crate::codec::encode(&said).len();
            assert!(bytes <= crate::bounds::MAX_COMPARISON_BYTES, "{bytes}");
            session.bytes += bytes;
            let mut given = Vec::new();
            said = Ordered::new(salt, to.iter().copied()).answer(&said, |id| {
                let fits = given.len() < most;
                given.extend(fits.then_some(*id));
                fits
            });
            session.records += given.len();
            from.extend(given);
            std::mem::swap(&mut from, &mut to);
        }
        session
    }

    #[test]
    fn a_few_of_many_cost_little() {
        let mut full: Set = (0..4_000).map(id).collect();
        let mut behind: Set = (10..4_000).map(id).collect();
        let session = compare(&mut behind, &mut full, 7, usize::MAX);
        assert_eq!(behind, full);
        assert_eq!(session.records, 10);
        assert!(session.messages <= 6, "{session:?}");
        assert!(session.bytes < 2_500, "{session:?}");
    }

    #[test]
    fn all_of_many_are_sent_without_being_named() {
        let mut full: Set = (0..4_000).map(id).collect();
        let mut behind = Set::new();
        let session = compare(&mut behind, &mut full, 7, 1_000);
        assert_eq!(behind, full);
        assert_eq!(session.records, 4_000);
        assert!(session.messages <= 16, "{session:?}");
        assert!(session.bytes < 8_000, "{session:?}");
    }

    #[test]
    fn what_looks_the_same_under_one_salt_does_not_under_the_next() {
        let all: Vec<RecordId> = (0..10_000).map(id).collect();
        let of = |salt| Ordered::new(salt, all.iter().copied()).keys;
        let (one, other) = (of(1), of(2));
        assert_ne!(one[0].1, other[0].1);
        assert!(one.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn the_parts_of_a_range_cover_it_once() {
        for (from, to) in [
            (0, u64::MAX),
            (5, 5),
            (3, 17),
            (u64::MAX - 20, u64::MAX),
            (u64::MAX, u64::MAX),
            (1, u64::MAX - 1),
        ] {
            let all: Vec<_> = parts(from, to).collect();
            assert!(all.len() <= COMPARED_FAN);
            assert_eq!(all.first().map(|part| part.0), Some(from));
            assert_eq!(all.last().map(|part| part.1), Some(to));
            assert!(all.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
            assert!(all.iter().all(|(from, to)| from <= to));
        }
    }

    fn any_part() -> impl Strategy<Value = ComparedPart> {
        let says = prop_oneof![
            any::<[u32; COMPARED_FAN]>().prop_map(Says::Prints),
            prop::collection::vec(any::<u32>(), 0..40).prop_map(Says::Keys),
            prop::collection::vec(any::<u32>(), 0..40).prop_map(Says::Wants),
            Just(Says::Again),
        ];
        (any::<u64>(), any::<u64>(), says).prop_map(|(from, to, says)| part_of(from, to, says))
    }

    proptest! {
        #[test]
        fn any_two_sets_become_one(
            common in 0_u64..600,
            ours in 0_u64..200,
            theirs in 0_u64..200,
            salt in any::<u64>(),
            most in 1_usize..300,
        ) {
            let part = |from, count| (from..from + count).map(id);
            let mut a: Set = part(0, common).chain(part(10_000, ours)).collect();
            let mut b: Set = part(0, common).chain(part(20_000, theirs)).collect();
            let all: Set = a.union(&b).copied().collect();
            let mut sessions = 0;
            // a message without room leaves the rest to the next
            while a != b {
                sessions += 1;
                prop_assert!(sessions <= 3, "{} and {} of {}", a.len(), b.len(), all.len());
                let session = compare(&mut a, &mut b, salt ^ sessions, most);
                let batches = (ours + theirs) as usize / most + 1;
                prop_assert!(session.messages <= 12 + 4 * batches, "{session:?}");
            }
            prop_assert_eq!(a, all);
        }

        #[test]
        fn what_anybody_says_is_answered_within_bounds(
            held in 0_u64..400,
            mut parts in prop::collection::vec(any_part(), 0..40),
            sorted in any::<bool>(),
        ) {
            if sorted {
                parts.sort_by_key(|part| part.from);
            }
            let set = Ordered::new(3, (0..held).map(id));
            let mut given = Vec::new();
            let answer = set.answer(&parts, |id| {
                given.push(*id);
                true
            });
            prop_assert!(answer.len() <= MAX_COMPARED_PARTS);
            prop_assert_eq!(in_order(&answer).len(), answer.len());
            let once: Set = given.iter().copied().collect();
            prop_assert_eq!(once.len(), given.len(), "no record is sent twice");
        }
    }
}
