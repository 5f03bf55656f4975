//! Disks put back to an older state.

use weft_core::{Control, Event, Message};
use weft_record::HaveHead;
use weft_sim::{Outage, VirtualDisk, VirtualRelease};

use crate::harness::{
    CHUNK_BYTES, SECOND_US, all_active, hello, mesh, plain, publish, puppet, told,
};

fn older(event: &Event) -> bool {
    matches!(event, Event::MemoryOlder { .. })
}

#[test]
fn neighbours_tell_a_node_that_its_disk_was_put_back() {
    let (one, two) = (
        VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0),
        VirtualRelease::new("1.1.0", 8, CHUNK_BYTES, 0),
    );
    let (mut world, mut admin, channel) = mesh(50, 3, &[&one, &two], plain);
    let id = publish(&mut world, &mut admin, &one);
    assert!(world.run(30 * SECOND_US, |world| all_active(world, &channel, id)));
    let image = world.disk(1).clone();
    let id = publish(&mut world, &mut admin, &two);
    assert!(world.run(30 * SECOND_US, |world| all_active(world, &channel, id)));
    world.run(70 * SECOND_US, |_| false);
    // a plain restart is none of it
    world.stop(1, Outage::PowerCut);
    world.start(1);
    world.run(70 * SECOND_US, |_| false);
    assert_eq!(told(&world, 1, older).count(), 0);
    world.stop(1, Outage::Kill);
    *world.disk(1) = image;
    world.start(1);
    world.run(10 * SECOND_US, |_| false);
    assert!(told(&world, 1, older).count() >= 1);
    let status = world.node(1).unwrap().status();
    let text = status.restored_from_older_image.unwrap();
    assert!(text.contains("head 1 of channel stable"), "{text}");
    assert!(!text.contains("may be wrong"), "{text}");
    assert!(world.run(60 * SECOND_US, |world| all_active(world, &channel, id)));
    for index in [0, 2] {
        assert_eq!(told(&world, index, older).count(), 0);
    }
}

#[test]
fn one_that_lies_about_it_causes_a_warning_that_names_it_and_no_more() {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(51, 2, &[&release], plain);
    let liar = world.add_member(&mut admin, puppet(), VirtualDisk::default());
    world.connect(1, liar);
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(30 * SECOND_US, |world| world.active(1, &channel)
        == Some(id)));
    let shows = admin.enroll(world.key(liar));
    hello(&mut world, &admin, liar, 1, Some(shows));
    let remembered = Control::Remembered {
        root_version: 9,
        heads: vec![HaveHead {
            channel: channel.clone(),
            epoch: 0,
            seq: 77,
            id: weft_record::RecordId::ZERO,
        }],
    };
    for _ in 0..2 {
        world.say(liar, 1, Message::Control(remembered.clone()));
    }
    world.say(liar, 1, Message::Control(Control::Have(Box::default())));
    world.run(5 * SECOND_US, |_| false);
    let warned = told(&world, 1, older).count();
    assert_eq!(warned, 2, "one of the head, one of the root");
    let status = world.node(1).unwrap().status();
    let text = status.restored_from_older_image.unwrap();
    assert!(text.contains(&world.key(liar).to_string()), "{text}");
    assert!(text.contains("may be wrong"), "{text}");
    assert_eq!(world.active(1, &channel), Some(id));
}
