//! One publisher and many others on lines of their own: how near the last one comes to the
//! bound of many sources, and how often the publisher sends each byte.

use std::time::Duration;

use anyhow::{Result, bail};
use weft_fidelity::{Case, Happening, Round, Torrent, TorrentRound};
use weft_sim::NetworkModel;

use super::{
    Figure, Options,
    fidelity::Packs,
    median,
    peers::{Peers, SWARM, not_run},
};
use crate::shell;

const SEED: u64 = 1;
/// Of the bound: then a third is killed...
const KILLED_AT: f64 = 0.4;
/// ...and then it starts again.
const STARTED_AT: f64 = 0.6;

/// Rounds of each.
const ROUNDS: usize = 5;

/// Eight others on lines of 40 Mbit/s; libtorrent plays every round too.
pub(crate) fn run(options: &Options) -> Result<Vec<Figure>> {
    let torrents = Peers::find().torrents(&SWARM);
    let mut figures = play(options, (8, 40), false, &torrents)?;
    if torrents.is_empty() {
        figures.push(not_run("libtorrent"));
    }
    Ok(figures)
}

/// Thirty-two others on lines of 8 Mbit/s.
pub(crate) fn run_many(options: &Options) -> Result<Vec<Figure>> {
    play(options, (32, 8), false, &[])
}

/// The same; a third of them is killed and starts again.
pub(crate) fn run_killed(options: &Options) -> Result<Vec<Figure>> {
    play(options, (32, 8), true, &[])
}

fn play(
    options: &Options,
    shape: (usize, u64),
    kills: bool,
    torrents: &[Torrent],
) -> Result<Vec<Figure>> {
    if let Some(obstacle) = weft_fidelity::obstacle() {
        bail!("real nodes have no network here: {obstacle}");
    }
    let leechers = options.leechers.unwrap_or(shape.0);
    let mbit = options.mbit.unwrap_or(shape.1);
    let rounds = options.rounds.unwrap_or(ROUNDS);
    let mut case = weft_fidelity::swarm(leechers, mbit, options.mib);
    let line_bound_s = (options.mib << 20) as f64 / case.line_bytes_per_sec as f64;
    if kills {
        let at = |part: f64| Duration::from_secs_f64(line_bound_s * part);
        let killed = (1..=leechers).step_by(3);
        case.happenings = killed
            .map(|node| (at(KILLED_AT), Happening::Kill(node)))
            .chain([(at(STARTED_AT), Happening::StartKilled)])
            .collect();
    }
    let weft = shell::weft()?;
    let folder = tempfile::tempdir()?;
    let releases = Packs::new(&weft, folder.path()).different(&case, rounds)?;
    let simulated = simulated(&case, &releases[0])?;
    let mut rounds = Vec::new();
    let mut theirs = vec![Vec::new(); torrents.len()];
    let mut tell = |round: &Round, played: &[TorrentRound]| {
        eprintln!("swarm {}: {}", rounds.len() + 1, told(round));
        rounds.push(round.clone());
        for ((torrent, rounds), played) in torrents.iter().zip(&mut theirs).zip(played) {
            eprintln!(
                "  libtorrent, {}: {}",
                torrent.settings,
                told_theirs(played)
            );
            rounds.push(played.clone());
        }
    };
    weft_fidelity::run_rounds_beside(&case, &weft, &releases, SEED, torrents, &mut tell)?;
    let bytes = releases[0].release.length as f64;
    let of = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    let bound = |round: &Round| bytes / round.goodput_bytes_per_sec;
    let name = |what: &str| {
        let killed = if kills { ", a third killed" } else { "" };
        format!("1 to {leechers} at {mbit} Mbit/s{killed}: {what}")
    };
    let last_s = of(&|round| round.outcome.last().as_secs_f64());
    let mut figures = vec![
        Figure::new(
            name("the last node"),
            of(&|round| round.outcome.last().as_secs_f64() / bound(round)),
            "of the bound",
        )
        .against(format!(
            "{last_s:.1} s; {:.1} s at the goodput of one TCP flow; {:.1} s simulated",
            of(&bound),
            simulated
        ))
        .at_most(1.25),
        Figure::new(
            name("the publisher sends"),
            of(&|round| round.outcome.publisher_chunk_bytes as f64 / bytes),
            "copies",
        )
        .against(format!(
            "{:.3} with all headers",
            of(&|round| round.publisher_wire_bytes as f64 / bytes)
        ))
        .at_most(1.15),
        Figure::new(name("CPU idle"), of(&|round| round.idle * 100.0), "%"),
    ];
    let goodput = rounds
        .first()
        .map_or(f64::NAN, |round| round.goodput_bytes_per_sec);
    for (torrent, rounds) in torrents.iter().zip(&theirs) {
        figures.extend(figures_of_theirs(&name, torrent, rounds, goodput));
    }
    Ok(figures)
}

/// The same pack, behind the same lines: the same bound.
fn figures_of_theirs(
    name: &dyn Fn(&str) -> String,
    torrent: &Torrent,
    rounds: &[TorrentRound],
    goodput_bytes_per_sec: f64,
) -> [Figure; 2] {
    let of = |figure: &dyn Fn(&TorrentRound) -> f64| median(rounds.iter().map(figure).collect());
    let name = |what: &str| format!("libtorrent, {} settings, {}", torrent.settings, name(what));
    let last = |round: &TorrentRound| round.last().as_secs_f64();
    [
        Figure::new(
            name("the last node"),
            of(&|round| last(round) * goodput_bytes_per_sec / round.bytes as f64),
            "of the bound",
        )
        .against(format!("{:.1} s", of(&last))),
        Figure::new(
            name("the seeder sends"),
            of(&|round| round.seeder_piece_bytes as f64 / round.bytes as f64),
            "copies",
        )
        .against(format!(
            "{:.3} with all headers",
            of(&|round| round.seeder_wire_bytes as f64 / round.bytes as f64)
        )),
    ]
}

/// When the last virtual node has everything, in seconds.
fn simulated(case: &Case, release: &weft_fidelity::PackedRelease) -> Result<f64> {
    let releases = std::slice::from_ref(release);
    let outcome = weft_fidelity::run_simulated(case, NetworkModel::default(), releases, SEED)?;
    Ok(outcome.last().as_secs_f64())
}

fn told(round: &Round) -> String {
    let outcome = &round.outcome;
    format!(
        "half {:.2} s, last {:.2} s; the publisher sent {:.1} MB of chunks, {:.1} MB in all; \
         twice {:.2} MB; idle {:.0} %; goodput {:.2} MB/s",
        outcome.half().as_secs_f64(),
        outcome.last().as_secs_f64(),
        outcome.publisher_chunk_bytes as f64 / 1e6,
        round.publisher_wire_bytes as f64 / 1e6,
        outcome.fetched.bytes_duplicate as f64 / 1e6,
        round.idle * 100.0,
        round.goodput_bytes_per_sec / 1e6
    )
}

fn told_theirs(round: &TorrentRound) -> String {
    format!(
        "last {:.2} s; the seeder sent {:.1} MB of pieces, {:.1} MB in all; idle {:.0} %",
        round.last().as_secs_f64(),
        round.seeder_piece_bytes as f64 / 1e6,
        round.seeder_wire_bytes as f64 / 1e6,
        round.idle * 100.0
    )
}
