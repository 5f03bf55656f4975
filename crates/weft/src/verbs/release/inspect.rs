//! `weft release inspect`

use std::{fmt::Write as _, path::Path};

use serde::Serialize;
use weft_record::{MeshId, Release as ReleaseRecord, Trust};

use crate::{
    bundle_file,
    context::Context,
    failure::Failure,
    pack::Pack,
    signing::{self, Ground, Judged, SignedFile, State, admit_all},
    style::Style,
    verbs::show,
};

/// Tell what is in a pack, in a signed file, or in a release that this node knows.
///
/// Of a signed file: every record, who signed it, and whose signatures it still needs.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft release inspect incident.weft\n  weft release inspect incident@1.1.0"
)]
pub(crate) struct Inspect {
    /// A file, or a release as `weft show` takes it
    release: String,
}

#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    mesh_id: Option<MeshId>,
    signatures: usize,
    chunks: usize,
    complete: bool,
    records: Vec<Judged>,
    /// What a root in it would change that still lacks signatures.
    does: Vec<String>,
    #[serde(flatten)]
    release: Option<&'a ReleaseRecord>,
}

impl Inspect {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let path = Path::new(&self.release);
        // a name without a slash that is no file here is a release of the node
        if !path.exists() && !self.release.contains('/') {
            return show::show(context, &self.release);
        }
        let unsigned = bundle_file::mesh_of(path)?.is_zero();
        let mut does = Vec::new();
        let (mesh_id, records, has_content) = if unsigned {
            (None, Vec::new(), true)
        } else {
            let file = SignedFile::open(path)?;
            let mut trust = Trust::new(file.mesh_id);
            let left = admit_all(&mut trust, file.records.clone());
            let ground = Ground::of_records(trust, left);
            let records = ground.judge(&file.records);
            does = ground.root_words(&ground.open_records());
            (Some(file.mesh_id), records, file.has_content)
        };
        let pack = has_content.then(|| Pack::open(path)).transpose()?;
        let report = Report {
            file: path,
            mesh_id,
            signatures: pack.as_ref().map_or(0, |pack| pack.signatures),
            chunks: pack.as_ref().map_or(0, |pack| pack.chunks().count()),
            complete: !unsigned && records.iter().all(|one| one.state != State::Lacking),
            records,
            does,
            release: pack.as_ref().map(|pack| &pack.release),
        };
        context.output.result(&report, |style| report.text(style))
    }
}

impl Report<'_> {
    fn text(&self, style: Style) -> String {
        let mesh = self.mesh_id.map_or_else(
            || "none: it is not signed yet".to_owned(),
            |mesh_id| mesh_id.to_string(),
        );
        let mut text = format!("mesh     {mesh}\nchunks   {}\n", self.chunks);
        if let Some(release) = self.release {
            text.push_str(&show::describe(style, release));
        }
        if !self.records.is_empty() {
            text.push('\n');
            text.push_str(&signing::lines(style, &self.records));
        }
        if !self.does.is_empty() {
            text.push_str("\nThe root that waits would do this:\n");
        }
        for line in &self.does {
            let _ = writeln!(text, "- {line}");
        }
        text
    }
}
