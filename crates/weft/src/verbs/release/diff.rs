//! `weft release diff`

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;
use weft_record::{Hash, Variant};

use crate::{
    context::Context,
    failure::{Exit, Failure},
    output::size,
    pack::Pack,
    style::Style,
};

/// Tell what a node that has one release would fetch to get to another, before it does.
///
/// Of each format of the new one: how much is in the same chunks, how much a delta takes, and
/// which way a node goes: the one with fewer bytes.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  weft release diff incident-1.0.0.weft incident-1.1.0.weft\n  weft release diff incident-1.0.0.weft incident-1.1.0.weft --json"
)]
pub(crate) struct Diff {
    /// The release that a node has: a packed or published file
    from: PathBuf,
    /// The release that it is to get
    to: PathBuf,
}

/// How a file comes to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    /// It is the same.
    Same,
    /// The chunks that changed.
    Chunks,
    /// The difference.
    Delta,
    /// All of it.
    Whole,
}

#[derive(Debug, Serialize)]
struct FileDiff {
    quantization: String,
    path: String,
    way: Way,
    /// What crosses the network.
    bytes_fetched: u64,
    bytes: u64,
    /// In chunks that the earlier release has.
    bytes_same: u64,
    chunks: usize,
    chunks_same: usize,
    /// The shortest delta from a file of the earlier release.
    delta_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Report<'a> {
    from: &'a Path,
    to: &'a Path,
    files: Vec<FileDiff>,
}

impl Diff {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let (from, to) = (Pack::open(&self.from)?, Pack::open(&self.to)?);
        let report = Report {
            from: &self.from,
            to: &self.to,
            files: compare(&from, &to)?,
        };
        context.output.result(&report, |style| report.text(style))
    }
}

/// A node that has the old release in one format gets the new one in the same.
fn compare(from: &Pack, to: &Pack) -> Result<Vec<FileDiff>, Failure> {
    let mut files = Vec::new();
    for variant in &to.release.variants {
        let old = from
            .release
            .variants
            .iter()
            .find(|one| one.quantization == variant.quantization);
        files.extend(compare_variant(from, to, variant, old)?);
    }
    Ok(files)
}

fn compare_variant(
    from: &Pack,
    to: &Pack,
    variant: &Variant,
    old: Option<&Variant>,
) -> Result<Vec<FileDiff>, Failure> {
    let old_files = old.map_or(&[][..], |old| &old.files);
    let held: BTreeSet<Hash> = old_files
        .iter()
        .filter_map(|entry| from.map(entry))
        .flat_map(|map| &map.chunks)
        .map(|chunk| chunk.hash)
        .collect();
    let mut files = Vec::new();
    for entry in &variant.files {
        let map = to.map(entry).ok_or_else(|| {
            Failure::new(
                Exit::Verification,
                format!("{} cannot be compared", to.path.display()),
                format!("it holds no chunk map of {}", entry.path),
                "get the file again, from where it came",
            )
        })?;
        let same = || map.chunks.iter().filter(|chunk| held.contains(&chunk.hash));
        let bytes_same: u64 = same().map(|chunk| u64::from(chunk.length)).sum();
        let is_base = |base: &Hash| old_files.iter().any(|old| old.blake3 == *base);
        let deltas = to.release.deltas.iter();
        let delta_bytes = deltas
            .filter(|delta| delta.target == entry.blake3 && is_base(&delta.base))
            .map(|delta| delta.length)
            .min();
        let lacking = entry.length - bytes_same;
        let (way, bytes_fetched) = choose(entry.length, lacking, delta_bytes);
        files.push(FileDiff {
            quantization: variant.quantization.to_string(),
            path: entry.path.clone(),
            way,
            bytes_fetched,
            bytes: entry.length,
            bytes_same,
            chunks: map.chunks.len(),
            chunks_same: same().count(),
            delta_bytes,
        });
    }
    Ok(files)
}

/// As a node chooses.
fn choose(bytes: u64, lacking: u64, delta: Option<u64>) -> (Way, u64) {
    match delta {
        _ if lacking == 0 => (Way::Same, 0),
        Some(delta) if delta < lacking => (Way::Delta, delta),
        _ if lacking < bytes => (Way::Chunks, lacking),
        _ => (Way::Whole, bytes),
    }
}

impl Report<'_> {
    fn text(&self, style: Style) -> String {
        let mut text = String::new();
        for file in &self.files {
            let way = match file.way {
                Way::Same => "nothing: it is the same",
                Way::Chunks => "the chunks that changed",
                Way::Delta => "the delta",
                Way::Whole => "all of it",
            };
            let title = format!("{} {}", file.quantization, file.path);
            let _ = writeln!(
                text,
                "{}  {} of {} ({:.1} %): {way}",
                style.bold(&title),
                size(file.bytes_fetched),
                size(file.bytes),
                100.0 * file.bytes_fetched as f64 / file.bytes.max(1) as f64,
            );
            let _ = writeln!(
                text,
                "  in the same chunks  {}, {} of {} chunks",
                size(file.bytes_same),
                file.chunks_same,
                file.chunks
            );
            let delta = file
                .delta_bytes
                .map_or_else(|| "none from the earlier release".to_owned(), size);
            let _ = writeln!(text, "  delta               {delta}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_with_fewest_bytes_is_taken() {
        let check = |lacking, delta, expected| assert_eq!(choose(100, lacking, delta), expected);
        check(0, Some(5), (Way::Same, 0));
        check(100, Some(5), (Way::Delta, 5));
        check(4, Some(5), (Way::Chunks, 4));
        check(5, Some(5), (Way::Chunks, 5));
        check(100, None, (Way::Whole, 100));
    }
}
