//! Sites behind thin uplinks: how many copies cross each, and how near the last node comes
//! to what the uplink carries.

use std::time::Duration;

use anyhow::{Result, bail};
use weft_fidelity::{Happening, Round};

use super::{Figure, Options, fidelity::Packs, median};
use crate::shell;

const SEED: u64 = 1;
/// Of the bound: so long after one is killed it starts again.
const AWAY: f64 = 0.15;

/// So many that one in a hundred is seen: each round gives a figure for each site that fetches.
const ROUNDS: usize = 25;

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>> {
    play(options, false)
}

/// One of those that fetch over uplinks is killed in each round.
pub(crate) fn run_killed(options: &Options) -> Result<Vec<Figure>> {
    play(options, true)
}

fn play(options: &Options, kills: bool) -> Result<Vec<Figure>> {
    if let Some(obstacle) = weft_fidelity::obstacle() {
        bail!("real nodes have no network here: {obstacle}");
    }
    let (sites, nodes, mbit) = (options.sites, options.nodes, options.mbit.unwrap_or(10));
    let mut case = weft_fidelity::sites(sites, nodes, mbit, options.mib);
    case.limit = Duration::from_mins(10);
    if kills {
        // two nodes of a site fetch over its uplink: a tenth of all of them, and at least one
        let bound_s = (options.mib << 20) as f64 / case.places[0].uplink_bytes_per_sec as f64;
        let at = |part: f64| Duration::from_secs_f64(bound_s * part);
        let killed = (2 * (sites - 1)).div_ceil(10);
        case.happenings = (0..killed)
            .flat_map(|number| {
                let begin = 0.2 + 0.6 * number as f64 / killed as f64;
                let place = 1 + number % (sites - 1);
                [
                    (at(begin), Happening::KillClaimer(place)),
                    (at(begin + AWAY), Happening::StartKilled),
                ]
            })
            .collect();
        case.happenings.sort_by_key(|(after, _)| *after);
    }
    let weft = shell::weft()?;
    let folder = tempfile::tempdir()?;
    let releases =
        Packs::new(&weft, folder.path()).different(&case, options.rounds.unwrap_or(ROUNDS))?;
    let bytes = releases[0].release.length as f64;
    let mut rounds = Vec::new();
    weft_fidelity::run_rounds(&case, &weft, &releases, SEED, &mut |round| {
        eprintln!("site {}: {}", rounds.len() + 1, told(round, bytes));
        rounds.push(round.clone());
    })?;
    // the publisher's own site has everything before
    let copies: Vec<f64> = rounds
        .iter()
        .flat_map(|round| round.outcome.chunk_bytes[1..].iter())
        .map(|chunk_bytes| *chunk_bytes as f64 / bytes)
        .collect();
    let wire: Vec<f64> = rounds
        .iter()
        .flat_map(|round| round.outcome.bytes[1..].iter())
        .map(|site| site.down as f64 / bytes)
        .collect();
    let of = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    let bound = |round: &Round| bytes / round.goodput_bytes_per_sec;
    let name = |what: &str| {
        let killed = if kills {
            ", a tenth of the claimers killed"
        } else {
            ""
        };
        format!("{sites} sites of {nodes} at {mbit} Mbit/s{killed}: {what}")
    };
    let mean = copies.iter().sum::<f64>() / copies.len() as f64;
    let p99 = percentile(&copies, 0.99);
    let (mean, p99) = (
        Figure::new(name("over a site's uplink, mean"), mean, "copies").against(format!(
            "{:.3} with all headers; {} runs of {} sites",
            wire.iter().sum::<f64>() / wire.len() as f64,
            rounds.len(),
            sites - 1
        )),
        Figure::new(name("over a site's uplink, p99"), p99, "copies")
            .against(format!("{:.3} with all headers", percentile(&wire, 0.99))),
    );
    let (mean, p99) = if kills {
        (mean, p99.at_most(1.05))
    } else {
        (mean.at_most(1.01), p99)
    };
    Ok(vec![
        mean,
        p99,
        Figure::new(
            name("the last node"),
            of(&|round| round.outcome.last().as_secs_f64() / bound(round)),
            "of the bound",
        )
        .against(format!(
            "{:.1} s; {:.1} s at the goodput of one TCP flow",
            of(&|round| round.outcome.last().as_secs_f64()),
            of(&bound)
        ))
        .at_most(1.05),
        Figure::new(name("CPU idle"), of(&|round| round.idle * 100.0), "%"),
    ])
}

fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted
        .get(place.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

fn told(round: &Round, bytes: f64) -> String {
    let outcome = &round.outcome;
    let copies = outcome.chunk_bytes[1..].iter();
    let copies = copies.map(|chunk_bytes| format!("{:.4}", *chunk_bytes as f64 / bytes));
    format!(
        "half {:.2} s, last {:.2} s, {:.3} of the bound; copies {}; twice {:.2} MB; idle {:.0} %",
        outcome.half().as_secs_f64(),
        outcome.last().as_secs_f64(),
        outcome.last().as_secs_f64() * round.goodput_bytes_per_sec / bytes,
        copies.collect::<Vec<_>>().join(" "),
        outcome.fetched.bytes_duplicate as f64 / 1e6,
        round.idle * 100.0,
    )
}
