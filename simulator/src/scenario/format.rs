//! What a scenario file may say: every table and key. The reference in
//! `docs/simulator.md` is held against this file by a test.

use serde::Deserialize;
use toml::Spanned;

use super::units::{Bytes, Clock, Hours, Rate, Share, Skew, Time, Times};

/// A scenario as it was read: what is rehearsed, on what fleet, and what goes wrong.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// A headline.
    pub title: String,
    /// What one wants to know.
    #[serde(default)]
    pub question: String,
    /// Seeds every draw.
    #[serde(default = "one")]
    pub seed: u64,
    /// Virtual time after which it ends.
    pub time_limit: Spanned<Time>,
    /// Whether it may end before.
    #[serde(default)]
    pub until: Until,
    /// How links share their rate.
    #[serde(default)]
    pub network: Network,
    /// Time of day at the beginning.
    #[serde(default = "morning")]
    pub begins_at: Clock,
    /// How nodes find each other.
    #[serde(default)]
    pub mesh: Mesh,
    /// Places.
    #[serde(default)]
    pub site: Vec<Spanned<Site>>,
    /// Kinds of device.
    #[serde(default)]
    pub class: Vec<Spanned<Class>>,
    /// What is published.
    #[serde(default)]
    pub release: Vec<Spanned<Release>>,
    /// Uplinks that fall or slow down.
    #[serde(default)]
    pub outage: Vec<Spanned<Outage>>,
    /// Sites cut off from all others.
    #[serde(default)]
    pub partition: Vec<Spanned<Partition>>,
    /// Releases that somebody carries.
    #[serde(default)]
    pub courier: Vec<Spanned<Courier>>,
    /// Nodes that go down and come back.
    #[serde(default)]
    pub churn: Vec<Spanned<Churn>>,
    /// Nodes that are switched on later.
    #[serde(default)]
    pub late: Vec<Spanned<Late>>,
    /// Nodes that do not play by the rules.
    #[serde(default)]
    pub adversary: Vec<Spanned<Adversary>>,
    /// Keys that are stolen.
    #[serde(default)]
    pub theft: Vec<Spanned<Theft>>,
    /// What must hold.
    #[serde(default)]
    pub assert: Vec<Spanned<Assert>>,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// When nothing is planned any more and every honest node has what it should, or at
    /// the time limit.
    #[default]
    Settled,
    /// At the time limit.
    TimeLimit,
}

/// Which network model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Exact max-min fair sharing.
    Fluid,
    /// Links serve pieces in turn.
    #[default]
    Quantum,
}

/// `[mesh]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mesh {
    /// The site whose first node the admin publishes at; the first site if not named.
    pub publisher: Option<Spanned<String>>,
    /// Neighbours of a node on its LAN.
    pub lan_neighbours: Spanned<usize>,
    /// Announcements spread by gossip; without it by catch-up alone.
    pub gossip: bool,
    /// Keys that must sign each release and each head.
    pub threshold: Spanned<u16>,
}

impl Default for Mesh {
    fn default() -> Self {
        Self {
            publisher: None,
            lan_neighbours: Spanned::new(0..0, 8),
            gossip: true,
            threshold: Spanned::new(0..0, 1),
        }
    }
}

/// `[[site]]`: places of one kind, each with a LAN behind one uplink.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its name; with a count above one the places are NAME-1, NAME-2, …
    pub name: Spanned<String>,
    /// Places of this kind.
    #[serde(default = "one_site")]
    pub count: Spanned<usize>,
    /// Nodes at each.
    pub nodes: Spanned<usize>,
    /// Rate from the site to the world.
    #[serde(default)]
    pub uplink: Rate,
    /// Rate from the world to the site; that of the uplink if not given.
    pub downlink: Option<Rate>,
    /// Rate of a node's network card.
    #[serde(default = "gigabit")]
    pub lan: Rate,
    /// Round trip between two nodes of the site.
    #[serde(default = "one_ms")]
    pub lan_round_trip: Time,
    /// Round trip to the middle of the network; between two sites it is the sum of theirs.
    #[serde(default = "twenty_ms")]
    pub wan_round_trip: Time,
    /// Packets lost on the uplink.
    #[serde(default)]
    pub loss: Share,
    /// Nobody can dial in (NAT): its nodes dial out.
    #[serde(default)]
    pub dials_only: bool,
    /// Nodes of each place that have bootstrap addresses; the others know their LAN only.
    #[serde(default = "one_site")]
    pub gateways: Spanned<usize>,
    /// Sites whose gateways they dial: the publisher's and those of this kind if not given.
    pub dials: Option<Vec<Spanned<String>>>,
    /// How many of them each gateway dials.
    #[serde(default = "two")]
    pub dial_count: Spanned<usize>,
    /// Hours of the day at which the uplink is open; always if not given.
    #[serde(default)]
    pub open: Vec<Spanned<Hours>>,
}

