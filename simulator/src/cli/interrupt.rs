//! Ctrl-C: the first asks for what there is, the second ends at once.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use signal_hook::{consts::TERM_SIGNALS, flag};

use super::failure::INTERRUPTED;

static CAME: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on a signal sets a flag, and the next one ends the process.
pub(crate) fn watch() {
    let came = CAME.get_or_init(Arc::default);
    for signal in TERM_SIGNALS {
        // without them Ctrl-C ends it at once, which is no harm
        let _ = flag::register_conditional_shutdown(*signal, INTERRUPTED.into(), Arc::clone(came));
        let _ = flag::register(*signal, Arc::clone(came));
    }
}

/// Whether one came.
pub(crate) fn came() -> bool {
    CAME.get().is_some_and(|came| came.load(Ordering::Relaxed))
}
