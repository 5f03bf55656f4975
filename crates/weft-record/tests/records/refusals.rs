//! Every refusal by its name and the attack that it looks like; none changes anything.

use weft_keys::{KeyError, Signature};
use weft_record::{
    Envelope, Head, Invalid, Kind, MeshId, Name, RecordId, Refusal, Release, Root, Scope, Verified,
    bounds, codec,
};

use crate::mesh::{HEAD, Mesh, RELEASE, ROOT, file, genesis, key, name, release, role, sealed};

/// Refused with this attack's name, and nothing changed.
#[track_caller]
fn refused(mesh: &mut Mesh, envelope: &Envelope, attack: &str) -> Refusal {
    let before = (mesh.trust.digest(), mesh.trust.records().count());
    let refusal = mesh.admit(envelope).expect_err("it was not refused");
    assert_eq!(refusal.attack(), attack, "{refusal}");
    assert_eq!((mesh.trust.digest(), mesh.trust.records().count()), before);
    refusal
}

/// A mesh at head 1 of `stable`, whose releases are returned.
fn running() -> (Mesh, RecordId, RecordId) {
    let mut mesh = Mesh::new();
    let (old, new) = (
        mesh.publish_release("1.0.0", 1),
        mesh.publish_release("1.1.0", 2),
    );
    mesh.publish_head("stable", old);
    mesh.publish_head("stable", new);
    (mesh, old, new)
}

#[test]
fn a_tampered_body() {
    let (mut mesh, _, new) = running();
    let mut envelope = mesh.seal_head(&mesh.draft(new));
    let last = envelope.body.len() - 1;
    envelope.body[last] ^= 1;
    let refusal = refused(&mut mesh, &envelope, "tampering");
    assert!(matches!(refusal, Refusal::BadSignature(_)), "{refusal}");
}

#[test]
fn a_tampered_signature() {
    let (mut mesh, _, new) = running();
    let mut envelope = mesh.seal_head(&mesh.draft(new));
    envelope.sigs[1].1 = Signature::from_bytes([3; 64]);
    let liar = envelope.sigs[1].0;
    assert_eq!(
        refused(&mut mesh, &envelope, "tampering"),
        Refusal::BadSignature(liar)
    );
}

#[test]
fn a_bad_signature_beside_a_known_record() {
    let (mut mesh, old, _) = running();
    let mut envelope = mesh.trust.envelope(&old).unwrap().clone();
    envelope.sigs[0].1 = Signature::from_bytes([0; 64]);
    refused(&mut mesh, &envelope, "tampering");
}

#[test]
fn a_signature_for_another_kind_or_mesh() {
    let (mut mesh, _, new) = running();
    let mut envelope = mesh.seal_head(&mesh.draft(new));
    // signed as a release, sent as a head
    let as_release = mesh.seal(Kind::Release, &mesh.draft(new), &HEAD);
    envelope.sigs = as_release.sigs;
    refused(&mut mesh, &envelope, "tampering");
    let elsewhere = sealed(Kind::Head, MeshId([8; 32]), &mesh.draft(new), &HEAD);
    envelope.sigs = elsewhere.sigs;
    refused(&mut mesh, &envelope, "tampering");
}

#[test]
fn a_record_of_another_mesh() {
    let (mut mesh, _, new) = running();
    let other = MeshId([8; 32]);
    let envelope = sealed(Kind::Head, other, &mesh.draft(new), &HEAD);
    let refusal = refused(&mut mesh, &envelope, "replay to another mesh");
    assert_eq!(
        refusal,
        Refusal::OtherMesh {
            found: other,
            expected: mesh.trust.mesh_id()
        }
    );
}

#[test]
fn the_first_root_of_another_mesh() {
    let mut other = genesis();
    other.threshold = 1;
    let mut joining = Mesh::joining(genesis().mesh_id);
    // it claims the mesh id, but is not what the id is the hash of
    let envelope = sealed(Kind::Root, genesis().mesh_id, &other, &ROOT);
    refused(&mut joining, &envelope, "replay to another mesh");
    let mut mesh = Mesh::new();
    refused(&mut mesh, &envelope, "replay to another mesh");
}

