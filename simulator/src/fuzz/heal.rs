//! Phase two: everything is mended, and the mesh must converge.

use std::collections::BTreeSet;

use weft_core::Command;

use super::{play::Play, script::Part};
use crate::checkers::{self, Oracle, Violation};

/// Virtual time within which a healed mesh must converge: two digest intervals and what
/// the slowest fetch of these sizes takes.
const HEAL_US: u64 = 240_000_000;
/// It is looked whether it has so often.
const LOOK_US: u64 = 2_000_000;

impl Play<'_> {
    /// Mends all that went wrong.
    pub(super) fn heal(&mut self) {
        for (index, place) in self.script.sites.iter().enumerate() {
            let rate = place.uplink_bytes_per_sec;
            self.world.set_site(index + 1, rate, rate);
        }
        for index in 0..self.script.nodes.len() {
            self.world.disk(index).full = false;
            self.start(index);
        }
        self.settle_keys();
        self.world.heal();
        self.world.relink();
        for &(a, b) in &self.script.links {
            self.world.connect(a, b);
        }
        for index in 0..self.script.nodes.len() {
            let role = self.script.nodes[index].role;
            let anew = match role {
                Part::Lapsing(_) => true,
                Part::Joining | Part::Hostile | Part::Spy => false,
                _ => self.enrolled_anew,
            };
            if anew && !self.revoked.contains(&index) {
                // by stick: others may not know the new key yet
                let mut records = self.admin.roots();
                records.push(self.admin.enroll(self.world.key(index)));
                self.hand(index, Command::Import(records));
            }
        }
    }

    /// Lets the healed mesh run until all hold the same and run the same, or time is up;
    /// then holds it against what it promises.
    pub(super) fn settle(&mut self) -> Vec<Violation> {
        let links: BTreeSet<(usize, usize)> = self.script.links.iter().copied().collect();
        let reliable = self.reliable();
        let oracle = Oracle {
            admin: 0,
            reliable: &reliable,
            links: &links,
        };
        let members = oracle.reached();
        let expected = self.expected().filter(|id| {
            let release = &self.releases[self.signed[id]];
            oracle.is_recoverable(&self.world, release)
        });
        let stale = |index: &usize| self.script.nodes[*index].role == Part::Stale;
        let able: BTreeSet<usize> = members.iter().copied().filter(|one| !stale(one)).collect();
        let (digest, channel) = (self.admin.trust().digest(), self.channel());
        for _ in 0..HEAL_US / LOOK_US {
            if !self.advance(self.world.now_us() + LOOK_US) {
                break;
            }
            let world = &self.world;
            let same = |index: &usize| {
                let node = world.node(*index);
                node.map(|node| node.trust().digest()) == Some(digest)
            };
            let runs = |index: &usize| {
                expected.is_none_or(|expected| world.active(*index, &channel) == Some(expected))
            };
            // a disk that was full is tried again only after a while
            let void = |index: &usize| {
                let (node, slots) = (world.node(*index), world.slots(*index, &channel));
                let (Some(node), Some(slot)) = (node, slots.active) else {
                    return false;
                };
                let held = self.watch.knowledge.of(*index);
                held.is_some_and(|held| held.is_revoked(&slot.release, false))
                    || node.trust().is_void(&channel, slot.epoch, &slot.release)
            };
            let settled = members.iter().all(|one| same(one) && !void(one));
            if settled && able.iter().all(runs) {
                // a last look at what a reset left behind
                self.advance(self.world.now_us() + LOOK_US);
                break;
            }
        }
        if let Some(violation) = self.violation.take() {
            return vec![violation];
        }
        let knowledge = &self.watch.knowledge;
        let mut found = checkers::agreed(&self.world, &channel, &members, digest, knowledge);
        if let Some(expected) = expected {
            found.extend(checkers::converged(&self.world, &channel, &able, expected));
        }
        let site_of = |index: usize| self.script.nodes[index].site + 1;
        let chunk_bytes = u64::from(self.script.chunk_bytes);
        let sites = self.script.sites.len() + 1;
        found.extend(checkers::uplinks(&self.world, sites, site_of, chunk_bytes));
        found
    }

    /// Nodes that others have no reason to shut out, and that answer.
    fn reliable(&self) -> BTreeSet<usize> {
        let honest = self.subject.honest.iter().copied();
        let answers = honest.filter(|index| self.script.nodes[*index].role != Part::Stalling);
        answers
            .filter(|index| !self.revoked.contains(index))
            .collect()
    }
}
