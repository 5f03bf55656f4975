//! A script at work: builds the mesh that it names, does what it says and when, and has the
//! checkers look at all that follows. Nothing is drawn here.

use std::collections::{BTreeMap, BTreeSet};

use weft_core::{ChunkRef, Command};
use weft_record::{Name, RecordId};

use super::script::{Action, Part, Script};
use crate::{
    checkers::{Subject, Violation, Watch},
    disk::VirtualDisk,
    journal::Journal,
    mesh::{Admin, NOW_S, VirtualRelease, YEAR_S},
    topology::Site,
    world::{NodeSpec, Outage, World},
};

/// A mesh, its admin, its thief, and what was done to them.
pub(super) struct Play<'a> {
    pub(super) script: &'a Script,
    pub(super) admin: Admin,
    pub(super) world: World,
    pub(super) watch: Watch,
    pub(super) subject: Subject,
    pub(super) releases: Vec<VirtualRelease>,
    /// Which release a record is of, whoever signed it.
    pub(super) signed: BTreeMap<RecordId, usize>,
    pub(super) published: Vec<RecordId>,
    /// All that was ever handed to a node.
    pub(super) archive: Vec<Vec<u8>>,
    /// What shows that a puppet belongs.
    pub(super) enrolments: BTreeMap<usize, Vec<u8>>,
    pub(super) revoked: BTreeSet<usize>,
    pub(super) revoked_releases: BTreeSet<RecordId>,
    /// Releases revoked that never were.
    pub(super) revoked_many: u64,
    /// The newest head before a key that signed it was lost.
    pub(super) lost: Option<RecordId>,
    /// Who has keys that were stolen, or lost, last.
    pub(super) thief: Option<Admin>,
    /// What a second admin signed, and the first does not know.
    pub(super) twin: Option<Command>,
    pub(super) enrolled_anew: bool,
    /// How far the last sign of life was from the beginning.
    pub(super) beacon_s: u64,
    pub(super) controls: BTreeSet<(RecordId, u32)>,
    pub(super) violation: Option<Violation>,
}

impl<'a> Play<'a> {
    pub(super) fn new(script: &'a Script) -> Self {
        let admin = Admin::with_threshold(script.seed, script.threshold);
        let mut world = World::new(script.seed, admin.mesh_id());
        world.journal = Some(Journal::default());
        let mut watch = Watch::new(admin.channel());
        watch.knowledge.vouch(&admin.roots());
        let releases: Vec<VirtualRelease> = script
            .releases
            .iter()
            .enumerate()
            .map(|(index, model)| {
                let version = format!("1.{index}.0");
                VirtualRelease::new(&version, model.chunks, script.chunk_bytes, model.shared)
            })
            .collect();
        let maps = releases.iter();
        let subject = Subject {
            maps: maps.map(|one| (one.file, one.map.clone())).collect(),
            ..Subject::default()
        };
        for (index, place) in script.sites.iter().enumerate() {
            // one is there from the beginning; nodes are in the others
            world.add_site(Site {
                name: format!("site {index}"),
                uplink_bytes_per_sec: place.uplink_bytes_per_sec,
                downlink_bytes_per_sec: place.uplink_bytes_per_sec,
                wan_round_trip_us: place.wan_round_trip_us,
                ..Site::default()
            });
        }
        let mut registrar = admin.registrar();
        let invitation = registrar.invite(NOW_S + YEAR_S);
        let mut play = Self {
            script,
            admin,
            world,
            watch,
            subject,
            releases,
            signed: BTreeMap::new(),
            published: Vec::new(),
            archive: Vec::new(),
            enrolments: BTreeMap::new(),
            revoked: BTreeSet::new(),
            revoked_releases: BTreeSet::new(),
            revoked_many: 0,
            lost: None,
            thief: None,
            twin: None,
            enrolled_anew: false,
            beacon_s: 0,
            controls: BTreeSet::new(),
            violation: None,
        };
        for index in 0..script.nodes.len() {
            play.enroll(index);
        }
        // all that was signed so far is known to be right
        play.world.share_memo(play.admin.memo());
        for index in 0..script.nodes.len() {
            let mut spec = play.spec_of(index);
            if script.nodes[index].role == Part::Joining {
                spec.invitation = Some(invitation.clone());
            }
            play.add_node(index, spec);
        }
        play.world.registrar = Some(registrar);
        for &(a, b) in &script.links {
            play.world.connect(a, b);
        }
        play
    }

