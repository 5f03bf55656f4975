//! The turns of iroh-blobs and of libtorrent.

use std::{
    fs::File,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;
use weft_fidelity::{Talker, Torrent};

use super::{Content, LIMIT, Taken};
use crate::shell::cpu_s;

/// Where the giver listens; the taker beside it.
const TORRENT_PORTS: [u16; 2] = [46_881, 46_882];
/// Taking the file in before may last this long.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) fn iroh(program: &Path, content: &Content) -> Result<Taken> {
    let store = |name: &str| content.folder.join(format!("iroh-{name}"));
    let command = |words: [&Path; 3]| {
        let mut command = Command::new(program);
        command.arg(words[0]).arg(words[1]).arg(words[2]);
        command.arg("127.0.0.1:0");
        command
    };
    let giver_store = store("giver");
    let giver = Talker::start(command([Path::new("serve"), &giver_store, &content.file]))?;
    let (_, ticket) = giver.hear(PATIENCE)?;
    let taker_store = store("taker");
    let take = command([Path::new("fetch"), &taker_store, Path::new(&ticket)]);
    let taken = take_all(&giver, take, content, &taker_store)?;
    std::fs::remove_dir_all(&giver_store)?;
    std::fs::remove_dir_all(&taker_store)?;
    Ok(taken)
}

pub(super) fn torrent(torrent: &Torrent, content: &Content) -> Result<Taken> {
    let made = content.folder.join("made.torrent");
    torrent.make(&content.file, &made)?;
    let folder = content.folder.join("torrent");
    std::fs::create_dir(&folder)?;
    let [giver, taker] = TORRENT_PORTS.map(|port| format!("127.0.0.1:{port}"));
    let seeder = torrent.seeder(torrent.python(), &content.file, &made, &giver);
    let seeder = Talker::start(seeder)?;
    seeder.hear_line("ready", PATIENCE)?;
    let mut take = torrent.fetcher(torrent.python(), &folder, &made, &taker);
    take.arg(&giver);
    let taken = take_all(&seeder, take, content, &folder)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(taken)
}

/// Starts the taker, waits until it says `done`, and writes out what it left to the kernel.
fn take_all(giver: &Talker, take: Command, content: &Content, folder: &Path) -> Result<Taken> {
    let cpu_before = cpu_s(giver.process())?;
    let start = Instant::now();
    let taker = Talker::start(take)?;
    let end = taker.hear_line("done", LIMIT)?;
    let cpu_s = cpu_s(giver.process())? - cpu_before + cpu_s(taker.process())?;
    let seconds = end.duration_since(start).as_secs_f64();
    sync(folder)?;
    Ok(Taken {
        bytes: std::fs::metadata(&content.file)?.len() as f64,
        seconds,
        durable_s: start.elapsed().as_secs_f64(),
        cpu_s,
    })
}

fn sync(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync(&path)?;
        } else {
            File::open(&path)?.sync_all()?;
        }
    }
    Ok(())
}
