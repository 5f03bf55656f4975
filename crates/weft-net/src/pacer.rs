//! Caps on bytes a second: who reads or writes chunks pays for each piece before it moves it.
//!
//! What counts is what the chunk protocol carries, payload and frames. What TLS, the
//! multiplexer and TCP add, some 3 %, comes on top.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep_until};
use weft_core::{Caps, Direction, Path};

use crate::{bounds, handle::lock};

/// The caps of one node.
#[derive(Default)]
pub(crate) struct Pacer {
    fetch_lan: Bucket,
    fetch_wan: Bucket,
    serve_lan: Bucket,
    serve_wan: Bucket,
    background: AtomicBool,
}

impl Pacer {
    /// Other caps from now on, also for chunks under way.
    pub(crate) fn limit(&self, caps: &Caps, background: bool) {
        self.background.store(background, Ordering::Relaxed);
        for direction in [Direction::Fetch, Direction::Serve] {
            for path in [Path::Lan, Path::Wan] {
                self.bucket(direction, path)
                    .set_rate(caps.of(direction, path), Instant::now());
            }
        }
    }

    /// Whether chunks over this path give way to other traffic: only the uplink has any.
    pub(crate) fn gives_way(&self, path: Path) -> bool {
        path == Path::Wan && self.background.load(Ordering::Relaxed)
    }

    pub(crate) fn bucket(&self, direction: Direction, path: Path) -> &Bucket {
        match (direction, path) {
            (Direction::Fetch, Path::Lan) => &self.fetch_lan,
            (Direction::Fetch, Path::Wan | Path::Relayed) => &self.fetch_wan,
            (Direction::Serve, Path::Lan) => &self.serve_lan,
            (Direction::Serve, Path::Wan | Path::Relayed) => &self.serve_wan,
        }
    }
}

/// One cap, shared by all streams of its direction and path. Who comes first goes first;
/// since each stream pays piece by piece, they take turns.
#[derive(Default)]
pub(crate) struct Bucket {
    ledger: Mutex<Option<Ledger>>,
    changed: Notify,
    /// Payloads under way; no more than the cap has room for.
    under_way: Arc<Mutex<usize>>,
    ended: Arc<Notify>,
}

/// Counts what was granted and what was asked for since the cap was set.
#[derive(Clone, Copy, Debug)]
struct Ledger {
    bytes_per_sec: u64,
    /// Millionths of a byte: time times rate, but never far ahead of what was asked for.
    granted: u128,
    /// Bytes, with those of all who wait.
    asked: u64,
    counted: Instant,
}

/// A payload under way; ends when it goes.
pub(crate) struct Turn(Option<(Arc<Mutex<usize>>, Arc<Notify>)>);

impl Bucket {
    /// One with a cap that stays.
    pub(crate) fn capped(bytes_per_sec: u64) -> Self {
        let bucket = Self::default();
        bucket.set_rate(Some(bytes_per_sec), Instant::now());
        bucket
    }

    fn set_rate(&self, bytes_per_sec: Option<u64>, now: Instant) {
        let mut ledger = lock(&self.ledger);
        *ledger = match (ledger.take(), bytes_per_sec) {
            (_, None) => None,
            (None, Some(rate)) => Some(Ledger::new(rate, now)),
            // those who wait keep their places
            (Some(mut known), Some(rate)) => {
                known.count(now);
                known.bytes_per_sec = rate;
                Some(known)
            }
        };
        drop(ledger);
        self.changed.notify_waiters();
        self.ended.notify_waiters();
    }

    /// Whether nothing may pass.
    pub(crate) fn is_paused(&self) -> bool {
        let ledger = lock(&self.ledger);
        ledger.is_some_and(|ledger| ledger.bytes_per_sec == 0)
    }

    /// How much is moved at once.
    pub(crate) fn piece_bytes(&self) -> usize {
        match *lock(&self.ledger) {
            None => bounds::PROGRESS_BYTES,
            Some(_) => bounds::PIECE_BYTES,
        }
    }

    /// Waits until these bytes may pass.
    pub(crate) async fn pay(&self, bytes: usize) {
        let Some(mut place) = self.queue(bytes) else {
            return;
        };
        let latest = Instant::now() + bounds::PACED_WAIT_MOST;
        loop {
            // before the look, so that no change is missed
            let changed = self.changed.notified();
            let due = match *lock(&self.ledger) {
                None => return,
                Some(ref mut ledger) => ledger.due(place, Instant::now()),
            };
            match due {
                Due::Now => return,
                // a cap so low that the peer would take this node for dead: the core asks
                // for nothing more until what is owed is paid
                Due::At(at) => {
                    tokio::select! {
                        () = sleep_until(at.min(latest).into()) => {
                            if at > latest {
                                return;
                            }
                        }
                        () = changed => {}
                    }
                }
                Due::Never => changed.await,
                Due::Forgotten => match self.queue(bytes) {
                    Some(new) => place = new,
                    None => return,
                },
            }
        }
    }

    /// Waits until one more payload may be under way: few at a time get through sooner
    /// than many that share a low cap.
    pub(crate) async fn turn(&self) -> Turn {
        loop {
            let ended = self.ended.notified();
            let most = match *lock(&self.ledger) {
                None => return Turn(None),
                Some(ledger) => ledger.turns(),
            };
            {
                let mut under_way = lock(&self.under_way);
                if *under_way < most {
                    *under_way += 1;
                    return Turn(Some((self.under_way.clone(), self.ended.clone())));
                }
            }
            ended.await;
        }
    }

