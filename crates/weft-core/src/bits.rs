//! A fixed-length set of chunk indexes.

use crate::warm;

/// One bit a chunk; bit 0 of word 0 is chunk 0. Bits past the end are never set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Box<[u64]>,
    length: u32,
    ones: u32,
}

impl Bits {
    /// Chunks a word.
    pub(crate) const WORD: usize = 64;

    pub(crate) fn new(length: usize) -> Self {
        Self {
            words: vec![0; length.div_ceil(Self::WORD)].into(),
            length: length as u32,
            ones: 0,
        }
    }

    pub(crate) fn full(length: usize) -> Self {
        let mut bits = Self::new(length);
        bits.words.fill(u64::MAX);
        if let (Some(last), true) = (bits.words.last_mut(), !length.is_multiple_of(Self::WORD)) {
            *last = (1 << (length % Self::WORD)) - 1;
        }
        bits.ones = length as u32;
        bits
    }

    /// `None` if the byte count is not the one for `length`, or a bit past the end is set.
    pub(crate) fn decode(bytes: &[u8], length: usize) -> Option<Self> {
        if bytes.len() != length.div_ceil(8) {
            return None;
        }
        let mut bits = Self::new(length);
        for (word, bytes) in bits.words.iter_mut().zip(bytes.chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(padded);
        }
        let past = length % Self::WORD;
        let stray = past > 0 && bits.words.last().is_some_and(|last| last >> past != 0);
        bits.ones = bits.words.iter().map(|word| word.count_ones()).sum();
        (!stray).then_some(bits)
    }

