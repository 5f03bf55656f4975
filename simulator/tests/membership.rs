//! Who may take part: joining, lapsing, being revoked.

use weft_core::{Command, Control, Event, Freshness, Message, NodeStanding};
use weft_record::{Invitation, RecordId};
use weft_sim::{Admin, Base, NOW_S, NodeSpec, VirtualDisk, VirtualRelease, World, YEAR_S};

use crate::harness::{
    CHUNK_BYTES, SECOND_US, all_active, heard, hello, mesh, plain, publish, puppet, told,
};

/// Node 0 enrolls, node 1 forwards, and whoever is added next is linked to node 1 alone.
fn line(seed: u64, release: &VirtualRelease) -> (World, Admin, Invitation) {
    let registrar = |index| NodeSpec {
        registrar: index == 0,
        ..NodeSpec::default()
    };
    let (mut world, admin, _) = mesh(seed, 2, &[release], registrar);
    let mut registrar = admin.registrar();
    let invitation = registrar.invite(NOW_S + 100);
    world.registrar = Some(registrar);
    (world, admin, invitation)
}

fn join(world: &mut World, invitation: &Invitation) -> usize {
    let spec = NodeSpec {
        invitation: Some(invitation.clone()),
        ..NodeSpec::default()
    };
    let index = world.add_node(spec, VirtualDisk::default());
    world.connect(1, index);
    index
}

fn standing(world: &World, index: usize) -> NodeStanding {
    world.node(index).unwrap().status().standing
}

fn refused(world: &World, index: usize) -> Option<String> {
    let status = world.node(index).unwrap().status();
    status.joining.and_then(|joining| joining.refused)
}

#[test]
fn a_node_joins_by_invitation_through_a_member_that_forwards() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, invitation) = line(30, &release);
    let id = publish(&mut world, &mut admin, &release);
    let joiner = join(&mut world, &invitation);
    let channel = admin.channel();
    assert!(world.run(5 * SECOND_US, |world| standing(world, joiner)
        == NodeStanding::Member));
    assert!(
        world.run(20 * SECOND_US, |world| world.active(joiner, &channel)
            == Some(id))
    );
    let key = world.key(joiner);
    let enrolled = |event: &Event| matches!(event, Event::Enrolled { node, .. } if *node == key);
    assert_eq!(told(&world, 0, enrolled).count(), 1);
    assert_eq!(world.registrar.as_ref().unwrap().asked, 1);
    // it is remembered over a restart, without the invitation
    world.stop(joiner, weft_sim::Outage::PowerCut);
    world.invite(joiner, None);
    world.start(joiner);
    assert_eq!(standing(&world, joiner), NodeStanding::Member);
}

#[test]
fn an_invitation_serves_one_node_and_only_for_a_while() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, _, invitation) = line(31, &release);
    let first = join(&mut world, &invitation);
    assert!(world.run(5 * SECOND_US, |world| standing(world, first)
        == NodeStanding::Member));
    let second = join(&mut world, &invitation);
    world.run(5 * SECOND_US, |_| false);
    assert_eq!(standing(&world, second), NodeStanding::Joining);
    assert!(refused(&world, second).unwrap().contains("another node"));
    let late = world.registrar.as_mut().unwrap().invite(NOW_S + 2);
    let third = join(&mut world, &late);
    world.run(5 * SECOND_US, |_| false);
    assert!(refused(&world, third).unwrap().contains("expired"));
}

#[test]
fn who_holds_no_secret_and_who_replays_a_request_stays_outside() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, admin, invitation) = line(32, &release);
    let mut guessed = invitation.clone();
    guessed.secret = [7; 32];
    let impostor = join(&mut world, &guessed);
    world.run(5 * SECOND_US, |_| false);
    assert!(refused(&world, impostor).unwrap().contains("code"));
    // a request heard from another node, sent by one's own key and under one's own name
    let thief = world.add_node(puppet(), VirtualDisk::default());
    world.connect(1, thief);
    let victim = world.key(impostor);
    for node in [victim, world.key(thief)] {
        let mut request = invitation.request(victim);
        request.node = node;
        hello(&mut world, &admin, thief, 1, None);
        let join = Control::Join { request, hops: 0 };
        world.say(thief, 1, Message::Control(join));
    }
    world.run(5 * SECOND_US, |_| false);
    let trust = world.node(0).unwrap().trust();
    assert!(trust.enrolment(&world.key(thief)).is_none());
    assert!(trust.enrolment(&victim).is_none());
}

