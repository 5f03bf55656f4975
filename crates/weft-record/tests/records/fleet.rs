//! A mesh in which every kind of record has a role, and a hand for each of them.

use weft_keys::PublicKey;
use weft_record::{
    Action, Admission, Aggregate, Aggregator, Beacon, BeaconHead, Blueprint, BlueprintSettings,
    Control, Enroll, EnrollRoot, Envelope, Hash, Head, Kind, Label, Metric, PrivacyFloors,
    RecordId, Revoke, RevokeTarget, Role, Root, Scope, Selector, Task, Validity, next_head,
};

use crate::mesh::{Mesh, NOW_S, ROOT, key, name, public, release, sealed};

/// Two of these sign and take back releases.
pub(crate) const RELEASERS: [u8; 3] = [10, 11, 12];
/// Two of these sign heads of `stable`, one of them controls.
pub(crate) const HEADS: [u8; 3] = [20, 21, 22];
/// One of these signs heads of `beta` and `gamma`.
pub(crate) const BETA: [u8; 2] = [25, 26];
pub(crate) const BLUEPRINT: u8 = 30;
pub(crate) const BEACONS: [u8; 2] = [35, 36];
pub(crate) const ENROLLERS: [u8; 2] = [40, 41];
pub(crate) const TELEMETRY: u8 = 45;
/// Nodes that add up shares.
pub(crate) const LEADER: u8 = 60;
pub(crate) const HELPER: u8 = 61;

pub(crate) fn only(names: &[&str]) -> Scope {
    Scope::Only(names.iter().map(|text| name(text)).collect())
}

pub(crate) fn role_of(
    text: &str,
    seeds: &[u8],
    threshold: u16,
    kinds: &[Kind],
    channels: Scope,
) -> Role {
    Role {
        name: name(text),
        keys: public(seeds),
        threshold,
        kinds: kinds.iter().map(|kind| kind.number()).collect(),
        channels,
        sites: Scope::All,
    }
}

