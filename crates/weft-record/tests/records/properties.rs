//! Whatever the order and the path: the story ends the same.

use std::{collections::BTreeSet, sync::LazyLock};

use proptest::{prelude::*, test_runner::RngSeed};
use weft_record::{
    Envelope, Exchange, Head, Kind, MAX_RECORD_BYTES, Memo, Name, RecordId, Trust, codec,
};

use crate::{
    mesh::{NOW_S, name},
    story::{Dice, STORY, decisions, ids, settle, settle_into, verdict},
};

/// How often each property is tried: `WEFT_CASES` says how often for a longer run.
pub(crate) fn cases() -> ProptestConfig {
    let cases = std::env::var("WEFT_CASES").ok();
    let longer = cases.and_then(|cases| cases.parse().ok());
    ProptestConfig {
        failure_persistence: None,
        // the same stories in every run of the suite; a longer run tells new ones
        rng_seed: match longer {
            None => RngSeed::Fixed(2),
            Some(_) => RngSeed::Random,
        },
        ..ProptestConfig::with_cases(longer.unwrap_or(256))
    }
}

/// Nodes show each other their enrolments; then each asks the other for what it lacks.
fn meet(a: &mut Trust, b: &mut Trust, budget_bytes: usize, memo: &mut Memo) {
    for (from, to) in [(&mut *a, &mut *b)] {
        let shown: Vec<Envelope> = from
            .enrolments()
            .map(|one| one.envelope().clone())
            .collect();
        let back: Vec<Envelope> = to.enrolments().map(|one| one.envelope().clone()).collect();
        for envelope in shown {
            let _ = to.admit(envelope, NOW_S, memo);
        }
        for envelope in back {
            let _ = from.admit(envelope, NOW_S, memo);
        }
    }
    for _ in 0..2 {
        hand_over(b, a, budget_bytes, memo);
        hand_over(a, b, budget_bytes, memo);
    }
}

fn hand_over(from: &Trust, to: &mut Trust, budget_bytes: usize, memo: &mut Memo) {
    if from.digest() == to.digest() {
        return;
    }
    for envelope in from.missing_for(&to.have(), Exchange::All, budget_bytes) {
        let envelope = Envelope::decode(&envelope.encode()).expect("what is sent can be read");
        if let Err(refusal) = to.admit(envelope, NOW_S, memo) {
            assert!(
                !refusal.is_senders_fault(),
                "an honest peer is blamed: {refusal}"
            );
        }
    }
}

/// Everybody meets everybody until all digests are equal; whether that came to be. It does
/// not where what one of them needs is held by none of them any more.
fn converge(all: &mut [Trust], budget_bytes: usize, memo: &mut Memo) -> bool {
    let agree = |all: &[Trust]| {
        let mut pairs = all.windows(2);
        pairs.all(|pair| pair[0].digest() == pair[1].digest())
    };
    for _ in 0..200 {
        if agree(all) {
            return true;
        }
        for first in 0..all.len() {
            for second in first + 1..all.len() {
                let (left, right) = all.split_at_mut(second);
                meet(&mut left[first], &mut right[0], budget_bytes, memo);
            }
        }
    }
    agree(all)
}

fn channel_of(envelope: &Envelope) -> Option<Name> {
    let is_head = envelope.kind == Kind::Head as u8;
    let head = is_head.then(|| codec::decode::<Head>(&envelope.body, MAX_RECORD_BYTES));
    head.and_then(Result::ok).map(|head| head.channel)
}

