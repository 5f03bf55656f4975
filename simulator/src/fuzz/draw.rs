//! From a seed to a script: all that is random in a run is drawn here, before it begins.

use super::script::{Action, Fault, Lie, Member, Model, Part, Place, Script, Worth};

/// Draws keyed by (seed, count): one more draw moves only those after it.
struct Draw {
    seed: u64,
    drawn: u64,
}

/// How long things go wrong.
const CHAOS_US: u64 = 20_000_000;
/// Faults of a run: at least, and how many more there may be.
const FAULTS: (u64, u64) = (12, 12);
/// Nodes of a run, without puppets.
const NODES: (u64, u64) = (12, 4);
/// Sites of a run.
const SITES: (u64, u64) = (3, 2);
/// Chunks of a release.
const CHUNKS: (u64, u64) = (32, 48);
/// Length of a chunk.
const CHUNK_BYTES: u32 = 65_536;
/// What a node can send in a second.
const UPLINK_BYTES_PER_SEC: (u64, u64) = (500_000, 4_000_000);
/// More than one message of a comparison names.
const REVOKED_AT_ONCE: (u64, u64) = (20, 40);
/// What a site can, where it is bounded.
const SITE_BYTES_PER_SEC: (u64, u64) = (1_000_000, 8_000_000);
/// Releases that a node with little room has room for: what is active, what was before, and
/// what comes.
const ROOM_FILES: u64 = 3;
/// From here on draws are counted that came later than all others.
const APART: u64 = 1 << 32;
/// Peers that are no nodes: a member that lies, and one that never belonged.
const PUPPETS: usize = 2;

impl Script {
    /// The script that a seed stands for.
    pub fn draw(seed: u64) -> Self {
        let mut draw = Draw { seed, drawn: 0 };
        let sites: Vec<Place> = (0..draw.within(SITES)).map(|_| place(&mut draw)).collect();
        let (nodes, count) = members(&mut draw, &sites);
        let links = links(&mut draw, count, nodes.len());
        let releases = models(&mut draw);
        let mut script = Self {
            seed,
            threshold: if draw.one_in(3) { 2 } else { 1 },
            chaos_us: CHAOS_US,
            chunk_bytes: CHUNK_BYTES,
            links,
            sites,
            nodes,
            releases,
            faults: vec![Fault {
                at_us: 0,
                action: Action::Publish { raised: false },
            }],
        };
        let mut at_us: Vec<u64> = (0..draw.within(FAULTS))
            .map(|_| draw.below(CHAOS_US))
            .collect();
        at_us.sort_unstable();
        let mut down = Vec::new();
        for at_us in at_us {
            let action = fault(&mut draw, &script, &mut down);
            script.faults.push(Fault { at_us, action });
        }
        // from numbers of its own, so that all else stays as it was
        let mut draw = Draw { seed, drawn: APART };
        rooms(&mut draw, &mut script);
        script
    }
}

/// Gives some nodes little room, and some of their owners a release that they pin.
fn rooms(draw: &mut Draw, script: &mut Script) {
    let count = script.nodes.len() - PUPPETS;
    for node in 1..count {
        let is_pinned = draw.one_in(4);
        if is_pinned {
            let action = Action::Pin {
                node,
                release: draw.below(2) as usize,
            };
            let at_us = draw.below(CHAOS_US);
            script.faults.push(Fault { at_us, action });
        }
        if draw.one_in(2) {
            script.nodes[node].room_files = ROOM_FILES + u64::from(is_pinned);
        }
    }
    script.faults.sort_by_key(|fault| fault.at_us);
}

fn place(draw: &mut Draw) -> Place {
    let bounded = draw.one_in(2);
    let uplink_bytes_per_sec = draw.within(SITE_BYTES_PER_SEC);
    Place {
        uplink_bytes_per_sec: if bounded { uplink_bytes_per_sec } else { 0 },
        wan_round_trip_us: 5_000 + draw.below(60_000),
    }
}

/// The nodes, and how many of them are none of the puppets.
fn members(draw: &mut Draw, sites: &[Place]) -> (Vec<Member>, usize) {
    let count = draw.within(NODES) as usize;
    let mut roles = vec![Part::Honest; count];
    // different ones, none of them the first
    let first = draw.below(count as u64 - 1) as usize;
    let lapsing = Part::Lapsing(draw.below(20));
    let parts = [
        Part::Corrupt,
        lapsing,
        Part::Stale,
        Part::Joining,
        Part::Stalling,
    ];
    for (step, part) in parts.into_iter().enumerate() {
        roles[1 + (first + 2 * step) % (count - 1)] = part;
    }
    roles.extend([Part::Hostile, Part::Spy]);
    let nodes = roles.into_iter().enumerate().map(|(index, role)| Member {
        site: index % sites.len(),
        uplink_bytes_per_sec: draw.within(UPLINK_BYTES_PER_SEC),
        role,
        room_files: 0,
    });
    (nodes.collect(), count)
}