#[test]
fn too_few_signatures() {
    let (mut mesh, _, new) = running();
    let nobody = mesh.seal(Kind::Head, &mesh.draft(new), &[77]);
    let refusal = refused(&mut mesh, &nobody, "key compromise below threshold");
    assert_eq!(
        refusal,
        Refusal::BelowThreshold {
            kind: Kind::Head,
            have: 0,
            need: 2
        }
    );
    let envelope = mesh.seal(Kind::Head, &mesh.draft(new), &HEAD[..1]);
    let refusal = refused(&mut mesh, &envelope, "key compromise below threshold");
    assert_eq!(
        refusal,
        Refusal::BelowThreshold {
            kind: Kind::Head,
            have: 1,
            need: 2
        }
    );
    let root = genesis();
    let mut joining = Mesh::joining(root.mesh_id);
    let alone = sealed(Kind::Root, root.mesh_id, &root, &ROOT[..1]);
    refused(&mut joining, &alone, "key compromise below threshold");
}

#[test]
fn keys_of_one_role_do_not_sign_for_another() {
    let (mut mesh, old, _) = running();
    let stolen = [&RELEASE[..], &[25]].concat();
    let envelope = mesh.seal(Kind::Head, &mesh.draft(old), &stolen);
    refused(&mut mesh, &envelope, "key compromise below threshold");
    let by_head_keys = mesh.seal(Kind::Release, &release("6.6.6", 9), &HEAD);
    refused(&mut mesh, &by_head_keys, "key compromise below threshold");
}

#[test]
fn a_channel_that_no_role_covers() {
    let (mut mesh, old, _) = running();
    let mut head = mesh.draft(old);
    (head.channel, head.seq, head.prevs) = (name("nightly"), 0, Vec::new());
    head.history = weft_record::Hash::of(b"");
    let envelope = mesh.seal(Kind::Head, &head, &HEAD);
    let refusal = refused(&mut mesh, &envelope, "mix-and-match");
    assert!(refusal.to_string().contains("nightly"), "{refusal}");
}

#[test]
fn a_release_that_was_signed_for_other_channels() {
    let mut root = genesis();
    let only_beta = Scope::Only(vec![name("beta")]);
    root.roles
        .push(role("trial", &[40], 1, Kind::Release, only_beta));
    let root = Root::genesis(root.keys, 2, root.roles, root.validity, root.privacy).unwrap();
    let mut mesh = Mesh::joining(root.mesh_id);
    mesh.admit_new(&sealed(Kind::Root, root.mesh_id, &root, &ROOT));
    let trial = mesh.seal(Kind::Release, &release("2.0.0", 3), &[40]);
    let trial = mesh.admit_new(&trial);
    let envelope = mesh.seal_head(&mesh.draft(trial));
    refused(&mut mesh, &envelope, "mix-and-match");
    mesh.publish_head("beta", trial);
}

#[test]
fn heads_that_do_not_follow_what_they_name() {
    let (mut mesh, old, new) = running();
    let beta = mesh.publish_head("beta", old);
    let stable: Vec<RecordId> = mesh
        .trust
        .heads(&name("stable"))
        .iter()
        .map(Verified::id)
        .collect();
    let mut check = |change: &dyn Fn(&mut Head), attack: &str| {
        let mut head = mesh.draft(new);
        change(&mut head);
        let envelope = mesh.seal_head(&head);
        refused(&mut mesh, &envelope, attack)
    };
    check(&|head| head.seq = 7, "mix-and-match");
    check(&|head| head.seq = 1, "mix-and-match");
    check(&|head| head.prevs = vec![stable[0]], "mix-and-match");
    check(&|head| head.prevs = vec![beta], "mix-and-match");
    // a head and its own ancestor
    let both = {
        let mut both = stable.clone();
        both.sort_unstable();
        both
    };
    check(&|head| head.prevs.clone_from(&both), "mix-and-match");
    let refusal = check(&|head| head.history.0[0] ^= 1, "equivocation");
    assert!(
        matches!(refusal, Refusal::OtherHistory { seq: 2, .. }),
        "{refusal}"
    );
    check(&|head| head.prevs = Vec::new(), "tampering");
    check(
        &|head| (head.seq, head.history) = (0, weft_record::Hash::of(b"")),
        "mix-and-match",
    );
}

