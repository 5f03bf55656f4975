//! What a node that was away pays to be up to date, in the simulator's world: the daemon's own
//! core at both ends, and a link on which nothing but the round trip takes time.

use anyhow::{Result, ensure};
use weft_record::{Action, Name, RecordId, Verified, codec};
use weft_sim::{Admin, NodeSpec, Site, Traffic, VirtualDisk, VirtualRelease, World};

use super::Figure;

const SECOND_US: u64 = 1_000_000;
const DAY_US: u64 = 86_400 * SECOND_US;
/// There and back between the two nodes: so long that nothing else counts.
const ROUND_TRIP_US: u64 = 2 * SECOND_US;
const DAYS: u64 = 30;
/// Heads published meanwhile, over all channels.
const HEADS: u64 = 1_000;
/// Heads that name one release, on average: most go from wave to wave.
const HEADS_PER_RELEASE: u64 = 25;
/// A set that grew over years: revocations, each of another release.
const SET: usize = 4_000;
/// What a node lacks of it that was away for a month.
const SET_FEW: usize = 10;
/// Longer than any catching up takes, in virtual time.
const PATIENCE_US: u64 = 600 * SECOND_US;
const BEHIND: usize = 1;

pub(crate) fn run() -> Result<Vec<Figure>> {
    let one = Story::default().play()?;
    let four = Story {
        channels: 4,
        ..Story::default()
    };
    let four = four.play()?;
    let mut figures = vec![
        Figure::new(
            "digest, on every connect and each minute",
            one.digest_bytes,
            "bytes",
        )
        .at_most(100.0),
        Figure::new(
            "30 days, 1,000 heads: round trips to the list of what to do",
            one.list.trips,
            "",
        )
        .against("from the moment that the link stands")
        .at_most(2.0),
        Figure::new(
            "30 days, 1,000 heads: bytes both ways",
            one.list.bytes,
            "bytes",
        )
        .against(one.list.told())
        .at_most(4_096.0),
        Figure::new("the same in 4 channels: round trips", four.list.trips, "").at_most(2.0),
        Figure::new(
            "the same in 4 channels: bytes both ways",
            four.list.bytes,
            "bytes",
        )
        .against(four.list.told()),
    ];
    for (lacking, name) in [(SET_FEW, "10"), (SET, "all")] {
        let story = Story {
            lacking,
            set: SET,
            ..Story::default()
        };
        let caught = story.play()?;
        figures.extend([
            Figure::new(
                format!("{name} of 4,000 revocations lacking too: bytes to the list"),
                caught.list.bytes,
                "bytes",
            )
            .against(format!("{:.3} round trips", caught.list.trips))
            .at_most(4_096.0),
            Figure::new(
                format!("{name} of 4,000 revocations: bytes both ways after the list"),
                caught.all.bytes - caught.list.bytes,
                "bytes",
            )
            .against(format!(
                "{} bytes of records; {:.3} round trips in all",
                caught.set_bytes, caught.all.trips
            )),
        ]);
    }
    Ok(figures)
}

/// Who is away, and what happens meanwhile.
struct Story {
    channels: usize,
    /// Records in the growing set when the node comes back...
    set: usize,
    /// ...and how many of them came while it was away.
    lacking: usize,
}

impl Default for Story {
    fn default() -> Self {
        Self {
            channels: 1,
            set: 0,
            lacking: 0,
        }
    }
}

/// What it took.
struct Caught {
    digest_bytes: f64,
    /// Until the newest head of each channel, its control and the newest root are known...
    list: Spent,
    /// ...and until nothing is lacking.
    all: Spent,
    /// The set's records that were lacking, as they are signed.
    set_bytes: usize,
}

/// Time and bytes since the link stands.
struct Spent {
    trips: f64,
    bytes: f64,
    sent: Traffic,
}

impl Spent {
    fn since(world: &World, start_us: u64, before: &Traffic) -> Self {
        let sent = world.traffic.since(before);
        let bytes: u64 = sent.kinds().map(|(_, _, bytes)| bytes).sum();
        Self {
            trips: (world.now_us() - start_us) as f64 / ROUND_TRIP_US as f64,
            bytes: bytes as f64,
            sent,
        }
    }

    /// Messages and bytes of each kind.
    fn told(&self) -> String {
        let kinds = self.sent.kinds().filter(|(_, messages, _)| *messages > 0);
        let kinds = kinds.map(|(kind, messages, bytes)| format!("{messages} {kind} {bytes}"));
        kinds.collect::<Vec<_>>().join(", ")
    }
}

