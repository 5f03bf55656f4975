//! Random sequences of true, stolen, mended and broken records: no floor falls, and
//! nothing is asked for that a threshold did not sign.

use std::{collections::BTreeSet, sync::LazyLock};

use proptest::prelude::*;
use weft_keys::PublicKey;
use weft_record::{Envelope, Head, Kind, Memo, Reset, Role, Trust, Verdict, codec, next_root};

use crate::{
    fleet::{HEADS, RELEASERS, fleet},
    mesh::{NOW_S, key, name, release, sealed},
    properties::cases,
    story::{CHANNELS, Dice, STORY},
};

/// What a thief can make of one key of each threshold of two, and of keys of their own.
static STOLEN: LazyLock<Vec<Envelope>> = LazyLock::new(|| {
    const THIEF: u8 = 99;
    let mesh_id = STORY.mesh_id;
    let mut forged = Vec::new();
    let old = release("0.1.0", 0);
    for seeds in [&[10][..], &[12], &[10, THIEF], &[14]] {
        forged.push(sealed(Kind::Release, mesh_id, &old, seeds));
    }
    // every head of the story again, with a lower and a higher floor
    let heads = STORY
        .records
        .iter()
        .filter(|one| one.kind == Kind::Head as u8);
    for envelope in heads {
        let head: Head = codec::decode(&envelope.body, 65_536).unwrap();
        if head.channel != name("stable") {
            continue;
        }
        for counter_floor in [0, 1, 1000] {
            let head = Head {
                counter_floor,
                issued_at_s: 13,
                ..head.clone()
            };
            for seeds in [&[20][..], &[21], &[22, THIEF], &[THIEF]] {
                forged.push(sealed(Kind::Head, mesh_id, &head, seeds));
            }
        }
        // true signatures over another body
        let mut moved = envelope.clone();
        moved.body = codec::encode(&Head {
            counter_floor: 0,
            ..head
        });
        forged.push(moved);
    }
    // roots by one key of the root's, with a reset of everything
    let admin = fleet();
    let mut root = next_root(&admin.trust).unwrap();
    root.resets = vec![Reset {
        channel: name("stable"),
        epoch: 7,
        base: None,
    }];
    for seeds in [&[3][..], &[3, THIEF], &[THIEF, 98]] {
        forged.push(sealed(Kind::Root, mesh_id, &root, seeds));
        root.keys = [key(THIEF).public(), key(98).public()].to_vec();
        root.keys.sort_unstable();
    }
    forged
});

/// A record, as it was or with some bytes changed.
fn pick(dice: &mut Dice) -> Option<Envelope> {
    let all = STORY.records.len() + STOLEN.len();
    let index = dice.below(all);
    let envelope = STORY.records.get(index);
    let envelope = envelope.unwrap_or_else(|| &STOLEN[index - STORY.records.len()]);
    if dice.below(4) > 0 {
        return Some(envelope.clone());
    }
    let mut bytes = envelope.encode();
    for _ in 0..=dice.below(3) {
        let place = dice.below(bytes.len());
        bytes[place] ^= 1 << dice.below(8);
    }
    Envelope::decode(&bytes).ok()
}

fn floors(trust: &Trust) -> Vec<(u64, u64)> {
    let of = |channel: &&str| (trust.epoch(&name(channel)), trust.floor(&name(channel)));
    CHANNELS.iter().map(of).collect()
}

/// Counts signatures anew, without anything that the verifier remembers.
fn signers(envelope: &Envelope) -> impl Iterator<Item = PublicKey> + '_ {
    let message = envelope.signed_bytes();
    let sigs = envelope.sigs.iter();
    let valid = sigs.filter(move |(key, signature)| key.verify_strict(&message, signature).is_ok());
    valid.map(|(key, _)| *key)
}

fn reaches(
    roles: &[Role],
    kind: Kind,
    channel: &str,
    envelope: &Envelope,
    gone: &BTreeSet<PublicKey>,
) -> bool {
    let signers: BTreeSet<PublicKey> = signers(envelope)
        .filter(|key| !gone.contains(key))
        .collect();
    let mut fit = roles.iter().filter(|role| {
        role.kinds.contains(&kind.number()) && role.channels.contains(&name(channel))
    });
    fit.any(|role| {
        let have = role.keys.iter().filter(|key| signers.contains(key)).count();
        have >= usize::from(role.threshold)
    })
}

