//! What a bench says, as JSON and as a section of docs/benchmarks.md.

use anyhow::{Context, Result};
use serde::Serialize;

use crate::shell;

/// One measured figure.
#[derive(Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    /// What it stands beside, measured in the same run.
    pub(crate) against: Option<String>,
    /// What it should be, if there is a goal.
    goal: Option<String>,
    meets: Option<bool>,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &str) -> Self {
        let (name, unit) = (name.into(), unit.to_owned());
        Self {
            name,
            value,
            unit,
            against: None,
            goal: None,
            meets: None,
        }
    }

    pub(crate) fn against(mut self, what: impl Into<String>) -> Self {
        self.against = Some(what.into());
        self
    }

    pub(crate) fn at_most(mut self, goal: f64) -> Self {
        self.goal = Some(format!("≤ {goal}"));
        self.meets = Some(self.value <= goal);
        self
    }

    /// What it should reach.
    pub(crate) fn at_least(mut self, goal: f64) -> Self {
        self.goal = Some(format!("≥ {goal}"));
        self.meets = Some(self.value >= goal);
        self
    }

    /// A figure that this run could not take, and why.
    pub(crate) fn not_run(name: impl Into<String>, why: &str) -> Self {
        Self::new(name, f64::NAN, "").against(why)
    }
}

#[derive(Serialize)]
pub(crate) struct Report {
    bench: String,
    commit: String,
    machine: String,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(bench: &str, figures: Vec<Figure>) -> Result<Self> {
        let mut commit = shell::output("git", &["rev-parse", "--short=12", "HEAD"])?
            .trim()
            .to_owned();
        if !shell::output("git", &["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
            commit.push_str("+changes");
        }
        Ok(Self {
            bench: bench.to_owned(),
            commit,
            machine: machine(),
            figures,
        })
    }

    pub(crate) fn table(&self) -> String {
        let mut text = String::from(
            "| figure | value | unit | against | goal | meets |\n|---|--:|---|---|---|---|\n",
        );
        for figure in &self.figures {
            let meets = figure
                .meets
                .map_or("", |meets| if meets { "yes" } else { "no" });
            let row = format!(
                "| {} | {} | {} | {} | {} | {meets} |\n",
                figure.name,
                rounded(figure.value),
                figure.unit,
                figure.against.as_deref().unwrap_or(""),
                figure.goal.as_deref().unwrap_or(""),
            );
            text += &row;
        }
        text
    }

    /// Puts the table between the marks of this bench; the rest of the page stays.
    pub(crate) fn write(&self, path: &str) -> Result<()> {
        let page =
            std::fs::read_to_string(path).with_context(|| format!("could not read {path}"))?;
        let (begin, end) = (
            format!("<!-- bench {} -->", self.bench),
            format!("<!-- end {} -->", self.bench),
        );
        let start = page
            .find(&begin)
            .with_context(|| format!("{path} has no mark {begin}"))?
            + begin.len();
        let stop = page
            .find(&end)
            .with_context(|| format!("{path} has no mark {end}"))?;
        let section = format!(
            "\nCommit {}, {}. Repeat with `cargo xtask bench {}`.\n\n{}",
            self.commit,
            self.machine,
            repeat(&self.bench),
            self.table()
        );
        std::fs::write(
            path,
            format!("{}{section}{}", &page[..start], &page[stop..]),
        )?;
        Ok(())
    }
}

/// The bench and what was asked of it beside.
fn repeat(bench: &str) -> String {
    let words = std::env::args().skip(2);
    let words = words.filter(|word| word != bench && word != "--write" && word != "--json");
    let words = std::iter::once(bench.to_owned()).chain(words);
    words.collect::<Vec<_>>().join(" ")
}

/// Four significant digits: more would be noise.
fn rounded(value: f64) -> String {
    if value.is_nan() {
        return "not run".to_owned();
    }
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
    format!("{value:.digits$}")
}

/// Cores and model of the processor, memory.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned());
    let memory = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        / (1 << 20);
    format!("{cores} cores ({model}), {memory} GiB")
}
