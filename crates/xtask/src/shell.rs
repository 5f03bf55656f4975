//! Running other programs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// The repository's root, two folders above this crate.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Runs to the end with output shown; true if it succeeded.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> Result<bool> {
    println!("$ {program} {}", arguments.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("could not run {program}"))?;
    Ok(status.success())
}

/// Standard output of a program that must succeed.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let out = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not run {program}"))?;
    if !out.status.success() {
        bail!(
            "{program} {} ended with {}",
            arguments.join(" "),
            out.status
        );
    }
    Ok(String::from_utf8(out.stdout)?)
}

/// A path as a word of a command line.
pub(crate) fn utf8(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

/// User and system time of all children that have ended, from the kernel.
pub(crate) fn children_cpu_s() -> f64 {
    cpu_of("self", 13).unwrap_or(f64::NAN)
}

/// User and system time of a process so far, from the kernel.
pub(crate) fn cpu_s(process: u32) -> Result<f64> {
    cpu_of(&process.to_string(), 11)
}

/// The sum of two neighbours in /proc/PROCESS/stat, counted from behind the command's name.
fn cpu_of(process: &str, place: usize) -> Result<f64> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // the name may hold anything, also brackets and spaces
    let (_, fields) = stat.rsplit_once(')').context("no command in stat")?;
    let ticks = fields.split_whitespace().skip(place).take(2);
    let ticks = ticks.map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// The `weft` binary of the one optimized profile, built if it is not; or the one that
/// `WEFT_BINARY` names.
pub(crate) fn weft() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("WEFT_BINARY") {
        return Ok(named.into());
    }
    built("weft")
}

/// The `weft-sim` binary of the same profile, built if it is not.
pub(crate) fn simulator() -> Result<PathBuf> {
    built("weft-sim")
}

/// Built out of the whole workspace, as the tests are, so that nothing is built twice.
fn built(program: &str) -> Result<PathBuf> {
    let arguments = ["build", "--release", "--locked", "--bin", program];
    if !succeeds("cargo", &arguments)? {
        bail!("{program} does not build");
    }
    Ok(target().join("release").join(program))
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
