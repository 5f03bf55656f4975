//! Attacks on what is installed: foreign, torn, mixed, misplaced or unfit software.

use weft_core::{Event, Limits, Phase};
use weft_record::{FileEntry, Head, Kind, Refusal, Scope, next_root};
use weft_sim::{Admin, NodeSpec, Outage};

use crate::{
    fleet::{BETA, HEADS, RELEASERS, fleet, only, role_of},
    mesh::{ROOT, file, name, release},
    worlds::{
        CHUNK_BYTES, SECOND_US, all_active, model, plain, publish, ring, settle, was_activated,
    },
};

#[test]
fn arbitrary_software() {
    let (good, evil) = (model("1.0.0", 8), model("6.6.6", 8));
    let (mut world, mut admin, channel) = ring(Admin::new(31), 31, 4, &[&good, &evil], plain);
    let good_id = settle(&mut world, &mut admin, &channel, &good);
    // a member, with keys of its own, publishes to the same mesh
    let mut thief = admin.thief(&[]);
    let (evil_id, command) = thief.forge(&evil);
    world.command(1, command);
    // and another mesh's admin, with everything it takes there
    let mut other = Admin::new(32);
    let (foreign_id, command) = other.publish(&evil);
    world.command(2, command);
    world.run(120 * SECOND_US, |_| false);
    assert!(all_active(&world, &channel, good_id));
    assert!(!was_activated(&world, evil_id) && !was_activated(&world, foreign_id));
    for index in 1..4 {
        assert!(
            !world.disk(index).holds_whole(&evil.file),
            "not even fetched"
        );
        assert_eq!(world.node(index).unwrap().trust().releases().count(), 1);
    }
}

#[test]
fn mix_and_match() {
    let mut mesh = fleet();
    // releases for beta by another role than those for stable
    let mut root = next_root(&mesh.trust).unwrap();
    for role in &mut root.roles {
        if role.name == name("release") {
            role.channels = only(&["stable"]);
        }
    }
    root.roles.push(role_of(
        "trial",
        &[50],
        1,
        &[Kind::Release],
        only(&["beta"]),
    ));
    root.roles.sort_by(|a, b| a.name.cmp(&b.name));
    mesh.put(Kind::Root, &root, &ROOT);
    let (trial, _) = mesh.put(Kind::Release, &release("0.9.0", 9), &[50]);
    let (good, _) = mesh.put(Kind::Release, &release("1.0.0", 1), &RELEASERS[..2]);
    mesh.put_head("stable", good, 0, &HEADS[..2]);
    mesh.put_head("beta", trial, 0, &BETA[..1]);
    // what was signed for trial never becomes stable, whoever signs the head
    let slipped = Head {
        release: trial,
        ..mesh.next("stable", good)
    };
    let envelope = mesh.seal(Kind::Head, &slipped, &HEADS[..2]);
    let refusal = mesh.admit(&envelope).unwrap_err();
    assert_eq!(refusal.attack(), "mix-and-match", "{refusal}");
    // nor does a head of one channel follow one of another
    let crossed = Head {
        prevs: vec![mesh.trust.head(&name("beta")).unwrap().id()],
        ..mesh.next("stable", good)
    };
    let envelope = mesh.seal(Kind::Head, &crossed, &HEADS[..2]);
    assert_eq!(mesh.admit(&envelope).unwrap_err().attack(), "mix-and-match");
    // keys of one channel's heads sign no other channel's
    let envelope = mesh.seal(Kind::Head, &mesh.next("stable", good), &BETA);
    assert!(matches!(
        mesh.admit(&envelope),
        Err(Refusal::BelowThreshold { have: 0, .. })
    ));
    assert_ne!(Scope::All, only(&["stable"]));
}

