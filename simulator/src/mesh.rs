//! An admin with keys: its own records here, releases, rotations and thieves in files of
//! their own.

mod release;
mod rotation;
mod theft;

use std::collections::BTreeMap;

use weft_core::Command;
use weft_keys::{PublicKey, SecretKey};
use weft_record::{
    Action, Admission, Beacon, BeaconHead, Control, Envelope, Hash, Kind, Memo, MeshId, Name,
    PrivacyFloors, RecordId, Role, Root, Scope, Trust, Validity, Verified, codec, mesh_id_of,
    next_head, seal,
};

use crate::registrar::{Registrar, enrolment};

pub use release::{VirtualDelta, VirtualRelease};
pub use rotation::Base;

/// When virtual meshes are made, seconds since 1970.
pub const NOW_S: u64 = 1_800_000_000;
/// A year, in seconds.
pub const YEAR_S: u64 = 365 * 24 * 3_600;

/// Signs everything of a virtual mesh; its keys come from a seed. Each role has keys of its
/// own, so that a test can lose one of them.
pub struct Admin {
    seed: u64,
    root_key: SecretKey,
    keys: BTreeMap<&'static str, Vec<SecretKey>>,
    /// Keys made so far.
    made: u64,
    trust: Trust,
    mesh_id: MeshId,
    /// Where it publishes.
    channel: Name,
    memo: Memo,
    enrolled: BTreeMap<PublicKey, u32>,
    /// Releases signed so far: the security counter of the next.
    published: u64,
    /// Every head that it signed, and its release: those that lost their signer too.
    archive: BTreeMap<RecordId, [Envelope; 2]>,
}

impl Admin {
    /// A mesh in which one key of each role is enough.
    pub fn new(seed: u64) -> Self {
        Self::with_threshold(seed, 1)
    }

    /// A mesh in which so many keys must sign each release and each head.
    pub fn with_threshold(seed: u64, threshold: u16) -> Self {
        let mut made = 0;
        let mut keys: BTreeMap<&str, Vec<SecretKey>> = BTreeMap::new();
        let root_key = make_key(seed, &mut made);
        for (name, _) in ROLES {
            let count = threshold_of(name, threshold);
            let own = (0..count).map(|_| make_key(seed, &mut made)).collect();
            keys.insert(name, own);
        }
        let roles = ROLES
            .iter()
            .map(|(name, kinds)| Role {
                name: name.parse().expect("a valid name"),
                keys: public_keys(&keys[name]),
                threshold: threshold_of(name, threshold),
                kinds: kinds.iter().map(|kind| kind.number()).collect(),
                channels: Scope::All,
                sites: Scope::All,
            })
            .collect();
        let validity = Validity {
            from_s: NOW_S,
            until_s: NOW_S + YEAR_S,
        };
        let privacy = PrivacyFloors {
            k: 20,
            k_site_bp: 5_000,
            epsilon_milli: 1_000,
        };
        let genesis = Root::genesis(vec![root_key.public()], 1, roles, validity, privacy)
            .expect("a valid root");
        let mesh_id = mesh_id_of(&genesis);
        let mut admin = Self {
            seed,
            root_key,
            keys,
            made,
            trust: Trust::new(mesh_id),
            mesh_id,
            channel: crate::fuzz::channel(),
            memo: Memo::default(),
            enrolled: BTreeMap::new(),
            published: 0,
            archive: BTreeMap::new(),
        };
        let root = admin.sign_root(&genesis);
        admin.admit(&root);
        admin
    }

    /// Admits what was published elsewhere.
    pub fn learn(&mut self, published: &Command) {
        let Command::Import(envelopes) = published else {
            return;
        };
        for bytes in envelopes {
            let envelope = Envelope::decode(bytes).expect("an own record");
            self.trust
                .admit(envelope, NOW_S, &mut self.memo)
                .expect("an own record is admitted");
        }
    }

    /// The mesh.
    pub fn mesh_id(&self) -> MeshId {
        self.mesh_id
    }

