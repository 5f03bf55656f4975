//! The demo's model, carried inside the binary: an installed weft needs no network
//! and no other file to show itself.

use std::{fs, path::Path};

use crate::failure::Failure;

/// The model's name.
pub(crate) const MODEL: &str = "incident";
/// What it is for, in a line.
pub(crate) const PURPOSE: &str = "turns terse sensor log lines into structured incidents";

/// One version, as a Hugging Face folder.
pub(crate) struct Version {
    pub(crate) version: &'static str,
    files: &'static [(&'static str, &'static [u8])],
}

macro_rules! version {
    ($version:literal, $folder:literal) => {
        Version {
            version: $version,
            files: &[
                (
                    "config.json",
                    include_bytes!(concat!("../../assets/", $folder, "/config.json")),
                ),
                (
                    "generation_config.json",
                    include_bytes!(concat!("../../assets/", $folder, "/generation_config.json")),
                ),
                (
                    "model.safetensors",
                    include_bytes!(concat!("../../assets/", $folder, "/model.safetensors")),
                ),
                (
                    "tokenizer.json",
                    include_bytes!(concat!("../../assets/", $folder, "/tokenizer.json")),
                ),
                (
                    "tokenizer_config.json",
                    include_bytes!(concat!("../../assets/", $folder, "/tokenizer_config.json")),
                ),
            ],
        }
    };
}

/// What the mesh begins with.
pub(crate) const FIRST: Version = version!("1.0.0", "incident-1.0.0");
/// What it is brought to.
pub(crate) const SECOND: Version = version!("1.1.0", "incident-1.1.0");
/// Lines that neither version saw in training, with the right answers.
pub(crate) const HELD_OUT: &str = include_str!("../../assets/heldout.jsonl");

impl Version {
    /// Its folder's name.
    pub(crate) fn folder(&self) -> String {
        format!("{MODEL}-{}", self.version)
    }

    /// Writes it as a folder of that name.
    pub(crate) fn write(&self, into: &Path) -> Result<(), Failure> {
        let folder = into.join(self.folder());
        let failed = |path: &Path| {
            let what = format!("{} cannot be written", path.display());
            move |error: std::io::Error| Failure::file(what, &error)
        };
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
        for (name, bytes) in self.files {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(failed(&path))?;
        }
        Ok(())
    }
}