    /// A place behind all who wait: the bytes asked for up to and with these.
    fn queue(&self, bytes: usize) -> Option<u64> {
        let mut ledger = lock(&self.ledger);
        let ledger = ledger.as_mut()?;
        ledger.count(Instant::now());
        ledger.asked += bytes as u64;
        Some(ledger.asked)
    }
}

impl Turn {
    /// Whether there is a cap at all.
    pub(crate) fn is_capped(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((under_way, ended)) = &self.0 {
            *lock(under_way) -= 1;
            ended.notify_waiters();
        }
    }
}

/// When somebody who waits may go.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Now,
    At(Instant),
    /// Not before the cap changes.
    Never,
    /// The cap was taken away and set anew meanwhile.
    Forgotten,
}

impl Ledger {
    fn new(bytes_per_sec: u64, now: Instant) -> Self {
        Self {
            bytes_per_sec,
            granted: 0,
            asked: 0,
            counted: now,
        }
    }

    /// Grants what has come since the last time.
    fn count(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.counted);
        self.counted = self.counted.max(now);
        let rate = u128::from(self.bytes_per_sec);
        let ahead = rate * bounds::PACED_BURST.as_micros();
        self.granted = (self.granted + rate * elapsed.as_micros())
            .min(u128::from(self.asked) * 1_000_000 + ahead);
    }

    fn due(&mut self, place: u64, now: Instant) -> Due {
        if place > self.asked {
            return Due::Forgotten;
        }
        self.count(now);
        let lacks = (u128::from(place) * 1_000_000).saturating_sub(self.granted);
        match (lacks, self.bytes_per_sec) {
            (0, _) => Due::Now,
            (_, 0) => Due::Never,
            (lacks, rate) => {
                let wait_us = lacks.div_ceil(u128::from(rate)).min(u128::from(u32::MAX));
                Due::At(now + Duration::from_micros(wait_us as u64))
            }
        }
    }

    /// Payloads that may be under way at once.
    fn turns(&self) -> usize {
        let turns = self.bytes_per_sec / bounds::PACED_BYTES_PER_SEC_LEAST;
        (turns as usize).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(rate: u64) -> Caps {
        Caps {
            serve_bytes_per_sec: Some(rate),
            ..Caps::default()
        }
    }

    /// Streams that pay for pieces as fast as they may.
    fn streams(pacer: &Arc<Pacer>, count: usize) -> Arc<Mutex<u64>> {
        let moved = Arc::new(Mutex::new(0));
        for _ in 0..count {
            let (pacer, moved) = (pacer.clone(), moved.clone());
            tokio::spawn(async move {
                loop {
                    let bucket = pacer.bucket(Direction::Serve, Path::Wan);
                    bucket.pay(bounds::PIECE_BYTES).await;
                    *lock(&moved) += bounds::PIECE_BYTES as u64;
                    tokio::task::yield_now().await;
                }
            });
        }
        moved
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_streams_share_one_cap_and_a_change_counts_at_once() {
        let pacer = Arc::new(Pacer::default());
        pacer.limit(&caps(4_000_000), false);
        let moved = streams(&pacer, 20);
        let passed = async |time: Duration| {
            let (before, start) = (*lock(&moved), Instant::now());
            tokio::time::sleep(time).await;
            (*lock(&moved) - before) as f64 / start.elapsed().as_secs_f64()
        };
        let rate = passed(Duration::from_secs(2)).await;
        assert!((3.88e6..4.12e6).contains(&rate), "{rate}");
        pacer.limit(&caps(0), false);
        passed(Duration::from_millis(50)).await;
        let rate = passed(Duration::from_millis(200)).await;
        assert!(rate < 1.0, "{rate} while nothing may pass");
        pacer.limit(&caps(1_000_000), false);
        let rate = passed(Duration::from_secs(2)).await;
        assert!((0.95e6..1.05e6).contains(&rate), "{rate}");
        pacer.limit(&Caps::default(), false);
        let rate = passed(Duration::from_millis(200)).await;
        assert!(rate > 20e6, "{rate} without a cap");
    }

    #[tokio::test]
    async fn the_other_buckets_are_not_touched() {
        let pacer = Pacer::default();
        pacer.limit(&caps(0), false);
        let open = [
            (Direction::Fetch, Path::Lan),
            (Direction::Fetch, Path::Wan),
            (Direction::Serve, Path::Lan),
        ];
        for (direction, path) in open {
            pacer.bucket(direction, path).pay(usize::MAX >> 1).await;
        }
        let paid = pacer.bucket(Direction::Serve, Path::Wan).pay(1);
        let waited = tokio::time::timeout(Duration::from_millis(50), paid).await;
        assert!(waited.is_err());
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let now = Instant::now();
        let mut ledger = Ledger::new(1_000_000, now);
        let later = now + Duration::from_mins(1);
        ledger.count(later);
        let burst = 1_000_000 * bounds::PACED_BURST.as_millis() as u64 / 1_000;
        ledger.asked = burst;
        assert_eq!(ledger.due(burst, later), Due::Now);
        ledger.asked += 1_000;
        let at = later + Duration::from_millis(1);
        assert_eq!(ledger.due(burst + 1_000, later), Due::At(at));
        assert_eq!(ledger.due(burst + 1_000, at), Due::Now);
    }

    #[tokio::test]
    async fn few_are_under_way_at_once_where_the_cap_is_low() {
        let pacer = Pacer::default();
        pacer.limit(&caps(2 * bounds::PACED_BYTES_PER_SEC_LEAST), false);
        let bucket = pacer.bucket(Direction::Serve, Path::Wan);
        let (one, _two) = (bucket.turn().await, bucket.turn().await);
        let waited = tokio::time::timeout(Duration::from_millis(20), bucket.turn()).await;
        assert!(waited.is_err());
        drop(one);
        drop(bucket.turn().await);
    }
}