    /// What it signed, and what counts of it.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Signatures that it checked: nodes that begin with them check none twice.
    pub fn memo(&self) -> &Memo {
        &self.memo
    }

    /// The channel that it publishes on.
    pub fn channel(&self) -> Name {
        self.channel.clone()
    }

    /// Publishes on another channel from now on.
    pub fn turn_to(&mut self, channel: Name) {
        self.channel = channel;
    }

    /// A key of a role.
    pub fn key(&self, role: &str) -> PublicKey {
        self.keys[role][0].public()
    }

    /// All roots, encoded.
    pub fn roots(&self) -> Vec<Vec<u8>> {
        let roots = self.trust.root_chain().iter();
        roots.map(|root| root.envelope().encode()).collect()
    }

    /// Enrolls a node for longer than any run lasts.
    pub fn enroll(&mut self, node: PublicKey) -> Vec<u8> {
        self.enroll_until(node, NOW_S + 10 * YEAR_S)
    }

    /// Enrolls a node until this second.
    pub fn enroll_until(&mut self, node: PublicKey, expires_s: u64) -> Vec<u8> {
        let number = self.enrolled.entry(node).or_default();
        let record = enrolment(node, *number, expires_s);
        *number += 1;
        let envelope = self.sign("enroll", Kind::Enroll, codec::encode(&record));
        self.admit(&envelope);
        envelope.encode()
    }

    /// Enrolls a node without keeping that: for fleets so large that one admin's copy of
    /// every enrolment would weigh.
    pub fn enroll_apart(&self, node: PublicKey) -> Vec<u8> {
        let record = enrolment(node, 0, NOW_S + 10 * YEAR_S);
        let envelope = self.sign("enroll", Kind::Enroll, codec::encode(&record));
        envelope.encode()
    }

    /// What enrolls nodes by invitation, with the key that does so now.
    pub fn registrar(&self) -> Registrar {
        let key = SecretKey::from_seed(*self.keys["enroll"][0].seed());
        Registrar::new(key, self.mesh_id)
    }

    /// Hands the key that enrolls now to whoever answers invitations.
    pub fn renew_registrar(&self, registrar: &mut Registrar) {
        let key = SecretKey::from_seed(*self.keys["enroll"][0].seed());
        registrar.renew(key);
    }

    /// Signs the release and a head that names it: the release's id, and what an admin
    /// hands to a node.
    pub fn publish(&mut self, release: &VirtualRelease) -> (RecordId, Command) {
        self.publish_at(release, None)
    }

    /// The same, and no release with a lower counter is allowed after it.
    pub fn publish_raised(&mut self, release: &VirtualRelease) -> (RecordId, Command) {
        self.publish_at(release, Some(self.published))
    }

    fn publish_at(&mut self, release: &VirtualRelease, floor: Option<u64>) -> (RecordId, Command) {
        let record = release.record(self.published);
        self.published += 1;
        let release = self.sign("release", Kind::Release, codec::encode(&record));
        let id = release.record_id();
        self.admit(&release);
        let head = self.head(id, floor);
        let roots = self.roots();
        let records = [&release, &head].map(Envelope::encode);
        (id, Command::Import([roots, records.to_vec()].concat()))
    }

    /// Takes in what was published elsewhere, as far as it counts here.
    pub fn hear(&mut self, published: &Command) {
        let Command::Import(envelopes) = published else {
            return;
        };
        for envelope in envelopes
            .iter()
            .filter_map(|one| Envelope::decode(one).ok())
        {
            let id = envelope.record_id();
            let admitted = self.trust.admit(envelope.clone(), NOW_S, &mut self.memo);
            if matches!(admitted, Ok(Admission::New(Kind::Head, _)))
                && let Some(named) = self.release_of(&id)
            {
                self.archive.insert(id, [envelope, named]);
            }
        }
    }

    /// A head that names a release once more.
    pub fn point_at(&mut self, release: RecordId) -> Command {
        let head = self.head(release, None);
        Command::Import(vec![head.encode()])
    }

