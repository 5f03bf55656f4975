//! A mesh to test with: its keys come from seeds, so every record is the same in
//! every run.

use weft_keys::{PublicKey, SecretKey};
use weft_record::{
    Admission, Delta, Envelope, FileEntry, Hash, Head, Kind, Lineage, Memo, MeshId, Name,
    PrivacyFloors, Probe, ProbeLimits, ProbeSet, RecordId, Refusal, Release, Requires, Role, Root,
    Scope, Trust, Validity, Variant, codec, next_head, seal,
};

pub(crate) const NOW_S: u64 = 1_790_000_000;

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

/// Seeds of the keys of each role.
pub(crate) const ROOT: [u8; 3] = [1, 2, 3];
pub(crate) const RELEASE: [u8; 1] = [10];
pub(crate) const HEAD: [u8; 2] = [20, 21];
pub(crate) const BETA_HEAD: [u8; 1] = [25];

pub(crate) fn public(seeds: &[u8]) -> Vec<PublicKey> {
    let mut keys: Vec<PublicKey> = seeds.iter().map(|seed| key(*seed).public()).collect();
    keys.sort_unstable();
    keys
}

pub(crate) fn role(text: &str, seeds: &[u8], threshold: u16, kind: Kind, channels: Scope) -> Role {
    Role {
        name: name(text),
        keys: public(seeds),
        threshold,
        kinds: vec![kind as u8],
        channels,
        sites: Scope::All,
    }
}

/// Releases by one key, heads of `stable` by two of two, heads of `beta` by one.
pub(crate) fn genesis() -> Root {
    let beta = Scope::Only(vec![name("beta")]);
    let stable = Scope::Only(vec![name("stable")]);
    let roles = vec![
        role("release", &RELEASE, 1, Kind::Release, Scope::All),
        role("head", &HEAD, 2, Kind::Head, stable),
        role("beta", &BETA_HEAD, 1, Kind::Head, beta),
    ];
    let validity = Validity {
        from_s: NOW_S - 1000,
        until_s: NOW_S + 1000,
    };
    let privacy = PrivacyFloors {
        k: 20,
        k_site_bp: 2500,
        epsilon_milli: 1000,
    };
    Root::genesis(public(&ROOT), 2, roles, validity, privacy).unwrap()
}

pub(crate) fn sealed<T: serde::Serialize>(
    kind: Kind,
    mesh_id: MeshId,
    record: &T,
    seeds: &[u8],
) -> Envelope {
    let keys: Vec<SecretKey> = seeds.iter().map(|seed| key(*seed)).collect();
    seal(
        kind,
        mesh_id,
        codec::encode(record),
        &keys.iter().collect::<Vec<_>>(),
    )
}

pub(crate) fn file(path: &str, content: &str) -> FileEntry {
    FileEntry {
        path: path.to_owned(),
        length: 1 + content.len() as u64,
        blake3: Hash::of(content.as_bytes()),
        chunk_map: Hash::of(format!("map of {content}").as_bytes()),
    }
}

pub(crate) fn release(version: &str, counter: u64) -> Release {
    let variant = |quantization: &str| Variant {
        quantization: name(quantization),
        files: vec![file("model.gguf", &format!("{version} {quantization}"))],
        requires: Requires {
            architecture: "x86_64".to_owned(),
            ram_bytes: 64 << 20,
            disk_bytes: 16 << 20,
            isa: vec![name("avx2")],
        },
    };
    let variants = vec![variant("q4_0"), variant("q8_0")];
    let delta = Delta {
        target: variants[1].files[0].blake3,
        base: Hash::of(b"an earlier file"),
        length: 9,
        blake3: Hash::of(b"delta"),
        chunk_map: Hash::of(b"map of delta"),
    };
    Release {
        model: name("incidents"),
        version: version.to_owned(),
        counter,
        variants,
        tokenizer: Some(file("tokenizer.json", "tokenizer")),
        template: Some(file("chat_template.jinja", "template")),
        base: None,
        probe_set: ProbeSet {
            probes: vec![Probe {
                prompt: "pump 3 temp 97C".to_owned(),
                max_tokens: 4,
                expected: vec![vec![5, 6, 7], vec![5, 6, 8, 9]],
            }],
            limits: ProbeLimits {
                min_match_bp: 9000,
                min_tokens_per_sec_milli: 2000,
                max_memory_bytes: 256 << 20,
            },
        },
        lineage: Lineage {
            parent: Some(RecordId([9; 32])),
            dataset: "incidents-1".to_owned(),
            ..Lineage::default()
        },
        notes: "Knows pumps.".to_owned(),
        licence: "Apache-2.0".to_owned(),
        deltas: vec![delta],
    }
}

/// A verifier and an admin in one.
#[derive(Clone)]
pub(crate) struct Mesh {
    pub(crate) trust: Trust,
    pub(crate) memo: Memo,
}

impl Mesh {
    /// Holds the first root.
    pub(crate) fn new() -> Self {
        let root = genesis();
        let mut mesh = Self::joining(root.mesh_id);
        let envelope = sealed(Kind::Root, root.mesh_id, &root, &ROOT[..2]);
        assert!(matches!(
            mesh.admit(&envelope),
            Ok(Admission::New(Kind::Root, _))
        ));
        mesh
    }

    /// Holds nothing.
    pub(crate) fn joining(mesh_id: MeshId) -> Self {
        Self {
            trust: Trust::new(mesh_id),
            memo: Memo::default(),
        }
    }

    pub(crate) fn admit(&mut self, envelope: &Envelope) -> Result<Admission, Refusal> {
        self.trust.admit(envelope.clone(), NOW_S, &mut self.memo)
    }

    #[track_caller]
    pub(crate) fn admit_new(&mut self, envelope: &Envelope) -> RecordId {
        match self.admit(envelope) {
            Ok(Admission::New(_, id)) => id,
            other => panic!("not new: {other:?}"),
        }
    }

    pub(crate) fn seal<T: serde::Serialize>(&self, kind: Kind, body: &T, seeds: &[u8]) -> Envelope {
        sealed(kind, self.trust.mesh_id(), body, seeds)
    }

    pub(crate) fn publish_release(&mut self, version: &str, counter: u64) -> RecordId {
        let envelope = self.seal(Kind::Release, &release(version, counter), &RELEASE);
        self.admit_new(&envelope)
    }

    /// The next head of `stable`, not yet signed.
    pub(crate) fn draft(&self, release: RecordId) -> Head {
        next_head(&self.trust, &name("stable"), release, Hash::ZERO, NOW_S).unwrap()
    }

    pub(crate) fn seal_head(&self, head: &Head) -> Envelope {
        let seeds: &[u8] = if head.channel == name("beta") {
            &BETA_HEAD
        } else {
            &HEAD
        };
        self.seal(Kind::Head, head, seeds)
    }

    pub(crate) fn publish_head(&mut self, channel: &str, release: RecordId) -> RecordId {
        let head = next_head(&self.trust, &name(channel), release, Hash::ZERO, NOW_S).unwrap();
        let envelope = self.seal_head(&head);
        self.admit_new(&envelope)
    }
}
