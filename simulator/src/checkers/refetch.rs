//! No chunk whose durability was acknowledged is fetched a second time.

use super::{Checker, View, Violation};
use crate::{
    journal::{Change, Entry},
    world::World,
};

pub(super) struct Refetch;

impl Checker for Refetch {
    fn name(&self) -> &'static str {
        "refetch"
    }

    fn changed(&mut self, entry: &Entry, view: &View<'_>) -> Result<(), String> {
        let Change::Chunk { chunk, .. } = &entry.change else {
            return Ok(());
        };
        let rewritten = view.world.peek(entry.node).durable_rewrites;
        if rewritten == 0 || !view.subject.honest.contains(&entry.node) {
            return Ok(());
        }
        Err(format!(
            "fetched chunk {} of {} again, which was durable",
            chunk.index, chunk.file
        ))
    }
}

/// The same for one node, at any moment.
pub fn no_refetch(world: &World, index: usize) -> Vec<Violation> {
    let rewritten = world.peek(index).durable_rewrites;
    let violation = (rewritten > 0).then(|| Violation {
        checker: "refetch",
        at_us: world.now_us(),
        text: format!("node {index}: {rewritten} durable chunks were fetched again"),
    });
    violation.into_iter().collect()
}