    /// Whether a head may name this release now.
    pub fn may_point_at(&self, release: RecordId) -> bool {
        next_head(&self.trust, &self.channel(), release, Hash::ZERO, NOW_S).is_ok()
    }

    /// The newest head.
    pub fn newest(&self) -> Option<RecordId> {
        self.trust.head(&self.channel()).map(Verified::id)
    }

    /// Pauses or resumes the rollout of the newest head.
    pub fn control(&mut self, number: u32, action: Action) -> Command {
        let control = Control {
            channel: self.channel(),
            head: self.newest().expect("a head was published"),
            number,
            action,
            reason: String::new(),
            issued_at_s: NOW_S,
        };
        let envelope = self.sign("control", Kind::Control, codec::encode(&control));
        self.admit(&envelope);
        Command::Import(vec![envelope.encode()])
    }

    /// A sign of life that names the newest head.
    pub fn beacon(&mut self, issued_at_s: u64) -> Command {
        let newest = self.trust.head(&self.channel());
        let heads = newest.map(|head| BeaconHead {
            channel: head.channel.clone(),
            epoch: head.epoch,
            seq: head.seq,
            head: head.id(),
        });
        let beacon = Beacon {
            issued_at_s,
            heads: heads.into_iter().collect(),
        };
        let envelope = self.sign("beacon", Kind::Beacon, codec::encode(&beacon));
        self.admit(&envelope);
        Command::Import(vec![envelope.encode()])
    }

    fn release_of(&self, head: &RecordId) -> Option<Envelope> {
        let mut heads = self.trust.heads(&self.channel()).iter();
        let head = heads.find(|held| held.id() == *head)?;
        let release = self.trust.release(&head.release)?;
        Some(release.envelope().clone())
    }

    fn head(&mut self, release: RecordId, floor: Option<u64>) -> Envelope {
        let head = next_head(&self.trust, &self.channel(), release, Hash::ZERO, NOW_S);
        let mut head = head.expect("the release is known");
        head.counter_floor = floor.unwrap_or(head.counter_floor);
        let head = self.sign("head", Kind::Head, codec::encode(&head));
        self.admit(&head);
        let named = self.trust.release(&release).map(Verified::envelope);
        let named = named.expect("the release is known").clone();
        self.archive.insert(head.record_id(), [head.clone(), named]);
        head
    }

    fn sign_root(&self, root: &Root) -> Envelope {
        seal(
            Kind::Root,
            self.mesh_id,
            codec::encode(root),
            &[&self.root_key],
        )
    }

    fn sign(&self, role: &str, kind: Kind, body: Vec<u8>) -> Envelope {
        let keys: Vec<&SecretKey> = self.keys[role].iter().collect();
        seal(kind, self.mesh_id, body, &keys)
    }

    fn admit(&mut self, envelope: &Envelope) {
        let admitted = self.trust.admit(envelope.clone(), NOW_S, &mut self.memo);
        assert!(
            matches!(admitted, Ok(Admission::New(..))),
            "an own record: {admitted:?}"
        );
    }
}

/// Roles and what they may sign.
const ROLES: [(&str, &[Kind]); 5] = [
    ("beacon", &[Kind::Beacon]),
    ("control", &[Kind::Control]),
    ("enroll", &[Kind::Enroll, Kind::EnrollRoot, Kind::Revoke]),
    ("head", &[Kind::Head]),
    ("release", &[Kind::Release, Kind::Revoke]),
];

fn threshold_of(role: &str, threshold: u16) -> u16 {
    if matches!(role, "head" | "release") {
        threshold
    } else {
        1
    }
}

fn make_key(seed: u64, made: &mut u64) -> SecretKey {
    *made += 1;
    let place = [seed, *made].map(u64::to_le_bytes).concat();
    SecretKey::from_seed(blake3::derive_key("weft-sim admin key", &place))
}

fn public_keys(keys: &[SecretKey]) -> Vec<PublicKey> {
    let mut public: Vec<PublicKey> = keys.iter().map(SecretKey::public).collect();
    public.sort_unstable();
    public
}
