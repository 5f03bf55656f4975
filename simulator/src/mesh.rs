//! An admin with keys, and releases whose bytes are not there.

use std::sync::Arc;

use weft_core::Command;
use weft_keys::SecretKey;
use weft_record::{
    Admission, ChunkEntry, ChunkMap, Envelope, FileEntry, Hash, Kind, Lineage, Memo, MeshId, Name,
    PrivacyFloors, Probe, ProbeLimits, ProbeSet, RecordId, Release, Requires, Role, Root, Scope,
    Trust, Validity, Variant, codec, mesh_id_of, next_head, seal,
};

/// When virtual meshes are made, seconds since 1970.
const NOW_S: u64 = 1_800_000_000;
const YEAR_S: u64 = 365 * 24 * 3_600;

/// Signs everything of a virtual mesh; its key comes from a seed.
pub struct Admin {
    key: SecretKey,
    trust: Trust,
    mesh_id: MeshId,
    root: Envelope,
    memo: Memo,
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

    /// The name of its chunk map.
    pub fn chunk_map_hash(&self) -> Hash {
        Hash::of(&self.map.encode())
    }
}

impl Admin {
    /// A mesh of one admin key, made from a seed.
    pub fn new(seed: u64) -> Self {
        let bytes = blake3::derive_key("weft-sim admin key", &seed.to_le_bytes());
        let key = SecretKey::from_seed(bytes);
        let role = |name: &str, kind: Kind| Role {
            name: name.parse().expect("a valid name"),
            keys: vec![key.public()],
            threshold: 1,
            kinds: vec![kind.number()],
            channels: Scope::All,
            sites: Scope::All,
        };
        let roles = vec![role("head", Kind::Head), role("release", Kind::Release)];
        let validity = Validity {
            from_s: NOW_S,
            until_s: NOW_S + YEAR_S,
        };
        let genesis = Root::genesis(
            vec![key.public()],
            1,
            roles,
            validity,
            PrivacyFloors {
                k: 20,
                k_site_bp: 5_000,
                epsilon_milli: 1_000,
            },
        )
        .expect("a valid root");
        let mesh_id = mesh_id_of(&genesis);
        let root = seal(Kind::Root, mesh_id, codec::encode(&genesis), &[&key]);
        let (mut trust, mut memo) = (Trust::new(mesh_id), Memo::default());
        trust
            .admit(root.clone(), NOW_S, &mut memo)
            .expect("an own root is admitted");
        Self {
            key,
            trust,
            mesh_id,
            root,
            memo,
        }
    }

    /// The same key in a second place, where nothing of the first is seen from now on.
    #[must_use]
    pub fn twin(&self) -> Self {
        let (mut trust, mut memo) = (Trust::new(self.mesh_id), Memo::default());
        for envelope in self.trust.records() {
            trust
                .admit(envelope.clone(), NOW_S, &mut memo)
                .expect("an own record is admitted");
        }
        let key = SecretKey::from_seed(*self.key.seed());
        Self {
            key,
            trust,
            mesh_id: self.mesh_id,
            root: self.root.clone(),
            memo,
        }
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

    /// The channel that it publishes on.
    pub fn channel(&self) -> Name {
        "stable".parse().expect("a valid name")
    }

    /// Signs the release and a head that names it: the release's id, and what an admin
    /// hands to a node.
    pub fn publish(&mut self, release: &VirtualRelease) -> (RecordId, Command) {
        let record = release.record(self.trust.releases().count() as u64);
        let release = seal(
            Kind::Release,
            self.mesh_id,
            codec::encode(&record),
            &[&self.key],
        );
        let id = release.record_id();
        self.admit(&release);
        let head = next_head(&self.trust, &self.channel(), id, Hash::ZERO, NOW_S)
            .expect("the release is known");
        let head = seal(Kind::Head, self.mesh_id, codec::encode(&head), &[&self.key]);
        self.admit(&head);
        (
            id,
            Command::Import([&self.root, &release, &head].map(Envelope::encode).to_vec()),
        )
    }

    fn admit(&mut self, envelope: &Envelope) {
        let admitted = self.trust.admit(envelope.clone(), NOW_S, &mut self.memo);
        assert!(
            matches!(admitted, Ok(Admission::New(..))),
            "an own record: {admitted:?}"
        );
    }
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
