//! A small sorted table in which an entry is found without touching the others: a node that
//! takes thousands of chunks a second looks peers and files up with every message. It takes
//! no more memory than its entries need: a machine that runs a mesh of virtual nodes has
//! millions of such tables.

use weft_record::{Hash, Name};

use crate::{message::Peer, warm};

/// Keys that are told apart by their first bytes, nearly always.
pub(crate) trait Key: Ord + Clone {
    /// In the order of the keys.
    fn prefix(&self) -> u64;
}

impl Key for Peer {
    fn prefix(&self) -> u64 {
        prefix(self.as_bytes())
    }
}

impl Key for Hash {
    fn prefix(&self) -> u64 {
        prefix(self.as_bytes())
    }
}

impl Key for Name {
    fn prefix(&self) -> u64 {
        prefix(self.as_str().as_bytes())
    }
}

fn prefix(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    let length = bytes.len().min(8);
    first[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(first)
}

/// So few are looked through one by one.
const FEW: usize = 4;

/// At most some thousand entries; to add or remove one moves those behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table<K, V> {
    /// The first bytes of the keys, beside each other; none while there are few.
    prefixes: Vec<u64>,
    entries: Vec<(K, V)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            prefixes: Vec::new(),
            entries: Vec::new(),
        }
    }
}

impl<K: Key, V> Table<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.place_of(key).is_some()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let place = self.place_of(key)?;
        self.entries.get(place).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.place_of(key)?;
        self.entries.get_mut(place).map(|(_, value)| value)
    }

    /// The entry of this key, and its place.
    pub(crate) fn place_and_mut(&mut self, key: &K) -> Option<(usize, &mut V)> {
        let place = self.place_of(key)?;
        self.entries.get_mut(place).map(|(_, value)| (place, value))
    }

    /// The entry at a place in the order of keys.
    pub(crate) fn at(&self, place: usize) -> Option<(&K, &V)> {
        self.entries.get(place).map(|(key, value)| (key, value))
    }

    pub(crate) fn at_mut(&mut self, place: usize) -> Option<(K, &mut V)> {
        let (key, value) = self.entries.get_mut(place)?;
        Some((key.clone(), value))
    }

    /// What was there before goes. Tells the place.
    pub(crate) fn insert(&mut self, key: K, value: V) -> usize {
        let Some(place) = self.place_of(&key) else {
            return self.add(key, value);
        };
        self.entries[place].1 = value;
        place
    }

    /// The entry of this key, which is made if there is none.
    pub(crate) fn entry(&mut self, key: &K) -> &mut V
    where
        V: Default,
    {
        let place = match self.place_of(key) {
            Some(place) => place,
            None => self.add(key.clone(), V::default()),
        };
        &mut self.entries[place].1
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.place_of(key)?;
        let (_, value) = self.entries.remove(place);
        self.note_prefixes();
        Some(value)
    }

    /// Keeps those of which `keep` says so.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain_mut(|(key, value)| keep(key, value));
        if self.entries.len() < self.entries.capacity() {
            self.entries.shrink_to_fit();
            self.note_prefixes();
        }
    }

    /// Reads what keys are found by.
    pub(crate) fn warm_keys(&self) -> u64 {
        warm::lines(&self.prefixes) ^ self.entries.len() as u64
    }

    /// Reads all entries, of each what `warm` reads.
    pub(crate) fn warm(&self, warm: impl Fn(&V) -> u64) -> u64 {
        let values = self
            .entries
            .iter()
            .map(|(key, value)| key.prefix() ^ warm(value));
        values.fold(warm::lines(&self.prefixes), |sum, one| sum ^ one)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.entries.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> + Clone {
        self.entries.iter().map(|(_, value)| value)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> + Clone {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// Where the entry is in the order of keys.
    pub(crate) fn place_of(&self, key: &K) -> Option<usize> {
        if self.prefixes.is_empty() {
            return self.entries.iter().position(|(one, _)| one == key);
        }
        let wanted = key.prefix();
        let mut place = self.prefixes.partition_point(|one| *one < wanted);
        // keys are random, but for names, of which there are few
        while self.prefixes.get(place) == Some(&wanted) {
            if self.entries[place].0 == *key {
                return Some(place);
            }
            place += 1;
        }
        None
    }

    /// One that is not there yet; tells its place.
    fn add(&mut self, key: K, value: V) -> usize {
        let place = self.entries.partition_point(|(one, _)| *one < key);
        self.entries.reserve_exact(1);
        if self.prefixes.is_empty() {
            self.entries.insert(place, (key, value));
            self.note_prefixes();
        } else {
            self.prefixes.reserve_exact(1);
            self.prefixes.insert(place, key.prefix());
            self.entries.insert(place, (key, value));
        }
        place
    }

    fn note_prefixes(&mut self) {
        self.prefixes.clear();
        if self.entries.len() > FEW {
            let prefixes = self.entries.iter().map(|(key, _)| key.prefix());
            self.prefixes.extend(prefixes);
        } else {
            self.prefixes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_in_and_keeps_the_order() {
        let mut keys: Vec<Peer> = (1..40)
            .map(|seed| weft_keys::SecretKey::from_seed([seed; 32]).public())
            .collect();
        let mut table: Table<Peer, usize> = Table::default();
        for (number, key) in keys.iter().enumerate() {
            table.insert(*key, number);
            table.insert(*key, number);
        }
        assert!(
            keys.iter()
                .enumerate()
                .all(|(at, key)| table.get(key) == Some(&at))
        );
        let first = keys.remove(0);
        assert_eq!(
            (table.remove(&first), table.remove(&first)),
            (Some(0), None)
        );
        assert!(!table.contains_key(&first) && table.len() == 38);
        keys.sort_unstable();
        assert!(table.keys().eq(&keys));
        assert_eq!(table.at_mut(3).map(|(key, _)| key), Some(keys[3]));
        assert_eq!(table.at(38), None);
        *table.entry(&first) += 7;
        table.retain(|key, value| *key == first || *value == 5);
        assert!(table.values().eq(&[7, 5]) || table.values().eq(&[5, 7]));
    }
}