#[test]
fn rollback_below_the_floor() {
    let (mut mesh, old, new) = running();
    let mut head = mesh.draft(new);
    head.counter_floor = 2;
    let envelope = mesh.seal_head(&head);
    mesh.admit_new(&envelope);
    let mut back = mesh.draft(new);
    back.release = old;
    let envelope = mesh.seal_head(&back);
    let refusal = refused(&mut mesh, &envelope, "rollback");
    assert!(
        matches!(
            refusal,
            Refusal::BelowFloor {
                counter: 1,
                floor: 2,
                ..
            }
        ),
        "{refusal}"
    );
    back.counter_floor = 1;
    let envelope = mesh.seal_head(&back);
    let refusal = refused(&mut mesh, &envelope, "rollback");
    assert!(
        matches!(
            refusal,
            Refusal::FloorLowered {
                current: 2,
                floor: 1,
                ..
            }
        ),
        "{refusal}"
    );
    // an honest way back stays open while the floor allows it
    let third = mesh.publish_release("1.2.0", 3);
    mesh.publish_head("stable", third);
    mesh.publish_head("stable", new);
}

#[test]
fn records_that_are_too_long() {
    let (mut mesh, ..) = running();
    let mut envelope = mesh.seal(Kind::Release, &release("2.0.0", 3), &RELEASE);
    envelope.body.resize(bounds::MAX_RECORD_BYTES, 0);
    refused(&mut mesh, &envelope, "endless data");
    let refusal = Envelope::decode(&envelope.encode()).unwrap_err();
    assert!(matches!(refusal, Refusal::TooLong { .. }), "{refusal}");
}

#[test]
fn more_signatures_than_any_record_needs() {
    let (mut mesh, ..) = running();
    let seeds: Vec<u8> = (100..=132).collect();
    let envelope = mesh.seal(Kind::Release, &release("2.0.0", 3), &seeds);
    assert_eq!(
        refused(&mut mesh, &envelope, "endless data"),
        Refusal::TooManySignatures(33)
    );
    assert_eq!(
        Envelope::decode(&envelope.encode()),
        Err(Refusal::TooManySignatures(33))
    );
}

#[test]
fn signatures_out_of_order_or_twice() {
    let (mut mesh, _, new) = running();
    let good = mesh.seal_head(&mesh.draft(new));
    let mut swapped = good.clone();
    swapped.sigs.swap(0, 1);
    let mut twice = good.clone();
    twice.sigs[1] = twice.sigs[0];
    for wrong in [swapped, twice] {
        assert_eq!(
            refused(&mut mesh, &wrong, "tampering"),
            Refusal::UnsortedSignatures
        );
        assert_eq!(
            Envelope::decode(&wrong.encode()),
            Err(Refusal::UnsortedSignatures)
        );
    }
}

#[test]
fn a_key_of_small_order() {
    let (mesh, _, new) = running();
    let envelope = mesh.seal_head(&mesh.draft(new));
    let mut bytes = envelope.encode();
    let place = bytes.len() - 2 * 96;
    // the identity: its "signature" verifies for any message where nobody looks
    bytes[place..place + 32].fill(0);
    bytes[place] = 1;
    let refusal = Envelope::decode(&bytes).unwrap_err();
    assert_eq!(refusal, Refusal::WeakKey(KeyError::SmallOrder));
    assert_eq!(refusal.attack(), "weak key");
}

#[test]
fn a_root_that_would_trust_a_key_of_small_order() {
    let root = genesis();
    let mut envelope = sealed(Kind::Root, root.mesh_id, &root, &ROOT);
    let first = root.keys[0];
    let place = envelope
        .body
        .windows(32)
        .position(|bytes| bytes == first.as_bytes())
        .unwrap();
    envelope.body[place..place + 32].fill(0);
    let mut joining = Mesh::joining(root.mesh_id);
    let refusal = refused(&mut joining, &envelope, "tampering");
    assert!(refusal.to_string().contains("small order"), "{refusal}");
}

