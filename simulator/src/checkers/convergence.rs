//! After everything healed, every node that can runs the newest good release. The oracle
//! says which can: those that a path of honest links joins to the admin, where the honest
//! nodes among them hold, together, every chunk.

use std::collections::BTreeSet;

use weft_record::{Name, RecordId};

use super::Violation;
use crate::{mesh::VirtualRelease, world::World};

/// What a healed mesh can still do.
pub struct Oracle<'a> {
    /// Where the admin works.
    pub admin: usize,
    /// Nodes that may be asked and believed: others can be shut out for what they did.
    pub reliable: &'a BTreeSet<usize>,
    /// Links that stand.
    pub links: &'a BTreeSet<(usize, usize)>,
}

impl Oracle<'_> {
    /// Reliable nodes that hear of what the admin does.
    pub fn reached(&self) -> BTreeSet<usize> {
        let (mut reached, mut open) = (BTreeSet::from([self.admin]), vec![self.admin]);
        while let Some(index) = open.pop() {
            for &(a, b) in self.links {
                let other = match (a == index, b == index) {
                    (true, _) => b,
                    (_, true) => a,
                    _ => continue,
                };
                if self.reliable.contains(&other) && reached.insert(other) {
                    open.push(other);
                }
            }
        }
        reached
    }

    /// Whether those nodes hold every chunk of a release together.
    pub fn is_recoverable(&self, world: &World, release: &VirtualRelease) -> bool {
        let reached = self.reached();
        let map = release.chunk_map_hash();
        let has_map = reached.iter().any(|one| world.peek(*one).holds_blob(&map));
        let mut chunks = release.map.chunks.iter().enumerate();
        has_map
            && chunks.all(|(index, chunk)| {
                let right = Some(chunk.hash);
                let mut holders = reached.iter();
                holders.any(|one| {
                    world.peek(*one).chunk(&release.file, index as u32) == right
                        || world.peek(*one).holds_bytes(&chunk.hash)
                })
            })
    }
}

/// Of these nodes all run this release.
pub fn converged(
    world: &World,
    channel: &Name,
    able: &BTreeSet<usize>,
    expected: RecordId,
) -> Vec<Violation> {
    able.iter()
        .filter(|&&index| world.active(index, channel) != Some(expected))
        .map(|&index| {
            let status = world.node(index).map(weft_core::Node::status);
            Violation {
                checker: "convergence",
                at_us: world.now_us(),
                text: format!("node {index} did not converge on {expected}: {status:?}"),
            }
        })
        .collect()
}
