//! Hostile nodes that say what no real node says. The others (corrupt, withhold) are real
//! nodes whose bytes the world spoils on their way out.

use std::collections::BTreeMap;

use weft_core::{Command, Control, Message};
use weft_record::{Hash, TrustDigest};

use crate::{
    mesh::{Admin, VirtualRelease},
    payload::Virtual,
    scenario::Hostile,
    world::World,
};

/// All of them.
#[derive(Default)]
pub(super) struct Puppets {
    by_index: BTreeMap<usize, Puppet>,
    /// Chunks of each file that was published.
    files: BTreeMap<Hash, u32>,
    /// Two heads of one number, with their releases, once there are some.
    contending: Option<[Vec<Vec<u8>>; 2]>,
}

struct Puppet {
    kind: Hostile,
    enrolment: Vec<u8>,
    /// What it held when it was added: all that the stale kind ever shows.
    stale: Stale,
}

struct Stale {
    digest: TrustDigest,
    records: Vec<Vec<u8>>,
}

impl Puppets {
    pub(super) fn any(&self) -> bool {
        !self.by_index.is_empty()
    }

    pub(super) fn add(&mut self, index: usize, kind: Hostile, enrolment: Vec<u8>, admin: &Admin) {
        let stale = Stale {
            digest: admin.trust().digest(),
            records: admin.roots(),
        };
        let puppet = Puppet {
            kind,
            enrolment,
            stale,
        };
        self.by_index.insert(index, puppet);
    }

    /// A release is out: some will say that they hold it, some will sign against it.
    pub(super) fn published(&mut self, release: &VirtualRelease, admin: &Admin) {
        self.files
            .insert(release.file, release.map.chunks.len() as u32);
        let equivocates = |puppet: &Puppet| puppet.kind == Hostile::Equivocate;
        if self.contending.is_some() || !self.by_index.values().any(equivocates) {
            return;
        }
        let sides = ["666.0.1", "666.0.2"].map(|side| {
            let mut thief = admin.thief(&[("head", 1), ("release", 1)]);
            let chunk = release.map.chunks.first().map_or(1, |chunk| chunk.length);
            let forged = VirtualRelease::of_length(side, release.length, chunk);
            match thief.forge(&forged).1 {
                Command::Import(records) => records,
                _ => Vec::new(),
            }
        });
        self.contending = Some(sides);
    }

    /// Answers everything that puppets heard.
    pub(super) fn answer(&self, world: &mut World, admin: &Admin) {
        for (index, from, message) in std::mem::take(&mut world.heard) {
            let Some(puppet) = self.by_index.get(&index) else {
                continue;
            };
            for answer in self.answers(puppet, from, message, admin) {
                world.say(index, from, answer);
            }
        }
    }

    fn answers(
        &self,
        puppet: &Puppet,
        from: usize,
        message: Message<Virtual>,
        admin: &Admin,
    ) -> Vec<Message<Virtual>> {
        let control = match message {
            Message::Control(control) => control,
            Message::Get(chunk) => return vec![Message::Absent(chunk)],
            Message::GetBlob(hash) => return vec![Message::NoBlob(hash)],
            _ => return Vec::new(),
        };
        let told = match (control, puppet.kind) {
            (Control::Hello { .. }, _) => self.greeting(puppet, from, admin),
            // up to date, to be believed
            (Control::Digest(digest), Hostile::FakeHave) => vec![Control::Digest(digest)],
            (Control::Digest(_), Hostile::StaleHead) => {
                vec![Control::Digest(puppet.stale.digest)]
            }
            (Control::Digest(_), Hostile::Equivocate) => self.one_side(from),
            (Control::Have(_), Hostile::StaleHead) => {
                vec![Control::Records(puppet.stale.records.clone())]
            }
            (Control::Have(_), _) => vec![Control::Records(Vec::new())],
            (Control::Compare(sets), _) => vec![Control::Compared(sets)],
            (Control::Want(file), Hostile::FakeHave) => self.everything(file),
            _ => Vec::new(),
        };
        told.into_iter().map(Message::Control).collect()
    }

    fn greeting(&self, puppet: &Puppet, from: usize, admin: &Admin) -> Vec<Control> {
        let Some(root) = admin.trust().root() else {
            return Vec::new();
        };
        let hello = Control::Hello {
            mesh_id: admin.mesh_id(),
            root_version: root.version,
            root: root.id(),
            enrolment: Some(puppet.enrolment.clone()),
        };
        let mut told = vec![hello];
        if puppet.kind == Hostile::Equivocate {
            told.extend(self.one_side(from));
        }
        told
    }

    /// One neighbour in two is shown the other head.
    fn one_side(&self, from: usize) -> Vec<Control> {
        let sides = self.contending.as_ref();
        sides
            .map(|sides| Control::Records(sides[from % 2].clone()))
            .into_iter()
            .collect()
    }

    fn everything(&self, file: Hash) -> Vec<Control> {
        let Some(chunks) = self.files.get(&file) else {
            return Vec::new();
        };
        let mut bits = vec![0_u8; chunks.div_ceil(8) as usize];
        for chunk in 0..*chunks {
            bits[chunk as usize / 8] |= 1 << (chunk % 8);
        }
        vec![Control::Bits { file, bits }]
    }
}
