//! How a verb fails: an exit code that scripts can rely on, and three lines for people.

use std::{fmt::Write as _, io};

use serde::Serialize;

use crate::style::Style;

/// What the process ends with. The numbers are a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Whoever read our output closed it; nothing is left to say.
    Done = 0,
    /// Anything without a code of its own.
    Failed = 1,
    /// The command line or a configuration file is wrong.
    Usage = 2,
    /// No node runs in this folder.
    NotRunning = 3,
    /// A file, model, release or channel is not there.
    NotFound = 4,
    /// Bytes, a record or a signature are not what they should be.
    Verification = 5,
    /// It could be done, and a rule says no.
    Refused = 6,
    /// The network failed, a port is taken, or a wait took too long.
    Network = 7,
    /// The disk is full or failing.
    Disk = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The word that `--json` gives for it.
    fn word(self) -> &'static str {
        match self {
            Exit::Done => "ok",
            Exit::Failed => "failed",
            Exit::Usage => "usage",
            Exit::NotRunning => "not_running",
            Exit::NotFound => "not_found",
            Exit::Verification => "verification_failed",
            Exit::Refused => "refused",
            Exit::Network => "network",
            Exit::Disk => "disk",
            Exit::Interrupted => "interrupted",
        }
    }
}

/// Why a verb did not do what it was asked, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What did not work.
    what: String,
    /// Why.
    why: String,
    /// The command that helps, or what else to do.
    next: String,
}

impl Failure {
    pub(crate) fn new(
        exit: Exit,
        what: impl Into<String>,
        why: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            exit,
            what: what.into(),
            why: why.into(),
            next: next.into(),
        }
    }

    /// The reader of our output went away: end quietly, as `head` expects.
    pub(crate) fn quiet() -> Self {
        Self::new(Exit::Done, "", "", "")
    }

    /// Ctrl-C, or the terminal went away.
    pub(crate) fn interrupted(next: impl Into<String>) -> Self {
        Self::new(
            Exit::Interrupted,
            "interrupted",
            "a signal asked weft to end",
            next,
        )
    }

    /// Ctrl-C in a verb that has no other end: there is nothing to explain.
    pub(crate) fn ended_by_signal() -> Self {
        Self::new(Exit::Interrupted, "", "", "")
    }

    /// Whether there is anything to say.
    pub(crate) fn is_silent(&self) -> bool {
        self.what.is_empty()
    }

    /// A file or folder that could not be read or written.
    pub(crate) fn file(what: impl Into<String>, error: &io::Error) -> Self {
        let (exit, next) = match error.kind() {
            io::ErrorKind::NotFound => (Exit::NotFound, "check the path"),
            io::ErrorKind::PermissionDenied => (
                Exit::Failed,
                "run it as the owner of the file, or change its mode",
            ),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (Exit::Disk, "make room on that disk and try again")
            }
            io::ErrorKind::AlreadyExists => (Exit::Refused, "choose another name, or remove it"),
            _ => (Exit::Failed, "see what the system says about that path"),
        };
        Self::new(exit, what, error.to_string(), next)
    }

    /// The same failure with another way out.
    #[must_use]
    pub(crate) fn with_next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// Three lines for people; none when the reader is gone.
    pub(crate) fn text(&self, style: Style) -> String {
        if self.is_silent() {
            return String::new();
        }
        let mut text = format!("{} {}\n", style.bad("error:"), self.what);
        for (label, line) in [("why:", &self.why), ("next:", &self.next)] {
            if !line.is_empty() {
                let _ = writeln!(text, "  {} {line}", style.bold(label));
            }
        }
        text
    }

    /// One object for programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        #[derive(Serialize)]
        struct Report<'a> {
            schema: u32,
            error: Inner<'a>,
        }
        #[derive(Serialize)]
        struct Inner<'a> {
            code: &'a str,
            exit: u8,
            what: &'a str,
            why: &'a str,
            next: &'a str,
        }
        let inner = Inner {
            code: self.exit.word(),
            exit: self.exit as u8,
            what: &self.what,
            why: &self.why,
            next: &self.next,
        };
        serde_json::json!(Report {
            schema: crate::output::SCHEMA,
            error: inner
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_lines_or_none() {
        let failure = Failure::new(
            Exit::NotRunning,
            "no node runs in /a",
            "no api.json",
            "weft up",
        );
        let text = failure.text(Style::plain());
        assert_eq!(
            text,
            "error: no node runs in /a\n  why: no api.json\n  next: weft up\n"
        );
        assert_eq!(Failure::quiet().text(Style::plain()), "");
        assert_eq!(Failure::ended_by_signal().text(Style::plain()), "");
    }

    #[test]
    fn programs_get_one_object() {
        let value = Failure::new(Exit::Verification, "a", "b", "c").json();
        assert_eq!(value["schema"], 1);
        assert_eq!(value["error"]["code"], "verification_failed");
        assert_eq!(value["error"]["exit"], 5);
        assert_eq!(value["error"]["next"], "c");
    }

    #[test]
    fn the_system_s_words_choose_the_code() {
        let exit = |kind| Failure::file("x", &io::Error::from(kind)).exit;
        assert_eq!(exit(io::ErrorKind::NotFound), Exit::NotFound);
        assert_eq!(exit(io::ErrorKind::StorageFull), Exit::Disk);
        assert_eq!(exit(io::ErrorKind::AlreadyExists), Exit::Refused);
        assert_eq!(exit(io::ErrorKind::PermissionDenied), Exit::Failed);
    }
}