    fn spec_of(&mut self, index: usize) -> NodeSpec {
        let node = &self.script.nodes[index];
        let is_puppet = matches!(node.role, Part::Hostile | Part::Spy);
        let is_stale = node.role == Part::Stale;
        if is_puppet {
            self.subject.puppets.insert(index);
        } else if node.role != Part::Corrupt {
            self.subject.honest.insert(index);
        }
        NodeSpec {
            site: node.site + 1,
            uplink_bytes_per_sec: node.uplink_bytes_per_sec,
            corrupts: node.role == Part::Corrupt,
            withholds: node.role == Part::Stalling,
            puppet: is_puppet,
            registrar: index == 0,
            refuse_new_when_stale: is_stale,
            wall_s: NOW_S + if is_stale { 2 * YEAR_S } else { 0 },
            ..NodeSpec::default()
        }
    }

    /// What shows that a node belongs, if it does.
    fn enroll(&mut self, index: usize) {
        let expires_s = match self.script.nodes[index].role {
            Part::Joining | Part::Spy => return,
            Part::Lapsing(after_s) => NOW_S + after_s,
            _ => NOW_S + 10 * YEAR_S,
        };
        let key = self.world.secret_of(index).public();
        let enrolment = self.admin.enroll_until(key, expires_s);
        let knowledge = &mut self.watch.knowledge;
        knowledge.vouch(std::slice::from_ref(&enrolment));
        self.enrolments.insert(index, enrolment);
    }

    fn add_node(&mut self, index: usize, spec: NodeSpec) {
        let lengths = self.releases.iter().map(|release| release.length);
        let longest_bytes = lengths.max().unwrap_or_default();
        let room_files = self.script.nodes[index].room_files;
        let mut disk = VirtualDisk::default();
        disk.quota_bytes = (room_files > 0).then(|| room_files.saturating_mul(longest_bytes));
        if index == 0 {
            for release in &self.releases {
                disk.preload(release);
            }
        }
        if let Some(enrolment) = self.enrolments.get(&index) {
            disk.save([self.admin.roots(), vec![enrolment.clone()]].concat());
        }
        self.world.add_node(spec, disk);
    }

    /// Lets time pass, and the checkers look; false once a promise is broken.
    pub(super) fn advance(&mut self, until_us: u64) -> bool {
        let (watch, subject, found) = (&mut self.watch, &self.subject, &mut self.violation);
        if found.is_none() {
            let limit_us = until_us.saturating_sub(self.world.now_us());
            self.world.run(limit_us, |world| {
                *found = watch.look(world, subject);
                found.is_some()
            });
        }
        self.violation.is_none()
    }

