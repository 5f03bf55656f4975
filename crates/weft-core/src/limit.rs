//! What the owner lets transfers take, and the buckets with which fetching keeps to it.

use serde::{Deserialize, Serialize};

use crate::{
    bounds,
    io::{Output, Path},
    message::Payload,
    node::Node,
    timetable::{self, Window},
};

/// What the owner lets transfers take; what is left out is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most bytes a second.
    pub caps: Caps,
    /// Hours with other caps over the uplink; of several that hold the first counts.
    pub timetable: Vec<Window>,
    /// The uplink is metered: no chunk crosses it, either way. Heads and records do.
    pub metered: bool,
    /// Chunks over the uplink, both ways, give way to whatever else needs it.
    pub background: bool,
}

/// Why other caps are in force than those that stand first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// The uplink is metered.
    Metered,
    /// A window of the timetable.
    Timetable,
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
        Self {
            caps,
            ..Self::default()
        }
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
        if self.timetable.len() > bounds::WINDOWS {
            return Err(LimitsError::Windows(self.timetable.len()));
        }
        if !self.timetable.iter().all(Window::is_valid) {
            return Err(LimitsError::Window);
        }
        Ok(())
    }

    /// The caps that count at this local time, why, and at what local time to look again.
    pub(crate) fn in_force(&self, local_s: u64) -> (Caps, Option<LimitedBy>, u64) {
        let (window, again_s) = timetable::at(&self.timetable, local_s);
        let mut caps = self.caps;
        let mut by = None;
        if let Some(window) = window {
            caps.fetch_bytes_per_sec = window.fetch_bytes_per_sec;
            caps.serve_bytes_per_sec = window.serve_bytes_per_sec;
            by = Some(LimitedBy::Timetable);
        }
        if self.metered {
            caps.fetch_bytes_per_sec = Some(0);
            caps.serve_bytes_per_sec = Some(0);
            by = Some(LimitedBy::Metered);
        }
        (caps, by, again_s)
    }
}

/// Why limits cannot be meant so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    /// A cap of nothing.
    #[error("a cap of 0 would never move anything; leave it out to have none")]
    Zero,
    /// Too many windows.
    #[error("a timetable of {0} windows; at most {most} are read", most = bounds::WINDOWS)]
    Windows(usize),
    /// Days or minutes that do not exist.
    #[error("a window of the timetable has days or minutes that do not exist")]
    Window,
}

impl Caps {
    /// The cap of one direction and path.
    pub fn of(&self, direction: Direction, path: Path) -> Option<u64> {
        match (direction, path) {
            (Direction::Fetch, Path::Wan | Path::Relayed) => self.fetch_bytes_per_sec,
            (Direction::Serve, Path::Wan | Path::Relayed) => self.serve_bytes_per_sec,
            (Direction::Fetch, Path::Lan) => self.lan_fetch_bytes_per_sec,
            (Direction::Serve, Path::Lan) => self.lan_serve_bytes_per_sec,
        }
    }
}

/// What counts at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InForce {
    pub(crate) caps: Caps,
    pub(crate) by: Option<LimitedBy>,
    pub(crate) background: bool,
    /// It has to be looked again then.
    again_us: u64,
}

/// The buckets that requests are taken from.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    lan: TokenBucket,
    wan: TokenBucket,
}

impl Buckets {
    /// Nothing is capped.
    pub(crate) fn new(now_us: u64) -> Self {
        Self {
            lan: TokenBucket::new(None, now_us),
            wan: TokenBucket::new(None, now_us),
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
            Path::Wan | Path::Relayed => self.wan.ready_us(),
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
            Path::Wan | Path::Relayed => &mut self.wan,
        }
    }
}

impl<P: Payload> Node<P> {
    /// The owner wants it otherwise from now on.
    pub(crate) fn limit(&mut self, limits: Limits) {
        self.config.limits = limits;
        self.keep_limits();
    }

    /// The clock on the wall says something else than it was thought to.
    pub(crate) fn set_local_time(&mut self, local_at_zero_s: u64) {
        self.config.local_at_zero_s = local_at_zero_s;
        self.keep_limits();
    }

    pub(crate) fn limits_due_us(&self) -> u64 {
        self.in_force.again_us
    }

    pub(crate) fn run_limit_timers(&mut self) {
        if self.in_force.again_us <= self.now_us {
            self.keep_limits();
        }
    }

