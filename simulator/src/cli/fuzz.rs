//! `weft-sim fuzz`

use std::process::ExitCode;

use weft_sim::fuzz;

use super::failure::{FAILED, Failure};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many seeds
    #[arg(long, default_value_t = 100)]
    count: u64,
    /// The first seed
    #[arg(long, default_value_t = 1_000)]
    seed: u64,
}

// like every other verb
#[allow(clippy::unnecessary_wraps)]
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let start = std::time::Instant::now();
    let (mut events, mut failed) = (0, 0_u64);
    for seed in options.seed..options.seed + options.count {
        let verdict = fuzz::run(seed);
        events += verdict.events;
        if !verdict.violations.is_empty() {
            failed += 1;
            println!("seed {seed}:");
            for violation in &verdict.violations {
                println!("  {}", violation.0);
            }
            println!("  replay with: weft-sim replay {seed}");
        }
    }
    let count = options.count;
    let rate = count as f64 / start.elapsed().as_secs_f64();
    println!("{count} runs, {events} events, {rate:.0} runs a second, {failed} with violations");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}
