//! The fleet that a scenario describes: every place, every node and who knows whom.
//!
//! Links are those that the daemon would make: nodes find each other on their LAN, and
//! gateways dial the bootstrap addresses that they were given. A LAN node keeps about
//! [`Mesh::lan_neighbours`](crate::scenario::Mesh::lan_neighbours) neighbours here, where
//! the daemon keeps up to 256: enough to find every chunk, and a memory that fits.

use std::ops::Range;

use toml::Spanned;

use crate::{
    draw::Draw,
    scenario::{Hostile, Scenario, Share, Site},
};

/// Gateways that dial one node at most: it keeps 256 peers, and its LAN needs some.
const DIALLED_MOST: u32 = 192;
/// Places drawn before all are looked at in turn.
const TRIES: usize = 32;

/// Everything that does not change during a run.
pub(crate) struct Fleet {
    /// Every site of the file, as many places as it has.
    pub(crate) places: Vec<Place>,
    pub(crate) nodes: Vec<Member>,
    /// Between two nodes of a place.
    pub(crate) lan: Vec<(u32, u32)>,
    /// Between two places: who dials first.
    pub(crate) wan: Vec<(u32, u32)>,
    /// Names of the classes; the last is that of all others.
    pub(crate) classes: Vec<String>,
    /// The node at which the admin works.
    pub(crate) publisher: usize,
}

/// One place.
pub(crate) struct Place {
    pub(crate) name: String,
    /// Index of the site in the file.
    pub(crate) kind: usize,
    pub(crate) nodes: Range<usize>,
    pub(crate) gateways: Range<usize>,
}

/// One node.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) place: usize,
    pub(crate) class: usize,
    /// Its own number for draws: it stays, whatever else the fleet has.
    pub(crate) draw_key: u64,
    pub(crate) hostile: Option<Hostile>,
    /// When it is switched on.
    pub(crate) on_us: u64,
    pub(crate) invited: bool,
}

/// A fleet that cannot be linked.
#[derive(Debug)]
pub(crate) struct Unlinked {
    pub(crate) span: Range<usize>,
    pub(crate) why: String,
    pub(crate) next: String,
}

impl Fleet {
    /// Draws the fleet; `scale` makes it smaller, kind by kind.
    pub(crate) fn new(scenario: &Scenario, seed: u64, scale: Share) -> Result<Self, Unlinked> {
        let mut classes: Vec<String> = scenario
            .class
            .iter()
            .map(|class| class.get_ref().name.get_ref().clone())
            .collect();
        classes.push("plain".to_owned());
        let mut fleet = Self {
            places: Vec::new(),
            nodes: Vec::new(),
            lan: Vec::new(),
            wan: Vec::new(),
            classes,
            publisher: 0,
        };
        for (kind, site) in scenario.site.iter().enumerate() {
            fleet.add_places(kind, site.get_ref(), seed, scale);
        }
        let publisher = scenario.mesh.publisher.as_ref();
        let place = publisher.and_then(|named| {
            let mut all = fleet.named(scenario, named.get_ref());
            all.next()
        });
        fleet.publisher = fleet.places[place.unwrap_or(0)].nodes.start;
        fleet.hand_out_roles(scenario, seed);
        fleet.link_lans(*scenario.mesh.lan_neighbours.get_ref(), seed);
        fleet.dial(scenario, seed)?;
        Ok(fleet)
    }

