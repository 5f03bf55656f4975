//! Whatever the order and however often: the same records end in the same state.

use std::sync::LazyLock;

use proptest::prelude::*;
use weft_record::{
    Admission, Detail, Envelope, Exchange, Have, Head, Kind, Memo, MeshId, Refusal, Scope, Trust,
    Verified, next_root,
};

use crate::mesh::{Mesh, NOW_S, ROOT, genesis, name, release, role};

/// A history with everything in it: two channels, a fork, its resolution, a fork that
/// stays, a rotation with a reset, heads that the reset drops.
struct Story {
    mesh_id: MeshId,
    records: Vec<Envelope>,
    memo: Memo,
}

static STORY: LazyLock<Story> = LazyLock::new(|| {
    let mut mesh = Mesh::new();
    let mut records: Vec<Envelope> = mesh.trust.records().cloned().collect();
    let mut ids = Vec::new();
    for number in 1..4_u64 {
        let envelope = mesh.seal(
            Kind::Release,
            &release(&format!("1.{number}.0"), number),
            &[10],
        );
        ids.push(mesh.admit_new(&envelope));
        records.push(envelope);
    }
    let publish = |mesh: &mut Mesh, records: &mut Vec<Envelope>, head: &Head, seeds: &[u8]| {
        let envelope = mesh.seal(Kind::Head, head, seeds);
        records.push(envelope.clone());
        mesh.admit_new(&envelope)
    };
    let draft = |mesh: &Mesh, channel: &str, release| {
        let zero = weft_record::Hash::ZERO;
        weft_record::next_head(&mesh.trust, &name(channel), release, zero, NOW_S).unwrap()
    };
    // beta: a fork, joined, then one that stays
    let first = draft(&mesh, "beta", ids[0]);
    publish(&mut mesh, &mut records, &first, &[25]);
    for _ in 0..2 {
        let head = draft(&mesh, "beta", ids[1]);
        publish(&mut mesh, &mut records, &head, &[25]);
        publish(
            &mut mesh,
            &mut records,
            &Head {
                issued_at_s: 1,
                ..head
            },
            &[25],
        );
        let joined = draft(&mesh, "beta", ids[2]);
        publish(&mut mesh, &mut records, &joined, &[25]);
    }
    let last = draft(&mesh, "beta", ids[1]);
    publish(&mut mesh, &mut records, &last, &[25]);
    publish(
        &mut mesh,
        &mut records,
        &Head {
            issued_at_s: 2,
            ..last
        },
        &[25],
    );
    // stable: a line, of which the second head becomes the base of a new epoch
    let mut line = Vec::new();
    for number in 0..4 {
        let mut head = draft(&mesh, "stable", ids[number.min(2)]);
        head.counter_floor = number as u64 / 2 + 1;
        line.push(publish(&mut mesh, &mut records, &head, &[20, 21]));
    }
    let mut root = next_root(&mesh.trust).unwrap();
    root.resets.retain(|reset| reset.channel == name("stable"));
    root.resets[0].base = Some(line[1]);
    let scope = Scope::Only(vec![name("stable")]);
    let place = root
        .roles
        .iter()
        .position(|role| role.name == name("head"))
        .unwrap();
    root.roles[place] = role("head", &[30], 1, Kind::Head, scope);
    let envelope = mesh.seal(Kind::Root, &root, &ROOT);
    mesh.admit_new(&envelope);
    records.push(envelope);
    for _ in 0..3 {
        let head = draft(&mesh, "stable", ids[2]);
        publish(&mut mesh, &mut records, &head, &[30]);
    }
    Story {
        mesh_id: mesh.trust.mesh_id(),
        records,
        memo: mesh.memo,
    }
});