/// Four nodes hear the story bit by bit, meet, and end as a node that has all of it.
fn tell_over_a_network(seed: u64, budget_bytes: usize) -> Result<(), TestCaseError> {
    let mut dice = Dice(seed);
    let mut memo = STORY.memo.clone();
    let count = STORY.records.len();
    // an admin signs some heads at one node, then some at another
    let (mut homes, mut home) = (Vec::new(), 0);
    for envelope in &STORY.records {
        if envelope.kind != Kind::Head as u8 || dice.below(5) == 0 {
            home = dice.below(4);
        }
        homes.push(home);
    }
    for (one, other) in &STORY.together {
        homes[*one] = homes[*other];
    }
    // whoever published the long line holds all of it: a node that skipped a part cannot
    // prove from inside that part
    let mut publisher = None;
    for (place, envelope) in STORY.records.iter().enumerate() {
        if channel_of(envelope).is_some_and(|one| one == name("gamma")) {
            homes[place] = *publisher.get_or_insert(homes[place]);
        }
    }
    let mut order: Vec<usize> = (0..count).collect();
    dice.shuffle(&mut order);
    let steps: Vec<_> = (0..dice.below(12))
        .map(|_| (dice.below(4), dice.below(4), dice.below(30)))
        .collect();
    let bundle = dice.below(4);
    let root = STORY.records[0].clone();
    let mut all: Vec<Trust> = (0..4)
        .map(|_| settle(std::slice::from_ref(&root), &mut memo))
        .collect();
    // records arrive bit by bit, while nodes meet
    let mut rest = order.iter();
    for (a, b, count) in steps {
        for index in rest.by_ref().take(count) {
            let _ = all[homes[*index]].admit(STORY.records[*index].clone(), NOW_S, &mut memo);
        }
        if a != b {
            let (low, high) = (a.min(b), a.max(b));
            let (left, right) = all.split_at_mut(high);
            meet(&mut left[low], &mut right[0], budget_bytes, &mut memo);
        }
    }
    // then whoever got a record has it shown again, since nothing that waits is kept
    for round in 0.. {
        let before: Vec<_> = all.iter().map(Trust::digest).collect();
        for (home, trust) in all.iter_mut().enumerate() {
            // releases go where heads go: apart, nobody asks for them
            let own: Vec<Envelope> = STORY
                .records
                .iter()
                .zip(&homes)
                .filter(|(envelope, at)| **at == home || envelope.kind == Kind::Release as u8)
                .map(|(envelope, _)| envelope.clone())
                .collect();
            settle_into(trust, &own, &mut memo);
        }
        let agreed = converge(&mut all, budget_bytes, &mut memo);
        if agreed && before == all.iter().map(Trust::digest).collect::<Vec<_>>() {
            break;
        }
        prop_assert!(round < 40, "no end");
    }
    for trust in &all {
        prop_assert_eq!(&decisions(trust), &expected().0);
    }
    settle_into(&mut all[bundle], &STORY.records, &mut memo);
    prop_assert_eq!(&decisions(&all[bundle]), &expected().0);
    prop_assert_eq!(&ids(&all[bundle]), &expected().1);
    Ok(())
}

#[test]
fn stories_that_once_went_wrong_end_well() {
    for (seed, budget_bytes) in [
        (9_181_672_112_952_860_822, 1),
        (5_801_835_088_022_190_269, 1),
        (3_384_004_587_459_073_813, 2832),
    ] {
        tell_over_a_network(seed, budget_bytes).expect("the same end");
    }
}

fn expected() -> &'static (Vec<String>, BTreeSet<RecordId>) {
    static EXPECTED: LazyLock<(Vec<String>, BTreeSet<RecordId>)> = LazyLock::new(|| {
        let trust = settle(&STORY.records, &mut STORY.memo.clone());
        (decisions(&trust), ids(&trust))
    });
    &EXPECTED
}

#[test]
fn the_story_has_every_kind_in_it_and_ends_as_it_should() {
    let trust = settle(&STORY.records, &mut STORY.memo.clone());
    let kinds: BTreeSet<u8> = trust.records().map(|envelope| envelope.kind).collect();
    assert_eq!(kinds, (1..=11).collect());
    assert_eq!(trust.root_chain().len(), 3);
    assert!(verdict(&trust, "stable").starts_with("go 1 "));
    assert!(verdict(&trust, "beta").starts_with("forked "));
    assert!(verdict(&trust, "gamma").starts_with("go 38 "));
    assert_eq!(trust.floor(&name("stable")), 5);
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_order_and_any_duplication_end_in_the_same_state(
        seed in any::<u64>(),
    ) {
        let (mut dice, count) = (Dice(seed), STORY.records.len());
        let mut order: Vec<usize> = (0..count).collect();
        order.extend((0..dice.below(40)).map(|_| dice.below(count)).collect::<Vec<_>>());
        dice.shuffle(&mut order);
        let records: Vec<Envelope> =
            order.into_iter().map(|index| STORY.records[index].clone()).collect();
        let trust = settle(&records, &mut STORY.memo.clone());
        prop_assert_eq!(&decisions(&trust), &expected().0);
        prop_assert_eq!(&ids(&trust), &expected().1);
    }

    #[test]
    fn over_a_network_and_by_bundle_all_end_in_the_same_state(
        seed in any::<u64>(),
        budget_bytes in 1_usize..60_000,
    ) {
        tell_over_a_network(seed, budget_bytes)?;
    }
}
