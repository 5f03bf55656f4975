//! Things that come and go, addressed by a small number.

/// A vector with holes that are filled again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Keeps it; the number is its name until it is taken.
    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        if let Some(place) = self.free.pop() {
            self.entries[place as usize] = Some(entry);
            return place;
        }
        self.entries.push(Some(entry));
        (self.entries.len() - 1) as u32
    }

    pub(crate) fn take(&mut self, place: u32) -> Option<T> {
        let entry = self.entries.get_mut(place as usize)?.take();
        if entry.is_some() {
            self.free.push(place);
        }
        entry
    }

    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        self.entries.get(place as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.entries.get_mut(place as usize)?.as_mut()
    }

    /// Memory that it holds, without what its entries point to.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Option<T>>() + self.free.capacity() * size_of::<u32>()
    }
}
