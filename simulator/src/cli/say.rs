//! Standard output, whose reader may go away: `head` is no reason to fail.

use std::io::Write as _;

/// Prints this, as it is.
pub(crate) fn say(text: &str) {
    // nobody is left to tell if it fails
    let _ = std::io::stdout().write_all(text.as_bytes());
}
