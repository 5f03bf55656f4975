//! What weft is measured beside: whether it is here, and how it is run.
//!
//! It lives in tests/peers, a workspace of its own, and is made by tests/peers/install. A
//! bench goes without what is missing and says so.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use weft_fidelity::Torrent;

use super::Figure;
use crate::shell;

/// What makes them.
const INSTALL: &str = "`tests/peers/install` makes it possible";
/// libtorrent's settings and the size of its pieces in KiB: what did best from one to one...
pub(super) const ONE_TO_ONE: [(&str, u32); 2] = [("lan", 1024), DEFAULT];
/// ...and in a swarm, each beside what it does by itself.
pub(super) const SWARM: [(&str, u32); 2] = [("swarm", 64), DEFAULT];
/// The size of its pieces is its own choice too.
const DEFAULT: (&str, u32) = ("default", 0);

/// Those that are here.
pub(super) struct Peers {
    folder: PathBuf,
}

impl Peers {
    pub(super) fn find() -> Self {
        let folder = shell::root().join("tests/peers");
        Self { folder }
    }

    /// iroh-blobs with its file store.
    pub(super) fn iroh(&self) -> Option<PathBuf> {
        let program = self.folder.join("target/release/weft-peers");
        program.exists().then_some(program)
    }

    /// libtorrent, once with each of these settings.
    pub(super) fn torrents(&self, settings: &[(&str, u32)]) -> Vec<Torrent> {
        let python = self.folder.join("target/python/bin/python");
        if !has_libtorrent(&python) {
            return Vec::new();
        }
        let torrent = |&(settings, piece_kib): &(&str, u32)| Torrent {
            python: python.clone(),
            script: self.folder.join("torrent.py"),
            settings: settings.to_owned(),
            piece_kib,
        };
        settings.iter().map(torrent).collect()
    }
}

fn has_libtorrent(python: &Path) -> bool {
    let output = Command::new(python)
        .args(["-c", "import libtorrent"])
        .output();
    output.is_ok_and(|output| output.status.success())
}

/// The row of something that is not here.
pub(super) fn not_run(name: impl Into<String>) -> Figure {
    Figure::not_run(name, INSTALL)
}
