//! Which chunks of a file are there, and how that is kept in metadata.

use std::ops::Range;

/// Bytes of one page: a file of 16 GiB in chunks of 1 MiB fits one, and a page is
/// well below what a metadata value may have.
pub(crate) const PAGE_BYTES: usize = 2048;

/// One bit a chunk; bit 0 of byte 0 is chunk 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bitmap {
    bytes: Vec<u8>,
    length: usize,
}

impl Bitmap {
    pub(crate) fn new(length: usize) -> Self {
        Self {
            bytes: vec![0; length.div_ceil(8)],
            length,
        }
    }

    /// As long, and nothing set.
    pub(crate) fn emptied(&self) -> Self {
        Self::new(self.length)
    }

    pub(crate) fn get(&self, index: usize) -> bool {
        index < self.length && self.bytes[index / 8] & (1 << (index % 8)) != 0
    }

    pub(crate) fn set(&mut self, index: usize, value: bool) {
        assert!(index < self.length, "chunk {index} of {}", self.length);
        let bit = 1 << (index % 8);
        if value {
            self.bytes[index / 8] |= bit;
        } else {
            self.bytes[index / 8] &= !bit;
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        (0..self.length).all(|index| self.get(index))
    }

    /// Pages that differ from another map of the same length: number and bytes.
    pub(crate) fn changed_pages<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (u16, &'a [u8])> {
        let pages = self
            .bytes
            .chunks(PAGE_BYTES)
            .zip(other.bytes.chunks(PAGE_BYTES))
            .enumerate();
        pages
            .filter(|(_, (new, old))| new != old)
            .map(|(page, (new, _))| (page as u16, new))
    }

    /// Puts a stored page in. False if it is none of this map: wrong place or
    /// length, or a bit past the end.
    pub(crate) fn restore_page(&mut self, page: u16, bytes: &[u8]) -> bool {
        let start = usize::from(page) * PAGE_BYTES;
        let range: Range<usize> = start..(start + PAGE_BYTES).min(self.bytes.len());
        if range.is_empty() || bytes.len() != range.len() {
            return false;
        }
        let spare = self.bytes.len() * 8 - self.length;
        let stray = range.end == self.bytes.len()
            && spare > 0
            && bytes[bytes.len() - 1] >> (8 - spare) != 0;
        if !stray {
            self.bytes[range].copy_from_slice(bytes);
        }
        !stray
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pages_carry_every_bit(length in 1_usize..40_000, seeds in prop::collection::vec(any::<usize>(), 0..50)) {
            let mut map = Bitmap::new(length);
            for seed in &seeds {
                map.set(seed % length, true);
            }
            let mut restored = Bitmap::new(length);
            for (page, bytes) in map.changed_pages(&Bitmap::new(length)) {
                prop_assert!(bytes.len() <= PAGE_BYTES);
                prop_assert!(restored.restore_page(page, bytes));
            }
            prop_assert_eq!(&restored, &map);
            prop_assert_eq!(map.changed_pages(&restored).count(), 0);
            for index in 0..length {
                prop_assert_eq!(map.get(index), seeds.iter().any(|seed| seed % length == index));
            }
        }

        #[test]
        fn arbitrary_pages_never_panic(length in 0_usize..40_000, page: u16, bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let mut map = Bitmap::new(length);
            if map.restore_page(page, &bytes) {
                prop_assert!((length..length.next_multiple_of(8)).all(|index| !map.get(index)));
            }
        }
    }

    #[test]
    fn stray_bits_and_wrong_lengths_are_refused() {
        let mut map = Bitmap::new(11);
        assert!(map.restore_page(0, &[0xff, 0x07]));
        assert!(map.is_full());
        assert!(!map.restore_page(0, &[0xff, 0x08]), "bit 11 of 11");
        assert!(!map.restore_page(0, &[0xff]));
        assert!(!map.restore_page(1, &[0xff, 0x07]));
    }
}
