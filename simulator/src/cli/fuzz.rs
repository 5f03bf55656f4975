//! `weft-sim fuzz`: many seeds at once, until there are no more or time is up.

use std::{
    io::IsTerminal,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use weft_sim::fuzz::{self, Hunt, Tally};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seeds, at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// The first seed; the others follow it.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(..=MOST_SEED))]
    seed: u64,
    /// Threads, each with a seed of its own [default: one a core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Begin no further seed after this many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Begin no further seed once so many broke a promise.
    #[arg(long, default_value_t = MOST_FOUND)]
    most: usize,
}

/// Scripts are written as TOML, whose numbers end here.
pub(crate) const MOST_SEED: u64 = i64::MAX as u64;
/// The first ones that break a promise are to be mended before others are looked for.
const MOST_FOUND: usize = 20;

pub(crate) fn run(options: &Options) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let hunt = Hunt {
        first_seed: options.seed,
        count: options.count.min(MOST_SEED - options.seed + 1),
        time: options.seconds.map(Duration::from_secs),
        threads: options.threads.map_or(cores, usize::from),
        most_found: options.most,
    };
    let stop = Arc::new(AtomicBool::new(false));
    // without a handler Ctrl-C ends the program, and what there is is lost
    let _ = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&stop));
    let bar = bar(hunt.count);
    let broken = AtomicU64::new(0);
    let tally = fuzz::hunt(&hunt, &stop, |_, verdict| {
        if !verdict.violations.is_empty() {
            broken.fetch_add(1, Ordering::Relaxed);
            bar.set_message(format!("{} broken", broken.load(Ordering::Relaxed)));
        }
        bar.inc(1);
    });
    bar.finish_and_clear();
    tell(&tally, &hunt);
    if tally.found.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn bar(count: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:30} {pos}/{len} seeds, {per_sec}, {eta} left {msg}";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(count).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn tell(tally: &Tally, hunt: &Hunt) {
    for found in &tally.found {
        println!("seed {}:", found.seed);
        for violation in &found.verdict.violations {
            let at_ms = violation.at_us / 1_000;
            println!("  {} at {at_ms} ms: {}", violation.checker, violation.text);
        }
        println!("  replay with: weft-sim replay {}", found.seed);
        println!("  shrink with: weft-sim shrink {}", found.seed);
    }
    let seconds = tally.took.as_secs_f64();
    let (runs, events, broken) = (tally.runs, tally.events, tally.found.len());
    let rate = runs as f64 / seconds.max(1e-9);
    let threads = hunt.threads;
    println!("a run's      least / median / most");
    for (name, spread) in &tally.sizes {
        println!("  {name:<10} {spread}");
    }
    println!(
        "{runs} runs, {events} events, {seconds:.1} s, {rate:.1} runs a second on {threads} threads, {broken} with violations"
    );
}