/// By the newest root and without revoked keys; what the root vouches for by name, by any
/// root.
fn is_signed(trust: &Trust, kind: Kind, channel: &str, record: (&Envelope, bool)) -> bool {
    let (envelope, vouched) = record;
    let gone = trust.revokes().filter_map(|revoke| match revoke.target {
        weft_record::RevokeTarget::Key(key) => Some(key),
        weft_record::RevokeTarget::Release(_) => None,
    });
    let gone = gone.collect();
    let newest = trust.root().unwrap();
    let once = trust.root_chain().iter();
    reaches(&newest.roles, kind, channel, envelope, &gone)
        || vouched
            && once
                .clone()
                .any(|root| reaches(&root.roles, kind, channel, envelope, &BTreeSet::new()))
}

fn check_verdicts(trust: &Trust) {
    let Some(root) = trust.root() else { return };
    for pair in trust.root_chain().windows(2) {
        let signed: BTreeSet<PublicKey> = signers(pair[1].envelope()).collect();
        for root in pair {
            let have = root.keys.iter().filter(|key| signed.contains(key)).count();
            assert!(
                have >= usize::from(root.threshold),
                "a root below its threshold"
            );
        }
    }
    for channel in CHANNELS {
        let Verdict::Go(head) = trust.verdict(&name(channel)) else {
            continue;
        };
        assert!(signers(head.envelope()).count() > 0 && head.channel == name(channel));
        let bases: Vec<_> = CHANNELS
            .iter()
            .filter_map(|one| trust.heads(&name(one)).first())
            .filter(|first| {
                root.resets
                    .iter()
                    .any(|reset| reset.base == Some(first.id()))
            })
            .collect();
        let is_base = bases.iter().any(|base| base.id() == head.id());
        assert!(is_signed(
            trust,
            Kind::Head,
            channel,
            (head.envelope(), is_base)
        ));
        let Some(release) = trust.release(&head.release) else {
            assert!(is_base, "only a base may wait for its release");
            continue;
        };
        let kept = root.kept.iter().any(|kept| kept.id == release.id());
        let vouched = kept || bases.iter().any(|base| base.release == release.id());
        assert!(is_signed(
            trust,
            Kind::Release,
            channel,
            (release.envelope(), vouched)
        ));
        assert!(!trust.is_revoked(&release.id()));
        assert!(release.counter >= trust.floor(&name(channel)));
    }
}

fn play(seed: u64, steps: usize, mut watch: impl FnMut(&Trust)) {
    let (mut dice, mut memo) = (Dice(seed), Memo::default());
    let mut trust = Trust::new(STORY.mesh_id);
    if dice.below(8) > 0 {
        // most runs begin with the true start of the story, so that much is at stake
        let whole = 1 + dice.below(STORY.records.len());
        for envelope in &STORY.records[..whole] {
            let _ = trust.admit(envelope.clone(), NOW_S, &mut memo);
        }
    }
    watch(&trust);
    for _ in 0..steps {
        if let Some(envelope) = pick(&mut dice) {
            let _ = trust.admit(envelope, NOW_S, &mut memo);
            watch(&trust);
        }
    }
}

#[test]
fn the_thief_has_something_of_every_sort() {
    let kinds: BTreeSet<u8> = STOLEN.iter().map(|envelope| envelope.kind).collect();
    assert_eq!(kinds.len(), 3);
    assert!(HEADS.contains(&20) && RELEASERS.contains(&10));
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_floor_falls_without_a_reset(seed in any::<u64>()) {
        let mut last: Option<Vec<(u64, u64)>> = None;
        play(seed, 150, |trust| {
            let now = floors(trust);
            for (before, now) in last.iter().flatten().zip(&now) {
                assert!(now.0 > before.0 || now.0 == before.0 && now.1 >= before.1, "{before:?} {now:?}");
            }
            last = Some(now);
        });
    }

    #[test]
    fn nothing_unverified_is_asked_for(seed in any::<u64>()) {
        play(seed, 60, check_verdicts);
    }

    #[test]
    fn a_head_that_was_accepted_holds_its_floor_whatever_comes(seed in any::<u64>()) {
        // independent of the verifier's own floors: the highest it ever accepted
        let mut highest = std::collections::BTreeMap::new();
        play(seed, 100, |trust| {
            for channel in CHANNELS {
                let place = name(channel);
                let own = trust.heads(&place).iter().map(|head| head.counter_floor).max();
                let held = highest.entry((channel, trust.epoch(&place))).or_insert(0);
                *held = (*held).max(own.unwrap_or(0));
                assert!(trust.floor(&place) >= *held);
            }
        });
    }
}
