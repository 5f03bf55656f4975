//! An admin with keys, and releases whose bytes are not there.

use std::{collections::BTreeMap, sync::Arc};

use weft_core::Command;
use weft_keys::{PublicKey, SecretKey};
use weft_record::{
    Action, Admission, Beacon, BeaconHead, ChunkEntry, ChunkMap, Control, Envelope, FileEntry,
    Hash, Head, Kind, Lineage, Memo, MeshId, Name, PrivacyFloors, Probe, ProbeLimits, ProbeSet,
    RecordId, Release, Requires, Reset, Revoke, RevokeTarget, Role, Root, Scope, Trust, Validity,
    Variant, Verified, codec, head_after, mesh_id_of, next_head, next_root, seal,
};

use crate::registrar::{Registrar, enrolment};

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
    memo: Memo,
    enrolled: BTreeMap<PublicKey, u32>,
    /// Releases signed so far: the security counter of the next.
    published: u64,
    /// Every head that it signed, and its release: those that lost their signer too.
    archive: BTreeMap<RecordId, [Envelope; 2]>,
}

/// What a rotation trusts of the channel's heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// No reset: signers stay, or what they signed no longer counts.
    Keep,
    /// All heads up to the newest.
    Newest,
    /// Those up to this one.
    Head(RecordId),
}

/// A release of one file.
#[derive(Clone, Debug)]
pub struct VirtualRelease {
    /// Its display version.
    pub version: String,
    /// BLAKE3 that stands for the whole file.
    pub file: Hash,
    /// Length of the file.
    pub length: u64,
    /// Its chunks.
    pub map: Arc<ChunkMap>,
    /// What a machine needs to run it.
    pub requires: Requires,
}

impl VirtualRelease {
    /// A file of `chunks` chunks of `chunk_bytes` each; the first `shared` of them are
    /// the same in every version of this size.
    pub fn new(version: &str, chunks: u32, chunk_bytes: u32, shared: u32) -> Self {
        let entries = (0..chunks).map(|index| {
            let version = if index < shared { "shared" } else { version };
            let hash = Hash::of(format!("{version} {index} {chunk_bytes}").as_bytes());
            ChunkEntry {
                length: chunk_bytes,
                hash,
            }
        });
        let map = ChunkMap {
            chunks: entries.collect(),
        };
        let file = Hash::of(format!("file of {}", map.hash()).as_bytes());
        let length = u64::from(chunks) * u64::from(chunk_bytes);
        Self {
            version: version.to_owned(),
            file,
            length,
            map: Arc::new(map),
            requires: Requires::default(),
        }
    }

    /// A file whose first `shared` chunks are those of this one, where both have them.
    #[must_use]
    pub fn followed_by(&self, version: &str, length: u64, chunk_bytes: u32, shared: u32) -> Self {
        let own = Self::of_length(version, length, chunk_bytes);
        let common = self.map.chunks.iter().zip(&own.map.chunks);
        let common = common
            .take(shared as usize)
            .take_while(|(old, new)| old.length == new.length)
            .map(|(old, _)| *old);
        let mut chunks: Vec<ChunkEntry> = common.collect();
        chunks.extend_from_slice(&own.map.chunks[chunks.len()..]);
        Self::of_chunks(version, ChunkMap { chunks })
    }

    /// A file of this length, in chunks of `chunk_bytes`; the last may be shorter.
    pub fn of_length(version: &str, length: u64, chunk_bytes: u32) -> Self {
        let count = length.div_ceil(u64::from(chunk_bytes));
        let chunks = (0..count).map(|index| {
            let left = length - index * u64::from(chunk_bytes);
            let hash = Hash::of(format!("{version} {index} {chunk_bytes}").as_bytes());
            ChunkEntry {
                length: left.min(u64::from(chunk_bytes)) as u32,
                hash,
            }
        });
        let chunks = chunks.collect();
        Self::of_chunks(version, ChunkMap { chunks })
    }

