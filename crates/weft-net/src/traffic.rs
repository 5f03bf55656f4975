//! What passed on weft's own streams, for dashboards and benches.

use std::sync::atomic::{AtomicU64, Ordering};

use weft_core::Path;

/// Chunk and blob payload since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Payload received from peers.
    pub payload_bytes_in: u64,
    /// Payload written to peers.
    pub payload_bytes_out: u64,
    /// Of what was received, what came over the uplink.
    pub uplink_bytes_in: u64,
    /// Of what was written, what went over the uplink.
    pub uplink_bytes_out: u64,
}

#[derive(Debug, Default)]
struct Counted {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct TrafficCounters {
    lan: Counted,
    uplink: Counted,
}

impl TrafficCounters {
    pub(crate) fn received(&self, path: Path, bytes: usize) {
        self.by(path)
            .bytes_in
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, path: Path, bytes: usize) {
        self.by(path)
            .bytes_out
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (uplink_bytes_in, uplink_bytes_out) =
            (read(&self.uplink.bytes_in), read(&self.uplink.bytes_out));
        Traffic {
            payload_bytes_in: read(&self.lan.bytes_in) + uplink_bytes_in,
            payload_bytes_out: read(&self.lan.bytes_out) + uplink_bytes_out,
            uplink_bytes_in,
            uplink_bytes_out,
        }
    }

    fn by(&self, path: Path) -> &Counted {
        match path {
            Path::Lan => &self.lan,
            Path::Wan | Path::Relayed => &self.uplink,
        }
    }
}
