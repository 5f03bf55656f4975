//! Network namespaces: made, entered, removed.

use std::{
    fs::File,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where `ip netns` keeps them.
const FOLDER: &str = "/run/netns";
/// All of ours begin so; the number of the process that made them follows.
const PREFIX: &str = "weft-lab-";

/// A namespace of this process; removed when it goes.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one with this name behind the prefix.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let name = format!("{PREFIX}{}-{name}", std::process::id());
        call("ip", &["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.ip("link set lo up")?;
        namespace.set("net/ipv6/conf/all/disable_ipv6", "1")?;
        Ok(namespace)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs inside; the process has the number of what is named.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display()));
        command.arg("--").arg(program);
        command
    }

    /// `ip` with these words, inside.
    pub(crate) fn ip(&self, words: &str) -> Result<()> {
        let words = ["-n", &self.name].into_iter().chain(words.split(' '));
        call("ip", &words.collect::<Vec<_>>())
    }

    /// `tc` with these words, inside.
    pub(crate) fn tc(&self, words: &str) -> Result<()> {
        let words = ["-n", &self.name].into_iter().chain(words.split(' '));
        call("tc", &words.collect::<Vec<_>>())
    }

    /// Writes a kernel setting, inside.
    pub(crate) fn set(&self, setting: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{setting}");
        self.inside(|| std::fs::write(&path, value).with_context(|| format!("{path} = {value}")))?
    }

    /// Runs this in a thread that is inside.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let path = self.path();
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| -> Result<T> {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(file.as_fd(), kind)?;
                Ok(work())
            });
            match thread.join() {
                Ok(result) => result,
                Err(_) => bail!("what ran inside {} panicked", self.name),
            }
        })
    }

    fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = call("ip", &["netns", "del", &self.name]);
    }
}

/// Removes what runs left that were killed themselves.
pub(crate) fn remove_stale() -> Result<()> {
    let Ok(entries) = std::fs::read_dir(FOLDER) else {
        return Ok(());
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let process = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next())
            .and_then(|number| number.parse::<u32>().ok());
        if process.is_some_and(|number| !Path::new(&format!("/proc/{number}")).exists()) {
            call("ip", &["netns", "del", &name])?;
        }
    }
    Ok(())
}

/// Runs a program that must succeed.
pub(crate) fn call(program: &str, words: &[&str]) -> Result<()> {
    let line = || format!("{program} {}", words.join(" "));
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .with_context(line)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}", line(), said.trim());
    Ok(())
}
