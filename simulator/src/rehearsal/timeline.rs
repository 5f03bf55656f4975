//! What is planned, in order of time, and how it is carried out.

use std::collections::BTreeMap;

use weft_core::Command;
use weft_record::Envelope;

use crate::{
    draw::Draw,
    fleet::Fleet,
    mesh::Base,
    scenario::{Bad, DAY_S, Down, Scenario},
    world::Outage,
};

use super::{Run, build::site_of};

/// Peers that a node let go are dialled again after this: as long as the core refuses them.
const RELINK_US: u64 = weft_core::bounds::BAN_US;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A release of the file, by its number.
    Publish(usize),
    OutageBegins(usize),
    OutageEnds(usize),
    PartitionBegins(usize),
    PartitionEnds(usize),
    /// The nodes of a place are told that a courier comes, or it comes.
    Expects(usize),
    Brings(usize),
    Steal(usize),
    Rotate(usize),
    SwitchOn(usize),
    Redial(usize),
    /// The hours of a place begin or end.
    Hours(usize),
    /// A node goes down in a churn, for the so-manieth time.
    GoesDown {
        churn: usize,
        node: usize,
        turn: u64,
    },
    ComesBack {
        churn: usize,
        node: usize,
        turn: u64,
    },
    /// Let-go peers are dialled again.
    Relink,
}

impl Action {
    /// Whether it comes again and again, so that a run need not wait for it.
    fn recurs(self) -> bool {
        matches!(
            self,
            Self::Hours(_) | Self::GoesDown { .. } | Self::ComesBack { .. } | Self::Relink
        )
    }
}

/// All that is planned.
#[derive(Default)]
pub(super) struct Timeline {
    planned: BTreeMap<(u64, u64), Action>,
    sequence: u64,
    /// Of these, those that come once.
    once: usize,
    /// Places that each outage hits.
    pub(super) hit: Vec<Vec<usize>>,
    /// Places that each courier visits.
    pub(super) visited: Vec<Vec<usize>>,
    /// Places of each partition.
    pub(super) apart: Vec<Vec<usize>>,
    /// Slow-downs under way at each place.
    pub(super) slowed: BTreeMap<usize, u32>,
    /// Places that are closed by their hours.
    pub(super) shut: BTreeMap<usize, bool>,
}

impl Timeline {
    pub(super) fn of(scenario: &Scenario, fleet: &Fleet, seed: u64) -> Self {
        let mut timeline = Self::default();
        for (number, release) in scenario.release.iter().enumerate() {
            timeline.plan(release.get_ref().at.get_ref().us, Action::Publish(number));
        }
        for (number, outage) in scenario.outage.iter().enumerate() {
            let outage = outage.get_ref();
            let places = fleet.places_of(scenario, &outage.sites);
            let count = outage.share.of(places.len());
            let mut drawn = places;
            drawn.sort_by_cached_key(|place| {
                let key = fleet.nodes[fleet.places[*place].nodes.start].draw_key;
                Draw::new(seed, &format!("outage {number}"), key).number()
            });
            drawn.truncate(count);
            drawn.sort_unstable();
            timeline.hit.push(drawn);
            let at_us = outage.at.get_ref().us;
            timeline.plan(at_us, Action::OutageBegins(number));
            timeline.plan(at_us + outage.lasts.us, Action::OutageEnds(number));
        }
        for (number, partition) in scenario.partition.iter().enumerate() {
            let partition = partition.get_ref();
            let places = fleet.places_of(scenario, &partition.sites);
            timeline.apart.push(places);
            let at_us = partition.at.get_ref().us;
            timeline.plan(at_us, Action::PartitionBegins(number));
            timeline.plan(at_us + partition.lasts.us, Action::PartitionEnds(number));
        }
        for (number, courier) in scenario.courier.iter().enumerate() {
            let courier = courier.get_ref();
            timeline
                .visited
                .push(fleet.places_of(scenario, &courier.sites));
            if courier.expected_by.is_some() {
                timeline.plan(courier.told.get_ref().us, Action::Expects(number));
            }
            if let Some(at) = &courier.at {
                timeline.plan(at.get_ref().us, Action::Brings(number));
            }
        }
        for (number, theft) in scenario.theft.iter().enumerate() {
            let theft = theft.get_ref();
            timeline.plan(theft.at.get_ref().us, Action::Steal(number));
            if let Some(rotated) = &theft.rotated {
                timeline.plan(rotated.get_ref().us, Action::Rotate(number));
            }
        }
        for (node, member) in fleet.nodes.iter().enumerate() {
            if member.on_us > 0 {
                timeline.plan(member.on_us, Action::SwitchOn(node));
            }
        }
        for (place, here) in fleet.places.iter().enumerate() {
            if !scenario.site[here.kind].get_ref().open.is_empty() {
                timeline.plan(0, Action::Hours(place));
            }
        }
        for (churn, format) in scenario.churn.iter().enumerate() {
            let format = format.get_ref();
            let all = fleet.others_of(scenario, &format.sites);
            let count = format.share.of(all.len());
            for node in fleet.some(all, count, seed, &format!("churn {churn}")) {
                let from_us = format.from.get_ref().us.max(fleet.nodes[node].on_us);
                let action = Action::GoesDown {
                    churn,
                    node,
                    turn: 0,
                };
                let key = fleet.nodes[node].draw_key;
                let up_us = stay(seed, churn, key, 0, format.mean_up.get_ref().us);
                timeline.plan(from_us + up_us, action);
            }
        }
        timeline.plan(RELINK_US, Action::Relink);
        timeline
    }

