//! What passed on weft's own streams, for dashboards and benches.

use std::sync::atomic::{AtomicU64, Ordering};

/// Chunk and blob payload since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Payload received from peers.
    pub payload_bytes_in: u64,
    /// Payload written to peers.
    pub payload_bytes_out: u64,
}

#[derive(Debug, Default)]
pub(crate) struct TrafficCounters {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl TrafficCounters {
    pub(crate) fn received(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Traffic {
        Traffic {
            payload_bytes_in: self.bytes_in.load(Ordering::Relaxed),
            payload_bytes_out: self.bytes_out.load(Ordering::Relaxed),
        }
    }
}
