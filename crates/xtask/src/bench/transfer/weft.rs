//! weft's own turn.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use weft_fidelity::ask;

use super::{Content, LIMIT, Taken};
use crate::shell;

/// What a node says of itself, and what has happened at it.
const STATUS: &str = "/weft/v1/status";
const EVENTS: &str = "/weft/v1/events?after=0";
/// How often the taker is asked whether it has everything.
const LOOK: Duration = Duration::from_millis(10);
/// How often a giver that imports is asked whether it is there yet.
const LOOK_BEFORE: Duration = Duration::from_millis(50);
/// Who uses so little of a core...
const IDLE_CPU_S: f64 = 0.02;
/// ...for so long is idle.
const IDLE_FOR: Duration = Duration::from_secs(1);

/// Publishes at a fresh node, then starts a second one.
pub(super) fn one_to_one(weft: &Path, content: &Content) -> Result<Taken> {
    let call = |home: &Path, words: &[&str]| -> Result<Value> {
        let (weft, home) = (shell::utf8(weft)?, shell::utf8(home)?);
        let text = shell::output(weft, &[&["--json", "--dir", home], words].concat())?;
        Ok(serde_json::from_str(
            text.lines().last().unwrap_or_default(),
        )?)
    };
    let (giver, taker) = (content.folder.join("giver"), content.folder.join("taker"));
    let listen = ["--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"];
    let made = call(&giver, &[&["mesh", "init"][..], &listen].concat())?;
    let key = made["key"].as_str().context("no key")?;
    let giving = Running::start(weft, &giver)?;
    let up = giving.wait(STATUS, LOOK_BEFORE, &|status| {
        status["listen"][0].is_string()
    })?;
    let address = up["listen"][0].as_str().context("no address")?;
    let pack = shell::utf8(&content.pack)?;
    call(&giver, &["release", "publish", pack, "--key", key])?;
    let invited = call(&giver, &["mesh", "invite", "--address", address])?;
    let invitation = invited["invitation"].as_str().context("no invitation")?;
    call(
        &taker,
        &[&["mesh", "join", invitation][..], &listen].concat(),
    )?;
    // a publisher goes on to prove its own release, which is no part of the transfer
    giving.wait(STATUS, LOOK_BEFORE, &|status| {
        status["models"][0]["active"].is_object()
    })?;
    giving.wait_until_idle()?;
    let cpu_before = shell::cpu_s(giving.process())?;
    let start = Instant::now();
    let taking = Running::start(weft, &taker)?;
    let status = taking.wait(STATUS, LOOK, &|status| {
        let fetch = &status["node"]["channels"][0]["fetch"];
        let total = fetch["bytes_total"].as_u64().filter(|total| *total > 0);
        total.is_some() && fetch["bytes_held"].as_u64() == total
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu_s = shell::cpu_s(giving.process())? - cpu_before + shell::cpu_s(taking.process())?;
    taking.wait(EVENTS, LOOK, &|told| {
        let mut events = told["events"].as_array().into_iter().flatten();
        events.any(|event| event["event"] == "fetch_completed")
    })?;
    let durable_s = start.elapsed().as_secs_f64();
    let bytes = &status["node"]["channels"][0]["fetch"]["bytes_total"];
    let bytes = bytes.as_f64().context("no bytes_total")?;
    drop((giving, taking));
    std::fs::remove_dir_all(&giver)?;
    std::fs::remove_dir_all(&taker)?;
    Ok(Taken {
        bytes,
        seconds,
        durable_s,
        cpu_s,
    })
}

/// A node process that ends with this value.
struct Running<'a> {
    child: Child,
    home: &'a Path,
}

impl<'a> Running<'a> {
    fn start(weft: &Path, home: &'a Path) -> Result<Self> {
        let mut command = Command::new(weft);
        let own = std::process::id().to_string();
        command.arg("--dir").arg(home);
        command.args(["up", "--end-with", &own]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn()?;
        Ok(Self { child, home })
    }

    fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has nothing to do.
    fn wait_until_idle(&self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            let before = shell::cpu_s(self.process())?;
            std::thread::sleep(IDLE_FOR);
            if shell::cpu_s(self.process())? - before <= IDLE_CPU_S {
                return Ok(());
            }
        }
        bail!("{} is not idle within {LIMIT:?}", self.home.display())
    }

    /// What it says at this path, as soon as that is as hoped for.
    fn wait(&self, path: &str, look: Duration, hoped: &dyn Fn(&Value) -> bool) -> Result<Value> {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if let Ok(told) = ask(self.home, path)
                && hoped(&told)
            {
                return Ok(told);
            }
            std::thread::sleep(look);
        }
        let last = ask(self.home, path);
        bail!(
            "{} did not get there within {LIMIT:?}: {last:?}",
            self.home.display()
        )
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
