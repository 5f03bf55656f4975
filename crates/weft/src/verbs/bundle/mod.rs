//! `weft bundle export|wants|import|expect`

mod export;
mod import;
mod wants;

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
};

use super::expect::Expect;
use crate::{
    context::Context,
    failure::{Exit, Failure},
};

pub(crate) use import::{import_failure, take_in};

/// Carry releases in files, where there is no network.
#[derive(clap::Subcommand)]
pub(crate) enum Bundle {
    Export(export::Export),
    Wants(wants::Wants),
    Import(import::Import),
    Expect(Expect),
}

impl Bundle {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Export(verb) => verb.run(context),
            Self::Wants(wants::Wants {}) => wants::run(context),
            Self::Import(verb) => verb.run(context),
            Self::Expect(verb) => verb.run(context),
        }
    }
}

/// The first digits of an id: enough to tell a mesh's releases apart.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// The node's bundle ended before its end.
pub(crate) fn broke_off(reason: &dyn ToString) -> Failure {
    let what = "the bundle broke off";
    Failure::new(Exit::Network, what, reason.to_string(), "try again")
}

/// Writes a file that must not exist; nothing is left of it after a failure.
pub(crate) fn into_new_file<T>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failed =
        |error: &io::Error| Failure::file(format!("{} cannot be written", path.display()), error);
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let file = file.map_err(|error| failed(&error))?;
    let mut out = io::BufWriter::with_capacity(COPY_BYTES, file);
    let result = write(&mut out).and_then(|value| {
        let file = out.into_inner().map_err(|error| failed(error.error()))?;
        file.sync_all().map_err(|error| failed(&error))?;
        Ok(value)
    });
    if result.is_err() {
        let _ = std::fs::remove_file(path);
    }
    result
}

/// Bytes copied at once.
const COPY_BYTES: usize = 1024 * 1024;
