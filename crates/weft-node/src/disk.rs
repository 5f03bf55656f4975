//! The store and the hashing, off the loop.

use std::{io, sync::Arc};

use bytes::Bytes;
use tokio::sync::mpsc;
use weft_core::{Disk, OpId, Outcome};
use weft_record::Hash;
use weft_store::Store;

use crate::lanes::Lanes;

/// Operations that are done and not yet told to the core.
const DONE: usize = 256;

/// How an operation ended.
pub(crate) type Done = (OpId, Outcome<Bytes>);

/// Runs disk and hash operations on threads.
pub(crate) struct Workers {
    store: Arc<Store>,
    /// Everything that changes a file or slot goes through one thread, in order.
    writes: Lanes<(OpId, Disk<Bytes>)>,
    /// Reads for peers must not wait behind an fsync.
    reads: Lanes<(OpId, Disk<Bytes>)>,
    hashes: Lanes<(OpId, Bytes)>,
    /// What a delta gives takes seconds of a large file: chunks of others go on being written.
    deltas: Lanes<(OpId, Disk<Bytes>)>,
}

impl Workers {
    /// Starts the threads; outcomes arrive on the channel returned.
    pub(crate) fn start(
        store: Arc<Store>,
    ) -> io::Result<(Self, mpsc::Sender<Done>, mpsc::Receiver<Done>)> {
        let (done, outcomes) = mpsc::channel(DONE);
        let execute = {
            let (store, done) = (store.clone(), done.clone());
            move |(operation, work): (OpId, Disk<Bytes>)| {
                let outcome = store.execute(work);
                // the loop is gone only when the node has stopped
                let _ = done.blocking_send((operation, outcome));
            }
        };
        let hash = {
            let done = done.clone();
            move |(operation, payload): (OpId, Bytes)| {
                let digest = Hash::of(&payload);
                let _ = done.blocking_send((operation, Outcome::Digest(digest)));
            }
        };
        // BLAKE3 does a gigabyte a second and more on one core: two lanes are
        // ahead of any disk or network that a node has.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = Self {
            store,
            writes: Lanes::start("weft-write", 1, execute.clone())?,
            reads: Lanes::start("weft-read", 2, execute.clone())?,
            deltas: Lanes::start("weft-delta", 1, execute)?,
            hashes: Lanes::start("weft-hash", cores.min(2), hash)?,
        };
        Ok((workers, done, outcomes))
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(crate) fn disk(&mut self, operation: OpId, work: Disk<Bytes>) {
        match work {
            // The core serves only what it saw written, so a read needs no place in the order.
            Disk::ReadChunk(_) | Disk::ReadBlob(_) => {
                let lane = operation.0 as usize % self.reads.count();
                self.reads.submit(lane, (operation, work));
            }
            // The file is written by nobody else until it is answered.
            Disk::ApplyDelta(_) => self.deltas.submit(0, (operation, work)),
            work => self.writes.submit(0, (operation, work)),
        }
    }

    pub(crate) fn hash(&mut self, operation: OpId, payload: Bytes) {
        let lane = operation.0 as usize % self.hashes.count();
        self.hashes.submit(lane, (operation, payload));
    }

    /// Hands on what waited for room.
    pub(crate) fn pump(&mut self) {
        self.writes.pump();
        self.reads.pump();
        self.hashes.pump();
        self.deltas.pump();
    }

    /// Whether the disk is behind the network.
    pub(crate) fn is_behind(&self) -> bool {
        self.writes.is_behind() || self.reads.is_behind() || self.hashes.is_behind()
    }

    /// Lets all threads finish what they have.
    pub(crate) fn finish(self) {
        self.reads.finish();
        self.hashes.finish();
        self.deltas.finish();
        self.writes.finish();
    }
}