    /// Places of a site's name, or the one place of that name.
    pub(crate) fn named<'a>(
        &'a self,
        scenario: &'a Scenario,
        name: &'a str,
    ) -> impl Iterator<Item = usize> + 'a {
        let places = self.places.iter().enumerate();
        let found = places.filter(move |(_, place)| {
            place.name == name || scenario.site[place.kind].get_ref().name.get_ref() == name
        });
        found.map(|(index, _)| index)
    }

    /// Places of any of these names, in order; all without a name.
    pub(crate) fn places_of(&self, scenario: &Scenario, names: &[Spanned<String>]) -> Vec<usize> {
        if names.is_empty() {
            return (0..self.places.len()).collect();
        }
        let mut found: Vec<usize> = names
            .iter()
            .flat_map(|name| self.named(scenario, name.get_ref()))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Nodes of these places but the publisher's.
    pub(crate) fn others_of(&self, scenario: &Scenario, names: &[Spanned<String>]) -> Vec<usize> {
        let places = self.places_of(scenario, names);
        let nodes = places
            .into_iter()
            .flat_map(|place| self.places[place].nodes.clone());
        nodes.filter(|node| *node != self.publisher).collect()
    }

    /// Some of these nodes: whose draws come first.
    pub(crate) fn some(
        &self,
        mut nodes: Vec<usize>,
        count: usize,
        seed: u64,
        purpose: &str,
    ) -> Vec<usize> {
        nodes.sort_by_cached_key(|node| {
            let key = self.nodes[*node].draw_key;
            (Draw::new(seed, purpose, key).number(), *node)
        });
        nodes.truncate(count);
        nodes.sort_unstable();
        nodes
    }

    /// Whether a node plays by the rules.
    pub(crate) fn is_honest(&self, node: usize) -> bool {
        self.nodes[node].hostile.is_none()
    }

    fn add_places(&mut self, kind: usize, site: &Site, seed: u64, scale: Share) {
        let (count, nodes) = scaled(site, scale);
        let name = site.name.get_ref();
        let kind_key = Draw::new(seed, name, 0).number();
        for number in 1..=count {
            let first = self.nodes.len();
            let whole = *site.count.get_ref() == 1;
            let name = if whole {
                name.clone()
            } else {
                format!("{name}-{number}")
            };
            let gateways = (*site.gateways.get_ref()).min(nodes);
            self.places.push(Place {
                name,
                kind,
                nodes: first..first + nodes,
                gateways: first..first + gateways,
            });
            let (place, class) = (self.places.len() - 1, self.classes.len() - 1);
            let place_key = Draw::new(kind_key, "place", number as u64).number();
            self.nodes.extend((0..nodes as u64).map(|node| Member {
                place,
                class,
                draw_key: place_key.wrapping_add(node),
                hostile: None,
                on_us: 0,
                invited: false,
            }));
        }
    }

    fn hand_out_roles(&mut self, scenario: &Scenario, seed: u64) {
        for (class, format) in scenario.class.iter().enumerate() {
            let format = format.get_ref();
            let plain = self.classes.len() - 1;
            let all = self.others_of(scenario, &format.sites);
            let count = format.share.get_ref().of(all.len());
            let free = all
                .into_iter()
                .filter(|node| self.nodes[*node].class == plain);
            let free: Vec<usize> = free.collect();
            for node in self.some(free, count, seed, "class") {
                self.nodes[node].class = class;
            }
        }
        for adversary in scenario.adversary.iter().map(Spanned::get_ref) {
            let all = self.others_of(scenario, &adversary.sites);
            let share = adversary
                .share
                .as_ref()
                .map(|share| share.get_ref().of(all.len()));
            let count = adversary.count.as_ref().map(|count| *count.get_ref());
            let count = share.or(count).unwrap_or(0);
            let honest = all.into_iter().filter(|node| self.is_honest(*node));
            let honest: Vec<usize> = honest.collect();
            for node in self.some(honest, count, seed, "adversary") {
                self.nodes[node].hostile = Some(adversary.kind);
            }
        }
        for late in scenario.late.iter().map(Spanned::get_ref) {
            let all = self.others_of(scenario, &late.sites);
            let count = late.share.get_ref().of(all.len());
            let fresh = all
                .into_iter()
                .filter(|node| self.nodes[*node].on_us == 0 && self.is_honest(*node));
            let fresh: Vec<usize> = fresh.collect();
            for node in self.some(fresh, count, seed, "late") {
                let key = self.nodes[node].draw_key;
                let after_us = Draw::new(seed, "late", key).below(late.over.us);
                let member = &mut self.nodes[node];
                // at zero it would be there from the beginning
                member.on_us = (late.at.get_ref().us + after_us).max(1);
                member.invited = late.invited;
            }
        }
    }

    fn link_lans(&mut self, neighbours: usize, seed: u64) {
        for place in &self.places {
            let (first, count) = (place.nodes.start, place.nodes.len());
            if count <= neighbours + 1 {
                for one in place.nodes.clone() {
                    self.lan
                        .extend((one + 1..place.nodes.end).map(|other| (one as u32, other as u32)));
                }
                continue;
            }
            // a ring, so that nobody is left out, and chords that make it narrow
            for node in place.nodes.clone() {
                let next = first + (node - first + 1) % count;
                if neighbours > 1 || node + 1 < place.nodes.end {
                    self.lan.push((node as u32, next as u32));
                }
                let mut draw = Draw::new(seed, "lan", self.nodes[node].draw_key);
                for _ in 0..neighbours.saturating_sub(2) / 2 {
                    let other = first + (node - first + 1 + draw.index(count - 1)) % count;
                    self.lan.push((node as u32, other as u32));
                }
            }
        }
    }

    /// Gateways dial: the first place that each dials is one that a chain of dials joins
    /// to the publisher, so that the fleet is one mesh.
    fn dial(&mut self, scenario: &Scenario, seed: u64) -> Result<(), Unlinked> {
        let home = self.nodes[self.publisher].place;
        let mut joined = vec![false; self.places.len()];
        let mut dialled = vec![0_u32; self.nodes.len()];
        joined[home] = true;
        let candidates: Vec<Vec<Range<usize>>> = (0..scenario.site.len())
            .map(|kind| self.candidates(scenario, kind, home))
            .collect();
        // what the publisher's own place dials joins too: it may be the one that only dials out
        let mut waiting: Vec<usize> = std::iter::once(home)
            .chain((0..self.places.len()).filter(|place| *place != home))
            .collect();
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut left = Vec::new();
            for place in waiting {
                let ranges = &candidates[self.places[place].kind];
                let can = joined[place] || any(ranges, place, |other| joined[other]);
                if !can {
                    left.push(place);
                    continue;
                }
                self.dial_from(place, ranges, scenario, seed, &mut joined, &mut dialled)?;
            }
            if left.len() == before {
                let kind = self.places[left[0]].kind;
                let name = &scenario.site[kind].get_ref().name;
                return Err(Unlinked {
                    span: name.span(),
                    why: format!(
                        "no chain of dials leads from {:?} to the publisher",
                        name.get_ref()
                    ),
                    next: "name a site in its `dials` that leads there, and that can be dialled"
                        .to_owned(),
                });
            }
            waiting = left;
        }
        Ok(())
    }

    fn dial_from(
        &mut self,
        place: usize,
        ranges: &[Range<usize>],
        scenario: &Scenario,
        seed: u64,
        joined: &mut [bool],
        dialled: &mut [u32],
    ) -> Result<(), Unlinked> {
        let site = scenario.site[self.places[place].kind].get_ref();
        let wanted = *site.dial_count.get_ref();
        for gateway in self.places[place].gateways.clone() {
            let mut draw = Draw::new(seed, "dial", self.nodes[gateway].draw_key);
            let mut chosen: Vec<usize> = Vec::new();
            for turn in 0..wanted {
                let must_join = turn == 0 && !joined[place];
                let fits = |other: usize| {
                    other != place
                        && !chosen.contains(&other)
                        && (!must_join || joined[other])
                        && self.free_gateway(other, dialled).is_some()
                };
                let Some(other) = pick(ranges, &mut draw, fits) else {
                    if must_join {
                        return Err(Unlinked {
                            span: site.name.span(),
                            why: format!("all that {:?} may dial have {DIALLED_MOST} neighbours already", site.name.get_ref()),
                            next: "let sites dial each other: name more of them in `dials`, or give those more gateways".to_owned(),
                        });
                    }
                    break;
                };
                chosen.push(other);
                if let Some(node) = self.free_gateway(other, dialled) {
                    dialled[node] += 1;
                    self.wan.push((gateway as u32, node as u32));
                }
                // a link carries both ways, whoever dialled
                joined[place] = true;
                joined[other] = true;
            }
        }
        Ok(())
    }

    /// The gateway of a place that the fewest dial.
    fn free_gateway(&self, place: usize, dialled: &[u32]) -> Option<usize> {
        let gateways = self.places[place].gateways.clone();
        let least = gateways.min_by_key(|node| (dialled[*node], *node))?;
        (dialled[least] < DIALLED_MOST).then_some(least)
    }

    /// Places that a kind of site dials, as ranges of places.
    fn candidates(&self, scenario: &Scenario, kind: usize, home: usize) -> Vec<Range<usize>> {
        let site = scenario.site[kind].get_ref();
        let can_be_dialled = |place: &usize| {
            let kind = self.places[*place].kind;
            !scenario.site[kind].get_ref().dials_only
        };
        if let Some(names) = &site.dials {
            let named = |name: &Spanned<String>| {
                ranges(self.named(scenario, name.get_ref()).filter(can_be_dialled))
            };
            return names.iter().flat_map(named).collect();
        }
        let kinds = [kind, self.places[home].kind];
        let places = 0..self.places.len();
        let places = places.filter(|place| kinds.contains(&self.places[*place].kind));
        ranges(places.filter(can_be_dialled))
    }
}

