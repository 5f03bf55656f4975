//! The world of a scenario before anything happens.

use weft_core::{Limits, Window};

use crate::{
    disk::VirtualDisk,
    fleet::{Fleet, Member},
    mesh::{Admin, NOW_S, VirtualRelease, YEAR_S},
    registrar::Registrar,
    scenario::{Bad, Class, Clock, Hostile, Hours, Network, Scenario},
    topology::{NetworkModel, Site, Timing},
    world::{Keep, NodeSpec, Outage, World},
};

use super::{Published, puppets::Puppets};

/// Above this many nodes, hashing and writing a chunk are no events of their own.
const SPLIT_NODES: usize = 1_000;
/// A network card without a limit sends so fast.
const UNLIMITED_BYTES_PER_SEC: u64 = 125_000_000_000;

/// What clocks on the wall show when it begins: that time of a Monday.
fn local_s(scenario: &Scenario) -> u64 {
    // 1970 began on a Thursday
    const FIRST_MONDAY_S: u64 = 4 * 86_400;
    const WEEK_S: u64 = 7 * 86_400;
    let weeks = (NOW_S - FIRST_MONDAY_S) / WEEK_S;
    FIRST_MONDAY_S + weeks * WEEK_S + u64::from(scenario.begins_at.second)
}

/// What the owner of such a device lets transfers take.
fn limits(class: &Class) -> Limits {
    let cap = class.fetch_cap.map(|cap| cap.bytes_per_sec);
    let mut limits = cap
        .filter(|cap| *cap > 0)
        .map(Limits::fetching)
        .unwrap_or_default();
    let minute = |clock: Clock| (clock.second / 60) as u16;
    let window = |from_minute, until_minute, cap| Window {
        days: 0x7f,
        from_minute,
        until_minute,
        fetch_bytes_per_sec: cap,
        serve_bytes_per_sec: cap,
    };
    for hours in &class.uplink_hours {
        let Hours { from, until } = *hours.get_ref();
        limits
            .timetable
            .push(window(minute(from), minute(until), None));
    }
    if !limits.timetable.is_empty() {
        limits.timetable.push(window(0, 24 * 60, Some(0)));
    }
    limits
}

/// All releases of the file, then those of thieves.
pub(super) fn releases(scenario: &Scenario) -> Vec<Published> {
    let mut all: Vec<Published> = Vec::new();
    for format in &scenario.release {
        let format = format.get_ref();
        let (length, chunk) = (format.size.get_ref().0, format.chunk_bytes() as u32);
        let version = format.version.get_ref();
        let count = length.div_ceil(u64::from(chunk)) as usize;
        let shared = format.shared.of(count) as u32;
        let release = match all.last() {
            Some(before) => before.release.followed_by(version, length, chunk, shared),
            None => VirtualRelease::of_length(version, length, chunk),
        };
        let mut release = release;
        release.requires.ram_bytes = format.needs_ram.0;
        release.requires.disk_bytes = format.needs_disk.0;
        let new_bytes = new_bytes(&release, all.last());
        all.push(Published {
            version: version.clone(),
            release,
            new_bytes,
            at_us: format.at.get_ref().us,
            by_thief: false,
            bad: format.bad,
            id: None,
        });
    }
    for theft in &scenario.theft {
        let theft = theft.get_ref();
        let version = theft.version.get_ref();
        // as large as what the admin published last before
        let at_us = theft.at.get_ref().us;
        let like = all
            .iter()
            .rev()
            .find(|one| !one.by_thief && one.at_us <= at_us);
        let like = like.or(all.first()).map(|one| one.release.clone());
        let Some(like) = like else { continue };
        let chunk = like.map.chunks.first().map_or(1, |chunk| chunk.length);
        all.push(Published {
            version: version.clone(),
            release: VirtualRelease::of_length(version, like.length, chunk),
            new_bytes: like.length,
            at_us,
            by_thief: true,
            bad: Bad::No,
            id: None,
        });
    }
    all
}

fn new_bytes(release: &VirtualRelease, before: Option<&Published>) -> u64 {
    let Some(before) = before else {
        return release.length;
    };
    let both = release.map.chunks.iter().zip(&before.release.map.chunks);
    let held = both.filter(|(new, old)| new == old);
    release.length - held.map(|(new, _)| u64::from(new.length)).sum::<u64>()
}

