//! One story with every kind of record in it: rotations with and without a reset,
//! revocations, forks, a join, a line long enough to be proven, and a thief.

use std::{collections::BTreeSet, sync::LazyLock};

use weft_record::{
    Action, Envelope, Head, Kept, Kind, Memo, MeshId, RecordId, Reset, Standing, Trust, Verdict,
    Verified, keep_what_stands, next_root,
};

use crate::{
    fleet::{
        BEACONS, BETA, BLUEPRINT, ENROLLERS, HELPER, LEADER, RELEASERS, TELEMETRY, aggregate,
        beacon, blueprint, control, enroll, enroll_root, fleet, node, revoke_key, revoke_release,
        task,
    },
    mesh::{Mesh, NOW_S, ROOT, name, public, release},
};

pub(crate) const CHANNELS: [&str; 3] = ["stable", "beta", "gamma"];
const NODES: [u8; 5] = [60, 61, 62, 63, 64];

/// Choices that follow from one number.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit.max(1) as u64).unwrap()
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

pub(crate) struct Story {
    pub(crate) mesh_id: MeshId,
    pub(crate) records: Vec<Envelope>,
    /// Records that only together are complete: they come to one verifier.
    pub(crate) together: Vec<(usize, usize)>,
    pub(crate) memo: Memo,
}

/// Writes down all that it is told, accepted or not.
pub(crate) struct Teller {
    pub(crate) admin: Mesh,
    pub(crate) records: Vec<Envelope>,
}

impl Teller {
    fn tell<T: serde::Serialize>(&mut self, kind: Kind, body: &T, seeds: &[u8]) -> RecordId {
        let envelope = self.admin.seal(kind, body, seeds);
        let id = envelope.record_id();
        let _ = self.admin.admit(&envelope);
        self.records.push(envelope);
        id
    }

    fn head(&mut self, channel: &str, release: RecordId, floor: u64, seeds: &[u8]) -> RecordId {
        let mut head = self.admin.next(channel, release);
        head.counter_floor = floor;
        self.tell(Kind::Head, &head, seeds)
    }

    fn place(&self) -> usize {
        self.records.len()
    }
}

pub(crate) static STORY: LazyLock<Story> = LazyLock::new(tell);

