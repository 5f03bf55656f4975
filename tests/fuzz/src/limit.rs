//! Bounds what one input may allocate: libFuzzer's own limit needs a sanitizer.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Bytes that Rust code holds now.
static HELD: AtomicUsize = AtomicUsize::new(0);
/// Bytes that it may hold.
static ALLOWED: AtomicUsize = AtomicUsize::new(usize::MAX);

/// From now on so many bytes more may be held; one too many aborts, which libFuzzer
/// reports with the input.
pub(crate) fn start(bytes: usize) {
    ALLOWED.store(HELD.load(Relaxed).saturating_add(bytes), Relaxed);
}

/// Ends the limit: libFuzzer itself may take what it needs.
pub(crate) fn stop() {
    ALLOWED.store(usize::MAX, Relaxed);
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn take(bytes: usize) {
    if HELD.fetch_add(bytes, Relaxed).saturating_add(bytes) > ALLOWED.load(Relaxed) {
        // the report below allocates
        stop();
        eprintln!("the input allocates more than its target may: {bytes} bytes at once");
        std::process::abort();
    }
}

// SAFETY: every call goes to the system's allocator with the arguments it came with;
// counting touches no memory of the caller.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        take(bytes);
        HELD.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}
