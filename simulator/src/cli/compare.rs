//! `weft-sim compare`

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use weft_sim::{
    report::{Comparison, Report},
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

#[derive(clap::Args)]
#[command(
    after_help = "Both run with the same seeds, so that luck is the same for both: nodes that fail in one fail
in the other at the same time. Fewer than 20 seeds say little, so there are at least 20.

Examples:
  weft-sim compare one.toml other.toml --html compare.html
  weft-sim compare hostile-peers hostile-peers --other-set site.plant.gateways=1 --scale 25%"
)]
pub(crate) struct Options {
    /// A scenario file, or a name from `weft-sim scenarios`
    one: String,
    /// Another, or the same with other keys
    other: String,
    /// Change a key in both
    #[arg(long = "set", value_name = "PATH=VALUE")]
    settings: Vec<Setting>,
    /// Change a key in the second only
    #[arg(long = "other-set", value_name = "PATH=VALUE")]
    other_settings: Vec<Setting>,
    /// How many seeds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(20..=1_000))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Part of the fleet
    #[arg(long, value_name = "SHARE", default_value = "100 %")]
    scale: Share,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the figures as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let how = How {
        seed: Some(options.seed),
        scale: options.scale,
        settings: options.settings.clone(),
    };
    let mut other_how = how.clone();
    other_how.settings.extend(options.other_settings.clone());
    let one = Loaded::read(&options.one, &how)?;
    let other = Loaded::read(&options.other, &other_how)?;
    let seeds = options.seed..options.seed.saturating_add(options.seeds);
    let jobs: Vec<Job<'_>> = seeds
        .flat_map(|seed| [(&one, seed), (&other, seed)])
        .collect();
    let reports = rehearse_all(&jobs)?;
    let pairs: Vec<(Report, Report)> = reports
        .chunks(2)
        .filter_map(|pair| match pair {
            [Some(one), Some(other)] => Some((one.clone(), other.clone())),
            _ => None,
        })
        .collect();
    let changed: Vec<String> = options
        .other_settings
        .iter()
        .map(|setting| format!("{}={}", setting.path, setting.value))
        .collect();
    let second = if changed.is_empty() {
        options.other.clone()
    } else {
        format!("{} with {}", options.other, changed.join(", "))
    };
    let names = [options.one.clone(), second];
    let mut comparison = Comparison::of(names, &pairs, &options.again());
    comparison.partial = interrupt::came();
    say(&comparison.text());
    if let Some(path) = &options.json {
        write(path, &comparison.json())?;
    }
    if let Some(path) = &options.html {
        write(path, &comparison.page())?;
    }
    Ok(if comparison.partial {
        ExitCode::from(INTERRUPTED)
    } else {
        ExitCode::SUCCESS
    })
}

impl Options {
    fn again(&self) -> String {
        let mut command = format!(
            "weft-sim compare {} {} --seeds {} --seed {}",
            quoted(&self.one),
            quoted(&self.other),
            self.seeds,
            self.seed
        );
        let sets = self.settings.iter().map(|setting| ("--set", setting));
        let others = self.other_settings.iter();
        for (flag, Setting { path, value }) in
            sets.chain(others.map(|setting| ("--other-set", setting)))
        {
            let _ = write!(command, " {flag} {}", quoted(&format!("{path}={value}")));
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
