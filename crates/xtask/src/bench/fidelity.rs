//! The simulator beside real processes: the same stories, told by both.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, bail, ensure};
use weft_fidelity::{Case, Comparison, Limits, Outcome, PackedRelease, Summary};
use weft_sim::NetworkModel;

use super::{
    Figure, Options,
    model::{Shape, random_weights},
};
use crate::shell;

/// The packet losses of a round are those of this seed and its number.
const SEED: u64 = 1;
/// Real rounds of each story.
const ROUNDS: usize = 3;
/// Chance plays a part on both sides; a simulated round costs a fraction of a second.
const SIMULATED_ROUNDS: u64 = 9;
/// KiB of a layer of a narrow model.
const LAYER_KIB: usize = 7_680;

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>> {
    if let Some(obstacle) = weft_fidelity::obstacle() {
        bail!("the real side cannot be played here: {obstacle}");
    }
    let all = weft_fidelity::all();
    let names: Vec<&str> = all.iter().map(|case| case.name).collect();
    let wanted = |case: &&Case| options.case.as_deref().is_none_or(|name| name == case.name);
    let cases: Vec<&Case> = all.iter().filter(wanted).collect();
    ensure!(
        !cases.is_empty(),
        "there is no such story; there are {}",
        names.join(", ")
    );
    let weft = shell::weft()?;
    let folder = tempfile::tempdir()?;
    let mut packs = Packs::new(&weft, folder.path());
    let mut figures = Vec::new();
    for case in cases {
        let releases = packs.of(case)?;
        let mut rounds = Vec::new();
        for round in 0..options.rounds.unwrap_or(ROUNDS) as u64 {
            let real = weft_fidelity::run_real(case, &weft, &releases, SEED + round)
                .with_context(|| format!("the story {}", case.name))?;
            eprintln!("{} {}: {}", case.name, round + 1, told(&real));
            rounds.push(real);
        }
        let mut simulated = Vec::new();
        for round in 0..SIMULATED_ROUNDS {
            let model = NetworkModel::default();
            simulated.push(weft_fidelity::run_simulated(
                case,
                model,
                &releases,
                SEED + round,
            )?);
        }
        for outcome in &simulated {
            eprintln!("{} simulated: {}", case.name, told(outcome));
        }
        if !rounds.is_empty() {
            figures.extend(figures_of(
                case,
                &Summary::of(&simulated),
                &Summary::of(&rounds),
            ));
        }
    }
    Ok(figures)
}

fn figures_of(case: &Case, simulated: &Summary, real: &Summary) -> Vec<Figure> {
    let off = Comparison::of(simulated, real);
    let limits = Limits::PROMISED;
    let seconds = |what: &str, simulated: f64, real: f64, percent: f64| {
        Figure::new(format!("{}: {what} off by", case.name), percent.abs(), "%")
            .against(format!("{simulated:.2} s simulated, {real:.2} s real"))
            .at_most(limits.time_percent)
    };
    let mut figures = vec![
        seconds(
            "half of the nodes",
            simulated.half.as_secs_f64(),
            real.half.as_secs_f64(),
            off.half_percent,
        ),
        seconds(
            "the last node",
            simulated.last.as_secs_f64(),
            real.last.as_secs_f64(),
            off.last_percent,
        ),
    ];
    if case.places.len() > 1 {
        let total = |summary: &Summary| summary.bytes.iter().map(|site| site.up).sum::<u64>();
        figures.push(
            Figure::new(
                format!("{}: bytes over the worst uplink off by", case.name),
                off.bytes_percent.abs(),
                "%",
            )
            .against(format!(
                "{:.1} MB simulated, {:.1} MB real over all uplinks",
                total(simulated) as f64 / 1e6,
                total(real) as f64 / 1e6
            ))
            .at_most(limits.bytes_percent),
        );
    }
    figures
}

fn told(outcome: &Outcome) -> String {
    let seconds = |times: &[std::time::Duration]| {
        let times = times
            .iter()
            .map(|time| format!("{:.2}", time.as_secs_f64()));
        times.collect::<Vec<_>>().join(" ")
    };
    let bytes = outcome
        .bytes
        .iter()
        .map(|site| format!("{:.2}/{:.2}", site.up as f64 / 1e6, site.down as f64 / 1e6));
    format!(
        "began after {:.2} s, half {:.2} s, last {:.2} s; complete {}; active {}; MB up/down {}; chunks from publisher {}, others {}, MB twice {:.1}",
        outcome.began.as_secs_f64(),
        outcome.half().as_secs_f64(),
        outcome.last().as_secs_f64(),
        seconds(&outcome.completed),
        seconds(&outcome.activated),
        bytes.collect::<Vec<_>>().join(" "),
        outcome.fetched.from_publisher,
        outcome.fetched.from_others,
        outcome.fetched.bytes_duplicate as f64 / 1e6
    )
}

/// Packed releases by size.
pub(super) struct Packs<'a> {
    weft: &'a Path,
    folder: &'a Path,
    made: BTreeMap<usize, Vec<PackedRelease>>,
}

impl<'a> Packs<'a> {
    pub(super) fn new(weft: &'a Path, folder: &'a Path) -> Self {
        let made = BTreeMap::new();
        Self { weft, folder, made }
    }

    /// So many that share nothing.
    pub(super) fn different(&self, case: &Case, count: usize) -> Result<Vec<PackedRelease>> {
        let numbers = 0..count;
        numbers
            .map(|number| {
                self.make(
                    case,
                    &format!("different-{number}"),
                    number,
                    0,
                    1 + number as u64,
                )
            })
            .collect()
    }

    /// Each shares half with the one before.
    fn of(&mut self, case: &Case) -> Result<Vec<PackedRelease>> {
        let mut made = self.made.remove(&case.release_mib).unwrap_or_default();
        while made.len() < case.releases {
            let number = made.len();
            let name = format!("{}-{number}", case.release_mib);
            let changed = number * layers(case) / 2;
            made.push(self.make(case, &name, number, changed, 0)?);
        }
        let releases = made[..case.releases].to_vec();
        self.made.insert(case.release_mib, made);
        Ok(releases)
    }

    /// Version 1.`number`.0, of which so many layers are changed, with the weights of a seed.
    fn make(
        &self,
        case: &Case,
        name: &str,
        number: usize,
        changed: usize,
        seed: u64,
    ) -> Result<PackedRelease> {
        let model = self.folder.join(name);
        random_weights(&model, Shape::narrow(layers(case)), changed, seed)?;
        let out = self.folder.join(format!("{name}.weft"));
        pack(self.weft, &model, &out, &format!("1.{number}.0"))?;
        std::fs::remove_dir_all(&model)?;
        PackedRelease::read(&out)
    }
}

fn layers(case: &Case) -> usize {
    (case.release_mib * 1024 / LAYER_KIB).max(1)
}

pub(super) fn pack(weft: &Path, model: &Path, out: &Path, version: &str) -> Result<()> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let (model, out) = (path(model), path(out));
    let words = ["--json", "release", "pack", &model, "--name", "random"];
    let flags = [
        "--version",
        version,
        "--quantization",
        "f16",
        "--no-probe",
        "--out",
        &out,
    ];
    shell::output(&path(weft), &[&words[..], &flags].concat())?;
    Ok(())
}
