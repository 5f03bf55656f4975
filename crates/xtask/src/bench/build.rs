//! The newcomer's first wait: building what `weft demo` needs from nothing.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::Figure;
use crate::shell;

pub(crate) fn run() -> Result<Vec<Figure>> {
    let target = tempfile::tempdir()?;
    let folder = target.path().to_string_lossy().into_owned();
    let before = shell::children_cpu_s();
    let start = Instant::now();
    let built = shell::succeeds(
        "cargo",
        &[
            "build",
            "--release",
            "--locked",
            "--quiet",
            "--bin",
            "weft",
            "--target-dir",
            &folder,
        ],
    )?;
    ensure!(built, "weft does not build");
    let seconds = start.elapsed().as_secs_f64();
    let cpu_s = shell::children_cpu_s() - before;
    Ok(vec![
        Figure::new("first build of weft", seconds / 60.0, "min"),
        Figure::new("processor time of it", cpu_s / 60.0, "min")
            .against(format!("{:.2} cores busy", cpu_s / seconds)),
    ])
}