    /// Bit 0 of byte 0 is chunk 0.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let bytes = self.words.iter().flat_map(|word| word.to_le_bytes());
        bytes.take((self.length as usize).div_ceil(8)).collect()
    }

    pub(crate) fn get(&self, index: usize) -> bool {
        let word = self.words.get(index / Self::WORD).copied().unwrap_or(0);
        word & (1 << (index % Self::WORD)) != 0
    }

    /// True if the bit was not set before.
    pub(crate) fn set(&mut self, index: usize) -> bool {
        if index >= self.length as usize || self.get(index) {
            return false;
        }
        self.words[index / Self::WORD] |= 1 << (index % Self::WORD);
        self.ones += 1;
        true
    }

    pub(crate) fn clear(&mut self, index: usize) {
        if self.get(index) {
            self.words[index / Self::WORD] &= !(1 << (index % Self::WORD));
            self.ones -= 1;
        }
    }

    pub(crate) fn warm(&self) -> u64 {
        warm::lines(&self.words)
    }

    pub(crate) fn ones(&self) -> usize {
        self.ones as usize
    }

    pub(crate) fn is_full(&self) -> bool {
        self.ones == self.length
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let words = self.words.iter().zip((0..).step_by(Self::WORD));
        words.flat_map(|(word, first)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros())?;
                word &= word - 1;
                Some(first + bit)
            })
        })
    }

    /// What is in either.
    pub(crate) fn or(&self, other: &Self) -> Vec<u64> {
        let words = self.words.iter().zip(&other.words);
        words.map(|(one, other)| one | other).collect()
    }

    /// All that is set in these words and not in the others, from `start` on and round to it
    /// again.
    pub(crate) fn outside<'a>(
        bits: &'a [u64],
        closed: &'a [u64],
        start: usize,
    ) -> impl Iterator<Item = u32> + 'a {
        let words = bits.len();
        // the first word comes twice: its end in the beginning, its beginning in the end
        let head = (1 << (start % Self::WORD)) - 1;
        let steps = if words == 0 { 0 } else { words + 1 };
        (0..steps).flat_map(move |step| {
            let place = (start / Self::WORD + step) % words;
            let mut word = bits[place] & !closed[place];
            if step == 0 {
                word &= !head;
            } else if step == words {
                word &= head;
            }
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros())?;
                word &= word - 1;
                Some((place * Self::WORD) as u32 + bit)
            })
        })
    }

    /// The same from before `start` back, and round to it again.
    pub(crate) fn back_outside<'a>(
        bits: &'a [u64],
        closed: &'a [u64],
        start: usize,
    ) -> impl Iterator<Item = u32> + 'a {
        let words = bits.len();
        let head = (1 << (start % Self::WORD)) - 1;
        let steps = if words == 0 { 0 } else { words + 1 };
        (0..steps).flat_map(move |step| {
            let place = (start / Self::WORD + words - step % words) % words;
            let mut word = bits[place] & !closed[place];
            if step == 0 {
                word &= head;
            } else if step == words {
                word &= !head;
            }
            std::iter::from_fn(move || {
                let bit = word.checked_ilog2()?;
                word &= !(1 << bit);
                Some((place * Self::WORD) as u32 + bit)
            })
        })
    }

    /// Whether anything is set in these words and not in the others.
    pub(crate) fn any_outside(bits: &[u64], closed: &[u64]) -> bool {
        let mut words = bits.iter().zip(closed);
        words.any(|(word, closed)| word & !closed != 0)
    }

    /// Whether anything is set in these words and in neither of the two.
    pub(crate) fn beside(bits: &[u64], held: &Self, pending: &Self) -> bool {
        let others = held.words.iter().zip(&pending.words);
        let mut words = bits.iter().zip(others);
        words.any(|(word, (held, pending))| word & !held & !pending != 0)
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_comes_from_any_place_on_and_round_to_it_again() {
        let (mut has, mut held, mut pending) = (Bits::full(150), Bits::new(150), Bits::new(150));
        for index in [3, 70, 149] {
            held.set(index);
        }
        pending.set(71);
        has.clear(10);
        let left = |index: &u32| ![3, 10, 70, 71, 149].contains(index);
        let closed = held.or(&pending);
        for start in [0, 1, 63, 64, 75, 127, 128, 149] {
            let expected: Vec<u32> = (start..150).chain(0..start).filter(left).collect();
            let found = Bits::outside(&has.words, &closed, start as usize);
            assert!(found.eq(expected.iter().copied()), "from {start}");
            let back = Bits::back_outside(&has.words, &closed, start as usize);
            assert!(back.eq(expected.into_iter().rev()), "back from {start}");
        }
    }

    #[test]
    fn round_trip_and_stray_bits() {
        let mut bits = Bits::new(11);
        assert!(bits.set(0) && bits.set(10) && !bits.set(10) && !bits.set(11));
        assert_eq!(bits.encode(), [0b1, 0b100]);
        assert_eq!(Bits::decode(&bits.encode(), 11), Some(bits));
        assert_eq!(Bits::decode(&[0xff, 0xff], 11), None, "bits past the end");
        assert_eq!(Bits::decode(&[0], 11), None, "too short");
        for length in [0, 1, 11, 63, 64, 65, 200] {
            let full = Bits::full(length);
            let none = Bits::new(length);
            let all = Bits::outside(&full.words, &none.words, 0);
            assert!(full.is_full() && all.eq(0..length as u32));
            assert_eq!(Bits::decode(&full.encode(), length), Some(full));
        }
    }

    #[test]
    fn what_is_open_is_found_from_any_start() {
        let (mut has, mut held, mut pending) = (Bits::new(130), Bits::new(130), Bits::new(130));
        for index in [0, 63, 64, 129] {
            has.set(index);
        }
        held.set(0);
        pending.set(64);
        let found = |held: &Bits, pending: &Bits, start| -> Vec<u32> {
            Bits::outside(&has.words, &held.or(pending), start).collect()
        };
        assert_eq!(found(&held, &pending, 0), [63, 129]);
        assert_eq!(found(&held, &pending, 100), [129, 63]);
        held.set(63);
        assert!(Bits::beside(&has.words, &held, &pending));
        held.set(129);
        assert!(!Bits::beside(&has.words, &held, &pending));
        assert!(found(&held, &pending, 0).is_empty());
        pending.clear(64);
        assert_eq!((found(&held, &pending, 0), pending.ones()), (vec![64], 0));
    }
}