/// `[[class]]`: a kind of device.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Its name.
    pub name: Spanned<String>,
    /// Of the nodes of its sites.
    pub share: Spanned<Share>,
    /// Where it is found; everywhere if not given.
    #[serde(default)]
    pub sites: Vec<Spanned<String>>,
    /// Rate of its network card; that of the site's LAN if not given.
    pub nic: Option<Rate>,
    /// Most that it fetches a second.
    pub fetch_cap: Option<Rate>,
    /// Hours of the day at which its chunks may cross the uplink, either way; heads and records
    /// always may. Always if not given.
    #[serde(default)]
    pub uplink_hours: Vec<Spanned<Hours>>,
    /// How fast it hashes a chunk; several are hashed side by side.
    #[serde(default = "gigabyte")]
    pub hash_rate: Rate,
    /// Its memory.
    #[serde(default = "eight_gib")]
    pub ram: Bytes,
    /// Its free space for models.
    #[serde(default = "sixty_four_gib")]
    pub disk: Bytes,
    /// How far its clock is ahead (or, negative, behind).
    #[serde(default)]
    pub clock_skew: Skew,
    /// It activates nothing new while the root has run out by its clock.
    #[serde(default)]
    pub refuse_new_when_stale: bool,
}

/// `[[release]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its version: its name in asserts.
    pub version: Spanned<String>,
    /// When it is published.
    #[serde(default = "at_once")]
    pub at: Spanned<Time>,
    /// Size of its model file.
    pub size: Spanned<Bytes>,
    /// Size of a chunk; as weft cuts a file of that size if not given.
    pub chunk: Option<Spanned<Bytes>>,
    /// Chunks that the release before it holds too: those are not fetched again.
    #[serde(default)]
    pub shared: Share,
    /// Memory that a device must have to run it.
    #[serde(default)]
    pub needs_ram: Bytes,
    /// Free space that a device must have.
    #[serde(default)]
    pub needs_disk: Bytes,
    /// Its model misbehaves.
    #[serde(default)]
    pub bad: Bad,
}

/// Chunk sizes of files below a size, and of all larger ones: those of `weft-model`.
const CHUNK_SIZES: [(u64, u64); 2] = [(64 << 20, 256 << 10), (512 << 20, 512 << 10)];
const LARGEST_CHUNK_BYTES: u64 = 1 << 20;

impl Release {
    /// Size of a chunk.
    pub fn chunk_bytes(&self) -> u64 {
        let size = self.size.get_ref().0;
        let of_size = CHUNK_SIZES.iter().find(|(below, _)| size < *below);
        let usual = of_size.map_or(LARGEST_CHUNK_BYTES, |(_, chunk)| *chunk);
        self.chunk.as_ref().map_or(usual, |chunk| chunk.get_ref().0)
    }
}

/// How a model misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bad {
    /// It does not.
    #[default]
    No,
    /// It fails its probe everywhere.
    Probe,
    /// It passes, and fails once it is active.
    Soak,
}

/// `[[outage]]`: uplinks that fall, or that slow down.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Which sites; every place of a kind, or one place by its number.
    pub sites: Vec<Spanned<String>>,
    /// Of these places.
    #[serde(default = "all")]
    pub share: Share,
    /// When it begins.
    pub at: Spanned<Time>,
    /// How long it lasts.
    #[serde(rename = "for")]
    pub lasts: Time,
    /// To which rate the link falls, both ways; it is dead if not given.
    pub slowed_to: Option<Rate>,
}

/// `[[partition]]`: these sites reach each other, but nobody else.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Which sites.
    pub sites: Vec<Spanned<String>>,
    /// When it begins.
    pub at: Spanned<Time>,
    /// How long it lasts.
    #[serde(rename = "for")]
    pub lasts: Time,
}

/// `[[courier]]`: a bundle that somebody carries to a node of each of these places.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Courier {
    /// Which sites; every place of a kind, or one place by its number.
    pub sites: Vec<Spanned<String>>,
    /// The release that it brings.
    pub version: Spanned<String>,
    /// When it arrives; never if not given.
    pub at: Option<Spanned<Time>>,
    /// Until when the nodes there leave to it what comes later over the uplink; they do not
    /// know of it if not given.
    pub expected_by: Option<Spanned<Time>>,
    /// When they are told.
    #[serde(default = "at_once")]
    pub told: Spanned<Time>,
}