pub(crate) fn tell() -> Story {
    let admin = fleet();
    let records = admin.trust.records().cloned().collect();
    let mut teller = Teller { admin, records };
    let mut together = Vec::new();
    let t = &mut teller;
    // releases, one of them half-signed twice, one with a signature of a later key
    let mut ids = Vec::new();
    for number in 1..=4_u64 {
        let body = release(&format!("1.{number}.0"), number);
        if number == 2 {
            together.push((t.place(), t.place() + 1));
            t.tell(Kind::Release, &body, &[10]);
            ids.push(t.tell(Kind::Release, &body, &[11]));
        } else {
            ids.push(t.tell(Kind::Release, &body, &RELEASERS[..2]));
        }
    }
    let bad = t.tell(Kind::Release, &release("1.9.0", 9), &[11, 12]);
    // who belongs
    for (seed, owner) in [(60, "north"), (61, "south"), (62, "north"), (63, "south")] {
        t.tell(Kind::Enroll, &enroll(seed, 0, owner), &ENROLLERS[..1]);
    }
    t.tell(Kind::Enroll, &enroll(60, 1, "north"), &ENROLLERS);
    t.tell(Kind::Enroll, &enroll(64, 0, "west"), &ENROLLERS[1..]);
    let first = t.tell(Kind::EnrollRoot, &enroll_root(0, None), &ENROLLERS[..1]);
    t.tell(
        Kind::EnrollRoot,
        &enroll_root(1, Some(first)),
        &ENROLLERS[..1],
    );
    // beta forks, is joined, and forks again for good
    t.head("beta", ids[0], 1, &BETA[..1]);
    for round in 0..2 {
        let head = t.admin.next("beta", ids[1]);
        let rival = Head {
            issued_at_s: round,
            ..head.clone()
        };
        t.tell(Kind::Head, &head, &BETA[..1]);
        t.tell(Kind::Head, &rival, &BETA[1..]);
        if round == 0 {
            t.head("beta", ids[1], 2, &BETA[..1]);
        }
    }
    // gamma is long enough to be proven, not walked, and its newest release goes bad
    let mut gamma = Vec::new();
    for number in 0..40_u64 {
        let (release, floor) = match number {
            0..20 => (ids[0], 1),
            20..39 => (ids[1], 2),
            _ => (bad, 2),
        };
        gamma.push(t.head("gamma", release, floor, &BETA[..1]));
    }
    // stable: heads by different pairs, the second becomes a base
    let mut stable = Vec::new();
    stable.push(t.head("stable", ids[0], 1, &[20, 21]));
    stable.push(t.head("stable", ids[1], 1, &[20, 22]));
    let floored = t.admin.next("stable", ids[2]);
    let floored = Head {
        counter_floor: 3,
        ..floored
    };
    stable.push(t.tell(Kind::Head, &floored, &[21, 22]));
    t.tell(
        Kind::Control,
        &control("stable", stable[2], 0, Action::Pause),
        &[20],
    );
    t.tell(
        Kind::Control,
        &control("stable", stable[1], 1, Action::Resume),
        &[21],
    );
    t.tell(
        Kind::Control,
        &control("gamma", gamma[20], 0, Action::Abort),
        &[22],
    );
    t.tell(Kind::Blueprint, &blueprint("icu", 1), &[BLUEPRINT]);
    t.tell(Kind::Blueprint, &blueprint("icu", 2), &[BLUEPRINT]);
    t.tell(Kind::Blueprint, &blueprint("ward", 7), &[BLUEPRINT]);
    for (at, seeds) in [(5, &BEACONS[..1]), (9, &BEACONS[1..]), (7, &BEACONS[..])] {
        let heads = [("stable", 0, 2, stable[2])];
        t.tell(Kind::Beacon, &beacon(NOW_S + at, &heads), seeds);
    }
    // what is counted, by two owners and by one
    let good_task = task(&t.admin, LEADER, HELPER);
    let good_task = t.tell(Kind::Task, &good_task, &[TELEMETRY]);
    let one_owner = task(&t.admin, LEADER, 62);
    let one_owner = t.tell(Kind::Task, &one_owner, &[TELEMETRY]);
    let later = task(&t.admin, HELPER, 64);
    t.tell(Kind::Task, &later, &[TELEMETRY]);
    for task in [good_task, one_owner] {
        let sum = aggregate(task, stable[1], [1, 2, 3, 14]);
        t.tell(Kind::Aggregate, &sum, &[LEADER, HELPER]);
        t.tell(Kind::Aggregate, &sum, &[LEADER, 62]);
        let other = aggregate(task, stable[1], [20, 0, 0, 0]);
        t.tell(Kind::Aggregate, &other, &[LEADER]);
        let first = aggregate(task, stable[0], [20, 0, 0, 0]);
        t.tell(Kind::Aggregate, &first, &[LEADER, HELPER]);
        let second = aggregate(task, stable[0], [0, 20, 0, 0]);
        t.tell(Kind::Aggregate, &second, &[LEADER, HELPER]);
    }
    // 64 moves to an owner with whom it may not count
    t.tell(Kind::Enroll, &enroll(64, 1, "south"), &ENROLLERS[..1]);
    // what no longer counts
    t.tell(Kind::Revoke, &revoke_release(bad), &[10, 12]);
    t.tell(Kind::Revoke, &revoke_key(62), &ENROLLERS[1..]);
    t.tell(Kind::Revoke, &revoke_key(63), &[63]);
    t.tell(Kind::Revoke, &revoke_key(21), &[21]);
    t.tell(Kind::Revoke, &revoke_key(35), &ROOT[..2]);
    // a thief who has 21 goes on with it, alone
    let stolen = Head {
        counter_floor: 4,
        release: ids[3],
        issued_at_s: 66,
        ..floored.clone()
    };
    t.tell(Kind::Head, &stolen, &[21]);
    t.tell(Kind::Revoke, &revoke_key(22), &[21]);
    // the second root: other blueprint and head keys, no reset; a release is co-signed
    let mut root = next_root(&t.admin.trust).unwrap();
    root.resets.clear();
    keep_what_stands(&t.admin.trust, &mut root);
    set_keys(&mut root, "blueprint", &[31]);
    set_keys(&mut root, "head", &[20, 22, 23]);
    set_keys(&mut root, "release", &[10, 11, 13]);
    t.tell(Kind::Root, &root, &ROOT);
    t.tell(Kind::Blueprint, &blueprint("icu", 3), &[31]);
    t.tell(Kind::Release, &release("1.3.0", 3), &[13]);
    // the head that lost 21 is signed again
    t.tell(Kind::Head, &floored, &[22, 23]);
    // the third: stable begins anew from its second head, what stands is kept
    let mut root = next_root(&t.admin.trust).unwrap();
    root.resets = vec![Reset {
        channel: name("stable"),
        epoch: 1,
        base: Some(stable[1]),
    }];
    root.keys = public(&[1, 2, 4]);
    set_keys(&mut root, "release", &[14, 15]);
    set_keys(&mut root, "head", &[24]);
    for role in &mut root.roles {
        role.threshold = role.threshold.min(role.keys.len() as u16);
    }
    keep_what_stands(&t.admin.trust, &mut root);
    // beta and gamma go on, so their releases stay; the base vouches for its own
    for id in [ids[0], ids[2], ids[3], bad] {
        let kept = Kept {
            kind: Kind::Release.number(),
            id,
        };
        if let Err(place) = root.kept.binary_search(&kept) {
            root.kept.insert(place, kept);
        }
    }
    t.tell(Kind::Root, &root, &[1, 2, 4]);
    let newest = t.tell(Kind::Release, &release("2.0.0", 5), &[14, 15]);
    t.head("stable", newest, 2, &[24]);
    let head = t.head("stable", newest, 5, &[24]);
    t.tell(
        Kind::Control,
        &control("stable", head, 0, Action::OpenThrough(1)),
        &[22],
    );
    Story {
        mesh_id: teller.admin.trust.mesh_id(),
        records: teller.records,
        together,
        memo: teller.admin.memo,
    }
}

