//! `weft demo`: a whole mesh of real processes on this machine, from an admin's key to
//! an answer on every node, and through an upgrade that is cut off and goes on.
//!
//! The demo only looks from outside: it starts `weft` processes and reads their APIs.
//! It never opens a model.

mod assets;
mod mesh;
mod node;
mod questions;
mod report;
mod watch;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use self::{
    mesh::{Mesh, QUANTIZATION},
    report::{ReleaseFigures, Report, Reuse},
};
use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
    interrupt,
    output::{percent, size},
};

/// See a mesh of real node processes on this machine, in two minutes.
///
/// Makes a mesh, signs and publishes a small trained model from one of its nodes, asks every
/// node the same questions, upgrades the model, kills a node in the middle and shows that it
/// resumes. Nothing leaves this machine.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  weft demo\n  weft demo --nodes 8 --dir ./mesh --keep")]
pub(crate) struct Demo {
    /// How many nodes
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u16).range(5..=32))]
    nodes: u16,
    /// Leave the nodes running at the end
    #[arg(long)]
    keep: bool,
}

/// Held-out lines that every node is asked.
const QUESTIONS: usize = 20;
/// The first fetch is capped so that it takes about this long: long enough to be seen.
const FIRST_FETCH_S: u64 = 4;
/// The second one too: long enough to cut it off in the middle.
const SECOND_FETCH_S: u64 = 9;

impl Demo {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        interrupt::watch();
        let folder = make_folder(context)?;
        let told = play(context, &folder, usize::from(self.nodes), self.keep);
        told.map_err(|failure| {
            if failure.exit == Exit::Interrupted {
                return failure.with_next(format!("rm -r {}", quoted(&folder)));
            }
            context.output.note(&format!(
                "What there is so far lies in {}.",
                folder.display()
            ));
            failure
        })
    }
}

fn play(context: &Context, folder: &Path, count: usize, keep: bool) -> Result<(), Failure> {
    let started = Instant::now();
    let mut mesh = Mesh::new(context, folder, count, keep)?;
    mesh.say(&format!("A mesh of {count} nodes in {}", folder.display()))?;

    mesh.title("Pack two versions of a model, in processes of their own")?;
    let (first, second) = mesh.pack()?;
    let reuse = Reuse::between(&first, &second);
    for pack in [&first, &second] {
        mesh.say(&format!(
            "{} {}: {QUANTIZATION}, {} in {} chunks, {} golden prompts",
            assets::MODEL,
            pack.release.version,
            size(pack.bytes()),
            pack.chunks().count(),
            pack.release.probe_set.probes.len(),
        ))?;
    }

    mesh.title(
        "Make the mesh: an admin key, its signed root, an invitation and a process for every node",
    )?;
    let first_cap = (first.bytes() / FIRST_FETCH_S).max(1);
    let mesh_id = mesh.begin(first_cap)?;
    mesh.say(&format!("mesh {mesh_id}"))?;

    let publisher = 2; // node-3: not the first
    mesh.title(&format!(
        "Publish {} from {}; weft's own limit is {}/s a node",
        first.release.version,
        mesh.nodes[publisher].name,
        size(first_cap)
    ))?;
    let first_transfers = mesh.roll_out(publisher, &first, None)?.transfers;

    mesh.title(&format!(
        "Ask every node the same {QUESTIONS} lines, which no training saw"
    ))?;
    let first_answers = mesh.ask()?;
    mesh.show_scores(&first_answers)?;

    let second_cap = ((reuse.bytes_total - reuse.bytes_identical) / SECOND_FETCH_S).max(1);
    let (publisher, victim) = (1, count - 1);
    mesh.title(&format!(
        "Publish {} from {}, limit {}/s a node; kill {} in the middle",
        second.release.version,
        mesh.nodes[publisher].name,
        size(second_cap),
        mesh.nodes[victim].name,
    ))?;
    mesh.cap(second_cap)?;
    let rolled = mesh.roll_out(publisher, &second, Some((victim, second_cap)))?;
    let interruption = rolled
        .interruption
        .ok_or_else(|| mesh.nodes[victim].failed("it was not killed"))?;
    mesh.check_reuse(&rolled.transfers, &reuse)?;
    Mesh::check_resume(&rolled.transfers, publisher, &interruption)?;
    mesh.say(&format!(
        "{} of {} were the same bytes as before ({}), and every node reused exactly these",
        size(reuse.bytes_identical),
        size(reuse.bytes_total),
        percent(reuse.bytes_identical, reuse.bytes_total),
    ))?;
    mesh.say(&format!(
        "{} was killed at {} %: {} fetched before, {} resumed, {} fetched after, {} twice",
        interruption.node,
        interruption.killed_at_percent,
        size(interruption.bytes_before),
        size(interruption.bytes_resumed),
        size(interruption.bytes_after),
        size(interruption.bytes_twice),
    ))?;

    mesh.title("Ask again")?;
    let second_answers = mesh.ask()?;
    mesh.show_scores(&second_answers)?;
    mesh.show_difference(&first_answers, &second_answers)?;

    let nodes = mesh.figures(
        [&first_transfers, &rolled.transfers],
        [&first_answers, &second_answers],
    );
    let report = Report {
        seconds: started.elapsed().as_secs_f64(),
        folder: folder.to_owned(),
        mesh_id,
        model: assets::MODEL.to_owned(),
        questions: mesh.questions.len(),
        releases: vec![
            ReleaseFigures::of(&first, first_cap),
            ReleaseFigures::of(&second, second_cap),
        ],
        reuse,
        interruption,
        nodes,
        running: keep,
        example: mesh
            .questions
            .first()
            .map(|question| question.line.clone())
            .unwrap_or_default(),
    };
    mesh.end();
    context
        .output
        .result(&report, |style| report.text(style, keep))
}

/// The folder that the mesh lives in: new, or empty.
fn make_folder(context: &Context) -> Result<PathBuf, Failure> {
    let Some(folder) = context.directory_flag() else {
        let folder = tempfile::Builder::new()
            .prefix("weft-demo-")
            .tempdir()
            .map_err(|error| Failure::file("no folder for the demo could be made", &error))?;
        return Ok(folder.keep());
    };
    let failed = |error: &std::io::Error| {
        Failure::file(format!("{} cannot be used", folder.display()), error)
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    let mut entries = std::fs::read_dir(folder).map_err(|error| failed(&error))?;
    if entries.next().is_some() {
        return Err(Failure::new(
            Exit::Refused,
            format!("{} is not empty", folder.display()),
            "the demo writes a whole mesh and touches nothing that is there",
            "weft demo --dir ANOTHER_FOLDER",
        ));
    }
    Ok(folder.to_owned())
}
