//! A thread that works on a lane, stretch by stretch.

use std::{
    hint::spin_loop,
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
    thread::JoinHandle,
};

use super::{host::Host, lane::Lane};
use crate::disk::VirtualDisk;

/// Looks for a stretch so often before it goes to sleep: the next one is due in less than a
/// millisecond, as a rule.
const LOOKS: u32 = 20_000;

/// A lane, and what it works on.
#[derive(Default)]
pub(super) struct Work {
    pub(super) lane: Lane,
    pub(super) hosts: Vec<Host>,
    pub(super) disks: Vec<VirtualDisk>,
}

impl Work {
    pub(super) fn go(&mut self) {
        self.lane.work(&mut self.hosts, &mut self.disks);
    }
}

/// The thread, and the ways to it and back.
pub(super) struct Worker {
    to: Option<Sender<Work>>,
    back: Receiver<Work>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// `None` where the system gives no thread.
    pub(super) fn start() -> Option<Self> {
        let (to, work) = channel::<Work>();
        let (done, back) = channel();
        let run = move || {
            while let Some(mut work) = next(&work) {
                work.go();
                if done.send(work).is_err() {
                    return;
                }
            }
        };
        let builder = std::thread::Builder::new().name("lane".to_owned());
        let thread = builder.spawn(run).ok()?;
        Some(Self {
            to: Some(to),
            back,
            thread: Some(thread),
        })
    }

    /// Hands work over; `None` if it was taken.
    pub(super) fn give(&self, work: Work) -> Option<Work> {
        match &self.to {
            Some(to) => to.send(work).err().map(|refused| refused.0),
            None => Some(work),
        }
    }

    /// Waits for it. What panicked there panics here.
    pub(super) fn wait(&mut self) -> Work {
        if let Some(work) = next(&self.back) {
            return work;
        }
        let thread = self.thread.take().map(JoinHandle::join);
        if let Some(Err(panic)) = thread {
            std::panic::resume_unwind(panic);
        }
        unreachable!("the thread ends when the world does");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.to = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn next(from: &Receiver<Work>) -> Option<Work> {
    for _ in 0..LOOKS {
        match from.try_recv() {
            Ok(work) => return Some(work),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => spin_loop(),
        }
    }
    from.recv().ok()
}