pub(crate) fn set_keys(root: &mut weft_record::Root, role: &str, seeds: &[u8]) {
    let mut roles = root.roles.iter_mut();
    let role = roles.find(|held| held.name == name(role)).unwrap();
    role.keys = public(seeds);
}

/// Offers the records again and again until nothing changes any more.
pub(crate) fn settle(records: &[Envelope], memo: &mut Memo) -> Trust {
    let mut trust = Trust::new(STORY.mesh_id);
    settle_into(&mut trust, records, memo);
    trust
}

pub(crate) fn settle_into(trust: &mut Trust, records: &[Envelope], memo: &mut Memo) {
    // a line of forty heads in the worst order takes forty rounds
    for _ in 0..100 {
        let before = (trust.digest(), ids(trust), standings(trust));
        for envelope in records {
            let _ = trust.admit(envelope.clone(), NOW_S, memo);
        }
        if before == (trust.digest(), ids(trust), standings(trust)) {
            return;
        }
    }
    panic!("no end: {:?}", decisions(trust));
}

pub(crate) fn ids(trust: &Trust) -> BTreeSet<RecordId> {
    trust.records().map(Envelope::record_id).collect()
}

pub(crate) fn standings(trust: &Trust) -> Vec<String> {
    let of = |seed: &u8| match trust.standing(&node(*seed), NOW_S) {
        Standing::Member(enroll) => format!("{seed} member {}", enroll.id()),
        Standing::Lapsed(enroll) => format!("{seed} lapsed {}", enroll.id()),
        Standing::Stranger => format!("{seed} stranger"),
    };
    NODES.iter().map(of).collect()
}

pub(crate) fn verdict(trust: &Trust, channel: &str) -> String {
    match trust.verdict(&name(channel)) {
        Verdict::Nothing => "nothing".to_owned(),
        Verdict::Forked(fork) => format!("forked {:?} {:?}", fork.seq, fork.tips),
        Verdict::Undecided => "undecided".to_owned(),
        Verdict::Withdrawn => "withdrawn".to_owned(),
        Verdict::Go(head) => format!("go {} {}", head.seq, head.release),
    }
}

/// All that a node decides by, but what lies in a gap.
pub(crate) fn decisions(trust: &Trust) -> Vec<String> {
    let mut all = vec![format!("{:?}", trust.digest())];
    for channel in CHANNELS {
        let place = name(channel);
        all.push(format!(
            "{channel}: {} epoch {} floor {} newest {:?}",
            verdict(trust, channel),
            trust.epoch(&place),
            trust.floor(&place),
            trust.head(&place).map(Verified::id)
        ));
    }
    all.extend(standings(trust));
    let tasks = trust.tasks().map(|task| format!("task {}", task.id()));
    all.extend(tasks);
    for task in trust.tasks() {
        let sums = trust.aggregates(&task.id());
        all.extend(sums.iter().map(|sum| format!("sum {}", sum.id())));
    }
    all.extend(
        trust
            .blueprints()
            .map(|one| format!("{} {}", one.name, one.version)),
    );
    all.extend(trust.beacons().map(|one| format!("beacon {}", one.id())));
    all
}
