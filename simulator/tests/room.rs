//! Disks with little room: what makes it, and what never does.

use std::collections::BTreeSet;

use proptest::prelude::*;
use weft_core::{Command, Event, Kept, Stored, Wish};
use weft_record::{Hash, Name, RecordId};
use weft_sim::{
    Admin, Journal, Outage, VirtualDisk, VirtualRelease, World,
    checkers::{Subject, Watch},
};

use crate::harness::{CHUNK_BYTES, SECOND_US, mesh, plain, publish, told};

const CHUNKS: u32 = 8;
const FILE_BYTES: u64 = CHUNKS as u64 * CHUNK_BYTES as u64;

fn releases(count: usize) -> Vec<VirtualRelease> {
    let version = |number| format!("1.{number}.0");
    let releases = (0..count).map(|one| VirtualRelease::new(&version(one), CHUNKS, CHUNK_BYTES, 0));
    releases.collect()
}

/// Two nodes; the second has room for so many releases.
fn pair(seed: u64, releases: &[VirtualRelease], room_files: u64) -> (World, Admin, Name) {
    let all: Vec<&VirtualRelease> = releases.iter().collect();
    let (mut world, admin, channel) = mesh(seed, 2, &all, plain);
    world.disk(1).quota_bytes = Some(room_files * FILE_BYTES);
    (world, admin, channel)
}

/// The same pair with a journal from the beginning, and checkers that read it.
fn watched(
    seed: u64,
    releases: &[VirtualRelease],
    room_files: u64,
) -> (World, Admin, Watch, Subject) {
    let mut admin = Admin::new(seed);
    let mut world = World::new(seed, admin.mesh_id());
    world.journal = Some(Journal::default());
    let mut watch = Watch::new(admin.channel());
    watch.knowledge.vouch(&admin.roots());
    for index in 0..2 {
        let mut disk = VirtualDisk::default();
        if index == 0 {
            for release in releases {
                disk.preload(release);
            }
        } else {
            disk.quota_bytes = Some(room_files * FILE_BYTES);
        }
        world.add_member(&mut admin, plain(index), disk);
    }
    world.connect(0, 1);
    let subject = Subject {
        maps: releases
            .iter()
            .map(|one| (one.file, one.map.clone()))
            .collect(),
        honest: BTreeSet::from([0, 1]),
        ..Subject::default()
    };
    (world, admin, watch, subject)
}

/// Publishes a release and waits until the second node runs it.
fn run(world: &mut World, admin: &mut Admin, channel: &Name, release: &VirtualRelease) -> RecordId {
    let id = publish(world, admin, release);
    let active = |world: &World| world.active(1, channel) == Some(id);
    assert!(world.run(60 * SECOND_US, active), "{}", release.version);
    // until the node knows it too
    world.run(SECOND_US, |_| false);
    id
}

fn held(world: &World, releases: &[VirtualRelease]) -> Vec<usize> {
    let held = releases.iter().enumerate();
    let held = held.filter(|(_, one)| world.peek(1).knows(&one.file));
    held.map(|(place, _)| place).collect()
}

fn stock(world: &World, wish: &Wish) -> Vec<Stored> {
    world.node(1).unwrap().stock(wish)
}

fn collect(world: &mut World, wish: Wish) {
    world.command(1, Command::Collect(wish));
    world.run(SECOND_US, |_| false);
}

#[test]
fn the_oldest_makes_room_and_no_more_than_that() {
    let releases = releases(6);
    let (mut world, mut admin, channel) = pair(60, &releases, 4);
    for release in &releases[..4] {
        run(&mut world, &mut admin, &channel, release);
    }
    assert_eq!(held(&world, &releases), [0, 1, 2, 3], "there was room");
    run(&mut world, &mut admin, &channel, &releases[4]);
    assert_eq!(held(&world, &releases), [1, 2, 3, 4]);
    // what was in a slot last counts, also after a restart
    world.stop(1, Outage::PowerCut);
    world.start(1);
    world.run(10 * SECOND_US, |_| false);
    run(&mut world, &mut admin, &channel, &releases[5]);
    assert_eq!(held(&world, &releases), [2, 3, 4, 5]);
    let collected = told(&world, 1, |event| matches!(event, Event::Collected { .. }));
    assert_eq!(collected.count(), 2);
}