#[test]
fn versions_and_kinds_that_are_not_known() {
    let (mut mesh, _, new) = running();
    let good = mesh.seal_head(&mesh.draft(new));
    let later = Envelope {
        v: 2,
        ..good.clone()
    };
    assert_eq!(
        refused(&mut mesh, &later, "unknown record"),
        Refusal::UnknownVersion(2)
    );
    assert_eq!(
        Envelope::decode(&later.encode()),
        Err(Refusal::UnknownVersion(2))
    );
    for kind in [0, 12, 255] {
        let other = Envelope {
            kind,
            ..good.clone()
        };
        assert_eq!(
            refused(&mut mesh, &other, "unknown record"),
            Refusal::UnknownKind(kind)
        );
        assert_eq!(
            Envelope::decode(&other.encode()),
            Err(Refusal::UnknownKind(kind))
        );
    }
}

#[test]
fn a_second_root_of_one_version() {
    let mut mesh = Mesh::new();
    let second = Root {
        version: 2,
        prev: Some(mesh.trust.root().unwrap().id()),
        ..genesis()
    };
    let accepted = mesh.seal(Kind::Root, &second, &ROOT);
    let accepted = mesh.admit_new(&accepted);
    let mut other = second.clone();
    other.validity.until_s += 1;
    let envelope = mesh.seal(Kind::Root, &other, &ROOT);
    let refusal = refused(&mut mesh, &envelope, "key compromise at threshold");
    assert_eq!(
        refusal,
        Refusal::RootConflict {
            version: 2,
            accepted
        }
    );
    let mut stray = second;
    stray.prev = Some(RecordId([4; 32]));
    let envelope = mesh.seal(Kind::Root, &stray, &ROOT);
    let refusal = refused(&mut mesh, &envelope, "key compromise at threshold");
    assert!(
        matches!(refusal, Refusal::RootDoesNotFollow { version: 2, .. }),
        "{refusal}"
    );
}

#[test]
fn fields_with_values_that_are_not_allowed() {
    let (mut mesh, ..) = running();
    let mut check = |change: &dyn Fn(&mut Release)| {
        let mut wrong = release("2.0.0", 3);
        change(&mut wrong);
        let envelope = mesh.seal(Kind::Release, &wrong, &RELEASE);
        match refused(&mut mesh, &envelope, "tampering") {
            Refusal::Invalid {
                kind: Kind::Release,
                source,
            } => source,
            other => panic!("{other}"),
        }
    };
    let is_path = |invalid: Invalid| assert!(matches!(invalid, Invalid::Path(_)), "{invalid}");
    is_path(check(&|release| {
        release.variants[0].files[0].path = "../../etc/passwd".into();
    }));
    is_path(check(&|release| {
        release.variants[0].files[0].path = "/etc/passwd".into();
    }));
    // one file over another, also where case is folded, and a file where a folder must be
    is_path(check(&|release| {
        release.template = Some(file("model.gguf", "x"));
    }));
    is_path(check(&|release| {
        release.template = Some(file("Model.GGUF", "x"));
    }));
    is_path(check(&|release| {
        release.template = Some(file("model.gguf/x", "x"));
    }));
    let is = |invalid: Invalid, text: &str| {
        assert!(invalid.to_string().contains(text), "{invalid}");
    };
    is(
        check(&|release| release.variants.swap(0, 1)),
        "variants are not sorted",
    );
    is(
        check(&|release| release.variants[1] = release.variants[0].clone()),
        "not sorted",
    );
    is(check(&|release| release.variants.clear()), "variants has 0");
    is(
        check(&|release| release.variants[0].files.clear()),
        "files has 0",
    );
    is(
        check(&|release| release.variants[0].files[0].length = 0),
        "length is 0",
    );
    is(
        check(&|release| release.version = "latest".into()),
        "not a version",
    );
    is(
        check(&|release| release.notes = "\u{1b}[2J".into()),
        "control characters",
    );
    is(
        check(&|release| release.probe_set.probes[0].expected.truncate(1)),
        "answers has 1",
    );
    is(
        check(&|release| release.probe_set.probes[0].max_tokens = 3),
        "answer has 4",
    );
    is(
        check(&|release| release.probe_set.limits.min_match_bp = 10_001),
        "min_match_bp is 10001",
    );
    let avx2: Name = name("avx2");
    is(
        check(&|release| release.variants[0].requires.isa.push(avx2.clone())),
        "isa are not",
    );
    is(
        check(&|release| release.notes = "x".repeat(5000)),
        "notes has 5000",
    );
}

