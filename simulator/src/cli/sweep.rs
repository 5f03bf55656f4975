//! `weft-sim sweep`

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use weft_sim::{
    report::{COMMIT, Report, Sweep, SweepPoint},
    scenario::{Setting, Share},
};

use super::{
    failure::{Failure, INTERRUPTED},
    interrupt,
    many::{Job, rehearse_all},
    run::write,
    say::say,
    source::{How, Loaded, quoted},
};

/// Runs of one sweep at most.
const RUNS_MOST: usize = 10_000;

#[derive(clap::Args)]
#[command(
    after_help = "The last --set is the one that is swept: its values are parted by commas.

Example:
  weft-sim sweep clinic-chain --set site.clinic.uplink=\"2 Mbit/s,5 Mbit/s,10 Mbit/s\" --seeds 5 --html sweep.html"
)]
pub(crate) struct Options {
    /// A scenario file, or a name from `weft-sim scenarios`
    scenario: String,
    /// The key to sweep and its values; earlier ones change a key for all runs
    #[arg(long = "set", value_name = "PATH=V1,V2,…", required = true)]
    settings: Vec<Setting>,
    /// Seeds for each value
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// The first seed, in place of the scenario's own
    #[arg(long)]
    seed: Option<u64>,
    /// Part of the fleet
    #[arg(long, value_name = "SHARE", default_value = "100 %")]
    scale: Share,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with charts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let Some((swept, fixed)) = options.settings.split_last() else {
        return Err(Failure::usage(
            "nothing is swept",
            "--set names the key and its values",
            "weft-sim sweep SCENARIO --set PATH=V1,V2",
        ));
    };
    let values: Vec<&str> = swept.value.split(',').map(str::trim).collect();
    let mut loaded = Vec::new();
    for value in &values {
        let mut settings = fixed.to_vec();
        settings.push(Setting {
            path: swept.path.clone(),
            value: (*value).to_owned(),
        });
        let how = How {
            seed: options.seed,
            scale: options.scale,
            settings,
        };
        loaded.push(Loaded::read(&options.scenario, &how)?);
    }
    // the same seeds for every value, unless the seed is what is swept
    let jobs = loaded.iter().flat_map(|one| {
        let first = one.options.seed;
        (first..first.saturating_add(options.seeds)).map(move |seed| (one, seed))
    });
    let jobs: Vec<Job<'_>> = jobs.collect();
    if jobs.len() > RUNS_MOST {
        return Err(Failure::usage(
            format!("{} runs", jobs.len()),
            format!("a sweep has at most {RUNS_MOST}"),
            "name fewer values, or fewer --seeds",
        ));
    }
    let reports = rehearse_all(&jobs)?;
    let each = options.seeds as usize;
    let points = values
        .iter()
        .zip(reports.chunks(each))
        .map(|(value, reports)| {
            let done: Vec<Report> = reports.iter().flatten().cloned().collect();
            SweepPoint::of(value, &done)
        });
    let sweep = Sweep {
        title: loaded[0].scenario.title.clone(),
        path: swept.path.clone(),
        points: points.filter(|point| point.runs > 0).collect(),
        again: options.again(),
        commit: COMMIT.to_owned(),
        partial: interrupt::came(),
    };
    say(&sweep.text());
    if let Some(path) = &options.json {
        write(path, &sweep.json())?;
    }
    if let Some(path) = &options.html {
        write(path, &sweep.page())?;
    }
    Ok(if sweep.partial {
        ExitCode::from(INTERRUPTED)
    } else {
        ExitCode::SUCCESS
    })
}

impl Options {
    fn again(&self) -> String {
        let mut command = format!(
            "weft-sim sweep {} --seeds {}",
            quoted(&self.scenario),
            self.seeds
        );
        for Setting { path, value } in &self.settings {
            let _ = write!(command, " --set {}", quoted(&format!("{path}={value}")));
        }
        if let Some(seed) = self.seed {
            let _ = write!(command, " --seed {seed}");
        }
        if self.scale != Share::ALL {
            let _ = write!(
                command,
                " --scale {}",
                self.scale.to_string().replace(' ', "")
            );
        }
        command
    }
}
