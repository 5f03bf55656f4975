//! What every verb is handed: the node's folder, and how to tell its result.

use std::path::{Path, PathBuf};

use weft_node::{Home, client::Client};

use crate::{
    failure::{Exit, Failure},
    output::Output,
};

/// Where a verb works, and how it speaks.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) output: Output,
    directory: PathBuf,
    /// Whether the folder was named by a flag or the environment, so that advice
    /// must name it too.
    named: bool,
    /// Whether it was a flag.
    flagged: bool,
}

impl Context {
    pub(crate) fn new(
        output: Output,
        directory: Option<PathBuf>,
        verbose: u8,
        node: bool,
    ) -> Result<Self, Failure> {
        start_logging(output, verbose, node);
        let flagged = directory.is_some();
        let directory = directory.or_else(|| set("WEFT_DIR").map(PathBuf::from));
        let named = directory.is_some();
        let directory = directory.or_else(default_directory).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                "no folder for the node",
                "neither --dir nor WEFT_DIR is given, and neither XDG_DATA_HOME nor HOME is set",
                "weft --dir DIR …",
            )
        })?;
        let directory = std::path::absolute(&directory)
            .map_err(|error| Failure::file(format!("{}", directory.display()), &error))?;
        Ok(Self {
            output,
            directory,
            named,
            flagged,
        })
    }

    /// The node's folder.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The folder that --dir names. A verb that fills a folder looks at nothing else:
    /// WEFT_DIR is where a node lives.
    pub(crate) fn directory_flag(&self) -> Option<&Path> {
        self.flagged.then_some(self.directory.as_path())
    }

    /// The node's folder, opened.
    pub(crate) fn home(&self) -> Result<Home, Failure> {
        Home::open(&self.directory).map_err(|error| self.home_refused(&error))
    }

    /// The node that runs in this folder.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Client::connect(&self.directory).map_err(|error| self.client_refused(&error))
    }

    /// A command line for this folder, for advice.
    pub(crate) fn command(&self, rest: &str) -> String {
        if self.named {
            format!("weft --dir {} {rest}", quoted(&self.directory))
        } else {
            format!("weft {rest}")
        }
    }
}

/// A path as a shell reads it back.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// A variable of the environment; an empty one counts as none.
fn set(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn default_directory() -> Option<PathBuf> {
    set("XDG_DATA_HOME")
        .map(PathBuf::from)
        // the specification says that a relative path is to be ignored
        .filter(|path| path.is_absolute())
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".local/share")))
        .map(|data| data.join("weft"))
}

/// A node tells its news; other verbs only what goes wrong, unless asked for more.
fn start_logging(output: Output, verbose: u8, node: bool) {
    let level = match verbose {
        _ if output.quiet => "error",
        0 if node => weft_node::NODE_LOG,
        0 => "error",
        1 => "warn,weft=debug,weft_node=debug,weft_net=debug,weft_store=debug,weft_infer=debug",
        _ => "trace",
    };
    if let Err(error) = weft_node::start_logging(level) {
        output.note(&error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_can_be_pasted() {
        assert_eq!(quoted(Path::new("/a/b-1.0")), "/a/b-1.0");
        assert_eq!(quoted(Path::new("/a b")), "'/a b'");
        assert_eq!(quoted(Path::new("it's")), "'it'\\''s'");
    }
}
