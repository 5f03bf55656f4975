//! The same swarm by libtorrent, in the namespaces and behind the rates of a case.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    case::Case,
    idle::CpuTime,
    lab::{Lab, address},
    talker::Talker,
};

/// Where each listens, in its own namespace.
const PORT: u16 = 4002;
/// A session on a busy machine stands within this.
const PATIENCE: Duration = Duration::from_mins(1);

/// libtorrent's Python module and the script that drives it.
#[derive(Clone, Debug)]
pub struct Torrent {
    /// The interpreter that has the module.
    pub python: PathBuf,
    /// `tests/peers/torrent.py`.
    pub script: PathBuf,
    /// The settings that the script knows by this name.
    pub settings: String,
    /// Size of a piece.
    pub piece_kib: u32,
}

/// One round of it.
#[derive(Clone, Debug)]
pub struct TorrentRound {
    /// Bytes of the file.
    pub bytes: u64,
    /// When each leecher had everything, from the word to begin on.
    pub completed: Vec<Duration>,
    /// Bytes of pieces that the seeder sent.
    pub seeder_piece_bytes: u64,
    /// All bytes that its line sent.
    pub seeder_wire_bytes: u64,
    /// Part of this machine's time that nobody used meanwhile.
    pub idle: f64,
}

impl TorrentRound {
    /// When the last leecher had everything.
    pub fn last(&self) -> Duration {
        self.completed.iter().max().copied().unwrap_or_default()
    }
}

impl Torrent {
    /// The interpreter, in the namespace of this process.
    pub fn python(&self) -> Command {
        Command::new(&self.python)
    }

    /// Makes the torrent of a file.
    pub fn make(&self, file: &Path, torrent: &Path) -> Result<()> {
        let mut command = self.python();
        command.arg(&self.script).arg("make").arg(file).arg(torrent);
        command.arg(self.piece_kib.to_string());
        let status = command.status().with_context(|| format!("{command:?}"))?;
        ensure!(status.success(), "{command:?} ended with {status}");
        Ok(())
    }

    /// Who has the file and listens there; says `ready` when it serves.
    pub fn seeder(&self, python: Command, file: &Path, torrent: &Path, bind: &str) -> Command {
        self.script(python, "seed", file, torrent, bind)
    }

    /// Who fetches into this folder, listens there and begins at once.
    pub fn fetcher(&self, python: Command, folder: &Path, torrent: &Path, bind: &str) -> Command {
        self.script(python, "fetch", folder, torrent, bind)
    }

    /// The same, but it says `ready` and begins at the line `go`.
    fn leecher(&self, python: Command, folder: &Path, torrent: &Path, bind: &str) -> Command {
        self.script(python, "leech", folder, torrent, bind)
    }

    fn script(
        &self,
        mut python: Command,
        role: &str,
        path: &Path,
        torrent: &Path,
        bind: &str,
    ) -> Command {
        python.arg(&self.script).arg(role).arg(&self.settings);
        python.arg(path).arg(torrent).arg(bind);
        python
    }

    /// The first node has the file, all others fetch it. They know each other, their
    /// sessions stand before, as weft's nodes run before; the clock runs from the word to
    /// begin.
    pub(crate) fn play(&self, case: &Case, lab: &Lab, file: &Path) -> Result<TorrentRound> {
        let folder = tempfile::tempdir()?;
        let torrent = folder.path().join("made.torrent");
        self.make(file, &torrent)?;
        let places: Vec<String> = (0..case.node_count())
            .map(|node| case.place_of(node))
            .map(|(place, number)| format!("{}:{PORT}", address(place, number)))
            .collect();
        let python = |node: usize| lab.node(node).command(&self.python);
        let start = |command: Command| -> Result<Talker> {
            let talker = Talker::start(command)?;
            talker.hear_line("ready", PATIENCE)?;
            Ok(talker)
        };
        let mut seeder = start(self.seeder(python(0), file, &torrent, &places[0]))?;
        let mut leechers = Vec::new();
        for (node, place) in places.iter().enumerate().skip(1) {
            let own = folder.path().join(format!("n{node}"));
            std::fs::create_dir(&own)?;
            let mut leecher = self.leecher(python(node), &own, &torrent, place);
            leecher.args(places.iter().filter(|other| *other != place));
            leechers.push(start(leecher)?);
        }
        let (wire, cpu) = (lab.sent_bytes(0)?, CpuTime::now()?);
        let begin = Instant::now();
        for leecher in &mut leechers {
            leecher.tell("go")?;
        }
        let completed = leechers
            .iter()
            .map(|leecher| Ok(leecher.hear_line("done", case.limit)?.duration_since(begin)))
            .collect::<Result<Vec<_>>>()?;
        let seeder_wire_bytes = lab.sent_bytes(0)? - wire;
        let idle = CpuTime::now()?.idle_since(cpu);
        seeder.tell("count")?;
        let (_, count) = seeder.hear(PATIENCE)?;
        let count = count.strip_prefix("sent ").context("no count")?;
        Ok(TorrentRound {
            bytes: std::fs::metadata(file)?.len(),
            completed,
            seeder_piece_bytes: count.parse()?,
            seeder_wire_bytes,
            idle,
        })
    }
}
