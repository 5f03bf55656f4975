//! What must hold in every run, whatever the faults. Apart from what they check:
//! they look at disks and told events only.

use std::collections::BTreeMap;

use weft_core::Event;
use weft_record::{Name, RecordId};

use crate::{mesh::VirtualRelease, world::World};

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

/// Safety: checked at any moment.
pub fn safety(
    world: &mut World,
    channel: &Name,
    releases: &BTreeMap<RecordId, VirtualRelease>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for index in 0..world.node_count() {
        let slots = world.disk(index).slots(channel);
        for (kind, slot) in [("active", &slots.active), ("previous", &slots.previous)] {
            let Some(slot) = slot else { continue };
            let Some(release) = releases.get(&slot.release) else {
                let text = format!(
                    "node {index}: {kind} release {} was never signed",
                    slot.release
                );
                violations.push(Violation(text));
                continue;
            };
            if !world.disk(index).was_whole(&release.file) {
                let text = format!("node {index}: {kind} {} is not whole", release.version);
                violations.push(Violation(text));
            }
            if kind == "active" && world.bad_models.contains(&slot.release) {
                let text = format!("node {index}: a model that fails its probe is active");
                violations.push(Violation(text));
            }
        }
    }
    violations.extend(order(world));
    violations
}

/// Activations of one node never go back in sequence, but by going back aloud.
fn order(world: &World) -> Vec<Violation> {
    let mut newest: BTreeMap<usize, u64> = BTreeMap::new();
    let mut violations = Vec::new();
    for (at_us, node, event) in &world.events {
        if let Event::Activated { seq, .. } = event {
            let before = newest.insert(*node, *seq);
            if before.is_some_and(|before| before > *seq) {
                let text = format!("node {node} at {at_us}: activated {seq} after {before:?}");
                violations.push(Violation(text));
            }
        }
    }
    violations
}

/// Liveness: after everything healed, every honest node runs the newest good release.
pub fn converged(
    world: &mut World,
    channel: &Name,
    honest: &[usize],
    expected: RecordId,
) -> Vec<Violation> {
    honest
        .iter()
        .filter(|&&index| world.active(index, channel) != Some(expected))
        .map(|&index| {
            let status = world.node(index).map(weft_core::Node::status);
            Violation(format!("node {index} did not converge: {status:?}"))
        })
        .collect()
}

/// No chunk whose durability was acknowledged is written twice.
pub fn no_refetch(world: &mut World, index: usize) -> Vec<Violation> {
    let rewritten = world.disk(index).durable_rewrites;
    (rewritten > 0)
        .then(|| {
            Violation(format!(
                "node {index}: {rewritten} durable chunks were fetched again"
            ))
        })
        .into_iter()
        .collect()
}