#[test]
fn a_stranger_gets_nothing_but_the_door() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, _) = mesh(33, 2, &[&release], plain);
    let stranger = world.add_node(puppet(), VirtualDisk::default());
    world.connect(0, stranger);
    let id = publish(&mut world, &mut admin, &release);
    let channel = admin.channel();
    assert!(world.run(20 * SECOND_US, |world| world.active(1, &channel)
        == Some(id)));
    // somebody else's enrolment belongs to somebody else
    let other = admin.enroll(world.key(1));
    hello(&mut world, &admin, stranger, 0, Some(other));
    let everything = admin.trust().open_comparison(1);
    let want = [
        Control::Have(Box::default()),
        Control::Digest(weft_record::TrustDigest::default()),
        Control::Compare(Box::new(everything)),
        Control::Want(release.file),
    ];
    for control in want {
        world.say(stranger, 0, Message::Control(control));
    }
    let chunk = weft_core::ChunkRef {
        file: release.file,
        index: 0,
    };
    world.say(stranger, 0, Message::Get(chunk));
    world.say(stranger, 0, Message::GetBlob(release.chunk_map_hash()));
    world.run(SECOND_US, |_| false);
    for (_, _, message) in world.heard.iter().filter(|(to, ..)| *to == stranger) {
        match message {
            Message::Control(Control::Hello { .. }) => {}
            Message::Control(Control::Records(envelopes)) => {
                for bytes in envelopes {
                    let kind = weft_record::Envelope::decode(bytes).unwrap().kind;
                    assert_eq!(kind, weft_record::Kind::Root.number());
                }
            }
            other => panic!("a stranger was told {other:?}"),
        }
    }
    assert!(world.is_linked(0, stranger));
    // standing there and dripping does not help
    for _ in 0..12 {
        world.run(6 * SECOND_US, |_| false);
        hello(&mut world, &admin, stranger, 0, None);
    }
    let key = world.key(stranger);
    let dropped = |event: &Event| matches!(event, Event::StrangerDropped { peer } if *peer == key);
    assert!(told(&world, 0, dropped).count() >= 1);
}

#[test]
fn a_lapsed_node_exchanges_what_mends_it_and_nothing_else() {
    let (old, new) = (
        VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0),
        VirtualRelease::new("1.1.0", 8, CHUNK_BYTES, 0),
    );
    let (mut world, mut admin, channel) = mesh(34, 3, &[&old, &new], plain);
    let old_id = publish(&mut world, &mut admin, &old);
    assert!(world.run(30 * SECOND_US, |world| all_active(world, &channel, old_id)));
    // whoever enrolled them signs no longer; all but node 2 are enrolled anew
    let rotated = admin.rotate(&["enroll"], Base::Keep);
    world.command(0, rotated);
    for index in [0, 1] {
        let enrolment = admin.enroll(world.key(index));
        let records = [admin.roots(), vec![enrolment]].concat();
        world.command(index, Command::Import(records));
    }
    world.run(5 * SECOND_US, |_| false);
    assert_eq!(standing(&world, 2), NodeStanding::Lapsed);
    assert_eq!(world.node(2).unwrap().status().root_version, Some(2));
    let new_id = publish(&mut world, &mut admin, &new);
    let revoked = admin.revoke_release(old_id);
    world.command(0, revoked);
    world.run(100 * SECOND_US, |_| false);
    assert!(world.is_linked(0, 2), "it is not let go");
    assert_eq!(world.active(1, &channel), Some(new_id));
    let trust = world.node(2).unwrap().trust();
    assert!(trust.is_revoked(&old_id), "revocations reach it");
    assert!(trust.release(&new_id).is_none(), "releases do not");
    assert_eq!(world.active(2, &channel), None, "what was revoked is left");
    let mended = admin.enroll(world.key(2));
    world.command(2, Command::Import(vec![mended]));
    assert!(world.run(30 * SECOND_US, |world| world.active(2, &channel)
        == Some(new_id)));
}

