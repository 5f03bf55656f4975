//! Ctrl-C, for verbs that must tidy up: a flag that their waits look at.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static WATCHING: OnceLock<()> = OnceLock::new();

/// From now on SIGINT, SIGTERM and SIGHUP set the flag instead of ending the
/// process. Without them weft still works: a failure here only means that Ctrl-C
/// ends it at once.
pub(crate) fn watch() {
    WATCHING.get_or_init(|| {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
        else {
            return;
        };
        let (ready, listening) = std::sync::mpsc::sync_channel(1);
        let watcher = move || {
            runtime.block_on(async {
                let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (
                    signal(SignalKind::interrupt()),
                    signal(SignalKind::terminate()),
                    signal(SignalKind::hangup()),
                ) else {
                    return;
                };
                let _ = ready.send(());
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hangup.recv() => {}
                    }
                    INTERRUPTED.store(true, Ordering::SeqCst);
                }
            });
        };
        if thread::Builder::new()
            .name("signals".to_owned())
            .spawn(watcher)
            .is_ok()
        {
            let _ = listening.recv();
        }
    });
}

/// Whether a signal came.
pub(crate) fn came() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Sleeps that long, or until a signal comes.
pub(crate) fn pause(time: Duration) {
    /// Short enough that Ctrl-C feels immediate.
    const SLICE: Duration = Duration::from_millis(50);
    let end = Instant::now() + time;
    while !came() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(SLICE));
    }
}
