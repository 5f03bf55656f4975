//! How long a newcomer waits for the demo.

use anyhow::{Context, Result};

use super::Figure;
use crate::shell;

pub(crate) fn run() -> Result<Vec<Figure>> {
    let weft = shell::weft()?;
    let dir = tempfile::tempdir()?;
    let folder = dir.path().join("mesh");
    let folder = shell::utf8(&folder)?;
    let weft = shell::utf8(&weft)?;
    let start = std::time::Instant::now();
    let text = shell::output(weft, &["demo", "--json", "--dir", folder])?;
    let seconds = start.elapsed().as_secs_f64();
    let last = text.lines().last().context("the demo printed nothing")?;
    let report: serde_json::Value = serde_json::from_str(last)?;
    let nodes = report["nodes"].as_array().map_or(0, Vec::len);
    Ok(vec![
        Figure::new("demo, beginning to end", seconds, "s").at_most(120.0),
        Figure::new("nodes", nodes as f64, "processes"),
    ])
}