#[test]
fn a_revoked_node_is_let_go_by_everybody() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(35, 4, &[&release], plain);
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(30 * SECOND_US, |world| all_active(world, &channel, id)));
    let revoked = admin.revoke_key(world.key(2));
    world.command(0, revoked);
    assert!(world.run(5 * SECOND_US, |world| {
        !world.is_linked(1, 2) && !world.is_linked(2, 3)
    }));
    // it comes again, and is turned away again
    world.run(120 * SECOND_US, |_| false);
    for index in [0, 1, 3] {
        let status = world.node(index).unwrap().status();
        assert!(!status.members.contains(&world.key(2)), "node {index}");
        assert_eq!(status.members.len(), if index == 0 { 2 } else { 1 });
    }
    assert_eq!(standing(&world, 2), NodeStanding::Stranger);
}

#[test]
fn roots_make_an_enrolment_expire_and_beacons_only_make_it_stale() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let mut admin = Admin::new(36);
    let mut world = World::new(36, admin.mesh_id());
    let day_s = 24 * 3_600;
    for index in 0..2 {
        let mut disk = VirtualDisk::default();
        disk.preload(&release);
        let mut records = admin.roots();
        let key = world.secret_of(index).public();
        records.push(admin.enroll_until(key, NOW_S + 3 * day_s));
        disk.save(records);
        // its clock stands: only what is signed tells the time
        world.add_node(NodeSpec::default(), disk);
    }
    world.connect(0, 1);
    let channel = admin.channel();
    let id: RecordId = publish(&mut world, &mut admin, &release);
    assert!(world.run(30 * SECOND_US, |world| all_active(world, &channel, id)));
    // a day of uptime gives beacons a week of credit
    world.run(day_s * SECOND_US, |_| false);
    let beacon = admin.beacon(NOW_S + 5 * day_s);
    world.command(0, beacon);
    world.run(200 * SECOND_US, |_| false);
    let status = world.node(1).unwrap().status();
    assert_eq!(status.standing, NodeStanding::Member);
    assert_eq!(status.time.state, Freshness::Stale);
    assert!(status.time.floor_s >= NOW_S + 5 * day_s);
    assert_eq!(status.members.len(), 1);
    assert_eq!(world.active(1, &channel), Some(id));
    // and it is not forgotten over a restart
    world.stop(1, weft_sim::Outage::PowerCut);
    world.start(1);
    assert!(world.node(1).unwrap().status().time.floor_s >= NOW_S + 5 * day_s);
    let root = admin.renew_for(NOW_S + 6 * day_s, NOW_S + YEAR_S);
    world.command(0, root);
    world.run(200 * SECOND_US, |_| false);
    for index in 0..2 {
        assert_eq!(standing(&world, index), NodeStanding::Lapsed);
        assert_eq!(
            world.active(index, &channel),
            Some(id),
            "who is active stays"
        );
    }
}

#[test]
fn what_a_stale_node_may_activate_is_its_owners_choice() {
    let (old, new) = (
        VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0),
        VirtualRelease::new("1.1.0", 8, CHUNK_BYTES, 0),
    );
    let stale = |index| NodeSpec {
        wall_s: if index == 0 {
            NOW_S
        } else {
            NOW_S + 2 * YEAR_S
        },
        refuse_new_when_stale: index == 2,
        ..NodeSpec::default()
    };
    let (mut world, mut admin, channel) = mesh(37, 3, &[&old, &new], stale);
    let id = publish(&mut world, &mut admin, &old);
    assert!(world.run(30 * SECOND_US, |world| world.active(1, &channel)
        == Some(id)));
    world.run(10 * SECOND_US, |_| false);
    assert_eq!(world.active(2, &channel), None);
    let status = world.node(2).unwrap().status();
    assert_eq!(status.time.state, Freshness::Stale);
    assert!(status.channels[0].reason.contains("run out"), "{status:?}");
    let root = admin.renew_for(NOW_S, NOW_S + 3 * YEAR_S);
    world.command(0, root);
    assert!(world.run(120 * SECOND_US, |world| world.active(2, &channel)
        == Some(id)));
    assert!(heard(&world, 0).is_empty());
}
