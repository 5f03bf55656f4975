//! Bytes a second over the last few seconds.

use std::collections::VecDeque;

/// The window: long enough to smooth chunks of a megabyte on a thin link,
/// short enough to show that a fetch has stalled.
const WINDOW_MS: u64 = 5_000;

/// A sliding mean of a counter that only grows.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    samples: VecDeque<(u64, u64)>,
}

/// Samples closer together than this are merged, which bounds their number.
const SAMPLE_MS: u64 = 200;

impl Meter {
    /// Tells it what the counter shows.
    pub(crate) fn observe(&mut self, now_ms: u64, total: u64) {
        while self
            .samples
            .get(1)
            .is_some_and(|(at, _)| now_ms.saturating_sub(*at) >= WINDOW_MS)
        {
            self.samples.pop_front();
        }
        match self.samples.back_mut() {
            // A counter that fell belongs to a new fetch: start over.
            Some((_, last)) if *last > total => {
                self.samples.clear();
                self.samples.push_back((now_ms, total));
            }
            Some((at, _)) if now_ms.saturating_sub(*at) < SAMPLE_MS => {}
            _ => self.samples.push_back((now_ms, total)),
        }
    }

    /// The mean over the window, given what the counter shows now.
    pub(crate) fn per_sec(&self, now_ms: u64, total: u64) -> u64 {
        let Some((at, first)) = self.samples.front() else {
            return 0;
        };
        let elapsed_ms = now_ms.saturating_sub(*at);
        if elapsed_ms == 0 {
            return 0;
        }
        total.saturating_sub(*first) * 1_000 / elapsed_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_rate_of_the_window_and_falls_to_nothing() {
        let mut meter = Meter::default();
        assert_eq!(meter.per_sec(10, 10), 0);
        for second in 0..20_u64 {
            meter.observe(second * 1_000, second * 1_000_000);
        }
        let rate = meter.per_sec(19_000, 19_000_000);
        assert_eq!(rate, 1_000_000);
        for second in 20..40_u64 {
            meter.observe(second * 1_000, 19_000_000);
        }
        assert_eq!(meter.per_sec(40_000, 19_000_000), 0);
        meter.observe(41_000, 5);
        assert_eq!(meter.per_sec(42_000, 105), 100);
    }
}
