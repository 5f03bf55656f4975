//! What must hold in every run, whatever the faults. Apart from what they check:
//! they look at disks and told events only.

use std::collections::BTreeMap;

use weft_core::Event;
use weft_record::{Name, RecordId, TrustDigest, Verdict};

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
    violations.extend(world.unasked.iter().cloned().map(Violation));
    violations.extend(world.fallen_floors(channel).into_iter().map(Violation));
    violations
}

/// Activations of one node never go back in sequence, but by going back aloud, and not
/// before a revocation or a reset takes a head's ground.
fn order(world: &World) -> Vec<Violation> {
    let mut newest: BTreeMap<usize, u64> = BTreeMap::new();
    let mut violations = Vec::new();
    for (at_us, node, event) in &world.events {
        if matches!(event, Event::Revoked { .. } | Event::Withdrawn { .. }) {
            newest.remove(node);
        }
        if let Event::Activated { seq, .. } = event {
            if world
                .epoch_begun_us(*node)
                .is_some_and(|begun_us| begun_us <= *at_us)
            {
                continue;
            }
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

/// Nobody lets go of, or doubts the memory of, a node that does nothing wrong; but for
/// those whose disk was full, which may have said more than they kept.
pub fn no_blame(world: &World, honest: &[usize]) -> Vec<Violation> {
    let is_honest = |peer: &weft_core::Peer| honest.iter().any(|&one| world.key(one) == *peer);
    let blame = world
        .events
        .iter()
        .filter_map(|(at_us, node, event)| match event {
            Event::PeerLetGo { peer, reason, .. } if is_honest(peer) => Some(format!(
                "node {node} at {at_us}: lets go of an honest peer: {reason}"
            )),
            Event::MemoryOlder { .. } if !world.forgetful.contains(node) => {
                Some(format!("node {node} at {at_us}: {event:?}"))
            }
            _ => None,
        });
    blame.map(Violation).collect()
}

/// Agreement: after everything healed, all these hold the same records, and decide the
/// same.
pub fn agreed(
    world: &World,
    channel: &Name,
    members: &[usize],
    wanted: TrustDigest,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut first: Option<(u64, Option<RecordId>)> = None;
    for &index in members {
        let Some(node) = world.node(index) else {
            continue;
        };
        let trust = node.trust();
        if trust.digest() != wanted {
            let text = format!("node {index} holds other records: {:?}", node.status());
            violations.push(Violation(text));
        }
        let head = match trust.verdict(channel) {
            Verdict::Go(head) => Some(head.id()),
            _ => None,
        };
        let decided = (trust.floor(channel), head);
        if *first.get_or_insert(decided) != decided {
            let text = format!("node {index} decides otherwise: {decided:?}, not {first:?}");
            violations.push(Violation(text));
        }
        let active = world.slots(index, channel).active;
        if let Some(slot) = active.filter(|slot| trust.is_void(channel, slot.epoch, &slot.release))
        {
            let text = format!(
                "node {index} still runs {}, which was withdrawn",
                slot.release
            );
            violations.push(Violation(text));
        }
    }
    violations
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
