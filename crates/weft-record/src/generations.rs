//! A bounded table that forgets what was not used for longest, by halves.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// Named by hashes, which are spread evenly as they are. Nothing ever walks it, so its
/// order is nobody's.
type Table<V> = HashMap<[u8; 32], V, BuildHasherDefault<Prefix>>;

/// At most `limit` entries: when the younger half is full it becomes the older one, and
/// what was in that is forgotten. What is used becomes young again.
#[derive(Clone, Debug)]
pub(crate) struct Generations<V> {
    young: Table<V>,
    old: Table<V>,
    limit: usize,
}

impl<V> Generations<V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            young: Table::default(),
            old: Table::default(),
            limit,
        }
    }

    pub(crate) fn get(&mut self, key: &[u8; 32]) -> Option<&V> {
        if !self.young.contains_key(key) {
            let value = self.old.remove(key)?;
            self.insert(*key, value);
        }
        self.young.get(key)
    }

    pub(crate) fn insert(&mut self, key: [u8; 32], value: V) {
        if self.young.len() >= self.limit / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

/// The first eight bytes of a hash.
#[derive(Clone, Copy, Debug, Default)]
struct Prefix(u64);

impl Hasher for Prefix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// The length of the array says nothing.
    fn write_usize(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_used_and_no_more_than_its_limit() {
        let name = |number: u64| *blake3::hash(&number.to_le_bytes()).as_bytes();
        let mut table = Generations::new(8);
        table.insert(name(0), 0);
        for number in 1..100 {
            table.insert(name(number), number);
            assert_eq!(table.get(&name(0)), Some(&0), "it is used all the time");
            assert!(table.len() <= 8);
        }
        assert_eq!(table.get(&name(99)), Some(&99));
        assert_eq!(table.get(&name(50)), None);
    }
}