    /// Finds out which caps count now, and sees to it that they do.
    pub(crate) fn keep_limits(&mut self) {
        let zero_s = self.config.local_at_zero_s;
        let local_s = zero_s.saturating_add(self.now_us / 1_000_000);
        let (caps, by, again_s) = self.config.limits.in_force(local_s);
        let again_us = again_s.saturating_sub(zero_s).saturating_mul(1_000_000);
        let background = self.config.limits.background;
        let now = InForce {
            caps,
            by,
            background,
            again_us,
        };
        let before = std::mem::replace(&mut self.in_force, now);
        if before.caps == caps && before.background == background {
            return;
        }
        self.buckets.set(&caps, self.now_us);
        self.emit(Output::Limit { caps, background });
        let paused = |caps: &Caps| caps.serve_bytes_per_sec == Some(0);
        if paused(&before.caps) && !paused(&caps) {
            self.tell_bits_afar();
        }
    }

    /// Whether no chunk may be fetched by this path.
    pub(crate) fn fetches_nothing_by(&self, path: Path) -> bool {
        self.in_force.caps.of(Direction::Fetch, path) == Some(0)
    }

    /// Whether no chunk may be served by this path.
    pub(crate) fn serves_nothing_by(&self, path: Path) -> bool {
        self.in_force.caps.of(Direction::Serve, path) == Some(0)
    }

    /// Peers beyond the LAN that want to know what is here were not told for a while.
    fn tell_bits_afar(&mut self) {
        for file in self.files.keys().copied().collect::<Vec<_>>() {
            for peer in self.wanting(&file) {
                if self.path_of(&peer).is_some_and(|path| path != Path::Lan) {
                    self.tell_bits(peer, file);
                }
            }
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
        match self.rate_bytes_per_sec {
            None => return true,
            Some(0) => return false,
            Some(_) if self.tokens < 0 => return false,
            Some(_) => {}
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
    fn a_cap_of_zero_lets_nothing_pass() {
        let mut bucket = TokenBucket::new(Some(0), 0);
        assert!(!bucket.take(1, 0));
        assert_eq!(bucket.ready_us(), u64::MAX);
        assert!(!bucket.take(1, 1_000_000_000));
        bucket.set_rate(None, 1_000_000_001);
        assert!(bucket.take(1 << 40, 1_000_000_002));
    }

    #[test]
    fn what_is_metered_passes_in_no_window() {
        let night = Window {
            days: 0x7f,
            from_minute: 0,
            until_minute: 360,
            fetch_bytes_per_sec: None,
            serve_bytes_per_sec: Some(5),
        };
        let mut limits = Limits::fetching(7);
        limits.timetable.push(night);
        let (caps, by, again_s) = limits.in_force(3_600);
        assert_eq!((by, again_s), (Some(LimitedBy::Timetable), 6 * 3_600));
        assert_eq!(
            (caps.fetch_bytes_per_sec, caps.serve_bytes_per_sec),
            (None, Some(5))
        );
        assert_eq!(
            caps.lan_fetch_bytes_per_sec,
            Some(7),
            "the LAN has no hours"
        );
        let (caps, by, _) = limits.in_force(6 * 3_600);
        assert_eq!((caps, by), (limits.caps, None));
        limits.metered = true;
        let (caps, by, _) = limits.in_force(3_600);
        assert_eq!(by, Some(LimitedBy::Metered));
        assert_eq!(
            (caps.fetch_bytes_per_sec, caps.serve_bytes_per_sec),
            (Some(0), Some(0))
        );
        assert_eq!(caps.lan_fetch_bytes_per_sec, Some(7));
    }

    #[test]
    fn limits_that_cannot_be_meant_are_refused() {
        assert_eq!(Limits::fetching(1).check(), Ok(()));
        assert_eq!(Limits::fetching(0).check(), Err(LimitsError::Zero));
        let window = |days, from_minute, until_minute| Window {
            days,
            from_minute,
            until_minute,
            fetch_bytes_per_sec: None,
            serve_bytes_per_sec: None,
        };
        let checked = |window: Window, count: usize| {
            let timetable = vec![window; count];
            let limits = Limits {
                timetable,
                ..Limits::default()
            };
            limits.check()
        };
        assert_eq!(checked(window(1, 0, 1_440), bounds::WINDOWS), Ok(()));
        let many = bounds::WINDOWS + 1;
        assert_eq!(
            checked(window(1, 0, 1_440), many),
            Err(LimitsError::Windows(many))
        );
        for wrong in [
            window(0, 0, 1),
            window(0x80, 0, 1),
            window(1, 1_440, 1),
            window(1, 0, 1_441),
        ] {
            assert_eq!(checked(wrong, 1), Err(LimitsError::Window));
        }
    }
}