pub(crate) fn fleet_genesis() -> Root {
    let all = || Scope::All;
    let roles = vec![
        role_of(
            "release",
            &RELEASERS,
            2,
            &[Kind::Release, Kind::Revoke],
            all(),
        ),
        role_of("head", &HEADS, 2, &[Kind::Head], only(&["stable"])),
        role_of("beta", &BETA, 1, &[Kind::Head], only(&["beta", "gamma"])),
        role_of("control", &HEADS, 1, &[Kind::Control], all()),
        role_of("blueprint", &[BLUEPRINT], 1, &[Kind::Blueprint], all()),
        role_of("beacon", &BEACONS, 1, &[Kind::Beacon], all()),
        role_of(
            "enroll",
            &ENROLLERS,
            1,
            &[Kind::Enroll, Kind::EnrollRoot, Kind::Revoke],
            all(),
        ),
        role_of("telemetry", &[TELEMETRY], 1, &[Kind::Task], all()),
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

/// A verifier that holds the first root of the fleet.
pub(crate) fn fleet() -> Mesh {
    let root = fleet_genesis();
    let mut mesh = Mesh::joining(root.mesh_id);
    mesh.admit_new(&sealed(Kind::Root, root.mesh_id, &root, &ROOT[..2]));
    mesh
}

pub(crate) fn node(seed: u8) -> PublicKey {
    key(seed).public()
}

pub(crate) fn enroll(seed: u8, number: u32, owner: &str) -> Enroll {
    Enroll {
        node: node(seed),
        number,
        site: name("harbour"),
        owner: name(owner),
        labels: vec![Label {
            name: name("ward"),
            value: name("icu"),
        }],
        class: name("pi-5"),
        issued_at_s: NOW_S,
        expires_s: NOW_S + 100,
    }
}

pub(crate) fn revoke_key(seed: u8) -> Revoke {
    Revoke {
        target: RevokeTarget::Key(node(seed)),
        reason: "lost".to_owned(),
        issued_at_s: NOW_S,
    }
}

pub(crate) fn revoke_release(id: RecordId) -> Revoke {
    Revoke {
        target: RevokeTarget::Release(id),
        reason: "answers wrongly".to_owned(),
        issued_at_s: NOW_S,
    }
}

pub(crate) fn control(channel: &str, head: RecordId, number: u32, action: Action) -> Control {
    Control {
        channel: name(channel),
        head,
        number,
        action,
        reason: "ward 3 asked".to_owned(),
        issued_at_s: NOW_S,
    }
}

pub(crate) fn blueprint(text: &str, version: u64) -> Blueprint {
    Blueprint {
        name: name(text),
        version,
        selector: Selector {
            sites: only(&["harbour"]),
            classes: Scope::All,
            labels: vec![Label {
                name: name("ward"),
                value: name("icu"),
            }],
        },
        settings: BlueprintSettings {
            channel: Some(name("stable")),
            variants: vec![name("q8_0"), name("q4_0")],
            cap_fetch_bytes_per_sec: Some(65_536),
            ..BlueprintSettings::default()
        },
        issued_at_s: NOW_S,
    }
}

pub(crate) fn beacon(issued_at_s: u64, heads: &[(&str, u64, u64, RecordId)]) -> Beacon {
    let head = |(channel, epoch, seq, head): &(&str, u64, u64, RecordId)| BeaconHead {
        channel: name(channel),
        epoch: *epoch,
        seq: *seq,
        head: *head,
    };
    Beacon {
        issued_at_s,
        heads: heads.iter().map(head).collect(),
    }
}

pub(crate) fn enroll_root(seq: u64, prev: Option<RecordId>) -> EnrollRoot {
    EnrollRoot {
        seq,
        prev,
        merkle_root: EnrollRoot::over(&std::collections::BTreeSet::new()),
        count: 0,
        issued_at_s: NOW_S,
    }
}

pub(crate) fn task(mesh: &Mesh, leader: u8, helper: u8) -> Task {
    let aggregator =
        |seed: u8| Aggregator::new(&mesh.trust.mesh_id(), &key(seed), [seed; 32], NOW_S + 1000);
    Task {
        name: name("latency"),
        leader: aggregator(leader),
        helper: aggregator(helper),
        metrics: vec![Metric {
            name: name("answer-ms"),
            bounds: vec![10, 100, 1000],
        }],
        chunk_length: 2,
        k: 20,
        site_cap_bp: 2500,
        site: None,
        epoch_s: 3600,
        issued_at_s: NOW_S,
        expires_s: NOW_S + 1000,
    }
}

pub(crate) fn aggregate(task: RecordId, head: RecordId, counts: [u64; 4]) -> Aggregate {
    Aggregate {
        task,
        epoch: 1,
        head,
        wave: 0,
        batch: Hash::of(b"batch 1"),
        contributors: 20,
        counts: vec![counts.to_vec()],
        epsilon_milli: 0,
    }
}

impl Mesh {
    /// Seals, admits and returns both.
    #[track_caller]
    pub(crate) fn put<T: serde::Serialize>(
        &mut self,
        kind: Kind,
        body: &T,
        seeds: &[u8],
    ) -> (RecordId, Envelope) {
        let envelope = self.seal(kind, body, seeds);
        (self.admit_new(&envelope), envelope)
    }

    #[track_caller]
    pub(crate) fn put_release(&mut self, version: &str, counter: u64) -> RecordId {
        let signers = &RELEASERS[..2];
        self.put(Kind::Release, &release(version, counter), signers)
            .0
    }

    /// The next head of a channel, not signed.
    #[track_caller]
    pub(crate) fn next(&self, channel: &str, release: RecordId) -> Head {
        next_head(&self.trust, &name(channel), release, Hash::ZERO, NOW_S).unwrap()
    }

    /// The next head of a channel, with this floor, by these keys.
    #[track_caller]
    pub(crate) fn put_head(
        &mut self,
        channel: &str,
        release: RecordId,
        floor: u64,
        seeds: &[u8],
    ) -> RecordId {
        let mut head = self.next(channel, release);
        head.counter_floor = floor;
        self.put(Kind::Head, &head, seeds).0
    }

    #[track_caller]
    pub(crate) fn assert_known(&mut self, envelope: &Envelope) {
        assert_eq!(self.admit(envelope), Ok(Admission::Known));
    }
}