impl Story {
    fn play(&self) -> Result<Caught> {
        let mut admin = Admin::new(30);
        let mut world = World::new(30, admin.mesh_id());
        let channels: Vec<Name> = (0..self.channels)
            .map(|number| match number {
                0 => Ok(admin.channel()),
                _ => format!("ring-{number}").parse(),
            })
            .collect::<Result<_, _>>()?;
        let releases: Vec<VirtualRelease> = (0..=HEADS / HEADS_PER_RELEASE)
            .map(|number| VirtualRelease::new(&format!("1.{number}.0"), 1, 1_024, 0))
            .collect();
        for _ in 0..2 {
            // half of the way is on either side
            let site = world.add_site(Site {
                wan_round_trip_us: ROUND_TRIP_US / 2,
                ..Site::default()
            });
            let spec = NodeSpec {
                site,
                uplink_bytes_per_sec: 0,
                ..NodeSpec::default()
            };
            let mut disk = VirtualDisk::default();
            for release in &releases {
                disk.preload(release);
            }
            world.add_member(&mut admin, spec, disk);
        }
        world.connect(0, BEHIND);
        let revoke = |world: &mut World, admin: &mut Admin, range: std::ops::Range<usize>| {
            for number in range {
                let release = RecordId(*blake3::hash(&number.to_le_bytes()).as_bytes());
                world.command(0, admin.revoke_release(release));
                world.run(SECOND_US / 10, |_| false);
            }
        };
        revoke(&mut world, &mut admin, 0..self.set - self.lacking);
        let mut newest = publish(&mut world, &mut admin, &channels, &releases[0]);
        ensure!(world.run(PATIENCE_US, is_same), "the two nodes never agree");
        world.run(PATIENCE_US, |_| false);

        world.partition(&[BEHIND]);
        revoke(&mut world, &mut admin, self.set - self.lacking..self.set);
        let heads = HEADS / self.channels as u64;
        for number in 0..heads {
            let after = number * self.channels as u64;
            newest = if after.is_multiple_of(HEADS_PER_RELEASE) {
                let release = &releases[1 + (after / HEADS_PER_RELEASE) as usize];
                publish(&mut world, &mut admin, &channels, release)
            } else {
                point_again(&mut world, &mut admin, &channels)
            };
            if number % (heads / DAYS) == 0 {
                let beacon = admin.beacon(weft_sim::NOW_S + world.now_us() / SECOND_US);
                world.command(0, beacon);
            }
            if number == heads / 2 {
                let renewed = admin.renew_for(weft_sim::NOW_S, weft_sim::NOW_S + weft_sim::YEAR_S);
                world.command(0, renewed);
            }
            world.run(DAYS * DAY_US / heads, |_| false);
        }
        for channel in &channels {
            admin.turn_to(channel.clone());
            world.command(0, admin.control(0, Action::OpenThrough(1)));
        }
        world.run(SECOND_US, |_| false);

        let (start_us, before) = (world.now_us(), world.traffic.clone());
        let set_bytes = lacking_bytes(&world);
        world.heal();
        ensure!(
            world.run(PATIENCE_US, |world| has_list(world, &channels, &newest)),
            "the node never catches up"
        );
        let list = Spent::since(&world, start_us, &before);
        ensure!(
            world.run(PATIENCE_US, is_same),
            "the node lacks something for ever"
        );
        let digest = world.node(0).map(|node| node.trust().digest());
        Ok(Caught {
            digest_bytes: codec::encode(&digest.unwrap_or_default()).len() as f64,
            list,
            all: Spent::since(&world, start_us, &before),
            set_bytes,
        })
    }
}

/// The same release on every channel.
fn publish(
    world: &mut World,
    admin: &mut Admin,
    channels: &[Name],
    release: &VirtualRelease,
) -> Vec<RecordId> {
    let mut heads = Vec::new();
    for channel in channels {
        admin.turn_to(channel.clone());
        let (_, command) = admin.publish(release);
        world.command(0, command);
        heads.extend(admin.newest());
    }
    heads
}

/// A further head for what each channel runs.
fn point_again(world: &mut World, admin: &mut Admin, channels: &[Name]) -> Vec<RecordId> {
    let mut heads = Vec::new();
    for channel in channels {
        admin.turn_to(channel.clone());
        let head = admin.trust().head(channel);
        if let Some(release) = head.map(|head| head.release) {
            let command = admin.point_at(release);
            world.command(0, command);
        }
        heads.extend(admin.newest());
    }
    heads
}

/// Whether the node that was away knows what it has to do.
fn has_list(world: &World, channels: &[Name], newest: &[RecordId]) -> bool {
    let (Some(full), Some(behind)) = (world.node(0), world.node(BEHIND)) else {
        return false;
    };
    let (full, behind) = (full.trust(), behind.trust());
    let version = |root: &Verified<weft_record::Root>| root.version;
    full.root().map(version) == behind.root().map(version)
        && channels.iter().zip(newest).all(|(channel, newest)| {
            let head = behind.head(channel);
            head.is_some_and(|head| head.id() == *newest)
                && behind.controls(newest).count() == full.controls(newest).count()
        })
}

fn is_same(world: &World) -> bool {
    let digest = |node| world.node(node).map(|node| node.trust().digest());
    digest(0) == digest(BEHIND)
}

/// The revocations that the node that was away lacks.
fn lacking_bytes(world: &World) -> usize {
    let (Some(full), Some(behind)) = (world.node(0), world.node(BEHIND)) else {
        return 0;
    };
    let held: std::collections::BTreeSet<RecordId> =
        behind.trust().revokes().map(Verified::id).collect();
    let lacking = full
        .trust()
        .revokes()
        .filter(|one| !held.contains(&one.id()));
    lacking.map(|one| one.envelope().encode().len()).sum()
}
