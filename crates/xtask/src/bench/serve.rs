//! What it takes to serve and to fetch: memory of a node that serves fifty others a release
//! of 4 GiB, and what a node writes for each byte that it fetches. All real processes over
//! loopback.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{
    Figure,
    model::{Shape, random_model},
};
use crate::shell;

/// Nodes that fetch at once.
const LEECHERS: usize = 50;
/// For so long they are served.
const SERVED: Duration = Duration::from_secs(30);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);
/// Whatever is waited for is there by then.
const PATIENCE: Duration = Duration::from_mins(5);
const MIB: f64 = 1_048_576.0;

pub(crate) fn run() -> Result<Vec<Figure>> {
    let weft = shell::weft()?;
    let folder = tempfile::tempdir()?;
    let mut figures = written(&weft, &folder.path().join("small"))?;
    figures.extend(memory(&weft, &folder.path().join("large"))?);
    Ok(figures)
}

/// One node fetches 512 MiB from another.
fn written(weft: &Path, folder: &Path) -> Result<Vec<Figure>> {
    let bench = Bench::publish(weft, folder, Shape::HALF_GIB)?;
    let taker = bench.join("taker")?;
    let node = Running::start(weft, &taker)?;
    let status = bench.wait(&taker, |status| {
        let channel = &status["channels"][0];
        channel["active"].is_string() || channel["phase"] == "staged"
    })?;
    let fetched = status["channels"][0]["fetch"]["bytes_fetched"].as_u64();
    let fetched = fetched.context("no count of what was fetched")? as f64;
    let io = std::fs::read_to_string(format!("/proc/{}/io", node.0.id()))?;
    let written = count(&io, "write_bytes:")? as f64;
    Ok(vec![
        Figure::new(
            "written to disk for each byte fetched",
            written / fetched,
            "bytes",
        )
        .against(format!(
            "{:.1} MiB for {:.1} MiB of chunks, by the kernel's count",
            written / MIB,
            fetched / MIB
        )),
    ])
}

/// Fifty nodes fetch from one.
fn memory(weft: &Path, folder: &Path) -> Result<Vec<Figure>> {
    let bench = Bench::publish(weft, folder, Shape::FOUR_GIB)?;
    let (idle, _) = bench.resident()?;
    let homes = (0..LEECHERS).map(|number| bench.join(&format!("taker-{number}")));
    let homes = homes.collect::<Result<Vec<_>>>()?;
    let nodes = homes.iter().map(|home| Running::start(weft, home));
    let nodes = nodes.collect::<Result<Vec<_>>>()?;
    let served = |status: &Value| status["bytes_served"].as_u64().unwrap_or(0);
    let begins = bench.wait(&bench.giver, |status| {
        status["members"] == LEECHERS && served(status) > 0
    })?;
    let (start, mut most, mut most_files) = (Instant::now(), 0, 0);
    while start.elapsed() < SERVED {
        let (own, files) = bench.resident()?;
        (most, most_files) = (most.max(own), most_files.max(files));
        std::thread::sleep(LOOK);
    }
    let after = bench.status(&bench.giver)?;
    let rate = (served(&after) - served(&begins)) as f64 / start.elapsed().as_secs_f64();
    let held = |home: &PathBuf| {
        let status = bench.status(home)?;
        Ok(status["channels"][0]["fetch"]["bytes_held"].as_u64())
    };
    let held = homes.iter().map(held).collect::<Result<Vec<_>>>()?;
    let takers = held.iter().flatten().filter(|bytes| **bytes > 0).count();
    drop(nodes);
    ensure!(rate > 0.0, "nothing was served");
    Ok(vec![
        Figure::new(
            "memory of a node that serves 50, 4 GiB",
            most as f64 / MIB,
            "MiB",
        )
        .against(format!(
            "{:.1} MiB before the first came; {:.1} MiB of files mapped; {:.0} MB/s served, \
             {takers} of {LEECHERS} have a part",
            idle as f64 / MIB,
            most_files as f64 / MIB,
            rate / 1e6
        )),
    ])
}

