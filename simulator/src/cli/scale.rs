//! `weft-sim scale`: one rollout to a large fleet, and what it cost.

use std::process::ExitCode;

use weft_sim::scale::{self, ScaleSpec};

/// How large.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Nodes.
    #[arg(long, default_value_t = ScaleSpec::default().nodes)]
    nodes: u32,
    /// Chunks of the release.
    #[arg(long, default_value_t = ScaleSpec::default().chunks)]
    chunks: u32,
    /// Sites.
    #[arg(long, default_value_t = ScaleSpec::default().sites)]
    sites: u32,
    /// Neighbours of each node.
    #[arg(long, default_value_t = ScaleSpec::default().neighbours)]
    neighbours: u32,
    /// Seeds everything.
    #[arg(long, default_value_t = ScaleSpec::default().seed)]
    seed: u64,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let start = std::time::Instant::now();
    let spec = ScaleSpec {
        nodes: options.nodes,
        chunks: options.chunks,
        sites: options.sites,
        neighbours: options.neighbours,
        seed: options.seed,
    };
    let report = scale::run(&spec);
    println!("{}", report.json(start.elapsed().as_secs_f64()));
    if report.active == u64::from(spec.nodes) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
