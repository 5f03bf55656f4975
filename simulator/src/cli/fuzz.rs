//! `weft-sim fuzz`

use std::{num::NonZero, process::ExitCode, thread, time::Duration};

use weft_sim::fuzz::{self, Hunt, Tally};

use super::{
    failure::{FAILED, Failure},
    interrupt,
    progress::Bar,
    say::say,
    script::{MOST_SEED, tell_violations},
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seeds, at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// The first seed; the others follow it
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(..=MOST_SEED))]
    seed: u64,
    /// Threads, each with a seed of its own; one a core if not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Begin no further seed after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Begin no further seed once so many broke a promise
    #[arg(long, default_value_t = 20)]
    most: usize,
}

// like every other verb
#[allow(clippy::unnecessary_wraps)]
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let hunt = Hunt {
        first_seed: options.seed,
        count: options.count.min(MOST_SEED - options.seed + 1),
        time: options.seconds.map(Duration::from_secs),
        threads: options.threads.map_or(cores, usize::from),
        most_found: options.most,
    };
    interrupt::watch();
    let bar = Bar::of_runs(hunt.count);
    let tally = fuzz::hunt(&hunt, interrupt::came, |_, _| bar.step());
    drop(bar);
    tell(&tally, hunt.threads);
    Ok(if tally.found.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn tell(tally: &Tally, threads: usize) {
    for found in &tally.found {
        let seed = found.seed;
        say(&format!("seed {seed}:\n"));
        tell_violations(&found.verdict, "  ");
        say(&format!(
            "  replay with: weft-sim replay {seed}\n  shrink with: weft-sim shrink {seed}\n"
        ));
    }
    say("a run's      least / median / most\n");
    for (name, spread) in &tally.sizes {
        say(&format!("  {name:<10} {spread}\n"));
    }
    let seconds = tally.took.as_secs_f64();
    let (runs, events, broken) = (tally.runs, tally.events, tally.found.len());
    let rate = runs as f64 / seconds.max(1e-9);
    say(&format!(
        "{runs} runs, {events} events, {seconds:.1} s, {rate:.1} runs a second on {threads} threads, {broken} with violations\n"
    ));
}
