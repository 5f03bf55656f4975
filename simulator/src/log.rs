//! The event log: a hash over everything that happened, in order.

use weft_record::Hash;

/// A running hash, and the last lines for a person who looks for a difference.
#[derive(Debug, Default)]
pub struct EventLog {
    hasher: blake3::Hasher,
    lines: u64,
    tail: std::collections::VecDeque<String>,
}

/// Lines kept for people.
const TAIL_LINES: usize = 64;

impl EventLog {
    /// Adds one line.
    pub fn add(&mut self, now_us: u64, node: usize, what: &str) {
        let line = format!("{now_us} {node} {what}");
        self.hasher.update(&(line.len() as u64).to_le_bytes());
        self.hasher.update(line.as_bytes());
        self.lines += 1;
        self.tail.push_back(line);
        if self.tail.len() > TAIL_LINES {
            self.tail.pop_front();
        }
    }

    /// The hash so far.
    pub fn hash(&self) -> Hash {
        Hash(*self.hasher.finalize().as_bytes())
    }

    /// Lines so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The newest lines.
    pub fn tail(&self) -> impl Iterator<Item = &str> {
        self.tail.iter().map(String::as_str)
    }
}
