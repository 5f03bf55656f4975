//! A bounded queue between the node and the tasks that write to a peer.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// Bounded in items and in bytes; pushing never waits.
pub(crate) struct Outbox<T> {
    queue: Mutex<Queue<T>>,
    ready: Notify,
    items_max: usize,
    bytes_max: usize,
}

struct Queue<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
}

/// The queue was full; the item was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<T> Outbox<T> {
    pub(crate) fn new(items_max: usize, bytes_max: usize) -> Self {
        Self {
            queue: Mutex::new(Queue {
                items: VecDeque::new(),
                bytes: 0,
            }),
            ready: Notify::new(),
            items_max,
            bytes_max,
        }
    }

    pub(crate) fn push(&self, item: T, bytes: usize) -> Result<(), Full> {
        let mut queue = self.queue();
        if queue.items.len() >= self.items_max || queue.bytes + bytes > self.bytes_max {
            return Err(Full);
        }
        queue.bytes += bytes;
        queue.items.push_back((item, bytes));
        drop(queue);
        self.ready.notify_one();
        Ok(())
    }

    /// The next item; several tasks may wait.
    pub(crate) async fn pop(&self) -> T {
        loop {
            if let Some(item) = self.try_pop() {
                return item;
            }
            self.ready.notified().await;
        }
    }

    pub(crate) fn try_pop(&self) -> Option<T> {
        let mut queue = self.queue();
        let (item, bytes) = queue.items.pop_front()?;
        queue.bytes -= bytes;
        Some(item)
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_bounded_in_items_and_in_bytes() {
        let outbox = Outbox::new(2, 10);
        assert_eq!(outbox.push('a', 6), Ok(()));
        assert_eq!(outbox.push('b', 5), Err(Full));
        assert_eq!(outbox.push('c', 4), Ok(()));
        assert_eq!(outbox.push('d', 0), Err(Full));
        assert_eq!(outbox.try_pop(), Some('a'));
        assert_eq!(outbox.push('e', 6), Ok(()));
        assert_eq!(
            (outbox.try_pop(), outbox.try_pop(), outbox.try_pop()),
            (Some('c'), Some('e'), None)
        );
    }

    #[tokio::test]
    async fn wakes_every_waiting_task() {
        let outbox = std::sync::Arc::new(Outbox::new(8, 8));
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let outbox = outbox.clone();
                tokio::spawn(async move { outbox.pop().await })
            })
            .collect();
        tokio::task::yield_now().await;
        for number in 0..3_u32 {
            outbox.push(number, 1).expect("room");
        }
        let mut popped = Vec::new();
        for task in tasks {
            popped.push(task.await.expect("popped"));
        }
        popped.sort_unstable();
        assert_eq!(popped, [0, 1, 2]);
    }
}
