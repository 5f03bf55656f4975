//! `cargo xtask bench NAME`: figures beside a peer or a limit measured in the same run.

mod build;
mod catchup;
mod delta;
mod demo;
mod fidelity;
mod infer;
mod limits;
mod model;
mod peers;
mod plot;
mod records;
mod report;
mod serve;
mod sim;
mod site;
mod swarm;
mod transfer;

use std::process::ExitCode;

use anyhow::Result;

pub(crate) use report::{Figure, Report};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The subject; without one, all of them.
    name: Option<String>,
    /// Print only the JSON object.
    #[arg(long)]
    json: bool,
    /// Renew the subject's section of docs/benchmarks.md.
    #[arg(long)]
    write: bool,
    /// With fidelity: only this story; with limits: only `caps` or `background`.
    #[arg(long)]
    case: Option<String>,
    /// With transfer, fidelity, swarm and site: how often each is played; the middle counts.
    #[arg(long)]
    rounds: Option<usize>,
    /// With swarm: nodes beside the publisher.
    #[arg(long)]
    leechers: Option<usize>,
    /// With site: sites, the publisher's among them.
    #[arg(long, default_value_t = 4)]
    sites: usize,
    /// With site: nodes of each site.
    #[arg(long, default_value_t = 10)]
    nodes: usize,
    /// With swarm: what each line carries, in Mbit/s; with site, each uplink.
    #[arg(long)]
    mbit: Option<u64>,
    /// With swarm and site: about so large is a release.
    #[arg(long, default_value_t = 64)]
    mib: usize,
}

type Bench = fn(&Options) -> Result<Vec<Figure>>;

const BENCHES: &[(&str, Bench)] = &[
    ("records", |_| records::run()),
    ("catchup", |_| catchup::run()),
    ("serve", |_| serve::run()),
    ("transfer", transfer::run),
    ("delta", |_| delta::run()),
    ("delta-tuned", |_| delta::run_tuned()),
    ("infer", |_| infer::run()),
    ("demo", |_| demo::run()),
    ("sim", |_| sim::run()),
    ("fidelity", fidelity::run),
    ("limits", limits::run),
    ("swarm", swarm::run),
    ("swarm-many", swarm::run_many),
    ("swarm-killed", swarm::run_killed),
    ("site", site::run),
    ("site-killed", site::run_killed),
    ("build", |_| build::run()),
];

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let chosen: Vec<_> = BENCHES
        .iter()
        .filter(|(name, _)| options.name.as_deref().is_none_or(|wanted| wanted == *name))
        .collect();
    anyhow::ensure!(
        !chosen.is_empty(),
        "there is no such bench; there are {}",
        BENCHES
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ")
    );
    for (name, bench) in chosen {
        let report = Report::new(name, bench(options)?)?;
        if !options.json {
            println!("{}", report.table());
        }
        if options.write {
            report.write("docs/benchmarks.md")?;
        }
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// The middle of the values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
