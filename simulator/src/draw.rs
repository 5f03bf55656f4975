//! Random numbers for plans: streams keyed by (seed, purpose, place), so that a draw more
//! in one place moves none in another. Integers only.

/// One stream.
pub(crate) struct Draw {
    reader: blake3::OutputReader,
}

impl Draw {
    /// The stream of a purpose at a place (a node's or site's own number).
    pub(crate) fn new(seed: u64, purpose: &str, place: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("weft-sim plan");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&place.to_le_bytes());
        hasher.update(purpose.as_bytes());
        Self {
            reader: hasher.finalize_xof(),
        }
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.reader.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number below the bound; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// An index of a list that is not empty.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }

    /// Exponentially distributed with this mean.
    pub(crate) fn exponential(&mut self, mean: u64) -> u64 {
        // -ln(u) = (64 - log2(n)) ln(2), for n drawn from 1 to 2^64 - 1
        let drawn = self.number().max(1);
        let below_one = (64_u128 << FRACTION_BITS) - log2(drawn);
        let natural = (below_one * LN_2) >> FRACTION_BITS;
        ((u128::from(mean) * natural) >> FRACTION_BITS) as u64
    }
}

/// Bits after the binary point.
const FRACTION_BITS: u32 = 32;
/// The natural logarithm of two.
const LN_2: u128 = 2_977_044_472;

/// Logarithm to base two of a number above zero.
fn log2(number: u64) -> u128 {
    let whole = number.ilog2();
    // from 1 to 2, with 63 bits after the point; each squaring yields a bit
    let mut rest = u128::from(number) << (63 - whole);
    let mut log = u128::from(whole) << FRACTION_BITS;
    for bit in (0..FRACTION_BITS).rev() {
        rest = (rest * rest) >> 63;
        if rest >> 64 != 0 {
            rest >>= 1;
            log |= 1 << bit;
        }
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithm_is_one() {
        assert_eq!(log2(1), 0);
        assert_eq!(log2(1 << 40), 40 << FRACTION_BITS);
        // log2(10) = 3.321928…
        assert_eq!((log2(10) * 1_000_000) >> FRACTION_BITS, 3_321_928);
    }

    #[test]
    fn the_mean_is_the_mean_and_streams_are_apart() {
        let mut draw = Draw::new(1, "test", 0);
        let sum: u64 = (0..20_000).map(|_| draw.exponential(1_000_000)).sum();
        let mean = sum / 20_000;
        assert!((980_000..1_020_000).contains(&mean), "{mean}");
        let first = |place| Draw::new(1, "test", place).number();
        assert_ne!(first(1), first(2));
        assert_eq!(first(1), first(1));
    }
}
