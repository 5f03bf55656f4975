//! Peers that send too much, too little or too slowly, or that are too many.

use weft_core::{ChunkRef, Command, Control, Event, Message};
use weft_record::{Envelope, Hash, Kind, Refusal, bounds};
use weft_sim::{Admin, NodeSpec, Virtual, VirtualDisk, World};

use crate::{
    fleet::{BETA, fleet},
    mesh::name,
    worlds::{SECOND_US, all_active, model, plain, publish, puppet, records_of, ring, settle},
};

#[test]
fn endless_data() {
    // no length is believed before it is checked
    for length in [u64::MAX, 1 << 40, bounds::MAX_RECORD_BYTES as u64 + 1] {
        let mut bytes = fleet().trust.root().unwrap().envelope().encode();
        bytes[34..42].copy_from_slice(&length.to_le_bytes());
        assert!(Envelope::decode(&bytes).is_err());
    }
    let long = vec![1; bounds::MAX_RECORD_BYTES + 1];
    assert!(matches!(
        Envelope::decode(&long),
        Err(Refusal::TooLong { .. })
    ));
    // a member sends chunks that nobody asked for, then messages without end
    let release = model("1.0.0", 16);
    let mut admin = Admin::new(61);
    let channel = admin.channel();
    let mut world = World::new(61, admin.mesh_id());
    let mut disk = VirtualDisk::default();
    disk.preload(&release);
    world.add_member(&mut admin, NodeSpec::default(), disk);
    world.add_member(&mut admin, NodeSpec::default(), VirtualDisk::default());
    let sender = world.add_member(&mut admin, puppet(), VirtualDisk::default());
    world.connect(0, 1);
    world.connect(1, sender);
    let hello = greet(&mut world, &mut admin, sender, 1);
    for index in 0..500 {
        let chunk = ChunkRef {
            file: release.file,
            index,
        };
        let data = Virtual::chunk(Hash::of(&[1]), 1 << 20);
        world.say(sender, 1, Message::Data(chunk, data));
        world.say(sender, 1, Message::Control(hello.clone()));
    }
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(120 * SECOND_US, |world| world.active(1, &channel)
        == Some(id)));
    assert_eq!(
        world.disk(1).chunk_writes,
        16,
        "only what was asked for is written"
    );
    // its line is no endless one either
    world.run(120 * SECOND_US, |_| false);
    assert_eq!(world.disk(1).chunk_writes, 16);
    let key = world.key(sender);
    let let_go = world.events.iter().any(|(_, node, event)| {
        *node == 1 && matches!(event, Event::PeerLetGo { peer, .. } if *peer == key)
    });
    assert!(let_go);
}

/// What a member says first.
fn greet(world: &mut World, admin: &mut Admin, from: usize, to: usize) -> Control {
    let enrolment = admin.enroll(world.key(from));
    let root = admin.trust().root().unwrap();
    let hello = Control::Hello {
        mesh_id: admin.mesh_id(),
        root_version: root.version,
        root: root.id(),
        enrolment: Some(enrolment),
    };
    world.say(from, to, Message::Control(hello.clone()));
    hello
}

#[test]
fn slow_drip() {
    // a neighbour takes every request and answers none
    let release = model("1.0.0", 32);
    let spec = |index| NodeSpec {
        withholds: index == 1,
        ..NodeSpec::default()
    };
    let (mut world, mut admin, channel) = ring(Admin::new(62), 62, 3, &[&release], spec);
    world.disk(1).preload(&release);
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(200 * SECOND_US, |world| world.active(2, &channel)
        == Some(id)));
    // and one with a thin line delays nobody for longer than a request may take
    let thin = |index| NodeSpec {
        uplink_bytes_per_sec: if index == 1 { 2_000 } else { 12_500_000 },
        ..NodeSpec::default()
    };
    let (mut world, mut admin, channel) = ring(Admin::new(63), 63, 3, &[&release], thin);
    world.disk(1).preload(&release);
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(200 * SECOND_US, |world| world.active(2, &channel)
        == Some(id)));
}