/// How many places and nodes of each: a kind of many places loses places, one of few nodes.
fn scaled(site: &Site, scale: Share) -> (usize, usize) {
    let (count, nodes) = (*site.count.get_ref(), *site.nodes.get_ref());
    if count > 1 {
        (scale.of(count).max(1), nodes)
    } else {
        (
            count,
            scale.of(nodes).max(*site.gateways.get_ref()).min(nodes),
        )
    }
}

/// Runs of neighbouring numbers of one kind.
fn ranges(places: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for place in places {
        match found.last_mut() {
            Some(last) if last.end == place => last.end += 1,
            _ => found.push(place..place + 1),
        }
    }
    found
}

fn any(ranges: &[Range<usize>], not: usize, holds: impl Fn(usize) -> bool) -> bool {
    let mut all = ranges.iter().cloned().flatten();
    all.any(|place| place != not && holds(place))
}

/// One of the places that fits: drawn, or, if few fit, the first after a drawn one.
fn pick(ranges: &[Range<usize>], draw: &mut Draw, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let total: usize = ranges.iter().map(ExactSizeIterator::len).sum();
    if total == 0 {
        return None;
    }
    let nth = |mut number: usize| {
        for range in ranges {
            if number < range.len() {
                return range.start + number;
            }
            number -= range.len();
        }
        ranges[0].start
    };
    for _ in 0..TRIES {
        let place = nth(draw.index(total));
        if fits(place) {
            return Some(place);
        }
    }
    let from = draw.index(total);
    (0..total)
        .map(|step| nth((from + step) % total))
        .find(|place| fits(*place))
}
