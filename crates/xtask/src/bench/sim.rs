//! The simulator: how long rollouts to large fleets take, and how that grows.
//!
//! Each size runs in a process of its own, so that its peak memory is its own. The largest
//! fleet takes long: it runs when `WEFT_BENCH_MILLION` is set.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::{Figure, plot};
use crate::shell;

/// Where the plot goes.
const PLOT: &str = "docs/simulator-cost.svg";
/// Set to run the fleet of a million.
const MILLION: &str = "WEFT_BENCH_MILLION";
/// Nodes, chunks, and the seconds that it may take at most.
const GOALS: [(u32, u32, f64); 4] = [
    (1_000, 256, 1.0),
    (10_000, 256, 10.0),
    (100_000, 256, 100.0),
    (10_000, 1_024, 30.0),
];
/// What a million nodes may take, in seconds and bytes.
const MILLION_GOAL: (f64, f64) = (1_200.0, 4.0 * 1_073_741_824.0);
/// How the cost grows: one of the three changes, the others stay.
const BASE: Size = Size {
    nodes: 2_000,
    chunks: 256,
    sites: 40,
};
const NODES: [u32; 4] = [500, 1_000, 2_000, 4_000];
const CHUNKS: [u32; 4] = [64, 128, 256, 512];
const SITES: [u32; 4] = [10, 20, 40, 80];
/// Random runs whose rate is measured, and the rate that is wanted.
const FUZZ_RUNS: &str = "300";
const FUZZ_GOAL: f64 = 50.0;

#[derive(Clone, Copy)]
struct Size {
    nodes: u32,
    chunks: u32,
    /// 0: one for each 50 nodes.
    sites: u32,
}

/// What grows, through which values, and the sizes for each.
type Growth = (&'static str, &'static [u32], fn(u32) -> Size);

/// What a run says of itself.
struct Run {
    wall_s: f64,
    events: f64,
    handle_calls: f64,
    chunks: f64,
    peak_bytes: f64,
    virtual_s: f64,
    trace: String,
}

pub(crate) fn run() -> Result<Vec<Figure>> {
    let simulator = shell::simulator()?;
    let mut figures = Vec::new();
    for (nodes, chunks, goal_s) in GOALS {
        let size = Size {
            nodes,
            chunks,
            sites: 0,
        };
        let run = one(&simulator, size)?;
        figures.extend(told(&size, &run, Some(goal_s)));
    }
    if std::env::var_os(MILLION).is_some() {
        let size = Size {
            nodes: 1_000_000,
            chunks: 256,
            sites: 0,
        };
        let run = one(&simulator, size)?;
        figures.extend(told(&size, &run, Some(MILLION_GOAL.0)));
        let gib = run.peak_bytes / 1_073_741_824.0;
        let most = MILLION_GOAL.1 / 1_073_741_824.0;
        figures.push(Figure::new("1,000,000 nodes, memory", gib, "GiB").at_most(most));
    }
    figures.extend(fuzz(&simulator)?);
    figures.extend(growth(&simulator)?);
    Ok(figures)
}

/// How time grows with each of the three sizes, as figures and as a plot.
fn growth(simulator: &Path) -> Result<Vec<Figure>> {
    let (mut figures, mut lines) = (Vec::new(), Vec::new());
    let kinds: [Growth; 3] = [
        ("nodes", &NODES, |nodes| Size {
            nodes,
            sites: nodes / 50,
            ..BASE
        }),
        ("chunks", &CHUNKS, |chunks| Size { chunks, ..BASE }),
        ("sites", &SITES, |sites| Size { sites, ..BASE }),
    ];
    for (kind, values, size_of) in kinds {
        let mut points = Vec::new();
        for &value in values {
            let run = one(simulator, size_of(value))?;
            points.push((f64::from(value), run.wall_s));
            let per_chunk = format!("{:.2} us a chunk", run.wall_s * 1e6 / run.chunks);
            let name = format!("growth with {kind}: {value}");
            figures.push(Figure::new(name, run.wall_s, "s").against(per_chunk));
        }
        lines.push(plot::Line {
            name: format!("{kind}, the others as in the middle"),
            points,
        });
    }
    let title = "Seconds to simulate a rollout (2,000 nodes, 256 chunks, 40 sites)";
    std::fs::write(PLOT, plot::draw(title, &lines)).with_context(|| format!("write {PLOT}"))?;
    Ok(figures)
}

