//! `weft key new|show`

use std::path::PathBuf;

use serde::Serialize;
use weft_keys::SecretKey;

use crate::{
    context::Context,
    failure::{Exit, Failure},
    output::fields,
    refusals,
};

/// Make or look at a key file.
#[derive(clap::Subcommand)]
pub(crate) enum Key {
    New(New),
    Show(Show),
}

/// Make an Ed25519 key in a new file that only you can read.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft key new admin.key")]
pub(crate) struct New {
    /// The file to make; an existing one is never overwritten
    file: PathBuf,
}

/// Show the public half of a key file.
///
/// A file that others can read is refused with exit code 6, one that holds no key with 5.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft key show admin.key")]
pub(crate) struct Show {
    /// The key file
    file: PathBuf,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    public_key: String,
}

impl Key {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let report = match self {
            Self::New(New { file }) => {
                let key = new_key(&file)?;
                Report {
                    public_key: key.public().to_string(),
                    file,
                }
            }
            Self::Show(Show { file }) => {
                let key = weft_keys::load_secret(&file)
                    .map_err(|error| refusals::key_file(&file, &error))?;
                Report {
                    public_key: key.public().to_string(),
                    file,
                }
            }
        };
        context.output.result(&report, |style| {
            fields(
                style,
                &[
                    ("file", report.file.display().to_string()),
                    ("public key", report.public_key.clone()),
                ],
            )
        })
    }
}

/// Makes a key and keeps it in a new file.
pub(crate) fn new_key(file: &std::path::Path) -> Result<SecretKey, Failure> {
    let key = SecretKey::generate().map_err(|error| {
        Failure::new(
            Exit::Failed,
            "no key could be made",
            error.to_string(),
            "try again",
        )
    })?;
    weft_keys::save_secret(file, &key).map_err(|error| refusals::key_file(file, &error))?;
    Ok(key)
}
