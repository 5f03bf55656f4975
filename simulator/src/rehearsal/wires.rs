//! Links between sites: which stand, and what keeps the others down.

use std::collections::BTreeSet;

use crate::{draw::Draw, fleet::Fleet, world::World};

/// A link that comes back is dialled again within as long as it was gone, but within this:
/// the daemon's longest wait between two tries.
const REDIAL_MOST_US: u64 = 60_000_000;

/// All links between sites.
pub(super) struct Wires {
    seed: u64,
    links: Vec<Wire>,
    /// Links of each place.
    of_place: Vec<Vec<u32>>,
    /// What keeps each place's link down now.
    closed: Vec<u32>,
    /// Partitions under way, by number: the places of each.
    apart: Vec<(usize, BTreeSet<usize>)>,
}

struct Wire {
    nodes: (usize, usize),
    places: (usize, usize),
    down_since_us: Option<u64>,
    /// Times that it fell: draws are its own.
    falls: u64,
}

impl Wires {
    pub(super) fn new(fleet: &Fleet, seed: u64) -> Self {
        let mut of_place = vec![Vec::new(); fleet.places.len()];
        let mut links = Vec::with_capacity(fleet.wan.len());
        for (number, (one, other)) in fleet.wan.iter().enumerate() {
            let nodes = (*one as usize, *other as usize);
            let places = (fleet.nodes[nodes.0].place, fleet.nodes[nodes.1].place);
            of_place[places.0].push(number as u32);
            of_place[places.1].push(number as u32);
            links.push(Wire {
                nodes,
                places,
                down_since_us: None,
                falls: 0,
            });
        }
        Self {
            seed,
            links,
            of_place,
            closed: vec![0; fleet.places.len()],
            apart: Vec::new(),
        }
    }

    /// Something closes a place's link. True if it was open.
    pub(super) fn close(&mut self, place: usize, world: &mut World) -> bool {
        self.closed[place] += 1;
        self.settle(&[place], world);
        self.closed[place] == 1
    }

    /// What closed it is over: links to be dialled again, and when. True if it is open now.
    pub(super) fn open(&mut self, place: usize, world: &mut World) -> (bool, Vec<(u64, usize)>) {
        self.closed[place] -= 1;
        (self.closed[place] == 0, self.settle(&[place], world))
    }

    /// These places are cut off.
    pub(super) fn part(&mut self, number: usize, places: &[usize], world: &mut World) {
        self.apart.push((number, places.iter().copied().collect()));
        self.settle(places, world);
    }

    /// No longer: links to be dialled again, and when.
    pub(super) fn join(
        &mut self,
        number: usize,
        places: &[usize],
        world: &mut World,
    ) -> Vec<(u64, usize)> {
        self.apart.retain(|(other, _)| *other != number);
        self.settle(places, world)
    }

    /// A link is dialled again.
    pub(super) fn redial(&mut self, link: usize, world: &mut World) {
        if self.may_stand(link) && self.links[link].down_since_us.take().is_some() {
            let (one, other) = self.links[link].nodes;
            world.connect(one, other);
        }
    }

    /// A node started, or let-go peers were dialled: nothing of that passes a dead link.
    pub(super) fn hold(&self, place: usize, world: &mut World) {
        for link in &self.of_place[place] {
            let wire = &self.links[*link as usize];
            let (one, other) = wire.nodes;
            if wire.down_since_us.is_some() && world.is_linked(one, other) {
                world.disconnect(one, other);
            }
        }
    }

    /// The same for every place whose link is down.
    pub(super) fn hold_all(&self, world: &mut World) {
        for wire in &self.links {
            let (one, other) = wire.nodes;
            if wire.down_since_us.is_some() && world.is_linked(one, other) {
                world.disconnect(one, other);
            }
        }
    }

    fn may_stand(&self, link: usize) -> bool {
        let (one, other) = self.links[link].places;
        let parted = |(_, places): &(usize, BTreeSet<usize>)| {
            places.contains(&one) != places.contains(&other)
        };
        self.closed[one] == 0 && self.closed[other] == 0 && !self.apart.iter().any(parted)
    }

    fn settle(&mut self, places: &[usize], world: &mut World) -> Vec<(u64, usize)> {
        let now_us = world.now_us();
        let mut redials = Vec::new();
        let links: BTreeSet<u32> = places
            .iter()
            .flat_map(|place| self.of_place[*place].iter().copied())
            .collect();
        for link in links {
            let may_stand = self.may_stand(link as usize);
            let wire = &mut self.links[link as usize];
            match wire.down_since_us {
                None if !may_stand => {
                    wire.down_since_us = Some(now_us);
                    wire.falls += 1;
                    world.disconnect(wire.nodes.0, wire.nodes.1);
                }
                Some(since_us) if may_stand => {
                    let most_us = (now_us - since_us).min(REDIAL_MOST_US);
                    let key = u64::from(link) << 32 | wire.falls;
                    let after_us = Draw::new(self.seed, "redial", key).below(most_us);
                    redials.push((now_us + after_us, link as usize));
                }
                _ => {}
            }
        }
        redials
    }
}
