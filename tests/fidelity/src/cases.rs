//! The stories that are told.

use std::time::Duration;

use crate::case::{Case, Happening, Place, megabits};

const SECOND: Duration = Duration::from_secs(1);

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        lan(),
        branches(),
        asymmetric(),
        partition(),
        restart(),
        late(),
        loss(),
        update(),
    ]
}

/// Two places of two nodes: short enough for a test that runs always.
pub fn smallest() -> Case {
    Case {
        name: "smallest",
        about: "2 sites of 2 nodes, 4 Mbit/s, 20 ms",
        places: places(2, 2, 4, 4, 20),
        trades: false,
        line_bytes_per_sec: megabits(100),
        late: Vec::new(),
        meet_all: Vec::new(),
        happenings: Vec::new(),
        release_mib: 2,
        releases: 1,
        limit: 60 * SECOND,
    }
}

/// A place of four nodes behind a thin uplink, whose LAN falls into halves in the middle of a
/// fetch and comes together again before its end.
pub fn split_site() -> Case {
    Case {
        name: "split",
        about: "a publisher's site, and one of 4 nodes behind 2 Mbit/s that is split for 4 s",
        places: places(2, 4, 2, 2, 20),
        happenings: vec![
            (2 * SECOND, Happening::Split(1)),
            (6 * SECOND, Happening::Join(1)),
        ],
        limit: 120 * SECOND,
        ..story()
    }
}

/// One LAN: a publisher, and so many others that want what it has.
pub fn swarm(leechers: usize, line_megabits: u64, release_mib: usize) -> Case {
    let mut case = lan();
    case.name = "swarm";
    case.about = "one publisher and many others, each on a line of its own";
    case.places[0].nodes = leechers + 1;
    case.line_bytes_per_sec = megabits(line_megabits);
    case.release_mib = release_mib;
    case
}

/// So many sites of so many nodes behind thin uplinks; the publisher is one of the first.
pub fn sites(sites: usize, nodes: usize, uplink_megabits: u64, release_mib: usize) -> Case {
    Case {
        name: "sites",
        about: "sites behind thin uplinks; 40 ms between sites",
        places: places(sites, nodes, uplink_megabits, uplink_megabits, 20),
        trades: true,
        release_mib,
        ..story()
    }
}

/// So many places of one node each: nobody shares a LAN.
pub(crate) fn alone(nodes: usize, uplink_megabits: u64) -> Case {
    Case {
        name: "alone",
        about: "places of one node each, 40 ms between them",
        places: places(nodes, 1, uplink_megabits, uplink_megabits, 20),
        line_bytes_per_sec: megabits(1000),
        ..story()
    }
}

fn lan() -> Case {
    Case {
        name: "lan",
        about: "one LAN, 8 nodes on lines of 100 Mbit/s",
        places: vec![Place {
            nodes: 8,
            uplink_bytes_per_sec: 0,
            downlink_bytes_per_sec: 0,
            round_trip: Duration::ZERO,
            loss_ppm: 0,
        }],
        release_mib: 96,
        ..story()
    }
}

fn branches() -> Case {
    Case {
        name: "branches",
        about: "3 sites of 4 nodes behind 20 Mbit/s, 40 ms between sites",
        ..story()
    }
}

fn asymmetric() -> Case {
    let mut places = places(3, 4, 20, 20, 20);
    places[0].uplink_bytes_per_sec = megabits(16);
    places[1].uplink_bytes_per_sec = megabits(1);
    places[1].downlink_bytes_per_sec = megabits(16);
    places[2].uplink_bytes_per_sec = megabits(2);
    places[2].downlink_bytes_per_sec = megabits(4);
    Case {
        name: "asymmetric",
        about: "3 sites of 4 nodes: 16/20, 1/16 and 2/4 Mbit/s up/down",
        places,
        ..story()
    }
}

fn partition() -> Case {
    Case {
        name: "partition",
        about: "branches; one site is cut off for 10 s in the middle",
        happenings: vec![
            (8 * SECOND, Happening::Cut(1)),
            (18 * SECOND, Happening::Mend(1)),
        ],
        ..story()
    }
}

fn restart() -> Case {
    // the last of its place: it dials all others there itself
    Case {
        name: "restart",
        about: "branches; a node is killed in the middle and starts again after 4 s",
        happenings: vec![
            (8 * SECOND, Happening::Kill(7)),
            (12 * SECOND, Happening::Start(7)),
        ],
        ..story()
    }
}

fn late() -> Case {
    Case {
        name: "late",
        about: "branches; a node joins after 15 s",
        late: vec![11],
        happenings: vec![(15 * SECOND, Happening::Start(11))],
        ..story()
    }
}

fn loss() -> Case {
    let mut places = places(3, 4, 20, 20, 20);
    for place in &mut places[1..] {
        place.loss_ppm = 10_000;
    }
    Case {
        name: "loss",
        about: "branches; two of the uplinks lose 1 % of their packets",
        places,
        ..story()
    }
}

fn update() -> Case {
    Case {
        name: "update",
        about: "branches; a second release that shares half of its chunks",
        releases: 2,
        ..story()
    }
}

/// What most stories share: three sites of four nodes.
fn story() -> Case {
    Case {
        name: "",
        about: "",
        places: places(3, 4, 20, 20, 20),
        trades: false,
        line_bytes_per_sec: megabits(100),
        late: Vec::new(),
        meet_all: Vec::new(),
        happenings: Vec::new(),
        release_mib: 32,
        releases: 1,
        limit: 240 * SECOND,
    }
}

fn places(
    count: usize,
    nodes: usize,
    up_megabits: u64,
    down_megabits: u64,
    round_trip_ms: u64,
) -> Vec<Place> {
    let place = Place {
        nodes,
        uplink_bytes_per_sec: megabits(up_megabits),
        downlink_bytes_per_sec: megabits(down_megabits),
        round_trip: Duration::from_millis(round_trip_ms),
        loss_ppm: 0,
    };
    vec![place; count]
}
