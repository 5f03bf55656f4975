//! The event log: a hash over everything that happened, in order.

use std::collections::VecDeque;

use weft_record::Hash;

/// One thing that happened, as it is hashed: 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// When.
    pub(crate) now_us: u64,
    /// To whom.
    pub(crate) node: u32,
    /// What kind of thing.
    pub(crate) kind: u32,
    /// Who or what else was in it: the beginning of a key or hash, a number.
    pub(crate) about: u64,
    /// The rest, mixed into one number.
    pub(crate) detail: u64,
}

/// A running hash and, if asked for, the last lines for a person who looks for a
/// difference.
#[derive(Debug)]
pub struct EventLog {
    hasher: blake3::Hasher,
    /// What is not hashed yet: hashing goes faster by many.
    buffer: Vec<u8>,
    lines: u64,
    tail: VecDeque<String>,
    tail_lines: usize,
}

/// So much is hashed at once.
const BUFFER_BYTES: usize = 64 * 1_024;
/// Longest tail.
const TAIL_LINES: usize = 100_000;

impl Default for EventLog {
    fn default() -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            buffer: Vec::with_capacity(BUFFER_BYTES),
            lines: 0,
            tail: VecDeque::new(),
            tail_lines: 0,
        }
    }
}

impl EventLog {
    /// Adds one entry; `text` is asked for only where a tail is kept.
    pub(crate) fn add(&mut self, entry: Entry, text: impl FnOnce() -> String) {
        if self.buffer.len() >= BUFFER_BYTES {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
        self.buffer.extend_from_slice(&entry.now_us.to_le_bytes());
        self.buffer.extend_from_slice(&entry.node.to_le_bytes());
        self.buffer.extend_from_slice(&entry.kind.to_le_bytes());
        self.buffer.extend_from_slice(&entry.about.to_le_bytes());
        self.buffer.extend_from_slice(&entry.detail.to_le_bytes());
        self.lines += 1;
        if self.tail_lines > 0 {
            if self.tail.len() >= self.tail_lines {
                self.tail.pop_front();
            }
            let Entry { now_us, node, .. } = entry;
            self.tail.push_back(format!("{now_us} {node} {}", text()));
        }
    }

    /// The hash so far.
    pub fn hash(&self) -> Hash {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.buffer);
        Hash(*hasher.finalize().as_bytes())
    }

    /// Whether lines are kept for people.
    pub(crate) fn has_tail(&self) -> bool {
        self.tail_lines > 0
    }

    /// Lines so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Keeps the newest so many lines from now on, at most 100,000.
    pub fn keep_tail(&mut self, lines: usize) {
        self.tail_lines = lines.min(TAIL_LINES);
        self.tail.truncate(self.tail_lines);
    }

    /// The newest lines, as many as are kept.
    pub fn tail(&self) -> impl Iterator<Item = &str> {
        self.tail.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> Entry {
        Entry {
            now_us: number,
            node: 1,
            kind: 2,
            about: 3,
            detail: 4,
        }
    }

    #[test]
    fn the_hash_is_over_every_entry_in_order() {
        let (mut log, mut plain) = (EventLog::default(), blake3::Hasher::new());
        for number in 0..5_000_u64 {
            log.add(entry(number), String::new);
            plain.update(&number.to_le_bytes());
            plain.update(&[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4]);
            plain.update(&[0; 7]);
            if number % 1_000 == 17 {
                assert_eq!(log.hash(), Hash(*plain.finalize().as_bytes()));
            }
        }
        assert_eq!(log.lines(), 5_000);
        assert_eq!(log.tail().count(), 0);
    }

    #[test]
    fn a_tail_is_kept_when_asked_for() {
        let mut log = EventLog::default();
        log.keep_tail(2);
        for number in 0..5 {
            log.add(entry(number), || format!("number {number}"));
        }
        let tail: Vec<&str> = log.tail().collect();
        assert_eq!(tail, ["3 1 number 3", "4 1 number 4"]);
    }
}
