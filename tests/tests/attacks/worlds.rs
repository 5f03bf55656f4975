//! Meshes of virtual nodes, and what the tests ask of them.

use weft_core::{Command, Event};
use weft_record::{Name, RecordId};
use weft_sim::{Admin, NodeSpec, VirtualDisk, VirtualRelease, World};

pub(crate) const SECOND_US: u64 = 1_000_000;
pub(crate) const CHUNK_BYTES: u32 = 262_144;

pub(crate) fn model(version: &str, chunks: u32) -> VirtualRelease {
    VirtualRelease::new(version, chunks, CHUNK_BYTES, 0)
}

/// A ring of members; the first holds the bytes of these releases.
pub(crate) fn ring(
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
        world.add_member(&mut admin, spec(index), disk);
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

/// Publishes, and waits until all have it.
#[track_caller]
pub(crate) fn settle(
    world: &mut World,
    admin: &mut Admin,
    channel: &Name,
    release: &VirtualRelease,
) -> RecordId {
    let id = publish(world, admin, release);
    assert!(world.run(120 * SECOND_US, |world| all_active(world, channel, id)));
    id
}

pub(crate) fn records_of(command: &Command) -> Vec<Vec<u8>> {
    match command {
        Command::Import(records) => records.clone(),
        other => panic!("not an import: {other:?}"),
    }
}

/// Whether anybody ever activated this.
pub(crate) fn was_activated(world: &World, id: RecordId) -> bool {
    let mut events = world.events.iter();
    events.any(|(_, _, event)| matches!(event, Event::Activated { release, .. } if *release == id))
}

/// What a node called the records that it refused.
pub(crate) fn attacks_seen(world: &World, node: usize) -> Vec<String> {
    let of_node = world.events.iter().filter(|(_, teller, _)| *teller == node);
    of_node
        .filter_map(|(_, _, event)| match event {
            Event::RecordRefused { attack, .. } => Some(attack.clone()),
            _ => None,
        })
        .collect()
}
