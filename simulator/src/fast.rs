//! Lookups by number, for tables that nobody walks through.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A table from small keys that nobody chooses to do harm. Only for lookups: its order
/// means nothing.
pub(crate) type Table<K, V> = HashMap<K, V, BuildHasherDefault<Mixer>>;

/// Fibonacci hashing (Knuth, volume 3, 6.4) of the last eight bytes or number written.
#[derive(Default)]
pub(crate) struct Mixer(u64);

/// 2⁶⁴ over the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        // the table takes its place from the low bits and its tag from the high ones
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(GOLDEN);
    }
}

/// The first eight bytes of a key or hash, which are as good as random.
pub(crate) fn prefix(bytes: &[u8; 32]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(first)
}
