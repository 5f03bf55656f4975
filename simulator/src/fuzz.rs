//! Random faults from a seed: phase one breaks things while the safety checkers
//! watch, phase two heals everything and demands that the mesh converges.

use std::collections::BTreeMap;

use weft_core::Command;
use weft_record::{Action, Hash, Name, RecordId};

use crate::{
    checkers::{self, Violation},
    disk::VirtualDisk,
    mesh::{Admin, Base, NOW_S, VirtualRelease, YEAR_S},
    world::{NodeSpec, Outage, World},
};

/// How one run ended.
#[derive(Debug)]
pub struct Verdict {
    /// What was broken; empty when all held.
    pub violations: Vec<Violation>,
    /// The event-log hash.
    pub hash: Hash,
    /// Events of the run.
    pub events: u64,
    /// Virtual time that it took to converge.
    pub virtual_us: u64,
}

/// Virtual time of the phase with faults.
const CHAOS_US: u64 = 20_000_000;
/// Virtual time within which a healed mesh must converge: two digest intervals and
/// what the slowest fetch of these sizes takes.
const HEAL_US: u64 = 240_000_000;
/// It is looked whether it has so often.
const LOOK_US: u64 = 2_000_000;
/// Faults of a run.
const FAULTS: u64 = 16;

/// One run.
pub fn run(seed: u64) -> Verdict {
    let mut run = Run::new(seed);
    let (id, command) = run.admin.publish(&run.releases[0]);
    run.signed.insert(id, run.releases[0].clone());
    run.world.command(0, command);
    let (mut violations, channel) = (Vec::new(), run.admin.channel());
    for _ in 0..FAULTS {
        run.world.run(CHAOS_US / FAULTS, |_| false);
        run.break_something();
        let found = checkers::safety(&mut run.world, &channel, &run.signed);
        violations.extend(found);
    }
    run.heal();
    run.settle();
    violations.extend(checkers::safety(&mut run.world, &channel, &run.signed));
    let members = run.members();
    let digest = run.admin.trust().digest();
    let found = checkers::agreed(&run.world, &channel, &members, digest);
    violations.extend(found);
    if let Some(expected) = run.expected() {
        let able: Vec<usize> = members
            .iter()
            .copied()
            .filter(|&index| index != run.stale)
            .collect();
        let found = checkers::converged(&mut run.world, &channel, &able, expected);
        violations.extend(found);
    }
    let honest: Vec<usize> = (0..run.nodes).filter(|&one| one != run.corrupt).collect();
    violations.extend(checkers::no_blame(&run.world, &honest));
    for &index in &honest {
        violations.extend(checkers::no_refetch(&mut run.world, index));
    }
    let world = &run.world;
    let (hash, events, virtual_us) = (world.log_hash(), world.log().lines(), world.now_us());
    Verdict {
        violations,
        hash,
        events,
        virtual_us,
    }
}

