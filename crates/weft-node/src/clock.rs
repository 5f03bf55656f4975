//! The only place of the node that reads clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the start, monotonic: the core's `now`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    wall_at_zero_s: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
            wall_at_zero_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        }
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us() / 1_000
    }

    /// Seconds since 1970 at zero of this clock.
    pub(crate) fn wall_at_zero_s(&self) -> u64 {
        self.wall_at_zero_s
    }

    /// What a clock on the wall would have shown at zero of this clock: seconds since 1970
    /// began there.
    pub(crate) fn local_at_zero_s(&self) -> u64 {
        let local_s = chrono::Local::now().naive_local().and_utc().timestamp();
        u64::try_from(local_s)
            .unwrap_or(0)
            .saturating_sub(self.now_us() / 1_000_000)
    }

    /// When that moment of this clock is; far deadlines are cut to a day, since a
    /// timer that fires early does no harm.
    pub(crate) fn instant(&self, at_us: u64) -> tokio::time::Instant {
        const DAY_US: u64 = 86_400_000_000;
        let at_us = at_us.min(self.now_us().saturating_add(DAY_US));
        tokio::time::Instant::from_std(self.start + Duration::from_micros(at_us))
    }
}