#[test]
fn roots_with_values_that_are_not_allowed() {
    let good = genesis();
    let check = |change: &dyn Fn(&mut Root), text: &str| {
        let mut wrong = good.clone();
        change(&mut wrong);
        wrong.mesh_id = weft_record::mesh_id_of(&wrong);
        let mut joining = Mesh::joining(wrong.mesh_id);
        let envelope = sealed(Kind::Root, wrong.mesh_id, &wrong, &ROOT);
        let refusal = refused(&mut joining, &envelope, "tampering");
        assert!(
            matches!(
                refusal,
                Refusal::Invalid {
                    kind: Kind::Root,
                    ..
                }
            ),
            "{refusal}"
        );
        assert!(refusal.to_string().contains(text), "{refusal}");
    };
    check(&|root| root.threshold = 0, "threshold is 0");
    check(&|root| root.threshold = 4, "threshold is 4");
    check(&|root| root.keys.swap(0, 1), "root keys are not sorted");
    // one key twice must not count twice
    check(
        &|root| root.keys[1] = root.keys[0],
        "root keys are not sorted",
    );
    check(&|root| root.keys.clear(), "root keys has 0");
    check(&|root| root.roles.swap(0, 1), "roles are not sorted");
    check(
        &|root| root.roles[0].kinds = vec![1],
        "no role may sign roots",
    );
    check(
        &|root| root.roles[0].kinds = vec![3, 2],
        "kinds are not sorted",
    );
    check(
        &|root| root.roles[0].channels = Scope::Only(Vec::new()),
        "channels has 0",
    );
    check(&|root| root.validity.until_s = 0, "until_s is 0");
    check(
        &|root| root.prev = Some(RecordId([1; 32])),
        "first root follows none",
    );
    check(&|root| root.version = 0, "version is 1 or more");
    check(&|root| root.version = 2, "only the first root");
    check(
        &|root| root.privacy.k_site_bp = 10_001,
        "k_site_bp is 10001",
    );
}

#[test]
fn a_role_may_sign_kinds_that_are_not_known_yet() {
    let mut root = genesis();
    root.roles[0].kinds = vec![3, 4, 200];
    root.mesh_id = weft_record::mesh_id_of(&root);
    let mut joining = Mesh::joining(root.mesh_id);
    joining.admit_new(&sealed(Kind::Root, root.mesh_id, &root, &ROOT));
}

#[test]
fn keys_that_sign_twice_count_once() {
    let (mesh, _, new) = running();
    let mut envelope = mesh.seal(Kind::Head, &mesh.draft(new), &HEAD[..1]);
    for _ in 0..3 {
        envelope.sign(&key(HEAD[0]));
    }
    assert_eq!(envelope.sigs.len(), 1);
}

#[test]
fn merging_takes_no_signature_that_does_not_verify() {
    let (mesh, _, new) = running();
    let head = mesh.draft(new);
    let mut envelope = mesh.seal(Kind::Head, &head, &HEAD[..1]);
    let mut forged = mesh.seal(Kind::Head, &head, &HEAD);
    for (_, signature) in &mut forged.sigs {
        *signature = Signature::from_bytes([0; 64]);
    }
    let before = envelope.clone();
    assert!(!envelope.merge_signatures(&forged));
    assert_eq!(envelope, before);
    let other = mesh.seal(Kind::Head, &head, &HEAD[1..]);
    assert!(envelope.merge_signatures(&other));
    assert_eq!(envelope, mesh.seal(Kind::Head, &head, &HEAD));
    let stranger = mesh.seal(Kind::Release, &release("1.0.0", 1), &HEAD);
    assert!(!envelope.merge_signatures(&stranger), "another record's");
    assert_eq!(codec::encode(&head), envelope.body);
}
