//! Many runs at once, a thread a core.

use std::{
    num::NonZero,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use weft_sim::{Options, report::Report};

use super::{failure::Failure, interrupt, progress::Bar, source::Loaded};

/// A scenario and a seed.
pub(crate) type Job<'a> = (&'a Loaded, u64);

/// Their reports, in the order given; `None` where Ctrl-C came first.
pub(crate) fn rehearse_all(jobs: &[Job<'_>]) -> Result<Vec<Option<Report>>, Failure> {
    interrupt::watch();
    let bar = Bar::of_runs(jobs.len() as u64);
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((loaded, seed)) = jobs.get(index) else {
                return;
            };
            if interrupt::came() {
                return;
            }
            let options = Options {
                seed: *seed,
                is_one_of_many: true,
                ..loaded.options
            };
            let result = loaded.rehearse(options, &mut |_| !interrupt::came());
            bar.step();
            if let Ok(mut results) = results.lock() {
                results.push((index, result));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(work);
        }
    });
    let results = results.into_inner().unwrap_or_default();
    let mut reports: Vec<Option<Report>> = jobs.iter().map(|_| None).collect();
    for (index, result) in results {
        // what was cut off says nothing about the whole
        reports[index] = Some(result?).filter(|report| !report.head.partial);
    }
    Ok(reports)
}
