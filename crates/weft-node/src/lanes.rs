//! Threads for work that blocks. A lane does its jobs in the order given; the
//! loop never waits for one.

use std::{collections::VecDeque, io, thread};

use tokio::sync::mpsc;

/// Jobs that wait in a lane itself; what is more waits in the backlog, and while
/// there is a backlog the loop takes nothing further from the network.
const QUEUE: usize = 64;

/// A fixed set of threads, each with its queue.
pub(crate) struct Lanes<J> {
    queues: Vec<mpsc::Sender<J>>,
    backlog: VecDeque<(usize, J)>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl<J: Send + 'static> Lanes<J> {
    /// Starts `count` threads that each run `work` on their jobs.
    pub(crate) fn start(
        name: &str,
        count: usize,
        work: impl Fn(J) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let mut queues = Vec::new();
        let mut threads = Vec::new();
        for index in 0..count {
            let (sender, mut jobs) = mpsc::channel(QUEUE);
            let work = work.clone();
            let thread = thread::Builder::new()
                .name(format!("{name}-{index}"))
                .spawn(move || {
                    while let Some(job) = jobs.blocking_recv() {
                        work(job);
                    }
                })?;
            queues.push(sender);
            threads.push(thread);
        }
        Ok(Self {
            queues,
            backlog: VecDeque::new(),
            threads,
        })
    }

    /// How many lanes there are.
    pub(crate) fn count(&self) -> usize {
        self.queues.len()
    }

    /// Hands a job to a lane, or keeps it until there is room.
    pub(crate) fn submit(&mut self, lane: usize, job: J) {
        self.backlog.push_back((lane, job));
        self.pump();
    }

    /// Moves what waits into lanes that have room again.
    pub(crate) fn pump(&mut self) {
        let mut full = vec![false; self.queues.len()];
        for _ in 0..self.backlog.len() {
            let Some((lane, job)) = self.backlog.pop_front() else {
                return;
            };
            // An earlier job of this lane waits: this one must not overtake it.
            if full[lane] {
                self.backlog.push_back((lane, job));
                continue;
            }
            match self.queues[lane].try_send(job) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(job)) => {
                    full[lane] = true;
                    self.backlog.push_back((lane, job));
                }
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    tracing::error!(lane, "a worker thread has ended");
                }
            }
        }
    }

    /// Whether jobs wait outside the lanes.
    pub(crate) fn is_behind(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Lets the threads finish what they have, and waits for them.
    pub(crate) fn finish(mut self) {
        self.queues.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_lane_keeps_the_order_even_when_it_is_full() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock().unwrap();
        let work = {
            let (seen, gate) = (seen.clone(), gate.clone());
            move |(lane, number): (usize, u32)| {
                drop(gate.lock().unwrap());
                seen.lock().unwrap().push((lane, number));
            }
        };
        let mut lanes = Lanes::start("test", 2, work).unwrap();
        let count = (QUEUE * 3) as u32;
        for number in 0..count {
            for lane in 0..2 {
                lanes.submit(lane, (lane, number));
            }
        }
        assert!(lanes.is_behind());
        drop(held);
        while lanes.is_behind() {
            lanes.pump();
            thread::yield_now();
        }
        lanes.finish();
        let seen = seen.lock().unwrap();
        for lane in 0..2 {
            let numbers: Vec<u32> = seen
                .iter()
                .filter(|(of, _)| *of == lane)
                .map(|(_, number)| *number)
                .collect();
            assert_eq!(numbers, (0..count).collect::<Vec<_>>());
        }
    }
}
