//! A bar on long runs, on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use weft_sim::{Progress, scenario::Time};

/// One run's bar, gone when dropped.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// For one run.
    pub(crate) fn of_run() -> Self {
        Self::new(1, "{bar:30} {msg}")
    }

    /// For many.
    pub(crate) fn of_runs(count: u64) -> Self {
        Self::new(count, "{bar:30} {pos} of {len} runs {elapsed}")
    }

    fn new(length: u64, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// How far one run came.
    pub(crate) fn show(&self, progress: Progress) {
        let nodes = progress.nodes.max(1) as u64;
        self.0.set_length(nodes);
        self.0.set_position(progress.done as u64);
        let now = Time {
            us: progress.now_us,
        };
        self.0.set_message(format!(
            "{now} of virtual time, {} of {} nodes",
            progress.done, progress.nodes
        ));
    }

    /// One of many is done.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
