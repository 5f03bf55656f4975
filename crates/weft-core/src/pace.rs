//! How much is asked of a peer at once, and for how long it is waited for: by how it
//! delivered so far.

use crate::bounds;

/// A time, kept in four bytes: a node that fetches notes one for each request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u32);

/// Microseconds of a moment, as a power of two: a fifteenth of a second, for some nine years.
const MOMENT_BITS: u32 = 16;

impl Moment {
    pub(crate) fn at(now_us: u64) -> Self {
        Self(u32::try_from(now_us >> MOMENT_BITS).unwrap_or(u32::MAX))
    }

    pub(crate) fn us(self) -> u64 {
        u64::from(self.0) << MOMENT_BITS
    }

    /// The time between.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

/// Requests that may wait for one peer's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window(pub(crate) u8);

impl Default for Window {
    fn default() -> Self {
        Self(bounds::REQUESTS_AT_FIRST)
    }
}

impl Window {
    /// One after the other.
    pub(crate) const LEAST: Self = Self(1);

    /// How many are asked for at once.
    pub(crate) fn run(self) -> usize {
        bounds::REQUESTS_AT_ONCE.min(usize::from(self.0).div_ceil(2))
    }

    /// An answer came after so long.
    pub(crate) fn answered_after(&mut self, took_us: u64) {
        if took_us > bounds::SLOW_ANSWER_US {
            self.0 = self.0.saturating_sub(1).max(1);
        } else if took_us < bounds::SLOW_ANSWER_US / 2
            && usize::from(self.0) < bounds::REQUESTS_PER_PEER
        {
            self.0 += 1;
        }
    }
}

/// When a request is late that was made at this time to a peer that last delivered then,
/// after such a pause.
pub(crate) fn late_us(asked: Moment, progress: Moment, pause: Moment, chunk_bytes: u64) -> u64 {
    let waits_us = chunk_bytes * 1_000_000 / bounds::SLOWEST_BYTES_PER_SEC;
    let waits_us = waits_us.max(pause.us() * bounds::PAUSES_WAITED);
    asked.max(progress).us() + bounds::REQUEST_TIMEOUT_US + waits_us
}

/// For how long a peer is not asked again that was given up on so often, the last time after
/// it was waited for so long.
pub(crate) fn pause_us(strikes: u8, waited: Moment) -> u64 {
    let shortest = bounds::WANT_PAUSE_US << strikes.min(bounds::WANT_PAUSE_DOUBLINGS);
    shortest.max(waited.us() << strikes.min(bounds::WAIT_DOUBLINGS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_the_answers() {
        let mut window = Window::default();
        for _ in 0..100 {
            window.answered_after(100_000);
        }
        assert_eq!(usize::from(window.0), bounds::REQUESTS_PER_PEER);
        window.answered_after(bounds::SLOW_ANSWER_US - 1);
        assert_eq!(usize::from(window.0), bounds::REQUESTS_PER_PEER);
        for _ in 0..100 {
            window.answered_after(bounds::SLOW_ANSWER_US + 1);
        }
        assert_eq!(window.0, 1);
    }

    #[test]
    fn whoever_delivers_is_waited_for() {
        let (asked, progress) = (Moment::at(0), Moment::at(100_000_000));
        let none = Moment::default();
        let late = late_us(asked, asked, none, 1 << 20);
        assert_eq!(late, bounds::REQUEST_TIMEOUT_US + 64_000_000);
        assert!(late_us(asked, progress, none, 1 << 20) > late + 99_000_000);
        // a peer behind a link so thin that it was late before
        assert!(late_us(asked, progress, progress, 1 << 20) > late + 235_000_000);
        assert_eq!(
            (pause_us(0, none), pause_us(3, none)),
            (1_000_000, 8_000_000)
        );
        assert_eq!(pause_us(200, none), pause_us(9, none));
        assert_eq!(pause_us(1, progress), 2 * progress.us());
    }
}
