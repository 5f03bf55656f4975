//! Range asymmetric numeral systems, eight states side by side.
//!
//! Probabilities are parts of 4096. A state is at least 2^16; whenever it falls below, a 16-bit
//! word is taken in. Symbol number *i* of a group belongs to state *i* mod 8, so that a
//! processor works on several at once. The states begin at [`LOW`] for the encoder and so end
//! there for the decoder, which makes most damage visible before any hash.

use std::hint::select_unpredictable;

/// Probabilities add up to 2 to this.
pub(super) const SCALE_BITS: u32 = 12;
pub(super) const SCALE: u32 = 1 << SCALE_BITS;
pub(super) const LANES: usize = 8;
/// Words that a window of the decoder has; no more symbols may be taken from one.
pub(super) const WINDOW: usize = 32;
const LOW: u32 = 1 << 16;

/// Most tables of a group: they stay in the cache nearest to the processor but one.
pub(super) const MAX_TABLES: usize = 8;

/// The slots of all tables, one table behind the other. For each slot: the symbol, its
/// probability less one and the slot's place within it.
pub(super) type Slots = [u32; MAX_TABLES << SCALE_BITS];

/// Lays out the slots of a table.
pub(super) fn fill(slots: &mut [u32], frequencies: &[u16]) {
    let mut at = 0;
    for (symbol, frequency) in frequencies.iter().enumerate() {
        let frequency = u32::from(*frequency);
        for place in 0..frequency {
            slots[at] = (symbol as u32) << 24 | (frequency - 1) << 12 | place;
            at += 1;
        }
    }
    debug_assert_eq!(at, slots.len());
}

/// Takes symbols last first.
pub(super) struct Encoder {
    states: [u32; LANES],
    /// Last first.
    words: Vec<u16>,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self {
            states: [LOW; LANES],
            words: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, lane: usize, start: u32, frequency: u32) {
        let state = &mut self.states[lane];
        if u64::from(*state) >= u64::from(frequency) << (32 - SCALE_BITS) {
            self.words.push(*state as u16);
            *state >>= 16;
        }
        *state = (*state / frequency) << SCALE_BITS | (*state % frequency + start);
    }

    pub(super) fn finish(self, out: &mut Vec<u8>) {
        for state in self.states {
            out.extend(state.to_le_bytes());
        }
        for word in self.words.iter().rev() {
            out.extend(word.to_le_bytes());
        }
    }
}

/// Gives symbols first first.
pub(super) struct Decoder<'a> {
    states: [u32; LANES],
    /// With a window of zeros behind the end.
    words: &'a [u16],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// Reads the states and turns the rest into `words`.
    pub(super) fn new(bytes: &[u8], words: &'a mut Vec<u16>) -> Option<Self> {
        let (heads, rest) = bytes.split_at_checked(4 * LANES)?;
        let (pairs, odd) = rest.as_chunks::<2>();
        if !odd.is_empty() {
            return None;
        }
        let mut states = [0; LANES];
        for (state, head) in states.iter_mut().zip(heads.as_chunks::<4>().0) {
            *state = u32::from_le_bytes(*head);
        }
        words.clear();
        words.extend(pairs.iter().map(|pair| u16::from_le_bytes(*pair)));
        words.extend([0; WINDOW]);
        Some(Self {
            states,
            words,
            at: 0,
        })
    }

    /// Takes up to [`WINDOW`] symbols, beginning with the first lane; `None` where the words
    /// are at their end.
    #[inline]
    pub(super) fn window<T>(&mut self, take: impl FnOnce(&mut Window<'_>) -> T) -> Option<T> {
        let mut window = Window {
            states: self.states,
            words: self.words.get(self.at..)?.first_chunk()?,
            used: 0,
        };
        let taken = take(&mut window);
        self.states = window.states;
        self.at += window.used;
        Some(taken)
    }

    /// Whether everything was used, and nothing of the zeros behind.
    pub(super) fn is_done(&self) -> bool {
        self.at + WINDOW == self.words.len() && self.states == [LOW; LANES]
    }
}

/// The next words, for at most as many symbols.
pub(super) struct Window<'a> {
    states: [u32; LANES],
    words: &'a [u16; WINDOW],
    used: usize,
}

impl Window<'_> {
    /// The next symbol of a lane, by the table that begins at this slot.
    #[inline]
    pub(super) fn symbol(&mut self, lane: usize, slots: &Slots, table: u32) -> u8 {
        let state = self.states[lane % LANES];
        let entry = slots[(table | (state % SCALE)) as usize % slots.len()];
        let frequency = ((entry >> 12) & 0xfff) + 1;
        let state = frequency
            .wrapping_mul(state >> SCALE_BITS)
            .wrapping_add(entry & 0xfff);
        let word = u32::from(self.words[self.used % WINDOW]);
        let short = state < LOW;
        // no branch: which state is short is as good as random
        self.states[lane % LANES] = select_unpredictable(short, state << 16 | word, state);
        self.used += usize::from(short);
        (entry >> 24) as u8
    }
}
