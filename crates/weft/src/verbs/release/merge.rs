//! `weft release merge`

use std::path::{Path, PathBuf};

use serde::Serialize;
use weft_record::MeshId;

use super::sign::next;
use crate::{
    context::Context,
    failure::Failure,
    signing::{self, Ground, Judged, SignedFile, State},
};

/// Merge copies of a file that were signed apart.
///
/// Every record ends with the signatures of all copies, in whatever order they come.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft release merge by-anna.weft by-ben.weft --out signed.weft")]
pub(crate) struct Merge {
    /// Two or more signed files of one mesh
    #[arg(required = true, num_args = 2..)]
    files: Vec<PathBuf>,
    /// The file to write; an existing one is never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    mesh_id: MeshId,
    complete: bool,
    records: Vec<Judged>,
    next: String,
}

impl Merge {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        signing::refuse_existing(Some(&self.out))?;
        let mut files = self.files.iter().map(|path| SignedFile::open(path));
        let mut file = match files.next() {
            Some(first) => first?,
            None => return Ok(()),
        };
        let mut content: Vec<&Path> = Vec::new();
        for (other, path) in files.zip(&self.files[1..]) {
            let other = other?;
            content.extend(other.has_content.then_some(path.as_path()));
            file.merge(&other)?;
        }
        content.extend(file.has_content.then_some(self.files[0].as_path()));
        let ground = Ground::of_file(context, &file)?;
        ground.write(&self.out, false, &file.records, &content)?;
        let records: Vec<Judged> = ground
            .judge(&file.records)
            .into_iter()
            .filter(|one| one.state != State::Refused)
            .collect();
        let complete = records.iter().all(|one| one.state != State::Lacking);
        let report = Report {
            next: next(&self.out, complete, file.records.len()),
            file: self.out,
            mesh_id: file.mesh_id,
            complete,
            records,
        };
        context.output.result(&report, |style| {
            format!(
                "{}\nWritten: {}\nNext: {}\n",
                signing::lines(style, &report.records),
                report.file.display(),
                style.bold(&report.next)
            )
        })
    }
}
