//! `weft-sim scale`

use std::process::ExitCode;

use weft_sim::scale::{self, ScaleSpec};

use super::{
    failure::{FAILED, Failure},
    say::say,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Nodes in all
    #[arg(long, default_value_t = 1_000)]
    nodes: u32,
    /// Chunks of the release, of 256 KiB each
    #[arg(long, default_value_t = 256)]
    chunks: u32,
    /// Sites; 0 for one for each 50 nodes
    #[arg(long, default_value_t = 0)]
    sites: u32,
    /// Neighbours of a node, about
    #[arg(long, default_value_t = 8)]
    neighbours: u32,
    /// Moves everything that is drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

// like every other verb
#[allow(clippy::unnecessary_wraps)]
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let spec = ScaleSpec {
        nodes: options.nodes,
        chunks: options.chunks,
        sites: options.sites,
        neighbours: options.neighbours,
        seed: options.seed,
    };
    let start = std::time::Instant::now();
    let report = scale::run(&spec);
    say(&format!(
        "{}\n",
        report.json(start.elapsed().as_secs_f64(), peak_bytes())
    ));
    Ok(if report.active == u64::from(spec.nodes) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

/// The most memory that this process had, as the kernel says; 0 where it does not.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}
