//! Ctrl-C: a flag that every wait looks at, so that what was made is removed.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// Set by the first signal; a second one ends the process as if nobody listened.
static CAME: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| {
    let came = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // without a handler Ctrl-C ends the process at once, which is what it does elsewhere
        let _ = flag::register_conditional_default(signal, Arc::clone(&came));
        let _ = flag::register(signal, Arc::clone(&came));
    }
    came
});

/// Listens from now on.
pub(crate) fn watch() {
    LazyLock::force(&CAME);
}

/// Sleeps until then; an error if a signal comes.
pub(crate) fn sleep_until(end: Instant) -> Result<()> {
    /// Short enough that Ctrl-C feels immediate.
    const SLICE: Duration = Duration::from_millis(50);
    loop {
        if CAME.load(Ordering::SeqCst) {
            bail!("interrupted");
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(SLICE));
    }
}
