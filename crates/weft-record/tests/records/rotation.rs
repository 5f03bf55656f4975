//! Keys come and go: a root is signed by the one before it and by itself, and a
//! reset says from where a channel goes on.

use weft_record::{
    Admission, Hash, Kind, Missing, RecordId, Refusal, Reset, Root, Scope, next_head, next_root,
};

use crate::mesh::{Mesh, NOW_S, RELEASE, ROOT, name, public, release, role};

const NEW_HEAD: [u8; 1] = [30];

/// Three heads on `stable` and one on `beta`, then a root that takes the head keys of
/// `stable` away and trusts it up to its second head.
struct Rotated {
    before: Mesh,
    root: Root,
    base: RecordId,
    lost: RecordId,
    release: RecordId,
}

fn rotated() -> Rotated {
    let mut before = Mesh::new();
    let release = before.publish_release("1.0.0", 1);
    before.publish_head("stable", release);
    let base = before.publish_head("stable", release);
    let lost = before.publish_head("stable", release);
    before.publish_head("beta", release);
    let mut root = next_root(&before.trust).unwrap();
    let stable = Scope::Only(vec![name("stable")]);
    root.roles.retain(|role| role.name != name("head"));
    root.roles
        .push(role("head", &NEW_HEAD, 1, Kind::Head, stable));
    root.roles.sort_by(|a, b| a.name.cmp(&b.name));
    root.resets.retain(|reset| reset.channel == name("stable"));
    root.resets[0].base = Some(base);
    Rotated {
        before,
        root,
        base,
        lost,
        release,
    }
}

#[test]
fn it_takes_the_old_and_the_new_threshold() {
    let mut mesh = Mesh::new();
    let mut root = next_root(&mesh.trust).unwrap();
    (root.keys, root.threshold) = (public(&[7, 8]), 2);
    for (seeds, enough) in [
        (&[1, 2, 7][..], false),
        (&[1, 7, 8], false),
        (&[7, 8], false),
        (&[1, 2, 3], false),
        (&[1, 3, 7, 8], true),
    ] {
        let envelope = mesh.seal(Kind::Root, &root, seeds);
        match mesh.admit(&envelope) {
            Ok(Admission::New(Kind::Root, _)) => assert!(enough, "{seeds:?}"),
            Err(Refusal::BelowThreshold {
                kind: Kind::Root, ..
            }) => assert!(!enough, "{seeds:?}"),
            other => panic!("{seeds:?}: {other:?}"),
        }
        if !enough {
            // half-signed roots add up by design; this test is about each alone
            mesh = Mesh::new();
        }
    }
    assert_eq!(mesh.trust.root().unwrap().version, 2);
    assert_eq!(mesh.trust.root_chain().len(), 2);
    // the first root's keys are nobody's now
    let third = next_root(&mesh.trust).unwrap();
    let envelope = mesh.seal(Kind::Root, &third, &ROOT);
    assert!(matches!(
        mesh.admit(&envelope),
        Err(Refusal::BelowThreshold { .. })
    ));
}

#[test]
fn roots_come_one_after_the_other() {
    let mut admin = Mesh::new();
    let first = admin.trust.root().unwrap().envelope().clone();
    let mut envelopes = vec![first];
    for _ in 0..3 {
        let root = next_root(&admin.trust).unwrap();
        let envelope = admin.seal(Kind::Root, &root, &ROOT);
        admin.admit_new(&envelope);
        envelopes.push(envelope);
    }
    let mut node = Mesh::joining(admin.trust.mesh_id());
    assert_eq!(
        node.admit(&envelopes[2]),
        Ok(Admission::Waiting(Missing::Root))
    );
    node.admit_new(&envelopes[0]);
    assert_eq!(
        node.admit(&envelopes[3]),
        Ok(Admission::Waiting(Missing::Root))
    );
    for envelope in &envelopes[1..] {
        node.admit_new(envelope);
    }
    assert_eq!(node.trust.root().unwrap().version, 4);
    assert_eq!(node.admit(&envelopes[1]), Ok(Admission::Known));
}

#[test]
fn a_reset_keeps_its_base_and_drops_what_came_after() {
    let Rotated {
        before: mut mesh,
        root,
        base,
        lost,
        release,
    } = rotated();
    let stolen = mesh.seal_head(&mesh.draft(release));
    let beta = mesh.trust.head(&name("beta")).unwrap().id();
    let envelope = mesh.seal(Kind::Root, &root, &ROOT);
    mesh.admit_new(&envelope);
    let stable = name("stable");
    assert_eq!(mesh.trust.head(&stable).unwrap().id(), base);
    assert!(mesh.trust.envelope(&lost).is_none());
    assert_eq!(
        mesh.trust.head(&name("beta")).unwrap().id(),
        beta,
        "its signers stay"
    );
    assert!(mesh.trust.release(&release).is_some());
    // the old keys still sign, but nobody listens
    let refusal = mesh.admit(&stolen).unwrap_err();
    assert_eq!(refusal.attack(), "key compromise below threshold");
    // the new ones go on from the base, in a new epoch
    let head = next_head(&mesh.trust, &stable, release, Hash::ZERO, NOW_S).unwrap();
    assert_eq!((head.epoch, head.seq, &head.prevs[..]), (1, 0, &[base][..]));
    let envelope = mesh.seal(Kind::Head, &head, &NEW_HEAD);
    let id = mesh.admit_new(&envelope);
    assert_eq!(mesh.trust.head(&stable).unwrap().id(), id);
    assert_eq!(mesh.trust.heads(&stable).len(), 2);
}