/// Offers the records again and again until nothing changes any more.
fn settle(records: &[Envelope]) -> Trust {
    let (mut trust, mut memo) = (Trust::new(STORY.mesh_id), STORY.memo.clone());
    loop {
        let mut changed = false;
        for envelope in records {
            let admitted = trust.admit(envelope.clone(), NOW_S, &mut memo);
            changed |= matches!(admitted, Ok(Admission::New(..)));
        }
        if !changed {
            return trust;
        }
    }
}

/// All that a node decides by.
fn verdict(trust: &Trust) -> impl PartialEq + std::fmt::Debug + use<> {
    let channels = ["stable", "beta"].map(name);
    let of = |channel: &weft_record::Name| {
        let heads: Vec<_> = trust.heads(channel).iter().map(Verified::id).collect();
        let newest = trust.head(channel).map(Verified::id);
        (
            heads,
            newest,
            trust.fork(channel).cloned(),
            trust.floor(channel),
            trust.epoch(channel),
        )
    };
    let releases: Vec<_> = trust.releases().map(Verified::id).collect();
    (
        trust.digest(),
        channels.map(|channel| of(&channel)),
        releases,
    )
}

/// Each asks the other for what it lacks until neither learns anything.
fn converse(a: &mut Trust, b: &mut Trust, budget_bytes: usize) -> usize {
    let mut memo = STORY.memo.clone();
    for round in 0..1000 {
        if a.digest() == b.digest() {
            return round;
        }
        hand_over(b, a, budget_bytes, &mut memo);
        hand_over(a, b, budget_bytes, &mut memo);
    }
    panic!("no end: {:?} and {:?}", a.digest(), b.digest());
}

fn hand_over(from: &Trust, to: &mut Trust, budget_bytes: usize, memo: &mut Memo) {
    for envelope in from.missing_for(&to.have(), Exchange::All, budget_bytes) {
        let admitted = to.admit(envelope, NOW_S, memo);
        assert!(
            // a head whose way is lost is passed on for its floor
            matches!(
                admitted,
                Ok(Admission::New(..) | Admission::Known | Admission::Waiting(_))
            ),
            "what is sent is in order and not void: {admitted:?}"
        );
    }
}

