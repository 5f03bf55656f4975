//! Who is connected with whom, and what cuts that.

use weft_core::Path;

use super::{Happening, World};

/// A seat at the other end of a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbour {
    pub(super) other: u32,
    /// The node lets it take part in gossip.
    pub(super) admitted: bool,
}

impl World {
    /// Links two nodes.
    pub fn connect(&mut self, a: usize, b: usize) {
        if self.link(a, b) {
            self.raise((a, b));
        }
    }

    /// Cuts every link between the two sides, until [`World::heal`].
    pub fn partition(&mut self, side: &[usize]) {
        let mut is_inside = vec![false; self.hosts.len()];
        for &index in side {
            is_inside[index] = true;
        }
        let mut crossing = Vec::new();
        for (index, neighbours) in self.neighbours.iter().enumerate() {
            for other in neighbours.iter().map(|one| one.other as usize) {
                if index < other && is_inside[index] != is_inside[other] {
                    crossing.push((index, other));
                }
            }
        }
        for link in crossing {
            self.unlink(link.0, link.1);
            self.cut.insert(link);
            self.lower(link);
        }
    }

    /// Restores what partitions cut.
    pub fn heal(&mut self) {
        for (a, b) in std::mem::take(&mut self.cut) {
            self.link(a, b);
            self.raise((a, b));
        }
    }

    /// Links again what nodes themselves let go of, as a redialling network would.
    pub fn relink(&mut self) {
        for (a, b) in std::mem::take(&mut self.dropped) {
            self.connect(a, b);
        }
    }

    /// Whether two nodes are linked.
    pub fn is_linked(&self, a: usize, b: usize) -> bool {
        self.place_of(a, b).is_ok()
    }

    /// Cuts one link for good.
    pub fn disconnect(&mut self, a: usize, b: usize) {
        if self.unlink(a, b) {
            self.lower((a, b));
        }
    }

    /// Whether two nodes are on one LAN.
    pub fn shares_lan(&self, a: usize, b: usize) -> bool {
        self.path(a, b) == Path::Lan
    }

    /// How what one node sends reaches the other.
    pub(super) fn path(&self, a: usize, b: usize) -> Path {
        if self.hosts[a].spec.site == self.hosts[b].spec.site {
            Path::Lan
        } else {
            Path::Wan
        }
    }

    /// Nodes that are linked with this one, in order.
    pub fn linked(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        self.neighbours[index].iter().map(|one| one.other as usize)
    }

    /// A node let go of another, which hears of it.
    pub(super) fn let_go(&mut self, index: usize, other: usize) {
        if self.unlink(index, other) {
            self.dropped.insert((index.min(other), index.max(other)));
            self.end_transfers(index, other);
        }
        self.tell_down(index, other, true);
    }

    /// Somebody dials again whom it let go.
    pub(super) fn redial(&mut self, index: usize, other: usize) {
        if self.dropped.remove(&(index.min(other), index.max(other))) {
            self.connect(index, other);
        }
    }

    /// A node that starts dials all whom it knew.
    pub(super) fn redial_dropped(&mut self, index: usize) {
        let links = self.dropped.iter();
        let own = links.filter(|(a, b)| *a == index || *b == index);
        for link in own.copied().collect::<Vec<_>>() {
            self.dropped.remove(&link);
            self.link(link.0, link.1);
        }
    }

    /// Linked nodes that are up.
    pub(super) fn neighbours_there(&self, index: usize) -> Vec<usize> {
        let there = self.linked(index);
        there.filter(|&other| self.seats[other].is_there).collect()
    }

    /// Whether what was sent over a link still has it under it.
    pub(super) fn still_linked(&self, a: usize, b: usize) -> bool {
        !self.was_cut || self.is_linked(a, b)
    }

    pub(super) fn neighbour_mut(&mut self, index: usize, other: usize) -> Option<&mut Neighbour> {
        let place = self.place_of(index, other).ok()?;
        self.neighbours[index].get_mut(place)
    }

    /// The link stands: both sides hear of it.
    pub(super) fn raise(&mut self, (a, b): (usize, usize)) {
        let at_us = self.now_us + self.latency_us(a, b);
        for (node, other) in [(a, b), (b, a)] {
            self.push_to(at_us, node, |node, life| Happening::Up {
                node,
                life,
                other: other as u32,
            });
        }
    }

    /// A node hears that another is gone: at once, or when that takes its time to tell.
    pub(super) fn tell_down(&mut self, gone: usize, node: usize, is_told: bool) {
        let delay_us = if is_told {
            self.latency_us(gone, node)
        } else {
            0
        };
        self.push_to(self.now_us + delay_us, node, |node, life| Happening::Down {
            node,
            life,
            other: gone as u32,
        });
    }

    fn lower(&mut self, (a, b): (usize, usize)) {
        self.end_transfers(a, b);
        self.tell_down(b, a, false);
        self.tell_down(a, b, false);
    }

    /// True if they were not linked before.
    fn link(&mut self, a: usize, b: usize) -> bool {
        let mut is_new = false;
        for (node, other) in [(a, b), (b, a)] {
            if let Err(place) = self.place_of(node, other) {
                let neighbour = Neighbour {
                    other: other as u32,
                    admitted: false,
                };
                self.neighbours[node].insert(place, neighbour);
                is_new = true;
            }
        }
        is_new
    }

    /// True if they were linked before.
    fn unlink(&mut self, a: usize, b: usize) -> bool {
        let mut was_linked = false;
        for (node, other) in [(a, b), (b, a)] {
            if let Ok(place) = self.place_of(node, other) {
                self.neighbours[node].remove(place);
                self.was_cut = true;
                was_linked = true;
            }
        }
        was_linked
    }

    fn place_of(&self, node: usize, other: usize) -> Result<usize, usize> {
        self.neighbours[node].binary_search_by_key(&(other as u32), |one| one.other)
    }
}
