//! The recent events of a node, numbered, for those who watch it.

use std::collections::VecDeque;

use weft_core::Event;

use crate::report::{EventEntry, EventsReport};

/// Events kept. A node that converges makes a few dozen; this holds days of a
/// quiet node in less than a megabyte.
pub(crate) const EVENTS: usize = 2048;

/// A bounded ring of events with sequence numbers that never repeat.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    next: u64,
    entries: VecDeque<EventEntry>,
}

impl Journal {
    /// Keeps an event. Stored chunks are left out: the status counts them, and they
    /// would push out what a reader looks for.
    pub(crate) fn push(&mut self, uptime_ms: u64, event: Event) {
        if matches!(event, Event::ChunkStored { .. }) {
            return;
        }
        if self.entries.len() == EVENTS {
            self.entries.pop_front();
        }
        self.next += 1;
        self.entries.push_back(EventEntry {
            number: self.next,
            uptime_ms,
            event,
        });
    }

    /// What happened after that number, oldest first, at most `limit` of them.
    pub(crate) fn after(&self, after: u64, limit: usize) -> EventsReport {
        let oldest = self
            .entries
            .front()
            .map_or(self.next + 1, |entry| entry.number);
        EventsReport {
            lost: oldest.saturating_sub(after.saturating_add(1)),
            events: self
                .entries
                .iter()
                .filter(|entry| entry.number > after)
                .take(limit)
                .cloned()
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u64) -> Event {
        Event::DiskTrouble {
            text: String::new(),
            retry_in_us: n,
        }
    }

    #[test]
    fn a_reader_sees_each_event_once_and_learns_what_it_missed() {
        let mut journal = Journal::default();
        assert_eq!(journal.after(0, 10).events.len(), 0);
        assert_eq!(journal.after(0, 10).lost, 0);
        let total = EVENTS as u64 + 5;
        for n in 0..total {
            journal.push(n, event(n));
        }
        let all = journal.after(0, usize::MAX);
        assert_eq!(all.lost, 5);
        assert_eq!(all.events.len(), EVENTS);
        assert_eq!(all.events.first().map(|entry| entry.number), Some(6));
        let some = journal.after(7, 3);
        assert_eq!(some.lost, 0);
        let numbers: Vec<u64> = some.events.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, [8, 9, 10]);
        assert!(journal.after(total, 10).events.is_empty());
        assert!(journal.after(u64::MAX, 10).events.is_empty());
    }
}
