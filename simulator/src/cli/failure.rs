//! How a verb fails: three lines for people and an exit code for scripts.

use std::{io, path::Path, process::ExitCode};

use weft_sim::{Unbuildable, scenario::Mistake};

use super::source::Loaded;

/// It ran, and failed.
pub(crate) const FAILED: u8 = 1;
/// The command line or a file is wrong.
pub(crate) const USAGE: u8 = 2;
/// Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a verb did not do what it was asked, and what helps.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: u8,
    what: String,
    why: String,
    next: String,
}

impl Failure {
    /// The command line or a file is wrong.
    pub(crate) fn usage(
        what: impl Into<String>,
        why: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            exit: USAGE,
            what: what.into(),
            why: why.into(),
            next: next.into(),
        }
    }

    /// It ran, and failed.
    pub(crate) fn failed(
        what: impl Into<String>,
        why: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            exit: FAILED,
            ..Self::usage(what, why, next)
        }
    }

    /// A file could not be read.
    pub(crate) fn unread(path: &Path, error: &io::Error) -> Self {
        let what = format!("{} cannot be read", path.display());
        Self::usage(what, error.to_string(), "check the path")
    }

    /// A file could not be written.
    pub(crate) fn unwritten(path: &Path, error: &io::Error) -> Self {
        let what = format!("{} cannot be written", path.display());
        Self::failed(what, error.to_string(), "choose a path that can be written")
    }

    /// The scenario's fleet cannot be built.
    pub(crate) fn unbuildable(loaded: &Loaded, error: Unbuildable) -> Self {
        loaded.mistake(error.span, error.why, error.next).into()
    }

    /// Tells it, and with what the process ends.
    pub(crate) fn tell(&self) -> ExitCode {
        eprintln!(
            "error: {}\n  why: {}\n  next: {}",
            self.what, self.why, self.next
        );
        ExitCode::from(self.exit)
    }
}

impl From<Mistake> for Failure {
    fn from(mistake: Mistake) -> Self {
        Self::usage(mistake.what, mistake.why, mistake.next)
    }
}

/// A command line that clap did not like, or a wish for help.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    // nobody reads it any more if this fails
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(USAGE),
    }
}
