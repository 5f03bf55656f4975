//! What the owner lets transfers take, and the buckets with which fetching keeps to it.

use serde::{Deserialize, Serialize};

use crate::{
    io::{Output, Path},
    message::Payload,
    node::Node,
};

/// What the owner lets transfers take; what is left out is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most bytes a second.
    pub caps: Caps,
}

/// Most bytes a second, each way over each kind of path: chunks and blobs with their frames.
/// `None`: no cap; 0: none at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Caps {
    /// Fetched over the uplink.
    pub fetch_bytes_per_sec: Option<u64>,
    /// Served over the uplink.
    pub serve_bytes_per_sec: Option<u64>,
    /// Fetched over the LAN.
    pub lan_fetch_bytes_per_sec: Option<u64>,
    /// Served over the LAN.
    pub lan_serve_bytes_per_sec: Option<u64>,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To this node.
    Fetch,
    /// From this node.
    Serve,
}

impl Limits {
    /// So much is fetched at most, by each path.
    pub fn fetching(bytes_per_sec: u64) -> Self {
        let caps = Caps {
            fetch_bytes_per_sec: Some(bytes_per_sec),
            lan_fetch_bytes_per_sec: Some(bytes_per_sec),
            ..Caps::default()
        };
        Self { caps }
    }

    /// Whether they can be meant so.
    pub fn check(&self) -> Result<(), LimitsError> {
        let Caps {
            fetch_bytes_per_sec,
            serve_bytes_per_sec,
            lan_fetch_bytes_per_sec,
            lan_serve_bytes_per_sec,
        } = self.caps;
        let caps = [
            fetch_bytes_per_sec,
            serve_bytes_per_sec,
            lan_fetch_bytes_per_sec,
            lan_serve_bytes_per_sec,
        ];
        if caps.contains(&Some(0)) {
            return Err(LimitsError::Zero);
        }
        Ok(())
    }
}

/// Why limits cannot be meant so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    /// A cap of nothing.
    #[error("a cap of 0 would never move anything; leave it out to have none")]
    Zero,
}

impl Caps {
    /// The cap of one direction and path.
    pub fn of(&self, direction: Direction, path: Path) -> Option<u64> {
        match (direction, path) {
            (Direction::Fetch, Path::Wan) => self.fetch_bytes_per_sec,
            (Direction::Serve, Path::Wan) => self.serve_bytes_per_sec,
            (Direction::Fetch, Path::Lan) => self.lan_fetch_bytes_per_sec,
            (Direction::Serve, Path::Lan) => self.lan_serve_bytes_per_sec,
        }
    }
}

/// The buckets that requests are taken from.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    lan: TokenBucket,
    wan: TokenBucket,
}

impl Buckets {
    pub(crate) fn new(caps: &Caps, now_us: u64) -> Self {
        let bucket = |path| TokenBucket::new(caps.of(Direction::Fetch, path), now_us);
        Self {
            lan: bucket(Path::Lan),
            wan: bucket(Path::Wan),
        }
    }

    /// Other caps from now on.
    pub(crate) fn set(&mut self, caps: &Caps, now_us: u64) {
        for path in [Path::Lan, Path::Wan] {
            let rate = caps.of(Direction::Fetch, path);
            let bucket = self.of_mut(path);
            if bucket.rate_bytes_per_sec != rate {
                bucket.set_rate(rate, now_us);
            }
        }
    }

    pub(crate) fn take(&mut self, path: Path, bytes: u64, now_us: u64) -> bool {
        self.of_mut(path).take(bytes, now_us)
    }

    pub(crate) fn ready_us(&self, path: Path) -> u64 {
        match path {
            Path::Lan => self.lan.ready_us(),
            Path::Wan => self.wan.ready_us(),
        }
    }

    /// When the next of those that are in debt now is ready.
    pub(crate) fn next_us(&self, now_us: u64) -> u64 {
        let each = [self.lan.ready_us(), self.wan.ready_us()];
        let later = each.into_iter().filter(|ready_us| *ready_us > now_us);
        later.min().unwrap_or(u64::MAX)
    }

