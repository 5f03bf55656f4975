//! One mesh, the same in every run: its keys come from seeds.

use std::sync::LazyLock;

use weft_keys::{PublicKey, SecretKey};
use weft_record::{
    Admission, Envelope, Hash, Kind, Memo, MeshId, Name, PrivacyFloors, RecordId, Refusal, Role,
    Root, Scope, Trust, Validity, codec, next_head, seal,
};

/// A verifier with a root, a release and two heads.
#[derive(Clone)]
pub(crate) struct Mesh {
    pub(crate) trust: Trust,
    pub(crate) memo: Memo,
}

pub(crate) const NOW_S: u64 = 1_790_000_000;

/// Every kind that weft knows, by number.
pub(crate) fn kinds() -> impl Iterator<Item = Kind> {
    (0..=u8::MAX).filter_map(Kind::from_number)
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

/// The root's key, that of the one role, and a node's.
pub(crate) const ROOT: u8 = 1;
pub(crate) const ADMIN: u8 = 2;
pub(crate) const NODE: u8 = 3;
/// Another node's.
pub(crate) const HELPER: u8 = 4;

impl Mesh {
    /// The mesh that every input meets.
    pub(crate) fn fixed() -> &'static Self {
        static MESH: LazyLock<Mesh> = LazyLock::new(Mesh::build);
        &MESH
    }

    /// Signs with every key that there is, so that only the record itself decides.
    pub(crate) fn seal(&self, kind: Kind, body: Vec<u8>) -> Envelope {
        static KEYS: LazyLock<[SecretKey; 4]> =
            LazyLock::new(|| [ROOT, ADMIN, NODE, HELPER].map(key));
        seal(kind, self.mesh_id(), body, &KEYS.each_ref())
    }

    pub(crate) fn mesh_id(&self) -> MeshId {
        self.trust.mesh_id()
    }

    pub(crate) fn admit(&mut self, envelope: &Envelope) -> Result<Admission, Refusal> {
        self.trust.admit(envelope.clone(), NOW_S, &mut self.memo)
    }

    /// The release that the channel `stable` is at.
    pub(crate) fn release(&self) -> RecordId {
        self.trust.releases().next().unwrap().id()
    }

    fn build() -> Self {
        let root = genesis();
        let mut mesh = Self {
            trust: Trust::new(root.mesh_id),
            memo: Memo::default(),
        };
        mesh.publish(Kind::Root, codec::encode(&root));
        let release = include_str!("../../../../crates/weft-record/vectors/release.body.hex");
        let release = mesh.publish(Kind::Release, bytes(release));
        for channel in ["beta", "stable"] {
            let head = next_head(&mesh.trust, &name(channel), release, Hash::ZERO, NOW_S).unwrap();
            mesh.publish(Kind::Head, codec::encode(&head));
        }
        mesh
    }

    fn publish(&mut self, kind: Kind, body: Vec<u8>) -> RecordId {
        let envelope = self.seal(kind, body);
        match self.admit(&envelope) {
            Ok(Admission::New(_, id)) => id,
            other => panic!("the mesh refuses its own {kind}: {other:?}"),
        }
    }
}

/// One key is the root, one may sign everything else.
fn genesis() -> Root {
    let public = |seed: u8| -> Vec<PublicKey> { vec![key(seed).public()] };
    let role = Role {
        name: name("admin"),
        keys: public(ADMIN),
        threshold: 1,
        kinds: kinds()
            .filter(|kind| *kind != Kind::Root)
            .map(Kind::number)
            .collect(),
        channels: Scope::All,
        sites: Scope::All,
    };
    let validity = Validity {
        from_s: NOW_S - 1000,
        until_s: NOW_S + 1000,
    };
    let privacy = PrivacyFloors {
        k: 2,
        k_site_bp: 10_000,
        epsilon_milli: 1000,
    };
    Root::genesis(public(ROOT), 1, vec![role], validity, privacy).unwrap()
}

/// The bytes of a golden vector.
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|digit| digit.to_digit(16).map(|value| value as u8))
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