#[test]
fn sybil() {
    // two hundred keys that nobody enrolled, around one member
    let release = model("1.0.0", 8);
    let (mut world, mut admin, channel) = ring(Admin::new(64), 64, 2, &[&release], plain);
    let mut strangers = Vec::new();
    for _ in 0..200 {
        let index = world.add_node(NodeSpec::default(), VirtualDisk::default());
        strangers.push(index);
        world.connect(1, index);
    }
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(200 * SECOND_US, |world| {
        (0..2).all(|index| world.active(index, &channel) == Some(id))
    }));
    let members = world.node(1).unwrap().status().members;
    assert_eq!(
        members,
        [world.key(0)],
        "keys cost nothing, and count for nothing"
    );
    assert!(
        strangers
            .iter()
            .all(|&index| world.active(index, &channel).is_none())
    );
}

#[test]
fn eclipse_by_all_but_one_honest_peer() {
    let (old, new) = (model("1.0.0", 16), model("1.1.0", 16));
    let mut admin = Admin::new(65);
    let channel = admin.channel();
    let mut world = World::new(65, admin.mesh_id());
    let mut disk = VirtualDisk::default();
    disk.preload(&old);
    disk.preload(&new);
    world.add_member(&mut admin, NodeSpec::default(), disk);
    world.add_member(&mut admin, NodeSpec::default(), VirtualDisk::default());
    world.connect(0, 1);
    let old_id = settle(&mut world, &mut admin, &channel, &old);
    // twenty enrolled members that say nothing new and serve nothing
    for _ in 0..20 {
        let index = world.add_member(&mut admin, puppet(), VirtualDisk::default());
        world.connect(1, index);
        greet(&mut world, &mut admin, index, 1);
        let roots = Control::Records(admin.roots());
        world.say(index, 1, Message::Control(roots));
    }
    world.run(30 * SECOND_US, |_| false);
    assert_eq!(world.active(1, &channel), Some(old_id));
    let id = publish(&mut world, &mut admin, &new);
    assert!(world.run(300 * SECOND_US, |world| world.active(1, &channel)
        == Some(id)));
}

#[test]
fn record_flood() {
    // the verifier: a record that comes again costs no signature check
    let mut mesh = fleet();
    let id = mesh.put_release("1.0.0", 1);
    let envelope = mesh.trust.envelope(&id).unwrap().clone();
    let checks = mesh.memo.checks();
    for _ in 0..10_000 {
        mesh.assert_known(&envelope);
    }
    assert_eq!(mesh.memo.checks(), checks);
    // contenders for one place are bounded, whoever signs them
    let draft = mesh.next("beta", id);
    let mut taken = 0;
    for number in 0..100 {
        let head = weft_record::Head {
            issued_at_s: number,
            ..draft.clone()
        };
        let envelope = mesh.seal(Kind::Head, &head, &BETA[..1]);
        taken += usize::from(mesh.admit(&envelope).is_ok());
    }
    assert_eq!(taken, bounds::MAX_CONTENDERS);
    assert!(mesh.trust.fork(&name("beta")).is_some());
    // a member that floods forged records is let go, and the mesh goes on
    let release = model("1.0.0", 8);
    let mut admin = Admin::new(66);
    let channel = admin.channel();
    let mut world = World::new(66, admin.mesh_id());
    let mut disk = VirtualDisk::default();
    disk.preload(&release);
    world.add_member(&mut admin, NodeSpec::default(), disk);
    world.add_member(&mut admin, NodeSpec::default(), VirtualDisk::default());
    let flooder = world.add_member(&mut admin, puppet(), VirtualDisk::default());
    world.connect(0, 1);
    world.connect(1, flooder);
    greet(&mut world, &mut admin, flooder, 1);
    let (_, command) = admin.publish(&release);
    let mut forged = records_of(&command);
    for number in 0..200_u8 {
        let head = forged.last_mut().unwrap();
        let place = head.len() - 1 - usize::from(number % 60);
        head[place] ^= number | 1;
        let records = Control::Records(forged.clone());
        world.say(flooder, 1, Message::Control(records));
    }
    world.command(0, Command::Import(records_of(&command)));
    let id = admin.trust().head(&channel).unwrap().release;
    assert!(world.run(120 * SECOND_US, |world| world.active(1, &channel)
        == Some(id)));
    let key = world.key(flooder);
    let let_go = world.events.iter().any(|(_, node, event)| {
        *node == 1 && matches!(event, Event::PeerLetGo { peer, .. } if *peer == key)
    });
    assert!(let_go);
    assert!(all_active(&world, &channel, id) || world.active(0, &channel) == Some(id));
}
