//! One gives 512 MiB to another over loopback, both real processes, from store to store:
//! weft beside iroh-blobs, libtorrent and plain TCP, in turns.
//!
//! One clock for all: from the start of the receiving process until it says that every byte
//! is verified and written; and on until every byte would outlive a power cut.

mod plain;
mod theirs;
mod weft;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

use super::{
    Figure, Options,
    fidelity::pack,
    median,
    model::{Shape, random_weights},
    peers::{ONE_TO_ONE, Peers, not_run},
};
use crate::shell;

const MIB: usize = 1 << 20;
/// What plain TCP and BLAKE3 work on.
const BYTES: usize = 512 * MIB;
/// Rounds in which each has its turn.
const ROUNDS: usize = 5;
/// A transfer that takes longer has failed.
const LIMIT: Duration = Duration::from_mins(5);

/// One transfer.
#[derive(Clone, Copy)]
struct Taken {
    bytes: f64,
    /// Until all was verified and written.
    seconds: f64,
    /// Until a power cut could not take it.
    durable_s: f64,
    /// User and system time of both sides, until all was verified and written.
    cpu_s: f64,
}

/// What is sent in a round: new to everybody.
struct Content {
    /// As a packed release.
    pack: PathBuf,
    /// As a file of weights; a hundredth smaller or less.
    file: PathBuf,
    /// For what the round makes.
    folder: PathBuf,
}

type Turn = Box<dyn Fn(&Content) -> Result<Taken>>;

/// Somebody who has a turn in each round.
struct Contestant {
    name: String,
    turn: Turn,
    taken: Vec<Taken>,
}

impl Contestant {
    fn new(name: &str, turn: impl Fn(&Content) -> Result<Taken> + 'static) -> Self {
        Self {
            name: name.to_owned(),
            turn: Box::new(turn),
            taken: Vec::new(),
        }
    }

    fn median(&self, figure: &dyn Fn(&Taken) -> f64) -> f64 {
        median(self.taken.iter().map(figure).collect())
    }

    fn bytes_per_sec(&self) -> f64 {
        self.median(&|taken| taken.bytes / taken.seconds)
    }

    fn cpu_s(&self) -> f64 {
        self.median(&|taken| taken.cpu_s)
    }
}

const WEFT: &str = "weft";
const IROH: &str = "iroh-blobs, file store";
const FILES_TCP: &str = "plain TCP, file to file";
const LOOPBACK_TCP: &str = "loopback TCP, memory to memory";

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>> {
    let binary = shell::weft()?;
    let peers = Peers::find();
    let mut all = vec![Contestant::new(WEFT, {
        let binary = binary.clone();
        move |content| weft::one_to_one(&binary, content)
    })];
    if let Some(program) = peers.iroh() {
        all.push(Contestant::new(IROH, move |content| {
            theirs::iroh(&program, content)
        }));
    }
    for torrent in peers.torrents(&ONE_TO_ONE) {
        let name = format!("libtorrent, {} settings", torrent.settings);
        all.push(Contestant::new(&name, move |content| {
            theirs::torrent(&torrent, content)
        }));
    }
    all.push(Contestant::new(FILES_TCP, plain::files));
    all.push(Contestant::new(LOOPBACK_TCP, |_| plain::memory()));
    let folder = tempfile::tempdir()?;
    let mut hash = Vec::new();
    for round in 0..options.rounds.unwrap_or(ROUNDS) {
        let content = content(&binary, &folder.path().join(round.to_string()), round)?;
        let count = all.len();
        for place in 0..count {
            // there and back: neighbours stay neighbours, and neither is always first
            let back = round % 2 == 1;
            let place = if back { count - 1 - place } else { place };
            let contestant = &mut all[place];
            // what others wrote is not written in this one's time
            rustix::fs::sync();
            let taken = (contestant.turn)(&content)?;
            eprintln!("transfer {}: {}", round + 1, told(&contestant.name, &taken));
            contestant.taken.push(taken);
        }
        hash.push(plain::blake3_bytes_per_sec());
        std::fs::remove_dir_all(&content.folder)?;
    }
    Ok(figures(&all, median(hash)))
}

fn content(weft: &Path, folder: &Path, round: usize) -> Result<Content> {
    std::fs::create_dir(folder)?;
    let model = folder.join("model");
    random_weights(&model, Shape::HALF_GIB, 0, 1 + round as u64)?;
    let made = Content {
        pack: folder.join("release.weft"),
        file: model.join("model.safetensors"),
        folder: folder.to_owned(),
    };
    pack(weft, &model, &made.pack, "1.0.0")?;
    Ok(made)
}

fn figures(all: &[Contestant], hash: f64) -> Vec<Figure> {
    let find = |name: &str| all.iter().find(|contestant| contestant.name == name);
    let tcp = find(LOOPBACK_TCP).map_or(f64::NAN, Contestant::bytes_per_sec);
    let mut figures = Vec::new();
    if let (Some(ours), Some(theirs)) = (find(WEFT), find(IROH)) {
        // neighbours in time: what else the machine did was about the same
        let ratio = |figure: &dyn Fn(&Taken) -> f64| {
            let pairs = ours.taken.iter().zip(&theirs.taken);
            median(pairs.map(|(a, b)| figure(a) / figure(b)).collect())
        };
        let rate = ratio(&|taken| taken.bytes / taken.seconds);
        let durable = ratio(&|taken| taken.bytes / taken.durable_s);
        figures.extend([
            Figure::new("weft, MB/s", rate, "of iroh-blobs'")
                .against(format!("{durable:.2} until durable"))
                .at_least(1.5),
            Figure::new(
                "weft, CPU seconds",
                ratio(&|taken| taken.cpu_s),
                "of iroh-blobs'",
            )
            .at_most(0.7),
        ]);
    } else {
        figures.push(not_run("weft beside iroh-blobs"));
    }
    for contestant in all {
        let (name, rate) = (&contestant.name, contestant.bytes_per_sec());
        let durable = contestant.median(&|taken| taken.bytes / taken.durable_s);
        let beside = format!(
            "{:.2} of loopback TCP; {:.0} MB/s until durable",
            rate / tcp,
            durable / 1e6
        );
        let rate = Figure::new(name, rate / 1e6, "MB/s");
        figures.push(if name == LOOPBACK_TCP {
            rate
        } else {
            rate.against(beside)
        });
        let cpu = Figure::new(format!("{name}: CPU of both"), contestant.cpu_s(), "s");
        figures.push(cpu);
    }
    if !all.iter().any(|one| one.name.starts_with("libtorrent")) {
        figures.push(not_run("libtorrent"));
    }
    figures.push(Figure::new("BLAKE3, one thread", hash / 1e6, "MB/s"));
    figures
}

fn told(name: &str, taken: &Taken) -> String {
    format!(
        "{name}: {:.2} s, {:.0} MB/s, {:.2} CPU s; durable after {:.2} s",
        taken.seconds,
        taken.bytes / taken.seconds / 1e6,
        taken.cpu_s,
        taken.durable_s
    )
}
