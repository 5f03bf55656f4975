//! What both sides play: places, nodes, links, and what happens when.

use std::time::Duration;

/// Bytes a second of a line of so many megabits a second.
pub(crate) const fn megabits(rate: u64) -> u64 {
    rate * 125_000
}

/// One place: a LAN behind an uplink.
#[derive(Clone, Debug)]
pub struct Place {
    /// Nodes there.
    pub nodes: usize,
    /// What it can send to other places, bytes a second.
    pub uplink_bytes_per_sec: u64,
    /// What it can receive from other places, bytes a second.
    pub downlink_bytes_per_sec: u64,
    /// From the place to the middle of the network and back.
    pub round_trip: Duration,
    /// Packets lost on its uplink, each way, in millionths.
    pub loss_ppm: u32,
}

/// What happens in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// Nothing passes a place's uplink any more, and nobody is told.
    Cut(usize),
    /// It passes again.
    Mend(usize),
    /// A place's LAN falls into halves that do not hear each other; both still reach the
    /// uplink. Real nodes only.
    Split(usize),
    /// The halves hear each other again.
    Join(usize),
    /// The node's process is killed.
    Kill(usize),
    /// The node starts, for the first time or again.
    Start(usize),
    /// Of a place's nodes the one is killed that got most from other places; not the
    /// publisher.
    KillClaimer(usize),
    /// All that were killed and not started start again.
    StartKilled,
}

/// One story, told twice.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, for people.
    pub about: &'static str,
    /// The first node of the first place publishes.
    pub places: Vec<Place>,
    /// Nodes of different places with the same number there know each other too.
    pub trades: bool,
    /// What each node's own line carries, each way, bytes a second.
    pub line_bytes_per_sec: u64,
    /// Nodes that do not run in the beginning.
    pub late: Vec<usize>,
    /// Nodes that dial everybody that came before them.
    pub meet_all: Vec<usize>,
    /// In order of time, counted from the publication of the last release.
    pub happenings: Vec<(Duration, Happening)>,
    /// About so large is each release.
    pub release_mib: usize,
    /// The last of so many releases is measured; half of its chunks are in the one before.
    pub releases: usize,
    /// A run that lasts longer has failed.
    pub limit: Duration,
}

impl Case {
    /// Nodes of all places.
    pub fn node_count(&self) -> usize {
        self.places.iter().map(|place| place.nodes).sum()
    }

    /// Where a node is, and its number there.
    pub(crate) fn place_of(&self, node: usize) -> (usize, usize) {
        let mut number = node;
        for (index, place) in self.places.iter().enumerate() {
            if number < place.nodes {
                return (index, number);
            }
            number -= place.nodes;
        }
        unreachable!("a node of no place")
    }

    /// Who dials whom: everybody the publisher, which invited them, and those of the own
    /// place that came before, and those of other places that it knows.
    pub(crate) fn dials(&self, node: usize) -> Vec<usize> {
        let (place, number) = self.place_of(node);
        (0..node)
            .filter(|&other| {
                let (its_place, its_number) = self.place_of(other);
                let trades = self.trades && its_number == number;
                other == 0 || its_place == place || trades || self.meet_all.contains(&node)
            })
            .collect()
    }

    /// Both ends of each link.
    pub(crate) fn links(&self) -> Vec<(usize, usize)> {
        let nodes = 0..self.node_count();
        nodes
            .flat_map(|node| self.dials(node).into_iter().map(move |other| (other, node)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn nodes_are_counted_through_the_places_and_dial_those_before_them() {
        let case = crate::all()
            .into_iter()
            .find(|case| case.name == "branches")
            .expect("a case of several places");
        assert_eq!(case.node_count(), 12);
        assert_eq!(case.place_of(0), (0, 0));
        assert_eq!(case.place_of(4), (1, 0));
        assert_eq!(case.dials(0), [0_usize; 0]);
        assert_eq!(case.dials(6), [0, 4, 5]);
        assert_eq!(case.links().len(), 3 * 6 + 8);
    }
}