    /// Does one thing.
    pub(super) fn act(&mut self, action: &Action) {
        if self.names_nothing(action) {
            return;
        }
        match *action {
            Action::Kill { node } => self.stop(node, Outage::Kill),
            Action::PowerCut { node } => self.stop(node, Outage::PowerCut),
            Action::Start { node } => self.start(node),
            Action::Partition { ref side } => {
                let nodes = self.script.nodes.len();
                let side: Vec<usize> = side.iter().copied().filter(|one| *one < nodes).collect();
                self.world.partition(&side);
            }
            Action::Heal => self.world.heal(),
            Action::Unlink { a, b } => self.world.disconnect(a, b),
            Action::Link { a, b } => self.link(a, b),
            Action::DiskFull { node } => self.world.disk(node).full = true,
            Action::DiskFree { node } => self.world.disk(node).full = false,
            Action::Pin { node, release } => self.pin(node, release),
            Action::Rot {
                node,
                release,
                chunk,
            } => self.rot(node, release, chunk),
            Action::Uplink {
                site,
                bytes_per_sec,
            } => self.world.set_site(site + 1, bytes_per_sec, bytes_per_sec),
            Action::Publish { raised } => self.publish(raised),
            Action::PointBack => self.point_back(),
            Action::Rollback { lowers } => self.roll_back(lowers),
            Action::Twin { node } => self.sign_twice(node),
            Action::Rotate => self.rotate(),
            Action::RotateEnroll => self.rotate_enroll(),
            Action::RevokeRelease => self.revoke_release(),
            Action::RevokeMany { count } => self.revoke_many(count),
            Action::RevokeNode { node } => self.revoke_node(node),
            Action::LoseKey => self.lose_key(),
            Action::Steal {
                node,
                keys,
                doubled,
            } => self.steal(node, keys, doubled),
            Action::Equivocate { node } => self.equivocate(node),
            Action::KeepStealing { node } => self.forge(node, false),
            Action::Control { number } => self.control(number),
            Action::Beacon { ahead_s } => {
                self.beacon_s += ahead_s;
                let command = self.admin.beacon(NOW_S + self.beacon_s);
                self.hand(0, command);
            }
            Action::Hostile { from, to, says } => self.lie(from, to, says),
        }
        if self.violation.is_none() {
            self.violation = self.watch.look(&self.world, &self.subject);
        }
    }

    /// What a script names that was made smaller may not be there any more.
    fn names_nothing(&self, action: &Action) -> bool {
        let nodes = self.script.nodes.len();
        let is_puppet = |node: usize| self.subject.puppets.contains(&node);
        let absent = |node: usize| node >= nodes || is_puppet(node);
        match action {
            // the first is the admin's, which stays
            Action::Kill { node }
            | Action::PowerCut { node }
            | Action::DiskFull { node }
            | Action::Pin { node, .. }
            | Action::Rot { node, .. }
            | Action::RevokeNode { node } => *node == 0 || absent(*node),
            Action::Start { node }
            | Action::DiskFree { node }
            | Action::Twin { node }
            | Action::Steal { node, .. }
            | Action::Equivocate { node }
            | Action::KeepStealing { node } => absent(*node),
            Action::Unlink { a, b } | Action::Link { a, b } => *a >= nodes || *b >= nodes || a == b,
            Action::Uplink { site, .. } => *site >= self.script.sites.len(),
            Action::Hostile { from, to, .. } => *from >= nodes || !is_puppet(*from) || absent(*to),
            _ => false,
        }
    }

    /// Hands records to a node, as its owner would.
    pub(super) fn hand(&mut self, node: usize, command: Command) {
        if let Command::Import(envelopes) = &command {
            self.watch.knowledge.vouch(envelopes);
            self.archive.extend(envelopes.iter().cloned());
        }
        self.world.command(node, command);
    }

    fn stop(&mut self, node: usize, outage: Outage) {
        if self.world.is_up(node) {
            self.world.stop(node, outage);
        }
    }

    pub(super) fn start(&mut self, node: usize) {
        if !self.world.is_up(node) && !self.subject.puppets.contains(&node) {
            self.world.start(node);
        }
    }

    fn link(&mut self, a: usize, b: usize) {
        if self.script.links.contains(&(a.min(b), a.max(b))) {
            self.world.connect(a, b);
        }
    }

    fn pin(&mut self, node: usize, release: usize) {
        if let Some(id) = self.published.get(release) {
            self.world.pin(node, BTreeSet::from([*id]));
        }
    }

    fn rot(&mut self, node: usize, release: usize, chunk: u32) {
        let Some(file) = self.releases.get(release).map(|release| release.file) else {
            return;
        };
        if let Some(index) = self.world.peek(node).present_from(&file, chunk) {
            self.world.disk(node).rot(ChunkRef { file, index });
            self.subject.honest.remove(&node);
        }
    }

    pub(super) fn channel(&self) -> Name {
        self.admin.channel()
    }
}