/// Every site and node, linked; those that are switched on later are off.
pub(super) fn world(
    scenario: &Scenario,
    fleet: &Fleet,
    seed: u64,
    admin: &mut Admin,
) -> (World, Puppets) {
    let model = match scenario.network {
        Network::Quantum => NetworkModel::Quantum,
        Network::Fluid => NetworkModel::Fluid,
    };
    let mut world = World::with_network(seed, admin.mesh_id(), model);
    world.gossip_works = scenario.mesh.gossip;
    world.keep(Keep::Milestones);
    if fleet.nodes.len() > SPLIT_NODES {
        world.set_timing(Timing::Fused);
    }
    // the world's own first site stays empty: place n is its site n + 1
    for place in &fleet.places {
        let site = scenario.site[place.kind].get_ref();
        let downlink = site.downlink.unwrap_or(site.uplink);
        world.add_site(Site {
            name: place.name.clone(),
            uplink_bytes_per_sec: site.uplink.bytes_per_sec,
            downlink_bytes_per_sec: downlink.bytes_per_sec,
            lan_round_trip_us: site.lan_round_trip.us,
            wan_round_trip_us: site.wan_round_trip.us,
            loss_ppm: site.loss.ppm,
        });
    }
    let mut registrar = admin.registrar();
    let mut puppets = Puppets::default();
    for (index, member) in fleet.nodes.iter().enumerate() {
        add(
            scenario,
            fleet,
            index,
            member,
            &mut world,
            admin,
            &mut registrar,
            &mut puppets,
        );
    }
    world.registrar = Some(registrar);
    for (one, other) in fleet.lan.iter().chain(&fleet.wan) {
        world.connect(*one as usize, *other as usize);
    }
    for (index, member) in fleet.nodes.iter().enumerate() {
        if member.on_us > 0 {
            world.stop(index, Outage::Kill);
        }
    }
    (world, puppets)
}

/// The world's number of a place.
pub(super) fn site_of(place: usize) -> usize {
    place + 1
}

#[allow(clippy::too_many_arguments)] // one node, and all that it touches
fn add(
    scenario: &Scenario,
    fleet: &Fleet,
    index: usize,
    member: &Member,
    world: &mut World,
    admin: &mut Admin,
    registrar: &mut Registrar,
    puppets: &mut Puppets,
) {
    let place = &fleet.places[member.place];
    let site = scenario.site[place.kind].get_ref();
    let class = scenario.class.get(member.class).map(toml::Spanned::get_ref);
    let nic = class.and_then(|class| class.nic).unwrap_or(site.lan);
    let ahead_s = class.map_or(0, |class| class.clock_skew.ahead_s);
    let mut spec = NodeSpec {
        site: site_of(member.place),
        uplink_bytes_per_sec: match nic.bytes_per_sec {
            0 => UNLIMITED_BYTES_PER_SEC,
            some => some,
        },
        downlink_bytes_per_sec: nic.bytes_per_sec,
        limits: class.map(limits).unwrap_or_default(),
        refuse_new_when_stale: class.is_some_and(|class| class.refuse_new_when_stale),
        registrar: index == fleet.publisher,
        wall_s: NOW_S.saturating_add_signed(ahead_s),
        local_s: local_s(scenario).saturating_add_signed(ahead_s),
        ..NodeSpec::default()
    };
    if let Some(class) = class {
        spec.ram_bytes = class.ram.0;
        spec.disk_bytes = class.disk.0;
        if class.hash_rate.bytes_per_sec > 0 {
            spec.hash_bytes_per_sec = class.hash_rate.bytes_per_sec;
        }
    }
    match member.hostile {
        Some(Hostile::Corrupt) => spec.corrupts = true,
        Some(Hostile::Withhold) => spec.withholds = true,
        Some(Hostile::Stranger) => spec.stranger = true,
        Some(kind @ (Hostile::FakeHave | Hostile::StaleHead | Hostile::Equivocate)) => {
            spec.puppet = true;
            let enrolment = admin.enroll(world.secret_of(index).public());
            puppets.add(index, kind, enrolment, admin);
        }
        None => {}
    }
    if spec.stranger || spec.puppet {
        world.add_node(spec, VirtualDisk::default());
    } else if member.invited {
        spec.invitation = Some(registrar.invite(NOW_S + YEAR_S));
        world.add_node(spec, VirtualDisk::default());
    } else {
        world.add_member_apart(admin, spec, VirtualDisk::default());
    }
}
