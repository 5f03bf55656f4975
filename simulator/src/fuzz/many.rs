//! Many seeds, one a thread at a time.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Script, Spread, Verdict, figures::Sizes, play};

/// Which seeds, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Hunt {
    /// The first.
    pub first_seed: u64,
    /// How many at most.
    pub count: u64,
    /// No further seed is begun after this.
    pub time: Option<Duration>,
    /// Threads, each with a seed of its own.
    pub threads: usize,
    /// No further seed is begun once so many broke a promise.
    pub most_found: usize,
}

/// A seed that broke a promise.
#[derive(Clone, Debug)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// How its run ended.
    pub verdict: Verdict,
}

/// What became of a hunt.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Seeds that broke a promise, in order.
    pub found: Vec<Found>,
    /// Runs that came to their end.
    pub runs: u64,
    /// Events of all of them.
    pub events: u64,
    /// How long it took.
    pub took: Duration,
    /// How large the runs were.
    pub sizes: Vec<(&'static str, Spread)>,
}

/// Runs seeds until there are no more, time is up, or `stop` says so; `each` is told of
/// every run as it ends.
pub fn hunt(
    hunt: &Hunt,
    stop: impl Fn() -> bool + Sync,
    each: impl Fn(u64, &Verdict) + Sync,
) -> Tally {
    let started = Instant::now();
    let enough = AtomicBool::new(false);
    let next = AtomicU64::new(0);
    let done = Mutex::new((Vec::new(), Sizes::default()));
    let work = || {
        let mut sizes = Sizes::default();
        loop {
            let late = hunt.time.is_some_and(|time| started.elapsed() >= time);
            let place = next.fetch_add(1, Ordering::Relaxed);
            if late || enough.load(Ordering::Relaxed) || stop() || place >= hunt.count {
                break;
            }
            let seed = hunt.first_seed.wrapping_add(place);
            let script = Script::draw(seed);
            let verdict = play(&script);
            sizes.add(&script, verdict.events);
            each(seed, &verdict);
            if !verdict.violations.is_empty()
                && let Ok(mut done) = done.lock()
            {
                done.0.push(Found { seed, verdict });
                if done.0.len() >= hunt.most_found {
                    enough.store(true, Ordering::Relaxed);
                }
            }
        }
        if let Ok(mut done) = done.lock() {
            done.1.append(sizes);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..hunt.threads.max(1) {
            scope.spawn(work);
        }
    });
    let (mut found, mut sizes) = done.into_inner().unwrap_or_default();
    found.sort_by_key(|one| one.seed);
    Tally {
        found,
        runs: sizes.runs(),
        events: sizes.total_events(),
        took: started.elapsed(),
        sizes: sizes.lines(),
    }
}
