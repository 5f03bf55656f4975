//! A ring of members, and what tests say about it.

use weft_core::{Control, Event, Message};
use weft_record::{Name, RecordId};
use weft_sim::{Admin, NodeSpec, VirtualDisk, VirtualRelease, World};

pub(crate) const SECOND_US: u64 = 1_000_000;
pub(crate) const CHUNK_BYTES: u32 = 262_144;

/// A ring of nodes; the first holds the bytes of these releases.
pub(crate) fn mesh(
    seed: u64,
    nodes: usize,
    releases: &[&VirtualRelease],
    spec: impl Fn(usize) -> NodeSpec,
) -> (World, Admin, Name) {
    mesh_of(Admin::new(seed), seed, nodes, releases, spec)
}

/// The same with an admin of one's own.
pub(crate) fn mesh_of(
    mut admin: Admin,
    seed: u64,
    nodes: usize,
    releases: &[&VirtualRelease],
    spec: impl Fn(usize) -> NodeSpec,
) -> (World, Admin, Name) {
    let channel = admin.channel();
    let mut world = World::new(seed, admin.mesh_id());
    for index in 0..nodes {
        let mut disk = VirtualDisk::default();
        if index == 0 {
            for release in releases {
                disk.preload(release);
            }
        }
        let spec = spec(index);
        if spec.stranger || spec.invitation.is_some() {
            world.add_node(spec, disk);
        } else {
            world.add_member(&mut admin, spec, disk);
        }
    }
    for index in 1..nodes {
        world.connect(index - 1, index);
    }
    if nodes > 2 {
        world.connect(nodes - 1, 0);
    }
    (world, admin, channel)
}

pub(crate) fn plain(_: usize) -> NodeSpec {
    NodeSpec::default()
}

/// A peer that says only what the test makes it say.
pub(crate) fn puppet() -> NodeSpec {
    NodeSpec {
        puppet: true,
        uplink_bytes_per_sec: 1_000_000_000,
        ..NodeSpec::default()
    }
}

pub(crate) fn publish(world: &mut World, admin: &mut Admin, release: &VirtualRelease) -> RecordId {
    let (id, command) = admin.publish(release);
    world.command(0, command);
    id
}

pub(crate) fn all_active(world: &World, channel: &Name, id: RecordId) -> bool {
    (0..world.node_count()).all(|index| world.active(index, channel) == Some(id))
}

/// What a node told.
pub(crate) fn told<'a>(
    world: &'a World,
    node: usize,
    matches: impl Fn(&Event) -> bool + 'a,
) -> impl Iterator<Item = &'a Event> {
    let events = world.events.iter();
    events
        .filter(move |(_, teller, event)| *teller == node && matches(event))
        .map(|(_, _, event)| event)
}

/// Control messages that a puppet got.
pub(crate) fn heard(world: &World, puppet: usize) -> Vec<&Control> {
    let heard = world.heard.iter().filter(|(to, ..)| *to == puppet);
    heard
        .filter_map(|(_, _, message)| match message {
            Message::Control(control) => Some(control),
            _ => None,
        })
        .collect()
}

/// The first Hello of a puppet.
pub(crate) fn hello(
    world: &mut World,
    admin: &Admin,
    from: usize,
    to: usize,
    shows: Option<Vec<u8>>,
) {
    let root = admin.trust().root().unwrap();
    let hello = Control::Hello {
        mesh_id: admin.mesh_id(),
        root_version: root.version,
        root: root.id(),
        enrolment: shows,
    };
    world.say(from, to, Message::Control(hello));
}
