//! How a signed change is told: what it does, who has signed, and what comes next.

use std::{fmt::Write as _, path::PathBuf};

use serde::Serialize;
use weft_record::MeshId;

use crate::{
    context::{Context, quoted},
    failure::Failure,
    signing::{self, Delivered, Ground, Judged},
};

/// The result of a verb that signs.
#[derive(Serialize)]
pub(crate) struct Told {
    mesh_id: MeshId,
    /// The file that was written; null where this folder's node took it in.
    file: Option<PathBuf>,
    complete: bool,
    /// What it does, in words.
    does: Vec<String>,
    records: Vec<Judged>,
    next: String,
}

impl Told {
    pub(crate) fn new(
        context: &Context,
        ground: &Ground,
        does: Vec<String>,
        delivered: Delivered,
        file: Option<PathBuf>,
    ) -> Self {
        let complete = delivered.is_complete();
        let next = match &file {
            None => context.command("trust show"),
            Some(file) if complete => format!("weft bundle import {}", quoted(file)),
            Some(file) => format!("weft trust cosign {} --key KEY", quoted(file)),
        };
        Self {
            mesh_id: ground.trust.mesh_id(),
            file,
            complete,
            does,
            records: delivered.records,
            next,
        }
    }

    pub(crate) fn tell(&self, context: &Context) -> Result<(), Failure> {
        context.output.result(self, |style| {
            let mut text = String::new();
            for line in &self.does {
                let _ = writeln!(text, "- {line}");
            }
            if !self.does.is_empty() {
                text.push('\n');
            }
            text.push_str(&signing::lines(style, &self.records));
            let went = match &self.file {
                Some(file) => format!("Written: {}", file.display()),
                None => "Taken in by this folder's node".to_owned(),
            };
            let next = style.bold(&self.next);
            text + &format!("\n{went}\nNext: {next}\n")
        })
    }
}
