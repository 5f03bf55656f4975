//! A courier that is known to come, and one that overtakes the network.

use weft_core::{Command, Event};
use weft_record::{Envelope, Name, RecordId};
use weft_sim::{Admin, NodeSpec, Site, VirtualDisk, VirtualRelease, World};

use crate::harness::{CHUNK_BYTES, SECOND_US, all_active, publish, told};

const HOUR_US: u64 = 3_600 * SECOND_US;
const CHUNKS: u32 = 256;
const BYTES: u64 = CHUNKS as u64 * CHUNK_BYTES as u64;

/// A source, and beyond an uplink of this rate a site of two nodes that both reach it.
struct Fleet {
    world: World,
    channel: Name,
    release: VirtualRelease,
    id: RecordId,
}

fn fleet(seed: u64, bytes_per_sec: u64) -> Fleet {
    let mut admin = Admin::new(seed);
    let release = VirtualRelease::new("1.0.0", CHUNKS, CHUNK_BYTES, 0);
    let mut world = World::new(seed, admin.mesh_id());
    let mut disk = VirtualDisk::default();
    disk.preload(&release);
    let link = Site {
        uplink_bytes_per_sec: bytes_per_sec,
        downlink_bytes_per_sec: bytes_per_sec,
        ..Site::default()
    };
    let (home, away) = (world.add_site(link.clone()), world.add_site(link));
    let spec = |site: usize| NodeSpec {
        site,
        ..NodeSpec::default()
    };
    world.add_member(&mut admin, spec(home), disk);
    for _ in 0..2 {
        world.add_member(&mut admin, spec(away), VirtualDisk::default());
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        world.connect(a, b);
    }
    let id = publish(&mut world, &mut admin, &release);
    let channel = admin.channel();
    Fleet {
        world,
        channel,
        release,
        id,
    }
}

impl Fleet {
    fn expect(&mut self, until_us: Option<u64>) {
        for node in 1..3 {
            let command = Command::Expect(self.channel.clone(), until_us);
            self.world.command(node, command);
        }
    }

    fn bring(&mut self, node: usize) {
        let trust = self.world.node(0).unwrap().trust();
        let records: Vec<Vec<u8>> = trust.records().map(Envelope::encode).collect();
        assert!(self.world.bring(node, &records, &[&self.release]));
    }

    fn run_until_active(&mut self, limit_us: u64) -> bool {
        let (channel, id) = (self.channel.clone(), self.id);
        self.world
            .run(limit_us, |world| all_active(world, &channel, id))
    }

    /// Bytes of chunks that came to the site over its uplink, and chunks that came twice.
    fn over_uplink(&self) -> (u64, usize) {
        let source = self.world.key(0);
        let (mut bytes, mut twice) = (0, 0);
        for node in 1..3 {
            let mut seen = std::collections::BTreeSet::new();
            for (_, at, event) in &self.world.events {
                if let Event::ChunkStored {
                    file,
                    index,
                    length,
                    from,
                } = event
                    && *at == node
                {
                    bytes += u64::from(*length) * u64::from(*from == source);
                    twice += usize::from(!seen.insert((*file, *index)));
                }
            }
        }
        (bytes, twice)
    }

    fn missed(&self, node: usize) -> usize {
        let is_missed = |event: &Event| matches!(event, Event::CourierMissed { .. });
        told(&self.world, node, is_missed).count()
    }
}

#[test]
fn a_thin_uplink_is_left_alone_until_the_courier_comes() {
    let mut fleet = fleet(1, 16_000);
    fleet.expect(Some(HOUR_US));
    fleet.world.run(HOUR_US / 2, |_| false);
    let (before, _) = fleet.over_uplink();
    // the trials, and what was on its way when they ended
    assert!(before < BYTES / 16, "{before} bytes crossed it");
    let status = fleet.world.node(1).unwrap().status();
    assert_eq!(status.channels[0].target, Some(fleet.id), "heads pass");
    let courier = status.channels[0].courier.unwrap();
    assert!(courier.waits, "{courier:?}");
    fleet.bring(1);
    assert!(fleet.run_until_active(120 * SECOND_US));
    assert_eq!(fleet.over_uplink().1, 0, "a chunk came twice");
    fleet.world.run(HOUR_US, |_| false);
    assert_eq!((fleet.missed(1), fleet.missed(2)), (0, 0));
    assert!(
        fleet.world.node(1).unwrap().status().channels[0]
            .courier
            .is_none()
    );
}

#[test]
fn a_courier_that_does_not_come_is_not_waited_for() {
    let mut fleet = fleet(2, 64_000);
    fleet.expect(Some(HOUR_US / 6));
    fleet.world.run(HOUR_US / 6 - SECOND_US, |_| false);
    let (before, _) = fleet.over_uplink();
    assert!(before < BYTES / 8, "{before} bytes crossed it");
    let alone_us = BYTES * SECOND_US / 64_000;
    assert!(fleet.run_until_active(alone_us * 12 / 10 + 30 * SECOND_US));
    assert_eq!((fleet.missed(1), fleet.missed(2)), (1, 1));
    assert_eq!(fleet.over_uplink(), (BYTES, 0));
}

#[test]
fn an_uplink_that_is_sooner_than_the_courier_is_used() {
    let mut fleet = fleet(3, 1_250_000);
    fleet.expect(Some(HOUR_US));
    let alone_us = BYTES * SECOND_US / 1_250_000;
    assert!(fleet.run_until_active(alone_us * 12 / 10 + 10 * SECOND_US));
    assert_eq!(fleet.over_uplink(), (BYTES, 0));
}

#[test]
fn whoever_no_longer_expects_one_goes_on_at_once() {
    let mut fleet = fleet(4, 64_000);
    fleet.expect(Some(10 * HOUR_US));
    fleet.world.run(HOUR_US / 12, |_| false);
    let (before, _) = fleet.over_uplink();
    fleet.expect(None);
    fleet.world.run(60 * SECOND_US, |_| false);
    let (after, _) = fleet.over_uplink();
    assert!(after > before + 30 * 64_000, "{before} {after}");
}

#[test]
fn a_courier_that_overtakes_the_network_brings_the_rest_and_nothing_twice() {
    let mut fleet = fleet(5, 64_000);
    fleet.world.run(HOUR_US / 20, |_| false);
    let (before, _) = fleet.over_uplink();
    assert!(before > BYTES / 16, "the network brought something");
    fleet.bring(2);
    assert!(fleet.run_until_active(120 * SECOND_US));
    let (after, twice) = fleet.over_uplink();
    assert_eq!(twice, 0, "a chunk came twice");
    // what was on its way when the courier came
    let under_way = 2 * weft_core::bounds::REQUESTS_PER_PEER as u64 * u64::from(CHUNK_BYTES);
    assert!(after <= before + under_way, "{before} {after}");
}
