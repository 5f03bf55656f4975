//! A set of chunk indexes.

/// One bit a chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChunkSet {
    words: Box<[u64]>,
}

impl ChunkSet {
    /// None of so many chunks.
    pub(crate) fn new(chunks: usize) -> Self {
        Self {
            words: vec![0; chunks.div_ceil(64)].into(),
        }
    }

    /// All of so many chunks.
    pub(crate) fn full(chunks: usize) -> Self {
        let mut set = Self::new(chunks);
        for index in 0..chunks {
            set.insert(index as u32);
        }
        set
    }

    pub(crate) fn contains(&self, index: u32) -> bool {
        let word = self.words.get(index as usize / 64);
        word.is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    pub(crate) fn insert(&mut self, index: u32) {
        if let Some(word) = self.words.get_mut(index as usize / 64) {
            *word |= 1 << (index % 64);
        }
    }

    pub(crate) fn warm(&self) -> u64 {
        self.words.first().copied().unwrap_or(0)
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.words.copy_from_slice(&other.words);
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }
}