    fn of_mut(&mut self, path: Path) -> &mut TokenBucket {
        match path {
            Path::Lan => &mut self.lan,
            Path::Wan => &mut self.wan,
        }
    }
}

impl<P: Payload> Node<P> {
    /// The owner wants it otherwise from now on.
    pub(crate) fn limit(&mut self, limits: Limits) {
        self.config.limits = limits;
        let caps = self.config.limits.caps;
        self.buckets.set(&caps, self.now_us);
        self.emit(Output::Limit(caps));
    }

    pub(crate) fn limit_from_the_start(&mut self) {
        let caps = self.config.limits.caps;
        if caps != Caps::default() {
            self.emit(Output::Limit(caps));
        }
    }
}

/// A token bucket that may go into debt by one chunk: a chunk larger than the burst still
/// passes, and the long-run rate is exact.
#[derive(Clone, Debug)]
struct TokenBucket {
    rate_bytes_per_sec: Option<u64>,
    /// Millionths of a byte, negative while in debt.
    tokens: i128,
    last_us: u64,
}

/// The burst: this share of a second's bytes, in milliseconds.
const BURST_MS: i128 = 100;

impl TokenBucket {
    fn new(rate_bytes_per_sec: Option<u64>, now_us: u64) -> Self {
        Self {
            rate_bytes_per_sec,
            tokens: 0,
            last_us: now_us,
        }
    }

    fn set_rate(&mut self, rate_bytes_per_sec: Option<u64>, now_us: u64) {
        self.refill(now_us);
        // a debt run up at the old rate must not outlive it
        self.tokens = self.tokens.max(0);
        self.rate_bytes_per_sec = rate_bytes_per_sec;
    }

    /// Takes `bytes` if the bucket is not in debt.
    fn take(&mut self, bytes: u64, now_us: u64) -> bool {
        self.refill(now_us);
        if self.rate_bytes_per_sec.is_none() {
            return true;
        }
        if self.tokens < 0 {
            return false;
        }
        self.tokens -= i128::from(bytes) * 1_000_000;
        true
    }

    /// When [`TokenBucket::take`] will next succeed.
    fn ready_us(&self) -> u64 {
        match self.rate_bytes_per_sec {
            Some(0) => u64::MAX,
            Some(rate) if self.tokens < 0 => {
                let wait = (-self.tokens + i128::from(rate) - 1) / i128::from(rate);
                self.last_us.saturating_add(wait as u64)
            }
            _ => self.last_us,
        }
    }

    fn refill(&mut self, now_us: u64) {
        let elapsed_us = now_us.saturating_sub(self.last_us);
        self.last_us = self.last_us.max(now_us);
        if let Some(rate) = self.rate_bytes_per_sec {
            let rate = i128::from(rate);
            let burst = rate * BURST_MS * 1_000;
            self.tokens = (self.tokens + rate * i128::from(elapsed_us)).min(burst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_run_rate_is_the_cap() {
        let mut bucket = TokenBucket::new(Some(1_000_000), 0);
        let (mut now_us, mut sent) = (0, 0_u64);
        while now_us < 10_000_000 {
            if bucket.take(262_144, now_us) {
                sent += 262_144;
            } else {
                now_us = bucket.ready_us();
            }
        }
        assert!(
            (10_000_000..=10_600_000).contains(&sent),
            "{sent} bytes in 10 s at 1 MB/s"
        );
    }

    #[test]
    fn a_cap_of_zero_sends_one_chunk_and_then_waits() {
        let mut bucket = TokenBucket::new(Some(0), 0);
        assert!(bucket.take(1, 0));
        assert!(!bucket.take(1, 1_000_000_000));
        bucket.set_rate(None, 1_000_000_001);
        assert!(bucket.take(1 << 40, 1_000_000_002));
    }
}