    pub(super) fn plan(&mut self, at_us: u64, action: Action) {
        self.sequence += 1;
        self.once += usize::from(!action.recurs());
        self.planned.insert((at_us, self.sequence), action);
    }

    /// The next action, if its time has come.
    pub(super) fn due(&mut self, now_us: u64) -> Option<Action> {
        let entry = self.planned.first_entry()?;
        if entry.key().0 > now_us {
            return None;
        }
        let action = entry.remove();
        self.once -= usize::from(!action.recurs());
        Some(action)
    }

    pub(super) fn next_us(&self) -> u64 {
        let first = self.planned.first_key_value();
        first.map_or(u64::MAX, |((at_us, _), _)| *at_us)
    }

    /// Whether only what recurs is left.
    pub(super) fn is_over(&self) -> bool {
        self.once == 0
    }
}

/// How long a node stays as it is.
fn stay(seed: u64, churn: usize, key: u64, turn: u64, mean_us: u64) -> u64 {
    let purpose = format!("churn {churn} turn {turn}");
    Draw::new(seed, &purpose, key).exponential(mean_us)
}

impl Run<'_> {
    pub(super) fn carry_out(&mut self, action: Action) {
        match action {
            Action::Publish(number) => self.publish(number),
            Action::OutageBegins(number) => self.outage_begins(number),
            Action::OutageEnds(number) => self.outage_ends(number),
            Action::PartitionBegins(number) => {
                let places = self.timeline.apart[number].clone();
                self.wires.part(number, &places, &mut self.world);
                let lasts_us = self.scenario.partition[number].get_ref().lasts.us;
                let text = format!("{} cut off from the others", self.named(&places));
                self.happened("partition", lasts_us, text);
                self.metrics.close(&places, self.world.now_us());
            }
            Action::PartitionEnds(number) => {
                let places = self.timeline.apart[number].clone();
                let redials = self.wires.join(number, &places, &mut self.world);
                self.redial(redials);
                self.metrics.open(&places, self.world.now_us());
            }
            Action::Expects(number) => self.expects(number),
            Action::Brings(number) => self.brings(number),
            Action::Steal(number) => self.steal(number),
            Action::Rotate(number) => self.rotate(number),
            Action::SwitchOn(node) => {
                self.start(node);
                self.metrics.switched_on += 1;
            }
            Action::Redial(link) => self.wires.redial(link, &mut self.world),
            Action::Hours(place) => self.hours(place),
            Action::GoesDown { churn, node, turn } => self.goes_down(churn, node, turn),
            Action::ComesBack { churn, node, turn } => {
                self.start(node);
                self.metrics.up(node, self.world.now_us());
                let format = self.scenario.churn[churn].get_ref();
                let key = self.fleet.nodes[node].draw_key;
                let mean_us = format.mean_up.get_ref().us;
                let up_us = stay(self.options.seed, churn, key, turn + 1, mean_us);
                let again = Action::GoesDown {
                    churn,
                    node,
                    turn: turn + 1,
                };
                self.timeline.plan(self.world.now_us() + up_us, again);
            }
            Action::Relink => {
                self.world.relink();
                self.wires.hold_all(&mut self.world);
                self.timeline
                    .plan(self.world.now_us() + RELINK_US, Action::Relink);
            }
        }
    }

    fn publish(&mut self, number: usize) {
        let publisher = self.fleet.publisher;
        let release = self.published[number].release.clone();
        let (id, command) = self.admin.publish(&release);
        self.world.disk(publisher).preload(&release);
        match self.published[number].bad {
            Bad::No => {}
            Bad::Probe => {
                self.world.bad_models.insert(id);
            }
            Bad::Soak => {
                self.world.failing_models.insert(id);
            }
        }
        self.is_out(number, id);
        self.world.command(publisher, command);
        self.puppets.published(&release, &self.admin);
        let published = &self.published[number];
        let (version, bytes) = (&published.version, published.new_bytes);
        let told = match published.bad {
            Bad::No => "",
            Bad::Probe => "; its model fails its probe",
            Bad::Soak => "; its model fails once it is active",
        };
        let text = format!(
            "release {version} published, {} to fetch{told}",
            crate::scenario::Bytes(bytes)
        );
        self.happened("release", 0, text);
    }

    fn is_out(&mut self, number: usize, id: weft_record::RecordId) {
        self.published[number].id = Some(id);
        self.by_id.insert(id, number);
    }

    fn outage_begins(&mut self, number: usize) {
        let outage = self.scenario.outage[number].get_ref();
        let places = self.timeline.hit[number].clone();
        let text = if let Some(rate) = outage.slowed_to {
            for place in &places {
                *self.timeline.slowed.entry(*place).or_default() += 1;
                let rate = rate.bytes_per_sec;
                self.world.set_site(site_of(*place), rate, rate);
            }
            format!("the links of {} carry only {rate}", self.named(&places))
        } else {
            for place in &places {
                self.wires.close(*place, &mut self.world);
            }
            self.metrics.close(&places, self.world.now_us());
            format!("the links of {} are down", self.named(&places))
        };
        self.happened("outage", outage.lasts.us, text);
    }

    fn outage_ends(&mut self, number: usize) {
        let outage = self.scenario.outage[number].get_ref();
        let places = self.timeline.hit[number].clone();
        if outage.slowed_to.is_some() {
            for place in places {
                let slowed = self.timeline.slowed.entry(place).or_insert(1);
                *slowed -= 1;
                if *slowed == 0 {
                    let kind = self.fleet.places[place].kind;
                    let site = self.scenario.site[kind].get_ref();
                    let down = site.downlink.unwrap_or(site.uplink).bytes_per_sec;
                    let up = site.uplink.bytes_per_sec;
                    self.world.set_site(site_of(place), up, down);
                }
            }
            return;
        }
        for place in &places {
            let (_, redials) = self.wires.open(*place, &mut self.world);
            self.redial(redials);
        }
        self.metrics.open(&places, self.world.now_us());
    }

    fn expects(&mut self, number: usize) {
        let courier = self.scenario.courier[number].get_ref();
        let until_us = courier.expected_by.as_ref().map(|time| time.get_ref().us);
        let places = self.timeline.visited[number].clone();
        for place in &places {
            for node in self.fleet.places[*place].nodes.clone() {
                let command = Command::Expect(self.channel.clone(), until_us);
                self.world.command(node, command);
            }
        }
        let now_us = self.world.now_us();
        let lasts_us = until_us.unwrap_or(now_us).saturating_sub(now_us);
        let text = format!("{} told that a courier comes", self.named(&places));
        self.happened("courier", lasts_us, text);
    }

    fn brings(&mut self, number: usize) {
        let courier = self.scenario.courier[number].get_ref();
        let version = courier.version.get_ref();
        let places = self.timeline.visited[number].clone();
        let publisher = self.world.node(self.fleet.publisher);
        let records: Vec<Vec<u8>> = publisher
            .map(|node| node.trust().records().map(Envelope::encode).collect())
            .unwrap_or_default();
        let mut published = self.published.iter();
        let carried = published.find(|one| one.version == *version && !one.by_thief);
        let Some(release) = carried.map(|one| one.release.clone()) else {
            return;
        };
        let mut visited = Vec::new();
        for place in places {
            let mut nodes = self.fleet.places[place].nodes.clone();
            let up = nodes.find(|node| self.fleet.is_honest(*node) && self.world.is_up(*node));
            if up.is_some_and(|node| self.world.bring(node, &records, &[&release])) {
                visited.push(place);
            }
        }
        let text = format!("a courier brings {version} to {}", self.named(&visited));
        self.happened("courier", 0, text);
    }

    fn steal(&mut self, number: usize) {
        let theft = self.scenario.theft[number].get_ref();
        self.bases[number] = self.admin.newest();
        let keys: Vec<(&'static str, usize)> = ["head", "release"]
            .into_iter()
            .filter(|role| theft.keys.iter().any(|key| key.get_ref() == role))
            .map(|role| (role, 1))
            .collect();
        let mut thief = self.admin.thief(&keys);
        let published = self.scenario.release.len() + number;
        let release = self.published[published].release.clone();
        let (id, command) = thief.forge(&release);
        let node = self.thief_node(number);
        self.world.disk(node).preload(&release);
        self.is_out(published, id);
        self.world.command(node, command);
        let keys: Vec<&str> = keys.iter().map(|(role, _)| *role).collect();
        let place = &self.fleet.places[self.fleet.nodes[node].place].name;
        let version = &self.published[published].version;
        let text = format!(
            "a thief with the {} key publishes {version} at {place}",
            keys.join(" and the ")
        );
        self.happened("theft", 0, text);
    }

    /// An honest node at which the thief works.
    fn thief_node(&self, number: usize) -> usize {
        let theft = self.scenario.theft[number].get_ref();
        let site = theft.site.as_ref();
        let place = site
            .and_then(|site| self.fleet.named(self.scenario, site.get_ref()).next())
            .unwrap_or(self.fleet.places.len() - 1);
        let nodes = self.fleet.places[place].nodes.clone();
        let mut honest =
            nodes.filter(|node| self.fleet.is_honest(*node) && self.world.is_up(*node));
        honest.next().unwrap_or(self.fleet.publisher)
    }

    fn rotate(&mut self, number: usize) {
        let base = match self.bases[number] {
            Some(head) => Base::Head(head),
            None => Base::Newest,
        };
        let command: Command = self.admin.rotate(&["head", "release"], base);
        self.world.command(self.fleet.publisher, command);
        let text = "the admin has new keys; nothing that the thief signed counts any more";
        self.happened("rotation", 0, text.to_owned());
    }

    fn hours(&mut self, place: usize) {
        let now_us = self.world.now_us();
        let kind = self.fleet.places[place].kind;
        let open = &self.scenario.site[kind].get_ref().open;
        let begin = u64::from(self.scenario.begins_at.second);
        let now_s = ((begin + now_us / 1_000_000) % u64::from(DAY_S)) as u32;
        let is_open = open.iter().any(|hours| hours.get_ref().contains(now_s));
        let was_shut = self.timeline.shut.insert(place, !is_open).unwrap_or(false);
        if is_open && was_shut {
            let (_, redials) = self.wires.open(place, &mut self.world);
            self.redial(redials);
            self.metrics.open(&[place], now_us);
        } else if !is_open && !was_shut {
            self.wires.close(place, &mut self.world);
            self.metrics.close(&[place], now_us);
        }
        let edges = open
            .iter()
            .flat_map(|hours| [hours.get_ref().from.second, hours.get_ref().until.second]);
        let until_edge = |edge: u32| match (edge + DAY_S - now_s) % DAY_S {
            0 => DAY_S,
            wait => wait,
        };
        if let Some(wait_s) = edges.map(until_edge).min() {
            self.timeline
                .plan(now_us + u64::from(wait_s) * 1_000_000, Action::Hours(place));
        }
    }

    fn goes_down(&mut self, churn: usize, node: usize, turn: u64) {
        let format = self.scenario.churn[churn].get_ref();
        let now_us = self.world.now_us();
        let key = self.fleet.nodes[node].draw_key;
        if format.until.is_some_and(|until| now_us >= until.us) {
            return;
        }
        let mut mean_us = format.mean_down.get_ref().us;
        if self.world.is_up(node) {
            let outage = match format.kind {
                Down::Kill => Outage::Kill,
                Down::PowerCut => Outage::PowerCut,
            };
            self.world.stop(node, outage);
            self.metrics.down(node, now_us);
            let down_us = stay(self.options.seed, churn, key, turn << 32, mean_us);
            let back = Action::ComesBack { churn, node, turn };
            self.timeline.plan(now_us + down_us, back);
            return;
        }
        // another churn has it down already
        mean_us = mean_us.max(1_000_000);
        let again = Action::GoesDown {
            churn,
            node,
            turn: turn + 1,
        };
        self.timeline.plan(now_us + mean_us, again);
    }

    fn start(&mut self, node: usize) {
        self.world.start(node);
        self.wires
            .hold(self.fleet.nodes[node].place, &mut self.world);
    }

    fn redial(&mut self, redials: Vec<(u64, usize)>) {
        for (at_us, link) in redials {
            self.timeline.plan(at_us, Action::Redial(link));
        }
    }

    fn happened(&mut self, kind: &'static str, lasts_us: u64, text: String) {
        let at_us = self.world.now_us();
        self.metrics.happened.push(crate::report::Happened {
            at_us,
            until_us: at_us + lasts_us,
            kind,
            text,
        });
    }

    /// One place by its name, several by their kind and number.
    fn named(&self, places: &[usize]) -> String {
        match places {
            [] => "no site".to_owned(),
            [one] => self.fleet.places[*one].name.clone(),
            [first, .., last]
                if self.fleet.places[*first].kind == self.fleet.places[*last].kind =>
            {
                let kind = self.fleet.places[*first].kind;
                let name = self.scenario.site[kind].get_ref().name.get_ref();
                format!("{} places of {name}", places.len())
            }
            many => format!("{} places", many.len()),
        }
    }
}
