//! Something of each node, dealt out to lanes in turn, so that each lane can be worked on
//! by a thread of its own.

use std::ops::{Index, IndexMut};

/// Threads that work at once. What comes out does not depend on it.
pub(super) const LANES: usize = 2;

/// Like a vector; entry `n` is in lane `n % LANES`.
pub(super) struct Lanes<T> {
    lanes: [Vec<T>; LANES],
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            lanes: std::array::from_fn(|_| Vec::new()),
        }
    }
}

impl<T> Lanes<T> {
    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(Vec::len).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes[0].is_empty()
    }

    pub(super) fn push(&mut self, entry: T) {
        let lane = self.len() % LANES;
        self.lanes[lane].push(entry);
    }

    pub(super) fn last(&self) -> Option<&T> {
        let last = self.len().checked_sub(1)?;
        Some(&self[last])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len()).map(|index| &self[index])
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let capacity: usize = self.lanes.iter().map(Vec::capacity).sum();
        capacity * size_of::<T>()
    }

    /// Takes a whole lane out, to be given back with [`Lanes::put`].
    pub(super) fn take(&mut self, lane: usize) -> Vec<T> {
        std::mem::take(&mut self.lanes[lane])
    }

    pub(super) fn put(&mut self, lane: usize, entries: Vec<T>) {
        self.lanes[lane] = entries;
    }
}

impl<T> Index<usize> for Lanes<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.lanes[index % LANES][index / LANES]
    }
}

impl<T> IndexMut<usize> for Lanes<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.lanes[index % LANES][index / LANES]
    }
}