#[test]
fn a_head_of_an_ended_epoch_is_a_rollback() {
    let Rotated {
        before: mut mesh,
        mut root,
        release,
        ..
    } = rotated();
    // the signers stay, the epoch ends
    root.roles = mesh.trust.root().unwrap().roles.clone();
    let late = mesh.seal_head(&mesh.draft(release));
    let envelope = mesh.seal(Kind::Root, &root, &ROOT);
    mesh.admit_new(&envelope);
    let refusal = mesh.admit(&late).unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::EpochPast {
                current: 1,
                epoch: 0,
                ..
            }
        ),
        "{refusal}"
    );
    assert_eq!(refusal.attack(), "rollback");
}

#[test]
fn a_head_of_a_later_epoch_waits_for_the_root() {
    let Rotated {
        before: mut mesh,
        root,
        release,
        ..
    } = rotated();
    let mut ahead = mesh.clone();
    let envelope = ahead.seal(Kind::Root, &root, &ROOT);
    ahead.admit_new(&envelope);
    let mut head = next_head(&ahead.trust, &name("stable"), release, Hash::ZERO, NOW_S).unwrap();
    head.epoch = 1;
    // signed by both generations, so that only the epoch speaks
    let envelope = ahead.seal(Kind::Head, &head, &[20, 21, 30]);
    assert_eq!(mesh.admit(&envelope), Ok(Admission::Waiting(Missing::Root)));
}

#[test]
fn a_newcomer_learns_the_base_from_its_hash_although_its_signers_are_gone() {
    let Rotated {
        before,
        mut root,
        base,
        lost,
        release,
    } = rotated();
    // the release key is gone as well
    let releases = root
        .roles
        .iter_mut()
        .find(|role| role.name == name("release"))
        .unwrap();
    releases.keys = public(&[31]);
    root.resets.insert(
        0,
        Reset {
            channel: name("beta"),
            epoch: 1,
            base: None,
        },
    );
    let second = before.seal(Kind::Root, &root, &ROOT);
    let mut node = Mesh::new();
    node.admit_new(&second);
    let get = |id: &RecordId| before.trust.envelope(id).unwrap();
    // before the base vouches for it the release has no signer that counts
    assert!(node.admit(get(&release)).is_err());
    assert!(node.admit(get(&lost)).is_err());
    node.admit_new(get(&base));
    assert_eq!(node.trust.have().wants, [release]);
    node.admit_new(get(&release));
    assert_eq!(node.trust.head(&name("stable")).unwrap().release, release);
    // a forged base has the wrong hash, one nobody ever signed has no signature
    let mut forged = get(&base).clone();
    forged.sigs.clear();
    let mut other = Mesh::new();
    other.admit_new(&second);
    assert!(matches!(
        other.admit(&forged),
        Err(Refusal::BelowThreshold { have: 0, .. })
    ));
    // and who was there from the start ends with the same
    let mut old = before;
    old.admit_new(&second);
    assert_eq!(old.trust.digest(), node.trust.digest());
}

#[test]
fn a_reset_recovers_from_a_floor_that_was_driven_up() {
    let mut mesh = Mesh::new();
    let good = mesh.publish_release("1.0.0", 1);
    let base = mesh.publish_head("stable", good);
    let evil = mesh.publish_release("9.9.9", u64::MAX);
    let mut head = mesh.draft(evil);
    head.counter_floor = u64::MAX;
    let envelope = mesh.seal_head(&head);
    mesh.admit_new(&envelope);
    assert_eq!(mesh.trust.floor(&name("stable")), u64::MAX);
    let mut root = next_root(&mesh.trust).unwrap();
    root.resets[0].base = Some(base);
    let envelope = mesh.seal(Kind::Root, &root, &ROOT);
    mesh.admit_new(&envelope);
    assert_eq!(mesh.trust.floor(&name("stable")), 0);
    let next = mesh.publish_release("1.0.1", 2);
    mesh.publish_head("stable", next);
}

#[test]
fn a_reset_never_goes_back() {
    let Rotated {
        before: mut mesh,
        root,
        base,
        ..
    } = rotated();
    let envelope = mesh.seal(Kind::Root, &root, &ROOT);
    mesh.admit_new(&envelope);
    let third = Root {
        resets: Vec::new(),
        ..next_root(&mesh.trust).unwrap()
    };
    let with = |epoch, base| Root {
        resets: vec![Reset {
            channel: name("stable"),
            epoch,
            base,
        }],
        ..third.clone()
    };
    let other = mesh.seal(Kind::Root, &with(1, None), &ROOT);
    let refusal = mesh.admit(&other).unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::ResetGoesBack {
                current: 1,
                epoch: 1,
                ..
            }
        ),
        "{refusal}"
    );
    assert_eq!(refusal.attack(), "rollback");
    // to repeat what stands is no harm
    let same = mesh.seal(Kind::Root, &with(1, Some(base)), &ROOT);
    mesh.admit_new(&same);
    assert_eq!(mesh.trust.epoch(&name("stable")), 1);
}

#[test]
fn a_release_key_that_goes_takes_its_releases_and_co_signing_brings_them_back() {
    let mut mesh = Mesh::new();
    let id = mesh.publish_release("1.0.0", 1);
    let mut root = next_root(&mesh.trust).unwrap();
    let role = root
        .roles
        .iter_mut()
        .find(|role| role.name == name("release"))
        .unwrap();
    role.keys = public(&[31]);
    let envelope = mesh.seal(Kind::Root, &root, &ROOT);
    mesh.admit_new(&envelope);
    assert!(mesh.trust.release(&id).is_none());
    let old = mesh.seal(Kind::Release, &release("1.0.0", 1), &RELEASE);
    assert!(mesh.admit(&old).is_err());
    let again = mesh.seal(Kind::Release, &release("1.0.0", 1), &[10, 31]);
    assert_eq!(mesh.admit_new(&again), id);
}