#[test]
fn partial_install() {
    let (old, new) = (model("1.0.0", 16), model("1.1.0", 64));
    let slow = |index| NodeSpec {
        limits: if index == 1 {
            Limits::fetching(2_000_000)
        } else {
            Limits::default()
        },
        ..NodeSpec::default()
    };
    let (mut world, mut admin, channel) = ring(Admin::new(33), 33, 2, &[&old, &new], slow);
    let old_id = settle(&mut world, &mut admin, &channel, &old);
    let new_id = publish(&mut world, &mut admin, &new);
    // the power fails again and again, wherever the fetch is
    for _ in 0..12 {
        world.run(7 * SECOND_US / 10, |_| false);
        let active = world.active(1, &channel);
        assert!(
            active == Some(old_id) || active == Some(new_id),
            "one complete slot: {active:?}"
        );
        if active == Some(new_id) {
            assert!(world.disk(1).was_whole(&new.file));
        }
        world.stop(1, Outage::PowerCut);
        world.start(1);
    }
    assert!(world.run(200 * SECOND_US, |world| all_active(world, &channel, new_id)));
    assert!(world.disk(1).holds_whole(&new.file));
}

#[test]
fn substituted_chunk() {
    let release = model("1.0.0", 32);
    let spec = |index| NodeSpec {
        corrupts: index == 1,
        ..NodeSpec::default()
    };
    let (mut world, mut admin, channel) = ring(Admin::new(34), 34, 3, &[&release], spec);
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(200 * SECOND_US, |world| world.active(2, &channel)
        == Some(id)));
    let liar = world.key(1);
    assert!(world.disk(2).holds_whole(&release.file));
    let kept = world.events.iter().any(|(_, node, event)| {
        *node == 2 && matches!(event, Event::ChunkStored { from, .. } if *from == liar)
    });
    assert!(!kept, "nothing of the liar's was kept");
    assert_eq!(release.length, 32 * u64::from(CHUNK_BYTES));
}

#[test]
fn wrong_hardware() {
    let good = model("1.0.0", 4);
    let mut large = model("1.1.0", 4);
    large.requires.ram_bytes = 1 << 50;
    let mut other = model("1.2.0", 4);
    other.requires.architecture = "pdp11".to_owned();
    let (mut world, mut admin, channel) =
        ring(Admin::new(35), 35, 2, &[&good, &large, &other], plain);
    let good_id = settle(&mut world, &mut admin, &channel, &good);
    for unfit in [&large, &other] {
        let id = publish(&mut world, &mut admin, unfit);
        world.run(60 * SECOND_US, |_| false);
        assert!(all_active(&world, &channel, good_id) && !was_activated(&world, id));
        let status = world.node(1).unwrap().status();
        assert_eq!(status.channels[0].phase, Phase::Refused);
        assert!(
            !world.disk(1).holds_whole(&unfit.file),
            "nothing is fetched that cannot run"
        );
    }
}

#[test]
fn path_escape() {
    let mut mesh = fleet();
    let escapes = [
        "../model.gguf",
        "a/../../b",
        "/etc/passwd",
        "a//b",
        "./a",
        "a/./b",
        "a/",
        "",
        ".hidden",
        "a/.ssh",
        "c:\\a",
        "a\\b",
        "a\0b",
        "a\nb",
        "nul ",
        "a.",
        "é",
        "a/b/c/d/e/f/g/h/i",
        "~",
    ];
    for path in escapes {
        let mut body = release("1.0.0", 1);
        body.variants[0].files = vec![FileEntry {
            path: path.to_owned(),
            ..file("model.gguf", "x")
        }];
        let envelope = mesh.seal(Kind::Release, &body, &RELEASERS[..2]);
        let refusal = mesh.admit(&envelope).unwrap_err();
        assert!(
            matches!(refusal, Refusal::Invalid { .. }),
            "{path:?}: {refusal}"
        );
    }
    // two names for one file, where a file system folds case, and a file where a folder is
    for (a, b) in [("Model.gguf", "model.gguf"), ("a", "a/b")] {
        let mut body = release("1.0.0", 1);
        body.variants[0].files = vec![file(a, "x"), file(b, "y")];
        body.variants[0]
            .files
            .sort_by(|one, other| one.path.cmp(&other.path));
        let envelope = mesh.seal(Kind::Release, &body, &RELEASERS[..2]);
        assert!(
            matches!(mesh.admit(&envelope), Err(Refusal::Invalid { .. })),
            "{a} and {b}"
        );
    }
    let long = mesh.seal(Kind::Release, &release("1.0.0", 1), &RELEASERS[..2]);
    mesh.admit_new(&long);
}
