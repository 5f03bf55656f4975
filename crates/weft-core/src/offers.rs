//! Which chunks of a file the connected peers hold, as far as they told. One row of bits a
//! peer, side by side: whoever looks for something to ask for reads all of them, with every
//! chunk that comes.

use crate::{bits::Bits, bounds, warm};

/// Bits of a count of holders: as many as peers need.
const PLANES: usize = bounds::PEERS.ilog2() as usize + 1;

/// One row a peer, in the order of the node's table of peers; rows at the end that nobody
/// told are left out.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    chunks: usize,
    rows: Vec<u64>,
    /// Which peers told at all: who told nothing may hold anything.
    told: Vec<bool>,
}

/// In which order chunks are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// From there on.
    On(usize),
    /// From before there back.
    Back(usize),
}

impl Offers {
    pub(crate) fn new(chunks: usize) -> Self {
        Self {
            chunks,
            ..Self::default()
        }
    }

    /// The peer told all that it holds.
    pub(crate) fn tell(&mut self, peer: usize, bits: &Bits) {
        self.open(peer).copy_from_slice(bits.words());
    }

    /// The peer told that it holds this too; true if that is news.
    pub(crate) fn gain(&mut self, peer: usize, index: usize) -> bool {
        let bit = 1 << (index % Bits::WORD);
        if index >= self.chunks {
            return false;
        }
        let word = &mut self.open(peer)[index / Bits::WORD];
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// What the peer told is not believed any more; true if it had told anything.
    pub(crate) fn forget(&mut self, peer: usize) -> bool {
        let told = self.told.get_mut(peer);
        let had_told = told.is_some_and(std::mem::take);
        if had_told {
            self.open(peer).fill(0);
            self.told[peer] = false;
        }
        had_told
    }

    /// A peer came, at this place among the others.
    pub(crate) fn peer_came(&mut self, peer: usize) {
        if peer < self.told.len() {
            let begin = peer * self.words();
            self.told.insert(peer, false);
            let row = std::iter::repeat_n(0, self.words());
            self.rows.splice(begin..begin, row);
        }
    }

    /// The peer at this place is gone.
    pub(crate) fn peer_gone(&mut self, peer: usize) {
        if peer < self.told.len() {
            self.told.remove(peer);
            let begin = peer * self.words();
            self.rows.drain(begin..begin + self.words());
        }
    }

    /// Rows; never more than there are peers.
    pub(crate) fn peers(&self) -> usize {
        self.told.len()
    }

    /// Whether the peer told what it holds.
    #[cfg(test)]
    fn has_told(&self, peer: usize) -> bool {
        self.told.get(peer).copied().unwrap_or(false)
    }

    /// Whether the peer told that it holds this.
    pub(crate) fn holds(&self, peer: usize, index: u32) -> bool {
        let word = self.row(peer).get(index as usize / Bits::WORD).copied();
        word.unwrap_or(0) & (1 << (index as usize % Bits::WORD)) != 0
    }

    /// Whether the peer told that it holds all of it.
    pub(crate) fn is_full(&self, peer: usize) -> bool {
        let row = self.row(peer);
        let past = self.chunks % Bits::WORD;
        let last = if past == 0 { u64::MAX } else { (1 << past) - 1 };
        let (Some(end), true) = (row.last(), self.chunks > 0) else {
            return false;
        };
        *end == last && row[..row.len() - 1].iter().all(|word| *word == u64::MAX)
    }

    /// Whether any peer holds anything that is in neither of the two.
    pub(crate) fn any_beside(&self, held: &Bits, pending: &Bits) -> bool {
        let mut peers = 0..self.told.len();
        peers.any(|peer| self.beside(peer, held, pending))
    }

    /// Whether this peer does.
    pub(crate) fn beside(&self, peer: usize, held: &Bits, pending: &Bits) -> bool {
        Bits::beside(self.row(peer), held, pending)
    }

    /// Of what this peer holds and is not closed those that fewest peers hold, at most
    /// `count`; ties fall to the first on the way, so that nodes do not all take the same.
    pub(crate) fn rarest(&self, peer: usize, closed: &[u64], way: Way, count: usize) -> Vec<u32> {
        match way {
            Way::On(start) => {
                let open = Bits::outside(self.row(peer), closed, start);
                self.rarest_of(open, count)
            }
            Way::Back(start) => {
                let open = Bits::back_outside(self.row(peer), closed, start);
                self.rarest_of(open, count)
            }
        }
    }

    fn rarest_of(&self, open: impl Iterator<Item = u32>, count: usize) -> Vec<u32> {
        let mut found: Vec<(u32, u32)> = Vec::with_capacity(count + 1);
        let mut counted = (usize::MAX, [0; PLANES]);
        for index in open.take(bounds::CHUNKS_LOOKED_AT) {
            let (word, bit) = (index as usize / Bits::WORD, index as usize % Bits::WORD);
            if counted.0 != word {
                counted = (word, self.count(word));
            }
            let planes = counted.1.iter().enumerate();
            let holders = planes.fold(0, |sum, (place, plane)| {
                sum | ((plane >> bit & 1) as u32) << place
            });
            if found.len() == count && found.last().is_some_and(|last| last.0 <= holders) {
                continue;
            }
            let place = found.partition_point(|one| one.0 <= holders);
            found.insert(place, (holders, index));
            found.truncate(count);
        }
        found.into_iter().map(|(_, index)| index).collect()
    }

    pub(crate) fn warm(&self) -> u64 {
        let told = self.told.first().copied().map_or(0, u64::from);
        told ^ warm::lines(&self.rows)
    }

    /// How many peers hold each of the 64 chunks of a word: bit `n` of all counts stands in
    /// plane `n`, so that one addition adds a row to all of them.
    fn count(&self, word: usize) -> [u64; PLANES] {
        let mut planes = [0; PLANES];
        for row in self.rows.chunks_exact(self.words().max(1)) {
            let mut carry = row[word];
            for plane in &mut planes {
                (*plane, carry) = (*plane ^ carry, *plane & carry);
                if carry == 0 {
                    break;
                }
            }
        }
        planes
    }

    fn words(&self) -> usize {
        self.chunks.div_ceil(Bits::WORD)
    }

    /// What the peer told that it holds; empty if it told nothing.
    pub(crate) fn row(&self, peer: usize) -> &[u64] {
        let words = self.words();
        let row = self.rows.get(peer * words..(peer + 1) * words);
        row.unwrap_or_default()
    }

    /// The row of a peer that tells something.
    fn open(&mut self, peer: usize) -> &mut [u64] {
        let words = self.words();
        if self.told.len() <= peer {
            let further = peer + 1 - self.told.len();
            self.told.reserve_exact(further);
            self.told.resize(peer + 1, false);
            self.rows.reserve_exact(further * words);
            self.rows.resize((peer + 1) * words, 0);
        }
        self.told[peer] = true;
        &mut self.rows[peer * words..][..words]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What may happen to a table of peers and what they tell.
    #[derive(Clone, Debug)]
    enum Step {
        Came(usize),
        Gone(usize),
        Tell(usize, Vec<usize>),
        Gain(usize, usize),
        Forget(usize),
    }

    const CHUNKS: usize = 70;

    /// Peers come more often than they go, so that there are many.
    fn step() -> impl Strategy<Value = Step> {
        let index = 0..CHUNKS;
        prop_oneof![
            4 => (0_usize..24).prop_map(Step::Came),
            1 => (0_usize..24).prop_map(Step::Gone),
            4 => (0_usize..24, proptest::collection::vec(index.clone(), 0..20))
                .prop_map(|(peer, told)| Step::Tell(peer, told)),
            4 => (0_usize..24, index).prop_map(|(peer, index)| Step::Gain(peer, index)),
            1 => (0_usize..24).prop_map(Step::Forget),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_list_of_sets(steps in proptest::collection::vec(step(), 0..120)) {
            let mut offers = Offers::new(CHUNKS);
            let mut plain: Vec<Option<Vec<bool>>> = Vec::new();
            for step in steps {
                match step {
                    Step::Came(at) => {
                        let at = at.min(plain.len());
                        offers.peer_came(at);
                        plain.insert(at, None);
                    }
                    Step::Gone(at) if at < plain.len() => {
                        offers.peer_gone(at);
                        plain.remove(at);
                    }
                    Step::Tell(at, told) if at < plain.len() => {
                        let mut bits = Bits::new(CHUNKS);
                        let mut row = vec![false; CHUNKS];
                        for index in told {
                            bits.set(index);
                            row[index] = true;
                        }
                        offers.tell(at, &bits);
                        plain[at] = Some(row);
                    }
                    Step::Gain(at, index) if at < plain.len() => {
                        let row = plain[at].get_or_insert_with(|| vec![false; CHUNKS]);
                        let is_new = !std::mem::replace(&mut row[index], true);
                        prop_assert_eq!(offers.gain(at, index), is_new);
                    }
                    Step::Forget(at) if at < plain.len() => {
                        prop_assert_eq!(offers.forget(at), plain[at].take().is_some());
                    }
                    _ => {}
                }
                let (held, none) = (Bits::new(CHUNKS), Bits::new(CHUNKS));
                let mut any = false;
                for (at, row) in plain.iter().enumerate() {
                    let row_of = row.clone().unwrap_or_else(|| vec![false; CHUNKS]);
                    prop_assert_eq!(offers.has_told(at), row.is_some());
                    for (index, holds) in row_of.iter().enumerate() {
                        prop_assert_eq!(offers.holds(at, index as u32), *holds);
                    }
                    let has = row_of.contains(&true);
                    prop_assert_eq!(offers.beside(at, &held, &none), has);
                    any |= has;
                    let count = |index: usize| {
                        let rows = plain.iter().flatten();
                        rows.filter(|row| row[index]).count()
                    };
                    let rarest = offers.rarest(at, held.words(), Way::On(0), 1);
                    prop_assert_eq!(offers.is_full(at), row_of.iter().all(|one| *one));
                    let fewest = (0..CHUNKS).filter(|index| row_of[*index]).min_by_key(|i| count(*i));
                    prop_assert_eq!(rarest.first().map(|one| *one as usize), fewest);
                }
                prop_assert_eq!(offers.any_beside(&held, &none), any);
            }
        }
    }

    #[test]
    fn what_is_held_or_on_its_way_is_not_asked_for() {
        let mut offers = Offers::new(130);
        let (mut held, mut pending) = (Bits::new(130), Bits::new(130));
        for index in [0, 64, 129] {
            offers.gain(2, index);
        }
        assert!(!offers.gain(2, 130) && !offers.gain(5, 130), "past the end");
        assert_eq!(offers.peers(), 3);
        held.set(0);
        pending.set(129);
        assert_eq!(offers.rarest(2, &held.or(&pending), Way::On(100), 4), [64]);
        pending.set(64);
        assert!(!offers.beside(2, &held, &pending));
        assert!(!offers.any_beside(&held, &pending));
        assert!(!offers.has_told(0) && !offers.has_told(1) && offers.has_told(2));
    }
}
