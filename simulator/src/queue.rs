//! The event queue: a radix heap (Ahuja, Mehlhorn, Orlin and Tarjan, 1990), which needs
//! that time never goes back and gives amortised constant cost for that.
//!
//! Order is total: by time, then by when it was pushed. The second needs no number: a
//! bucket is only ever spread over emptier ones, front to back, so equal times stay in the
//! order in which they came.

/// Buckets: one for each position of the highest bit in which a time may differ from now,
/// and one for now itself.
const BUCKETS: usize = 65;
/// An empty bucket keeps room for so many events.
const KEPT_CAPACITY: usize = 4_096;

/// What happens when, earliest first.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// The time of the last event that left; nothing is earlier.
    last_us: u64,
    /// Bucket 0 holds what is due at `last_us`; bucket `n` what differs from it first in
    /// bit `n - 1`.
    buckets: [Vec<(u64, T)>; BUCKETS],
    /// The earliest time in each bucket.
    earliest_us: [u64; BUCKETS],
    /// What of bucket 0 has left already.
    front: usize,
    length: usize,
}

impl<T: Copy> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            last_us: 0,
            buckets: std::array::from_fn(|_| Vec::new()),
            earliest_us: [u64::MAX; BUCKETS],
            front: 0,
            length: 0,
        }
    }

    /// Adds an event. Whatever is due before the last one that left is due now.
    pub(crate) fn push(&mut self, at_us: u64, what: T) {
        let at_us = at_us.max(self.last_us);
        let bucket = self.bucket_of(at_us);
        self.buckets[bucket].push((at_us, what));
        self.earliest_us[bucket] = self.earliest_us[bucket].min(at_us);
        self.length += 1;
    }

    /// The next event, unless it is due after `limit_us`.
    pub(crate) fn pop_until(&mut self, limit_us: u64) -> Option<(u64, T)> {
        if self.front == self.buckets[0].len() {
            self.refill(limit_us)?;
        }
        let next = self.buckets[0].get(self.front).copied();
        let next = next.filter(|(at_us, _)| *at_us <= limit_us)?;
        self.front += 1;
        self.length -= 1;
        Some(next)
    }

    /// What is due in the same stretch of 2 to the power of `bits` microseconds as the last
    /// event that left; what is due at the same time stands in order.
    pub(crate) fn near(&self, bits: usize) -> impl Iterator<Item = (u64, T)> {
        let buckets = self.buckets[..=bits.min(BUCKETS - 1)].iter().enumerate();
        buckets.flat_map(|(number, bucket)| {
            let begin = if number == 0 { self.front } else { 0 };
            bucket[begin..].iter().copied()
        })
    }

    /// Events that wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Memory that it holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        let capacity: usize = self.buckets.iter().map(Vec::capacity).sum();
        capacity * size_of::<(u64, T)>()
    }

    fn bucket_of(&self, at_us: u64) -> usize {
        (u64::BITS - (at_us ^ self.last_us).leading_zeros()) as usize
    }

    /// Makes the earliest time that of bucket 0.
    fn refill(&mut self, limit_us: u64) -> Option<()> {
        self.buckets[0].clear();
        self.front = 0;
        let lowest = (1..BUCKETS).find(|&bucket| !self.buckets[bucket].is_empty())?;
        let earliest_us = self.earliest_us[lowest];
        if earliest_us > limit_us {
            return None;
        }
        self.last_us = earliest_us;
        let mut spread = std::mem::take(&mut self.buckets[lowest]);
        self.earliest_us[lowest] = u64::MAX;
        for (at_us, what) in spread.drain(..) {
            let bucket = self.bucket_of(at_us);
            self.buckets[bucket].push((at_us, what));
            self.earliest_us[bucket] = self.earliest_us[bucket].min(at_us);
        }
        // its memory is used again, but for that of a rush
        if spread.capacity() <= KEPT_CAPACITY {
            self.buckets[lowest] = spread;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, collections::BinaryHeap};

    use proptest::prelude::*;

    use super::*;

    /// One step of a run: push so far ahead, or pop up to so far ahead.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Push(u64),
        Pop(u64),
    }

    fn ahead_us() -> impl Strategy<Value = u64> {
        prop_oneof![
            Just(0),
            0_u64..4,
            0_u64..1_000,
            0_u64..100_000_000,
            0_u64..u64::MAX / 4
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => ahead_us().prop_map(Step::Push),
            2 => ahead_us().prop_map(Step::Pop),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_binary_heap_over_time_and_sequence(
            steps in proptest::collection::vec(step(), 1..400),
        ) {
            let mut queue = Queue::new();
            let mut heap = BinaryHeap::new();
            let (mut now_us, mut sequence) = (0_u64, 0_u32);
            for step in steps {
                match step {
                    Step::Push(ahead_us) => {
                        let at_us = now_us.saturating_add(ahead_us);
                        queue.push(at_us, sequence);
                        heap.push(Reverse((at_us, sequence)));
                        sequence += 1;
                    }
                    Step::Pop(ahead_us) => {
                        let limit_us = now_us.saturating_add(ahead_us);
                        let next = heap.peek().map(|next| next.0);
                        let expected = next.filter(|(at_us, _)| *at_us <= limit_us);
                        prop_assert_eq!(queue.pop_until(limit_us), expected);
                        if expected.is_some() {
                            heap.pop();
                        }
                        // a world whose time passed without an event pushes from there on
                        now_us = expected.map_or(limit_us, |(at_us, _)| at_us);
                    }
                }
                prop_assert_eq!(queue.len(), heap.len());
            }
            while let Some(Reverse(expected)) = heap.pop() {
                prop_assert_eq!(queue.pop_until(u64::MAX), Some(expected));
            }
            prop_assert_eq!(queue.pop_until(u64::MAX), None);
        }
    }

    #[test]
    fn an_event_is_small() {
        assert!(size_of::<(u64, crate::world::Happening)>() <= 32);
    }
}