/// A mesh, its admin, and what was done to them.
struct Run {
    draw: Draw,
    admin: Admin,
    world: World,
    nodes: usize,
    /// It answers with other bytes than asked for.
    corrupt: usize,
    /// Its enrolment runs out in the middle.
    lapsing: usize,
    /// Its clock is years ahead, so that it activates nothing.
    stale: usize,
    /// It joins by invitation.
    joiner: usize,
    /// Good ones; then a bad one; then one that a thief signs.
    releases: [VirtualRelease; 4],
    signed: BTreeMap<RecordId, VirtualRelease>,
    published: usize,
    down: Vec<usize>,
    /// How far the last sign of life was from the beginning.
    beacon_s: u64,
    revoked: Vec<usize>,
    /// The newest head before a key that signed it was lost.
    lost: Option<RecordId>,
    enrolled_anew: bool,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut draw = Draw { seed, drawn: 0 };
        let mut admin = Admin::new(seed);
        let mut world = World::new(seed, admin.mesh_id());
        let nodes = 12 + draw.below(6) as usize;
        let chunks = 32 + draw.below(64) as u32;
        let shared = draw.below(u64::from(chunks)) as u32;
        let releases = [
            VirtualRelease::new("1.0.0", chunks, 65_536, 0),
            VirtualRelease::new("1.1.0", chunks, 65_536, shared),
            VirtualRelease::new("1.2.0", chunks, 65_536, chunks / 2),
            VirtualRelease::new("6.6.6", chunks, 65_536, chunks / 2),
        ];
        // four different ones, none of them the first
        let first = draw.below(nodes as u64 - 1) as usize;
        let [corrupt, lapsing, stale, joiner] =
            [0, 1, 2, 3].map(|step| 1 + (first + step) % (nodes - 1));
        let mut registrar = admin.registrar();
        let invitation = registrar.invite(NOW_S + YEAR_S);
        for index in 0..nodes {
            let mut disk = VirtualDisk::default();
            if index == 0 {
                for release in &releases[..3] {
                    disk.preload(release);
                }
            }
            let uplink_bytes_per_sec = 500_000 + draw.below(4_000_000);
            let mut spec = NodeSpec {
                uplink_bytes_per_sec,
                corrupts: index == corrupt,
                registrar: index == 0,
                ..NodeSpec::default()
            };
            if index == stale {
                spec.wall_s += 2 * YEAR_S;
                spec.refuse_new_when_stale = true;
            }
            if index == joiner {
                spec.invitation = Some(invitation.clone());
                world.add_node(spec, disk);
            } else if index == lapsing {
                let mut records = admin.roots();
                let expires_s = NOW_S + draw.below(20);
                records.push(admin.enroll_until(world.secret_of(index).public(), expires_s));
                disk.save(records);
                world.add_node(spec, disk);
            } else {
                world.add_member(&mut admin, spec, disk);
            }
        }
        world.registrar = Some(registrar);
        // a ring, so that every cut leaves two halves, and a few chords
        for index in 0..nodes {
            world.connect(index, (index + 1) % nodes);
            world.connect(index, draw.other(nodes, index));
        }
        Self {
            draw,
            admin,
            world,
            nodes,
            corrupt,
            lapsing,
            stale,
            joiner,
            releases,
            signed: BTreeMap::new(),
            published: 1,
            down: Vec::new(),
            beacon_s: 0,
            revoked: Vec::new(),
            lost: None,
            enrolled_anew: false,
        }
    }

    fn break_something(&mut self) {
        match self.draw.below(16) {
            0..=2 => {
                let index = self.any();
                if self.world.is_up(index) {
                    let cut = self.draw.below(2) == 0;
                    let outage = if cut { Outage::PowerCut } else { Outage::Kill };
                    self.world.stop(index, outage);
                    self.down.push(index);
                }
            }
            3 | 4 => {
                if let Some(index) = self.down.pop() {
                    self.world.start(index);
                }
            }
            5 | 6 => {
                let side: Vec<usize> = (0..self.nodes)
                    .filter(|_| self.draw.below(2) == 0)
                    .collect();
                self.world.partition(&side);
            }
            7 => self.world.heal(),
            8 => {
                let index = self.any();
                let disk = self.world.disk(index);
                disk.full = !disk.full;
            }
            9 | 10 => self.publish(),
            11 => self.rotate(),
            12 => self.revoke(),
            13 => self.lose_a_key(),
            14 => self.steal(),
            _ => self.speak(),
        }
    }

    fn publish(&mut self) {
        if self.lost.is_some() {
            self.rotate();
        }
        if self.published > 2 {
            return;
        }
        let release = self.releases[self.published].clone();
        let (id, command) = if self.draw.below(2) == 0 {
            self.admin.publish_raised(&release)
        } else {
            self.admin.publish(&release)
        };
        if self.published == 2 {
            self.world.bad_models.insert(id);
        }
        self.published += 1;
        self.signed.insert(id, release);
        self.world.command(0, command);
    }

    /// New keys, with all that was trusted before; or, if a key was lost, up to there.
    fn rotate(&mut self) {
        let command = match self.lost.take() {
            Some(head) => self.admin.rotate(&["head", "release"], Base::Head(head)),
            None if self.draw.below(4) == 0 => {
                self.enrolled_anew = true;
                let command = self.admin.rotate(&["enroll"], Base::Keep);
                if let Some(registrar) = &mut self.world.registrar {
                    self.admin.renew_registrar(registrar);
                }
                command
            }
            None => self.admin.rotate(&["head", "release"], Base::Newest),
        };
        self.world.command(0, command);
    }

    /// A release, or a node.
    fn revoke(&mut self) {
        if self.draw.below(2) == 0 {
            let newest = self.expected_release();
            if let Some(release) = newest.filter(|_| self.lost.is_none()) {
                let command = self.admin.revoke_release(release);
                self.world.command(0, command);
            }
            return;
        }
        let node = self.any();
        let kept = [self.corrupt, self.lapsing, self.stale, self.joiner];
        if !kept.contains(&node) && self.revoked.is_empty() {
            self.revoked.push(node);
            let command = self.admin.revoke_key(self.world.key(node));
            self.world.command(0, command);
        }
    }

    /// The key of heads revokes itself: nothing new until a rotation.
    fn lose_a_key(&mut self) {
        if self.lost.is_none()
            && let Some(newest) = self.admin.newest()
        {
            self.lost = Some(newest);
            let command = self.admin.revoke_itself("head");
            self.world.command(0, command);
        }
    }

    /// Somebody signs with stolen keys, at some node.
    fn steal(&mut self) {
        if self.lost.is_none()
            && let Some(newest) = self.admin.newest()
        {
            self.lost = Some(newest);
            let mut thief = self.admin.thief(&[("head", 1), ("release", 1)]);
            let (id, command) = thief.forge(&self.releases[3]);
            self.signed.insert(id, self.releases[3].clone());
            let index = self.any();
            self.world.disk(index).preload(&self.releases[3]);
            self.world.command(index, command);
        }
    }

    /// A control or a sign of life.
    fn speak(&mut self) {
        let seconds = 1 + self.draw.below(40 * 24 * 3_600);
        let command = if self.draw.below(2) == 0 || self.admin.newest().is_none() {
            self.beacon_s += seconds;
            self.admin.beacon(NOW_S + self.beacon_s)
        } else {
            let number = (seconds % 200) as u32;
            self.admin.control(number, Action::Resume)
        };
        self.world.command(0, command);
    }

    fn heal(&mut self) {
        for index in 0..self.nodes {
            self.world.disk(index).full = false;
            if !self.world.is_up(index) {
                self.world.start(index);
            }
        }
        if self.lost.is_some() {
            self.rotate();
        }
        self.world.heal();
        self.world.relink();
        let all = (0..self.nodes).filter(|index| !self.revoked.contains(index));
        for index in all.collect::<Vec<_>>() {
            if index == self.lapsing || self.enrolled_anew && index != self.joiner {
                // by stick: others may not know the new key yet
                let mut records = self.admin.roots();
                records.push(self.admin.enroll(self.world.key(index)));
                self.world.command(index, Command::Import(records));
            }
        }
    }

    /// Lets the healed mesh run until all hold the same and run the same, or time is up.
    fn settle(&mut self) {
        let (members, expected) = (self.members(), self.expected());
        let (digest, channel) = (self.admin.trust().digest(), self.admin.channel());
        for _ in 0..HEAL_US / LOOK_US {
            self.world.run(LOOK_US, |_| false);
            let world = &self.world;
            let settled = members.iter().all(|&index| {
                let same = world.node(index).map(|node| node.trust().digest()) == Some(digest);
                let active = expected.is_none_or(|expected| {
                    index == self.stale || world.active(index, &channel) == Some(expected)
                });
                same && active
            });
            if settled {
                // a last look at what is void
                self.world.run(LOOK_US, |_| false);
                return;
            }
        }
    }

    /// All that must agree in the end. The corrupt one may be shut out.
    fn members(&self) -> Vec<usize> {
        let out = |index: &usize| *index == self.corrupt || self.revoked.contains(index);
        (0..self.nodes).filter(|index| !out(index)).collect()
    }

    /// What all must run in the end; a bad model runs nowhere, and nothing is expected
    /// where nothing counts.
    fn expected(&self) -> Option<RecordId> {
        let release = self.expected_release();
        release.filter(|release| !self.world.bad_models.contains(release))
    }

    fn expected_release(&self) -> Option<RecordId> {
        match self.admin.trust().verdict(&self.admin.channel()) {
            weft_record::Verdict::Go(head) => Some(head.release),
            _ => None,
        }
    }

    /// Any node but the first, at which the admin works.
    fn any(&mut self) -> usize {
        self.draw.other(self.nodes, 0).max(1)
    }
}

/// The channel that virtual meshes use.
pub fn channel() -> Name {
    "stable".parse().expect("a valid name")
}

/// Draws keyed by (seed, count): one more draw moves only those after it.
struct Draw {
    seed: u64,
    drawn: u64,
}

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        let hash = blake3::derive_key(
            "weft-sim fuzz",
            &[self.seed, self.drawn].map(u64::to_le_bytes).concat(),
        );
        u64::from_le_bytes(hash[..8].try_into().expect("eight bytes")) % bound
    }

    /// An index other than this one.
    fn other(&mut self, count: usize, not: usize) -> usize {
        (not + 1 + self.below(count as u64 - 1) as usize) % count
    }
}