/// A ring, so that every cut leaves two halves, and a few chords.
fn links(draw: &mut Draw, count: usize, all: usize) -> Vec<(usize, usize)> {
    let mut links = Vec::new();
    let mut link = |a: usize, b: usize| {
        let link = (a.min(b), a.max(b));
        if !links.contains(&link) {
            links.push(link);
        }
    };
    for index in 0..count {
        link(index, (index + 1) % count);
        link(index, draw.other(count, index));
    }
    for puppet in count..all {
        for _ in 0..3 {
            link(puppet, draw.below(count as u64) as usize);
        }
    }
    links
}

/// Two good ones, one that fails sooner or later, and one that a thief signs.
fn models(draw: &mut Draw) -> Vec<Model> {
    let chunks = draw.within(CHUNKS) as u32;
    let shared = draw.below(u64::from(chunks)) as u32;
    let worths = [Worth::Good, Worth::Good, Worth::Bad, Worth::Good];
    let mut models: Vec<Model> = worths
        .map(|worth| Model {
            chunks,
            shared,
            worth,
        })
        .into();
    if draw.one_in(2) {
        models[2].worth = Worth::Failing;
    }
    (models[2].shared, models[3].shared) = (chunks / 2, chunks / 2);
    models
}

fn fault(draw: &mut Draw, script: &Script, down: &mut Vec<usize>) -> Action {
    let count = script.nodes.len() - PUPPETS;
    // any node but the first, at which the admin works
    let node = 1 + draw.below(count as u64 - 1) as usize;
    let link = script.links[draw.below(script.links.len() as u64) as usize];
    match draw.below(36) {
        0..=4 => {
            down.push(node);
            if draw.one_in(2) {
                Action::PowerCut { node }
            } else {
                Action::Kill { node }
            }
        }
        5..=8 => Action::Start {
            node: down.pop().unwrap_or(node),
        },
        9..=11 => Action::Partition {
            side: (0..count).filter(|_| draw.one_in(2)).collect(),
        },
        12 => Action::Heal,
        13 => Action::Unlink {
            a: link.0,
            b: link.1,
        },
        14 => Action::Link {
            a: link.0,
            b: link.1,
        },
        15 => Action::DiskFull { node },
        16 => Action::DiskFree { node },
        17 => Action::Rot {
            node,
            release: draw.below(2) as usize,
            chunk: draw.below(u64::from(script.releases[0].chunks)) as u32,
        },
        18 => Action::Uplink {
            site: draw.below(script.sites.len() as u64) as usize,
            bytes_per_sec: draw.within(SITE_BYTES_PER_SEC) / 4,
        },
        19..=22 => Action::Publish {
            raised: draw.one_in(2),
        },
        23 => Action::PointBack,
        24 => Action::Rollback {
            lowers: draw.one_in(2),
        },
        25 => Action::Rotate,
        26 => {
            if draw.one_in(3) {
                Action::RotateEnroll
            } else {
                Action::Twin { node }
            }
        }
        27 => {
            if draw.one_in(3) {
                Action::RevokeMany {
                    count: draw.within(REVOKED_AT_ONCE) as usize,
                }
            } else {
                Action::RevokeRelease
            }
        }
        28 => Action::RevokeNode { node },
        29 => Action::LoseKey,
        30 => Action::Steal {
            node,
            keys: 1 + draw.below(2) as usize,
            doubled: !draw.one_in(4),
        },
        31 => Action::Equivocate { node },
        32 => Action::KeepStealing { node },
        33 => {
            if draw.one_in(2) {
                Action::Control {
                    number: draw.below(200) as u32,
                }
            } else {
                Action::Beacon {
                    ahead_s: 1 + draw.below(40 * 24 * 3_600),
                }
            }
        }
        _ => hostile(draw, script, count),
    }
}

fn hostile(draw: &mut Draw, script: &Script, count: usize) -> Action {
    let from = count + draw.below(PUPPETS as u64) as usize;
    let to = script.links.iter().filter(|(_, b)| *b == from);
    let to: Vec<usize> = to.map(|(a, _)| *a).collect();
    let lies = [
        Lie::HoldsAll,
        Lie::StaleHeads,
        Lie::Replay,
        Lie::ForgedHead,
        Lie::UnaskedChunk,
        Lie::AsksForAll,
    ];
    Action::Hostile {
        from,
        to: to[draw.below(to.len() as u64) as usize],
        says: lies[draw.below(lies.len() as u64) as usize],
    }
}

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        let hash = blake3::derive_key(
            "weft-sim fuzz",
            &[self.seed, self.drawn].map(u64::to_le_bytes).concat(),
        );
        u64::from_le_bytes(hash[..8].try_into().expect("eight bytes")) % bound
    }

    /// At least the first, and up to the second more.
    fn within(&mut self, (least, more): (u64, u64)) -> u64 {
        least + self.below(more + 1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// An index other than this one.
    fn other(&mut self, count: usize, not: usize) -> usize {
        (not + 1 + self.below(count as u64 - 1) as usize) % count
    }
}