/// `[[churn]]`: nodes that go down and come back, again and again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// Where; everywhere if not given.
    #[serde(default)]
    pub sites: Vec<Spanned<String>>,
    /// Of the nodes there.
    #[serde(default = "all")]
    pub share: Share,
    /// Mean time that a node stays up.
    pub mean_up: Spanned<Time>,
    /// Mean time that it stays down.
    pub mean_down: Spanned<Time>,
    /// How it goes down.
    #[serde(default)]
    pub kind: Down,
    /// When it begins.
    #[serde(default = "at_once")]
    pub from: Spanned<Time>,
    /// When it ends; never if not given.
    pub until: Option<Time>,
}

/// How a node goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Down {
    /// Its process is killed: what was written stays.
    #[default]
    Kill,
    /// Its power fails: what was not synced is gone.
    PowerCut,
}

/// `[[late]]`: nodes that are switched on later, with an empty disk.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Late {
    /// Where; everywhere if not given.
    #[serde(default)]
    pub sites: Vec<Spanned<String>>,
    /// Of the nodes there.
    pub share: Spanned<Share>,
    /// When the first is switched on.
    pub at: Spanned<Time>,
    /// Over which time the others follow.
    #[serde(default)]
    pub over: Time,
    /// They are not enrolled yet and join by invitation.
    #[serde(default)]
    pub invited: bool,
}

/// `[[adversary]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adversary {
    /// What it does.
    pub kind: Hostile,
    /// Where; everywhere if not given.
    #[serde(default)]
    pub sites: Vec<Spanned<String>>,
    /// Of the nodes there; this or a count.
    pub share: Option<Spanned<Share>>,
    /// How many; this or a share.
    pub count: Option<Spanned<usize>>,
}

/// What a hostile node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hostile {
    /// Answers with other bytes than asked for.
    Corrupt,
    /// Fetches like others and answers no request for bytes.
    Withhold,
    /// Says that it holds everything, and then that it does not.
    FakeHave,
    /// Shows only what was there before the first release, and says that it has nothing else.
    StaleHead,
    /// Signs two heads of one number with an admin's keys, and shows each to half its neighbours.
    Equivocate,
    /// Belongs to no mesh, or another, and connects again and again.
    Stranger,
}

/// `[[theft]]`: somebody signs with an admin's keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Theft {
    /// Version that the thief signs: its name in asserts.
    pub version: Spanned<String>,
    /// When.
    pub at: Spanned<Time>,
    /// At whose first node it is published; the last site if not given.
    pub site: Option<Spanned<String>>,
    /// Which keys, one of each.
    #[serde(default = "head_and_release")]
    pub keys: Vec<Spanned<String>>,
    /// When the admin has new keys and trusts nothing that the thief signed; never if not given.
    pub rotated: Option<Spanned<Time>>,
}

/// `[[assert]]`: exactly one of the first seven keys says what must hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assert {
    /// At least so many honest nodes run the release...
    pub coverage: Option<Spanned<Share>>,
    /// At least so many honest nodes hold all its bytes...
    pub complete: Option<Spanned<Share>>,
    /// No site's link took in more than so many times what the releases need.
    pub uplink_bytes_per_site: Option<Spanned<Times>>,
    /// No honest node was let go by another.
    pub no_blame: Option<Spanned<bool>>,
    /// No honest node ever ran this.
    pub never_active: Option<Spanned<String>>,
    /// At the end nobody runs this any more.
    pub gone: Option<Spanned<String>>,
    /// At most so much of all that was fetched was held already.
    pub duplicate_bytes: Option<Spanned<Share>>,
    /// ...of this version; the last good one if not given.
    pub of: Option<Spanned<String>>,
    /// ...by this time after it was published; at the end of the run if not given.
    pub by: Option<Spanned<Time>>,
    /// ...counted at these sites; everywhere if not given.
    #[serde(default)]
    pub sites: Vec<Spanned<String>>,
}

fn one() -> u64 {
    1
}

fn one_site() -> Spanned<usize> {
    Spanned::new(0..0, 1)
}

fn at_once() -> Spanned<Time> {
    Spanned::new(0..0, Time::default())
}

fn two() -> Spanned<usize> {
    Spanned::new(0..0, 2)
}

fn all() -> Share {
    Share::ALL
}

fn morning() -> Clock {
    Clock { second: 8 * 3_600 }
}

fn gigabit() -> Rate {
    Rate {
        bytes_per_sec: 125_000_000,
    }
}

fn gigabyte() -> Rate {
    Rate {
        bytes_per_sec: 1_000_000_000,
    }
}

fn eight_gib() -> Bytes {
    Bytes(8 << 30)
}

fn sixty_four_gib() -> Bytes {
    Bytes(64 << 30)
}

fn one_ms() -> Time {
    Time { us: 1_000 }
}

fn twenty_ms() -> Time {
    Time { us: 20_000 }
}

fn head_and_release() -> Vec<Spanned<String>> {
    ["head", "release"]
        .map(|key| Spanned::new(0..0, key.to_owned()))
        .to_vec()
}
