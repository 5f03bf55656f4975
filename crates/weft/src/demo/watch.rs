//! Live progress of all nodes: bars on a terminal, a line a second elsewhere.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use weft_core::{FetchStatus, NodeStanding, Phase};
use weft_node::report::StatusReport;

use crate::{
    failure::Failure,
    output::{Output, size},
    verbs::status::phase,
};

/// How often a line is printed where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// What is shown of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Glance {
    /// Version that answers, if one does.
    pub(crate) active: Option<String>,
    /// Version that the newest head names.
    pub(crate) target: Option<String>,
    pub(crate) answering: bool,
    pub(crate) phase: Option<Phase>,
    pub(crate) reason: String,
    pub(crate) fetch: FetchStatus,
    pub(crate) fetch_bytes_per_sec: u64,
    pub(crate) enrolled: bool,
    pub(crate) members: usize,
}

impl Glance {
    pub(crate) fn of(status: &StatusReport) -> Self {
        let channel = status.node.channels.first();
        let model = status.models.first();
        let version = |release: Option<&weft_node::report::ReleaseReport>| {
            release.map(|release| release.version.clone())
        };
        Self {
            active: version(model.and_then(|model| model.active.as_ref())),
            target: version(model.and_then(|model| model.target.as_ref())),
            answering: model.is_some_and(|model| model.answering),
            phase: channel.map(|channel| channel.phase),
            reason: channel
                .map(|channel| channel.reason.clone())
                .unwrap_or_default(),
            fetch: channel
                .and_then(|channel| channel.fetch.clone())
                .unwrap_or_default(),
            fetch_bytes_per_sec: status.fetch_bytes_per_sec,
            enrolled: status.node.standing == NodeStanding::Member,
            members: status.node.members.len(),
        }
    }

    /// Whether this version answers prompts here.
    pub(crate) fn answers(&self, version: &str) -> bool {
        self.answering && self.active.as_deref() == Some(version)
    }

    /// Whether a new head is known and nothing was begun for it yet: the fetch that is
    /// told is then still the one before.
    pub(crate) fn is_between(&self) -> bool {
        let at_rest = matches!(
            self.phase,
            Some(Phase::Idle | Phase::Soaking | Phase::Active)
        );
        at_rest && self.active != self.target
    }

    fn line(&self) -> String {
        let fetch = &self.fetch;
        let mut line = self.phase.map_or("down", phase).to_owned();
        if fetch.chunks_total > 0 {
            let _ = write!(
                line,
                "  {}/{} chunks verified",
                fetch.chunks_held, fetch.chunks_total
            );
        }
        if matches!(self.phase, Some(Phase::Fetching)) && self.fetch_bytes_per_sec > 0 {
            let _ = write!(line, "  {}/s", size(self.fetch_bytes_per_sec));
        }
        if !fetch.chunks_by_peer.is_empty() {
            let _ = write!(line, "  from {} peers", fetch.chunks_by_peer.len());
        }
        if fetch.bytes_reused > 0 {
            let _ = write!(line, "  {} reused", size(fetch.bytes_reused));
        }
        if fetch.bytes_resumed > 0 {
            let _ = write!(line, "  {} resumed", size(fetch.bytes_resumed));
        }
        line
    }
}

/// Shows glances as they come.
pub(crate) struct Watch {
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
    names: Vec<String>,
    lines: bool,
    started: Instant,
    printed: Option<Instant>,
    output: Output,
}

impl Watch {
    pub(crate) fn start(output: Output, names: &[String]) -> Self {
        let bars = output.shows_progress().then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("  {prefix:<8} {bar:24} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━╸·");
            let bars = names.iter().map(|name| {
                let bar = all.add(ProgressBar::new(0));
                bar.set_style(style.clone());
                bar.set_prefix(name.clone());
                bar
            });
            let bars = bars.collect();
            (all, bars)
        });
        Self {
            lines: bars.is_none(),
            bars,
            names: names.to_vec(),
            started: Instant::now(),
            printed: None,
            output,
        }
    }

    /// Shows how all nodes are now; `None` for one that does not run.
    pub(crate) fn show(&mut self, glances: &[Option<Glance>]) -> Result<(), Failure> {
        if let Some((_, bars)) = &self.bars {
            for (bar, glance) in bars.iter().zip(glances) {
                let glance = glance.clone().unwrap_or_default();
                bar.set_length(glance.fetch.bytes_total.max(1));
                bar.set_position(glance.fetch.bytes_held);
                bar.set_message(glance.line());
            }
            return Ok(());
        }
        let due = self
            .printed
            .is_none_or(|printed| printed.elapsed() >= LINE_INTERVAL);
        if self.lines && due {
            self.printed = Some(Instant::now());
            self.print(glances)?;
        }
        Ok(())
    }

    /// Something that happened in between.
    pub(crate) fn say(&self, text: &str) -> Result<(), Failure> {
        match &self.bars {
            Some((all, _)) => {
                // who closed standard error does not want to know
                let _ = all.println(format!("   {text}"));
                Ok(())
            }
            None => self.output.story(&format!("   {text}")),
        }
    }

    /// Shows the last state for good.
    pub(crate) fn finish(mut self, glances: &[Option<Glance>]) -> Result<(), Failure> {
        if self.bars.is_none() {
            return self.print(glances);
        }
        self.show(glances)?;
        if let Some((_, bars)) = &self.bars {
            bars.iter().for_each(ProgressBar::abandon);
        }
        Ok(())
    }

    fn print(&self, glances: &[Option<Glance>]) -> Result<(), Failure> {
        let parts: Vec<String> = self
            .names
            .iter()
            .zip(glances)
            .map(|(name, glance)| match glance {
                None => format!("{name} down"),
                Some(glance) => {
                    let fetch = &glance.fetch;
                    let state = glance.phase.map_or("", phase);
                    format!(
                        "{name} {state} {}/{}",
                        fetch.chunks_held, fetch.chunks_total
                    )
                }
            })
            .collect();
        let seconds = self.started.elapsed().as_secs_f64();
        let rate: u64 = glances
            .iter()
            .flatten()
            .map(|glance| glance.fetch_bytes_per_sec)
            .sum();
        let line = format!(
            "   {seconds:4.1} s  {:>7}/s  {}",
            size(rate),
            parts.join("  ")
        );
        self.output.story(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_says_what_matters() {
        let fetch = FetchStatus {
            chunks_total: 9,
            chunks_held: 4,
            bytes_reused: 2_000,
            ..FetchStatus::default()
        };
        let glance = Glance {
            phase: Some(Phase::Fetching),
            fetch,
            fetch_bytes_per_sec: 1_500,
            ..Glance::default()
        };
        assert_eq!(
            glance.line(),
            "fetching  4/9 chunks verified  1.50 kB/s  2.00 kB reused"
        );
        assert_eq!(Glance::default().line(), "down");
    }

    #[test]
    fn only_the_active_model_answers() {
        let mut glance = Glance {
            active: Some("1.0.0".into()),
            answering: true,
            ..Glance::default()
        };
        assert!(glance.answers("1.0.0"));
        assert!(!glance.answers("1.1.0"));
        glance.answering = false;
        assert!(!glance.answers("1.0.0"));
    }
}