#[test]
fn nothing_goes_where_that_would_not_be_enough() {
    let releases = releases(4);
    let (mut world, mut admin, channel) = pair(61, &releases, 3);
    let first = run(&mut world, &mut admin, &channel, &releases[0]);
    let second = run(&mut world, &mut admin, &channel, &releases[1]);
    let third = run(&mut world, &mut admin, &channel, &releases[2]);
    world.pin(1, BTreeSet::from([first]));
    let fourth = publish(&mut world, &mut admin, &releases[3]);
    world.run(30 * SECOND_US, |_| false);
    assert_eq!(world.active(1, &channel), Some(third));
    assert_eq!(held(&world, &releases), [0, 1, 2]);
    let why: Vec<BTreeSet<Kept>> = stock(&world, &Wish::default())
        .into_iter()
        .map(|stored| stored.kept)
        .collect();
    for kept in [
        Kept::Pinned { release: first },
        Kept::Previous {
            channel: channel.clone(),
        },
        Kept::Active {
            channel: channel.clone(),
        },
    ] {
        assert!(why.iter().any(|why| why.contains(&kept)), "{why:?}");
    }
    // unpinned, it is the one that goes
    world.pin(1, BTreeSet::new());
    let active = |world: &World| world.active(1, &channel) == Some(fourth);
    assert!(world.run(30 * SECOND_US, active));
    assert_eq!(held(&world, &releases), [1, 2, 3]);
    assert_ne!(second, fourth);
}

#[test]
fn the_owner_collects_what_nothing_needs() {
    let releases = releases(5);
    let (mut world, mut admin, channel) = pair(62, &releases, 9);
    let first = run(&mut world, &mut admin, &channel, &releases[0]);
    for release in &releases[1..] {
        run(&mut world, &mut admin, &channel, release);
    }
    world.pin(1, BTreeSet::from([first]));
    let would = stock(&world, &Wish::default());
    let files = |stock: &[Stored]| -> Vec<Hash> {
        let going = stock.iter().filter(|stored| stored.goes);
        going.map(|stored| stored.file).collect()
    };
    assert_eq!(files(&would), [releases[1].file, releases[2].file]);
    assert_eq!(held(&world, &releases), [0, 1, 2, 3, 4], "only asked");
    collect(
        &mut world,
        Wish {
            bytes: Some(1),
            unused_since_s: None,
        },
    );
    assert_eq!(held(&world, &releases), [0, 2, 3, 4]);
    collect(&mut world, Wish::default());
    assert_eq!(held(&world, &releases), [0, 3, 4]);
    collect(&mut world, Wish::default());
    assert_eq!(held(&world, &releases), [0, 3, 4], "nothing is left to do");
}

#[test]
fn a_fetch_goes_on_while_the_owner_collects() {
    let releases = releases(3);
    let (mut world, mut admin, channel) = pair(63, &releases, 9);
    run(&mut world, &mut admin, &channel, &releases[0]);
    run(&mut world, &mut admin, &channel, &releases[1]);
    let id = publish(&mut world, &mut admin, &releases[2]);
    let file = releases[2].file;
    let begun = |world: &World| world.peek(1).present_from(&file, 0).is_some();
    assert!(world.run(30 * SECOND_US, begun));
    let writes = world.peek(1).chunk_writes;
    collect(&mut world, Wish::default());
    assert!(world.run(30 * SECOND_US, |world| world.active(1, &channel)
        == Some(id)));
    let fetched = world.peek(1).chunk_writes - writes;
    assert!(fetched <= u64::from(CHUNKS), "{fetched} chunks came twice");
    assert_eq!(held(&world, &releases), [0, 1, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is published, pinned, collected and cut off, the checkers find nothing, and
    /// what is pinned and was here is here in the end.
    #[test]
    fn what_is_needed_stays_whatever_comes(
        seed in 0..1_000_u64,
        deeds in prop::collection::vec((0..6_u8, 0..6_usize, 1..9_u64), 4..20),
    ) {
        let releases = releases(6);
        let (mut world, mut admin, mut watch, subject) = watched(seed, &releases, 4);
        let (mut next, mut published, mut pinned) = (0, Vec::new(), None);
        for (deed, which, seconds) in deeds {
            match deed {
                0 | 1 if next < releases.len() => {
                    published.push(publish(&mut world, &mut admin, &releases[next]));
                    next += 1;
                }
                2 if which < published.len() => {
                    world.pin(1, BTreeSet::from([published[which]]));
                    let is_here = world.peek(1).is_durable(&releases[which].file);
                    pinned = is_here.then_some(which);
                }
                3 => {
                    let bytes = (which > 0).then_some(which as u64 * FILE_BYTES / 2);
                    world.command(1, Command::Collect(Wish { bytes, unused_since_s: None }));
                }
                4 if world.is_up(1) => world.stop(1, Outage::PowerCut),
                _ if !world.is_up(1) => world.start(1),
                _ => {}
            }
            let mut found = None;
            world.run(seconds * SECOND_US / 2, |world| {
                found = watch.look(world, &subject);
                found.is_some()
            });
            prop_assert!(found.is_none(), "{found:?}");
        }
        if let Some(pinned) = pinned {
            prop_assert!(world.peek(1).holds_whole(&releases[pinned].file));
        }
    }
}
