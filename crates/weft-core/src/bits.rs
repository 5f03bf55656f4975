//! A fixed-length set of chunk indexes.

/// One bit a chunk; bit 0 of byte 0 is chunk 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    bytes: Vec<u8>,
    length: usize,
    ones: usize,
}

impl Bits {
    pub(crate) fn new(length: usize) -> Self {
        Self {
            bytes: vec![0; length.div_ceil(8)],
            length,
            ones: 0,
        }
    }

    pub(crate) fn full(length: usize) -> Self {
        let mut bits = Self::new(length);
        for index in 0..length {
            bits.set(index);
        }
        bits
    }

    /// `None` if the byte count is not the one for `length`, or a bit past the end is set.
    pub(crate) fn decode(bytes: &[u8], length: usize) -> Option<Self> {
        if bytes.len() != length.div_ceil(8) {
            return None;
        }
        let ones = bytes.iter().map(|byte| byte.count_ones() as usize).sum();
        let bits = Self {
            bytes: bytes.to_vec(),
            length,
            ones,
        };
        let in_range = (0..length).filter(|&index| bits.get(index)).count();
        (in_range == ones).then_some(bits)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    pub(crate) fn get(&self, index: usize) -> bool {
        index < self.length && self.bytes[index / 8] & (1 << (index % 8)) != 0
    }

    /// True if the bit was not set before.
    pub(crate) fn set(&mut self, index: usize) -> bool {
        if index >= self.length || self.get(index) {
            return false;
        }
        self.bytes[index / 8] |= 1 << (index % 8);
        self.ones += 1;
        true
    }

    pub(crate) fn ones(&self) -> usize {
        self.ones
    }

    pub(crate) fn is_full(&self) -> bool {
        self.ones == self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_stray_bits() {
        let mut bits = Bits::new(11);
        assert!(bits.set(0) && bits.set(10) && !bits.set(10) && !bits.set(11));
        assert_eq!(Bits::decode(&bits.encode(), 11), Some(bits));
        assert_eq!(Bits::decode(&[0xff, 0xff], 11), None, "bits past the end");
        assert_eq!(Bits::decode(&[0], 11), None, "too short");
        assert!(Bits::full(11).is_full());
    }
}