    fn of_chunks(version: &str, map: ChunkMap) -> Self {
        let lengths = map.chunks.iter().map(|chunk| u64::from(chunk.length));
        Self {
            version: version.to_owned(),
            file: Hash::of(format!("file of {}", map.hash()).as_bytes()),
            length: lengths.sum(),
            map: Arc::new(map),
            requires: Requires::default(),
        }
    }

    /// The name of its chunk map.
    pub fn chunk_map_hash(&self) -> Hash {
        Hash::of(&self.map.encode())
    }
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
            memo: Memo::default(),
            enrolled: BTreeMap::new(),
            published: 0,
            archive: BTreeMap::new(),
        };
        let root = admin.sign_root(&genesis);
        admin.admit(&root);
        admin
    }

    /// The same keys in a second place, where nothing of the first is seen from now on: a
    /// careless admin, or a thief.
    #[must_use]
    pub fn twin(&self) -> Self {
        let mut memo = self.memo.clone();
        let mut trust = Trust::new(self.mesh_id);
        for envelope in self.trust.records() {
            trust
                .admit(envelope.clone(), NOW_S, &mut memo)
                .expect("an own record is admitted");
        }
        let copy = |key: &SecretKey| SecretKey::from_seed(*key.seed());
        let keys = self.keys.iter();
        Self {
            seed: self.seed,
            root_key: copy(&self.root_key),
            keys: keys
                .map(|(name, own)| (*name, own.iter().map(copy).collect()))
                .collect(),
            made: self.made,
            trust,
            mesh_id: self.mesh_id,
            memo,
            enrolled: self.enrolled.clone(),
            published: self.published,
            archive: self.archive.clone(),
        }
    }

    /// The same, but with only these keys of each role: what a thief has.
    #[must_use]
    pub fn thief(&self, kept: &[(&'static str, usize)]) -> Self {
        let mut thief = self.twin();
        for (name, own) in &mut thief.keys {
            let found = kept.iter().find(|(kept, _)| kept == name);
            own.truncate(found.map_or(0, |(_, count)| *count));
        }
        thief
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
        crate::fuzz::channel()
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

    /// Signs a release and a head without asking whether anybody would accept them.
    pub fn forge(&mut self, release: &VirtualRelease) -> (RecordId, Command) {
        let record = release.record(self.published);
        self.published += 1;
        let release = self.sign("release", Kind::Release, codec::encode(&record));
        let id = release.record_id();
        let _ = self.trust.admit(release.clone(), NOW_S, &mut self.memo);
        let newest = self
            .trust
            .head(&self.channel())
            .map(|head| (**head).clone());
        // what it signed may lack signatures, so that not even the thief accepts it
        let named = (id, record.counter);
        let head = head_after(&self.trust, &self.channel(), named, Hash::ZERO, NOW_S);
        let head = head.ok().or(newest.map(|newest| Head {
            seq: newest.seq + 1,
            release: id,
            ..newest
        }));
        let head = head.map(|head| self.sign("head", Kind::Head, codec::encode(&head)));
        let records = [Some(release), head].into_iter().flatten();
        (
            id,
            Command::Import(records.map(|one| one.encode()).collect()),
        )
    }

    /// A head for the next place whose floor is this, whatever its release's counter is:
    /// what a thief, or an admin without a verifier, would sign.
    pub fn force(&mut self, release: RecordId, floor: u64) -> Option<Command> {
        let newest = self.trust.head(&self.channel()).cloned()?;
        let proper = next_head(
            &self.trust,
            &self.channel(),
            newest.release,
            Hash::ZERO,
            NOW_S,
        );
        let head = Head {
            release,
            counter_floor: floor,
            ..proper.ok()?
        };
        let head = self.sign("head", Kind::Head, codec::encode(&head));
        Some(Command::Import(vec![head.encode()]))
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

    /// A root with new keys for these roles.
    pub fn rotate(&mut self, roles: &[&'static str], base: Base) -> Command {
        let mut root = next_root(&self.trust).expect("a root is known");
        for name in roles {
            let count = self.keys[name].len().max(1);
            let fresh: Vec<SecretKey> = (0..count)
                .map(|_| make_key(self.seed, &mut self.made))
                .collect();
            let role = root
                .roles
                .iter_mut()
                .find(|role| role.name.as_str() == *name);
            role.expect("a known role").keys = public_keys(&fresh);
            self.keys.insert(name, fresh);
        }
        match base {
            Base::Keep => root.resets = self.standing_resets(),
            Base::Newest => {}
            Base::Head(head) => {
                let channel = self.channel();
                let epoch = self.trust.epoch(&channel) + 1;
                root.resets = vec![Reset {
                    channel,
                    epoch,
                    base: Some(head),
                }];
            }
        }
        let mut command = self.renew(root);
        // the base may have lost its signer, and with it its place everywhere
        if let (Base::Head(head), Command::Import(records)) = (base, &mut command)
            && let Some(pair) = self.archive.get(&head).cloned()
        {
            for envelope in pair {
                let admitted = self.trust.admit(envelope.clone(), NOW_S, &mut self.memo);
                assert!(admitted.is_ok(), "what a reset names: {admitted:?}");
                records.push(envelope.encode());
            }
        }
        command
    }

    /// A root that is valid between these seconds.
    pub fn renew_for(&mut self, from_s: u64, until_s: u64) -> Command {
        let mut root = next_root(&self.trust).expect("a root is known");
        root.resets = self.standing_resets();
        root.validity = Validity { from_s, until_s };
        self.renew(root)
    }

    /// Revokes a key, signed by the key of the root.
    pub fn revoke_key(&mut self, key: PublicKey) -> Command {
        let signed = Self::revocation(RevokeTarget::Key(key));
        let envelope = seal(Kind::Revoke, self.mesh_id, signed, &[&self.root_key]);
        self.admit(&envelope);
        Command::Import(vec![envelope.encode()])
    }

    /// Revokes a key of a role, signed by itself.
    pub fn revoke_itself(&mut self, role: &'static str) -> Command {
        let signed = Self::revocation(RevokeTarget::Key(self.key(role)));
        let own = &self.keys[role][0];
        let envelope = seal(Kind::Revoke, self.mesh_id, signed, &[own]);
        self.admit(&envelope);
        Command::Import(vec![envelope.encode()])
    }

    /// Revokes a release.
    pub fn revoke_release(&mut self, release: RecordId) -> Command {
        let signed = Self::revocation(RevokeTarget::Release(release));
        let envelope = self.sign("release", Kind::Revoke, signed);
        self.admit(&envelope);
        Command::Import(vec![envelope.encode()])
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

    /// Resets that the newest root names: to name them again changes nothing.
    fn standing_resets(&self) -> Vec<Reset> {
        let root = self.trust.root().expect("a root is known");
        root.resets.clone()
    }

    fn renew(&mut self, root: Root) -> Command {
        let envelope = self.sign_root(&root);
        self.admit(&envelope);
        Command::Import(vec![envelope.encode()])
    }

    fn revocation(target: RevokeTarget) -> Vec<u8> {
        codec::encode(&Revoke {
            target,
            reason: "lost".to_owned(),
            issued_at_s: NOW_S,
        })
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

impl VirtualRelease {
    fn record(&self, counter: u64) -> Release {
        let file = FileEntry {
            path: "model.gguf".to_owned(),
            length: self.length,
            blake3: self.file,
            chunk_map: self.chunk_map_hash(),
        };
        let variant = Variant {
            quantization: "q8_0".parse().expect("a valid name"),
            files: vec![file],
            requires: self.requires.clone(),
        };
        let probe = Probe {
            prompt: "P-101 temp 99C>85".to_owned(),
            max_tokens: 8,
            expected: vec![vec![1, 2, 3]],
        };
        Release {
            model: "virtual".parse().expect("a valid name"),
            version: self.version.clone(),
            counter,
            variants: vec![variant],
            tokenizer: None,
            template: None,
            base: None,
            probe_set: ProbeSet {
                probes: vec![probe],
                limits: ProbeLimits {
                    min_match_bp: 10_000,
                    ..ProbeLimits::default()
                },
            },
            lineage: Lineage::default(),
            notes: String::new(),
            licence: "Apache-2.0".to_owned(),
        }
    }
}
