//! A token bucket that may go into debt by one chunk: a chunk larger than the
//! burst still passes, and the long-run rate is exact.

/// Caps bytes a second.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    rate_bytes_per_sec: Option<u64>,
    /// Millionths of a byte, negative while in debt.
    tokens: i128,
    last_us: u64,
}

/// The burst: this share of a second's bytes, in milliseconds.
const BURST_MS: i128 = 100;

impl TokenBucket {
    pub(crate) fn new(rate_bytes_per_sec: Option<u64>, now_us: u64) -> Self {
        Self {
            rate_bytes_per_sec,
            tokens: 0,
            last_us: now_us,
        }
    }

    pub(crate) fn rate(&self) -> Option<u64> {
        self.rate_bytes_per_sec
    }

    pub(crate) fn set_rate(&mut self, rate_bytes_per_sec: Option<u64>, now_us: u64) {
        self.refill(now_us);
        // a debt run up at the old rate must not outlive it
        self.tokens = self.tokens.max(0);
        self.rate_bytes_per_sec = rate_bytes_per_sec;
    }

    /// Takes `bytes` if the bucket is not in debt.
    pub(crate) fn take(&mut self, bytes: u64, now_us: u64) -> bool {
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
    pub(crate) fn ready_us(&self) -> u64 {
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