fn told(size: &Size, run: &Run, goal_s: Option<f64>) -> Vec<Figure> {
    let name = format!(
        "{} nodes, {} chunks",
        grouped(size.nodes),
        grouped(size.chunks)
    );
    let trace = format!("trace {}", &run.trace[..16.min(run.trace.len())]);
    let time = Figure::new(&name, run.wall_s, "s").against(trace);
    let time = match goal_s {
        Some(goal_s) => time.at_most(goal_s),
        None => time,
    };
    let per = |value: f64| value / run.chunks.max(1.0);
    let virtual_s = format!("{:.0} s of virtual time", run.virtual_s);
    vec![
        time,
        Figure::new(
            format!("{name}: events"),
            run.events / run.wall_s / 1e6,
            "M/s",
        )
        .against(virtual_s),
        Figure::new(
            format!("{name}: core calls a chunk"),
            per(run.handle_calls),
            "calls",
        )
        .against(format!(
            "{:.0} ns a call, all told",
            run.wall_s * 1e9 / run.handle_calls
        )),
        Figure::new(
            format!("{name}: peak memory"),
            run.peak_bytes / f64::from(size.nodes) / 1_024.0,
            "KiB a node",
        )
        .against(format!("{:.0} MiB in all", run.peak_bytes / 1_048_576.0)),
    ]
}

fn one(simulator: &Path, size: Size) -> Result<Run> {
    let [nodes, chunks, sites] = [size.nodes, size.chunks, size.sites].map(|size| size.to_string());
    let out = Command::new(simulator)
        .args(["scale", "--nodes", &nodes])
        .args(["--chunks", &chunks, "--sites", &sites])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not run {}", simulator.display()))?;
    let text = String::from_utf8(out.stdout)?;
    let last = text.lines().last().context("it printed nothing")?;
    let report: serde_json::Value = serde_json::from_str(last)?;
    let number = |name: &str| report[name].as_f64().with_context(|| format!("no {name}"));
    ensure!(
        report["active"].as_u64() == Some(u64::from(size.nodes)),
        "not every node got the release: {last}"
    );
    Ok(Run {
        wall_s: number("wall_s")?,
        events: number("events")?,
        handle_calls: number("handle_calls")?,
        chunks: number("chunks_delivered")?,
        peak_bytes: number("peak_bytes")?,
        virtual_s: number("virtual_us")? / 1e6,
        trace: report["trace_hash"].as_str().context("no hash")?.to_owned(),
    })
}

/// Random runs a second, on one thread, and how large they are.
fn fuzz(simulator: &Path) -> Result<Vec<Figure>> {
    let program = shell::utf8(simulator)?;
    let start = std::time::Instant::now();
    let text = shell::output(
        program,
        &[
            "fuzz",
            "--count",
            FUZZ_RUNS,
            "--seed",
            "1",
            "--threads",
            "1",
        ],
    )?;
    let runs: f64 = FUZZ_RUNS.parse()?;
    let rate = runs / start.elapsed().as_secs_f64();
    let figure = Figure::new("fuzz, one thread", rate, "runs/s");
    let mut figures = vec![figure.at_least(FUZZ_GOAL)];
    // "  events     5012 / 9120 / 20011": the least, the middle and the most of a run
    for line in text.lines() {
        let Some((name, spread)) = line.trim().split_once(' ') else {
            continue;
        };
        let parts: Vec<f64> = spread
            .split('/')
            .filter_map(|part| part.trim().replace(',', "").parse().ok())
            .collect();
        if let [least, median, most] = parts[..] {
            let around = format!("from {least} to {most}");
            let name = format!("fuzz: {name} of a run");
            figures.push(Figure::new(name, median, "median").against(around));
        }
    }
    Ok(figures)
}

/// With a comma at each thousand.
fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