#[test]
fn the_story_has_everything_in_it() {
    let trust = settle(&STORY.records);
    assert_eq!(trust.root_chain().len(), 2);
    assert_eq!(
        trust.heads(&name("stable")).len(),
        1 + 3,
        "the base and three heads"
    );
    assert!(trust.fork(&name("beta")).is_some());
    assert!(trust.fork(&name("stable")).is_none());
    assert_eq!(trust.epoch(&name("stable")), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_order_and_any_duplication_end_in_the_same_state(
        order in Just((0..STORY.records.len()).collect::<Vec<_>>()).prop_shuffle(),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let count = STORY.records.len();
        let again = again.iter().map(|index| index.index(count));
        let records: Vec<Envelope> =
            order.into_iter().chain(again).map(|index| STORY.records[index].clone()).collect();
        prop_assert_eq!(verdict(&settle(&records)), verdict(&settle(&STORY.records)));
    }

    #[test]
    fn two_that_hold_different_parts_end_with_the_same(
        ours in prop::collection::vec(any::<bool>(), STORY.records.len()),
        theirs in prop::collection::vec(any::<bool>(), STORY.records.len()),
        budget_bytes in 1_usize..20_000,
    ) {
        // both know the first root: who knows none is no member yet
        let part = |chosen: &[bool]| -> Trust {
            let kept = STORY.records.iter().zip(chosen).enumerate();
            let kept = kept.filter(|(index, (_, chosen))| *index == 0 || **chosen);
            settle(&kept.map(|(_, (envelope, _))| envelope.clone()).collect::<Vec<_>>())
        };
        let (mut a, mut b) = (part(&ours), part(&theirs));
        converse(&mut a, &mut b, budget_bytes);
        let channels = ["stable", "beta"].map(name);
        for channel in &channels {
            prop_assert_eq!(a.fork(channel), b.fork(channel));
            prop_assert_eq!(a.floor(channel), b.floor(channel));
        }
        // what the two of them held together is what both hold now
        prop_assert!(a.missing_for(&b.have(), Exchange::All, usize::MAX).is_empty());
    }
}

#[test]
fn a_newcomer_gets_everything_in_order() {
    let full = settle(&STORY.records);
    let mut newcomer = Trust::new(STORY.mesh_id);
    assert_eq!(converse(&mut newcomer, &mut full.clone(), usize::MAX), 1);
    assert_eq!(newcomer.digest(), full.digest());
    let all = full.missing_for(&Have::default(), Exchange::All, usize::MAX);
    assert_eq!(all.len(), full.records().count());
}

#[test]
fn a_node_a_thousand_heads_behind_catches_up_within_its_bounds() {
    const HEADS: u64 = 1000;
    const BUDGET_BYTES: usize = 64 * 1024;
    let mut admin = Mesh::new();
    let first = admin.publish_release("1.0.0", 1);
    admin.publish_head("beta", first);
    let mut node = admin.clone();
    let mut release = first;
    for number in 0..HEADS {
        if number % 100 == 0 {
            release = admin.publish_release(&format!("1.{number}.1"), number + 2);
        }
        admin.publish_head("beta", release);
    }
    let batch = admin
        .trust
        .missing_for(&node.trust.have(), Exchange::All, BUDGET_BYTES);
    let bytes: usize = batch.iter().map(|envelope| envelope.encode().len()).sum();
    assert_eq!(batch.len(), 2, "the newest head and its release");
    let hashes = batch[1].proof.as_ref().unwrap().subtrees.len();
    assert!(hashes <= 2 * 10 + 2, "{hashes}");
    assert!(bytes < 4096, "{bytes}");
    for envelope in &batch {
        node.admit_new(&Envelope::decode(&envelope.encode()).unwrap());
    }
    assert_eq!(node.trust.digest(), admin.trust.digest());
    assert_eq!(node.trust.head(&name("beta")).unwrap().seq, HEADS);
}

#[test]
fn branches_that_part_far_back_are_exchanged_without_the_rest() {
    let mut ours = Mesh::new();
    let release = ours.publish_release("1.0.0", 1);
    for _ in 0..400 {
        ours.publish_head("beta", release);
    }
    let mut theirs = ours.clone();
    for number in 0..30 {
        ours.publish_head("beta", release);
        let zero = weft_record::Hash::ZERO;
        let head = weft_record::next_head(&theirs.trust, &name("beta"), release, zero, number);
        let envelope = theirs.seal_head(&head.unwrap());
        theirs.admit_new(&envelope);
    }
    let (mut sent, mut memo) = (0, Memo::default());
    for _ in 0..3 {
        let batch = ours
            .trust
            .missing_for(&theirs.trust.have(), Exchange::All, usize::MAX);
        sent += batch.len();
        for envelope in batch {
            theirs.trust.admit(envelope, NOW_S, &mut memo).unwrap();
        }
        let batch = theirs
            .trust
            .missing_for(&ours.trust.have(), Exchange::All, usize::MAX);
        sent += batch.len();
        for envelope in batch {
            ours.trust.admit(envelope, NOW_S, &mut memo).unwrap();
        }
    }
    assert_eq!(ours.trust.digest(), theirs.trust.digest());
    assert_eq!(ours.trust.fork(&name("beta")).unwrap().seq, 400);
    assert!(
        (60..=60 + 64).contains(&sent),
        "{sent} heads were sent for 60"
    );
}

#[test]
fn who_told_its_newest_head_alone_learns_that_branches_parted_before() {
    let mut ours = Mesh::new();
    let release = ours.publish_release("1.0.0", 1);
    ours.publish_head("beta", release);
    let mut theirs = ours.clone();
    for number in 0..5 {
        ours.publish_head("beta", release);
        let zero = weft_record::Hash::ZERO;
        let head = weft_record::next_head(&theirs.trust, &name("beta"), release, zero, number);
        let envelope = theirs.seal_head(&head.unwrap());
        theirs.admit_new(&envelope);
    }
    ours.publish_head("beta", release);
    let mut memo = Memo::default();
    let have = theirs.trust.have_in(Detail::List);
    let batch = ours.trust.missing_for(&have, Exchange::All, usize::MAX);
    assert_eq!(batch.len(), 2, "the newest head with its release");
    let last = batch.last().unwrap().clone();
    let admitted = theirs.trust.admit(last, NOW_S, &mut memo).unwrap();
    assert!(matches!(admitted, Admission::Waiting(_)), "{admitted:?}");
    let have = theirs.trust.have_in(Detail::Lines);
    for envelope in ours.trust.missing_for(&have, Exchange::All, usize::MAX) {
        theirs.trust.admit(envelope, NOW_S, &mut memo).unwrap();
    }
    assert!(theirs.trust.fork(&name("beta")).is_some());
}

#[test]
fn who_has_a_newer_root_is_sent_nothing_that_may_be_void() {
    let full = settle(&STORY.records);
    let old = settle(&STORY.records[..STORY.records.len() - 4]);
    assert_eq!(old.root_chain().len(), 1);
    assert!(
        old.missing_for(&full.have(), Exchange::All, usize::MAX)
            .is_empty()
    );
    let sent = full.missing_for(&old.have(), Exchange::All, usize::MAX);
    assert_eq!(sent[0].kind, Kind::Root as u8);
}

#[test]
fn what_others_say_they_have_is_not_trusted() {
    let full = settle(&STORY.records);
    let mut lie = full.have();
    for head in &mut lie.heads {
        (head.seq, head.epoch) = (0, u64::MAX);
        head.id.0[0] ^= 1;
    }
    // heads that are not known here count for nothing
    let mut honest = Trust::new(STORY.mesh_id);
    let mut memo = STORY.memo.clone();
    honest
        .admit(full.root_chain()[0].envelope().clone(), NOW_S, &mut memo)
        .unwrap();
    honest
        .admit(full.root_chain()[1].envelope().clone(), NOW_S, &mut memo)
        .unwrap();
    for envelope in full.missing_for(&lie, Exchange::All, usize::MAX) {
        honest.admit(envelope, NOW_S, &mut memo).unwrap();
    }
    assert_eq!(honest.digest(), full.digest());
    // who says that it is far ahead is sent nothing, and asked
    for head in &mut lie.heads {
        (head.seq, head.epoch) = (u64::MAX, full.epoch(&head.channel));
    }
    assert!(full.missing_for(&lie, Exchange::All, usize::MAX).is_empty());
    let other_root = Have {
        root_version: 2,
        root: weft_record::RecordId([1; 32]),
        ..lie.clone()
    };
    assert!(
        full.missing_for(&other_root, Exchange::All, usize::MAX)
            .is_empty()
    );
    let ahead = Have {
        root_version: u64::MAX,
        ..lie
    };
    assert!(
        full.missing_for(&ahead, Exchange::All, usize::MAX)
            .is_empty()
    );
}

#[test]
fn the_digest_is_small_and_tells_every_difference() {
    let mut trust = Trust::new(genesis().mesh_id);
    let mut memo = STORY.memo.clone();
    let mut seen = vec![trust.digest()];
    for envelope in &STORY.records {
        let is_release = envelope.kind == Kind::Release as u8;
        match trust.admit(envelope.clone(), NOW_S, &mut memo) {
            Ok(Admission::New(..)) if !is_release => {
                assert!(!seen.contains(&trust.digest()));
                seen.push(trust.digest());
            }
            Ok(_) | Err(Refusal::EpochPast { .. }) => {}
            Err(refusal) => panic!("{refusal}"),
        }
    }
    assert_eq!(weft_record::codec::encode(&trust.digest()).len(), 96);
}
