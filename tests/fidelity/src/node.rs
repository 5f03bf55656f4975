//! Real nodes: homes, processes, and what they tell.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{api, interrupt, lab::Lab};

/// A node on a busy machine does what it is asked for in its beginning within this.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often something is looked at that is waited for.
const POLL: Duration = Duration::from_millis(50);
/// Where every node listens, in its own namespace.
pub(crate) const PORT: u16 = 4001;

/// A node; its process is killed when it goes.
pub(crate) struct Node {
    index: usize,
    weft: PathBuf,
    home: PathBuf,
    child: Option<Child>,
    /// When its process would have begun by its own clock, as seen from here.
    began: Option<Instant>,
}

impl Node {
    pub(crate) fn new(weft: &Path, folder: &Path, index: usize) -> Self {
        Self {
            index,
            weft: weft.to_owned(),
            home: folder.join(format!("n{index}")),
            child: None,
            began: None,
        }
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// `weft` with these words, inside the node's namespace.
    pub(crate) fn command(&self, lab: &Lab, words: &[&str]) -> Command {
        let mut command = lab.node(self.index).command(&self.weft);
        command
            .arg("--dir")
            .arg(&self.home)
            .arg("--json")
            .args(words);
        command.env_remove("WEFT_DIR").stdin(Stdio::null());
        command
    }

    /// Runs it to its end; its one object.
    pub(crate) fn call(&self, lab: &Lab, words: &[&str]) -> Result<Value> {
        let output = self.command(lab, words).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().last().unwrap_or_default();
        ensure!(output.status.success(), "weft {}: {line}", words.join(" "));
        Ok(serde_json::from_str(line)?)
    }

    /// Starts its process and waits until it answers.
    pub(crate) fn start(&mut self, lab: &Lab) -> Result<()> {
        self.launch(lab)?;
        self.wait(lab, "it answers", |status| {
            status["listen"]
                .as_array()
                .is_some_and(|list| !list.is_empty())
        })?;
        Ok(())
    }

    /// Starts its process.
    pub(crate) fn launch(&mut self, lab: &Lab) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.home.with_extension("log"))?;
        let own = std::process::id().to_string();
        let mut command = self.command(lab, &["up", "--end-with", &own]);
        command.stdout(Stdio::null()).stderr(log);
        // what an earlier process left would be asked in its place
        let _ = std::fs::remove_file(self.home.join("api.json"));
        self.child = Some(command.env("WEFT_LOG", "info").spawn()?);
        self.began = None;
        Ok(())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn status(&mut self, lab: &Lab) -> Result<Value> {
        let status = api::get(lab.node(self.index), &self.home, "/weft/v1/status")?;
        let uptime_ms = status["uptime_ms"].as_u64().context("no uptime")?;
        // the answer took a while to come: the earliest guess is the best one
        let began = Instant::now().checked_sub(Duration::from_millis(uptime_ms));
        let began = began.context("it began before the machine did")?;
        self.began = Some(self.began.map_or(began, |known| known.min(began)));
        Ok(status)
    }

    /// When its first event of this kind happened, if it did.
    pub(crate) fn event(
        &mut self,
        lab: &Lab,
        kind: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Option<Instant>> {
        if self.began.is_none() {
            self.status(lab)?;
        }
        let began = self.began.context("it has just said when it began")?;
        let told = api::get(lab.node(self.index), &self.home, "/weft/v1/events?after=0")?;
        let events = told["events"].as_array().context("no events")?;
        let found = events
            .iter()
            .find(|event| event["event"] == kind && wanted(event));
        let at_ms = found.and_then(|event| event["uptime_ms"].as_u64());
        Ok(at_ms.map(|at_ms| began + Duration::from_millis(at_ms)))
    }

    /// Waits until its status is as hoped for.
    pub(crate) fn wait(
        &mut self,
        lab: &Lab,
        what: &str,
        hoped: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let end = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < end {
            if let Ok(status) = self.status(lab) {
                if hoped(&status) {
                    return Ok(status);
                }
                last = Some(status);
            }
            interrupt::sleep_until(Instant::now() + POLL)?;
        }
        let log = std::fs::read_to_string(self.home.with_extension("log")).unwrap_or_default();
        let index = self.index;
        bail!("node {index}: {what}, not within {PATIENCE:?}; last {last:?}; its log:\n{log}")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