/// A node with a release, and others that may come.
struct Bench {
    weft: PathBuf,
    folder: PathBuf,
    giver: PathBuf,
    address: String,
    node: Running,
}

impl Bench {
    fn publish(weft: &Path, folder: &Path, shape: Shape) -> Result<Self> {
        let (model, pack) = (folder.join("model"), folder.join("release.weft"));
        let giver = folder.join("giver");
        random_model(&model, shape, 0)?;
        let words = [
            "--name",
            "random",
            "--version",
            "1.0.0",
            "--quantization",
            "f16",
        ];
        let pack_words = [&["release", "pack", text(&model)?][..], &words].concat();
        call(
            weft,
            &[&pack_words[..], &["--no-probe", "--out", text(&pack)?]].concat(),
        )?;
        std::fs::remove_dir_all(&model)?;
        let listen = ["--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"];
        let init = ["--dir", text(&giver)?, "mesh", "init"];
        let made = call(weft, &[&init[..], &listen].concat())?;
        let key = made["key"].as_str().context("no key")?.to_owned();
        let node = Running::start(weft, &giver)?;
        let mut bench = Self {
            weft: weft.to_owned(),
            folder: folder.to_owned(),
            giver: giver.clone(),
            address: String::new(),
            node,
        };
        let up = bench.wait(&giver, |status| status["addresses"][0].is_string())?;
        let address = up["addresses"][0].as_str().context("no address")?;
        address.clone_into(&mut bench.address);
        let publish = ["--dir", text(&giver)?, "release", "publish", text(&pack)?];
        call(weft, &[&publish[..], &["--key", &key]].concat())?;
        std::fs::remove_file(&pack)?;
        Ok(bench)
    }

    /// The home of a node that knows the giver.
    fn join(&self, name: &str) -> Result<PathBuf> {
        let home = self.folder.join(name);
        let giver = ["--dir", text(&self.giver)?, "mesh", "invite"];
        let invite = [&giver[..], &["--address", &self.address]].concat();
        let invited = call(&self.weft, &invite)?;
        let invitation = invited["invitation"].as_str().context("no invitation")?;
        let join = [
            "--dir",
            text(&home)?,
            "mesh",
            "join",
            invitation,
            "--no-mdns",
        ];
        call(
            &self.weft,
            &[&join[..], &["--listen", "/ip4/127.0.0.1/tcp/0"]].concat(),
        )?;
        Ok(home)
    }

    fn status(&self, home: &Path) -> Result<Value> {
        call(&self.weft, &["--dir", text(home)?, "status"])
    }

    fn wait(&self, home: &Path, is_there: impl Fn(&Value) -> bool) -> Result<Value> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Ok(status) = self.status(home)
                && is_there(&status)
            {
                return Ok(status);
            }
            std::thread::sleep(LOOK);
        }
        bail!("{} did not get there within {PATIENCE:?}", home.display())
    }

    /// Memory of the giver: its own, and of files that it has mapped. Bytes.
    fn resident(&self) -> Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.node.0.id()))?;
        let kib = |key| count(&status, key).map(|kib| kib * 1024);
        Ok((kib("RssAnon:")?, kib("RssFile:")?))
    }
}

/// A node process that ends with this value.
struct Running(Child);

impl Running {
    fn start(weft: &Path, home: &Path) -> Result<Self> {
        let mut command = Command::new(weft);
        command.arg("--dir").arg(home).arg("up");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(command.stderr(Stdio::null()).spawn()?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn call(weft: &Path, words: &[&str]) -> Result<Value> {
    let told = shell::output(text(weft)?, &[&["--json"], words].concat())?;
    let last = told.lines().last().unwrap_or_default();
    Ok(serde_json::from_str(last)?)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

/// The number behind a word of one of the kernel's tables.
fn count(table: &str, key: &str) -> Result<u64> {
    let line = table.lines().find(|line| line.starts_with(key));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("the kernel does not tell {key}"))
}
