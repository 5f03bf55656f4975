//! From what was gathered to what is reported.

use std::collections::BTreeMap;

use crate::{
    report::{
        self, COMMIT, CURVE_POINTS, Cost, Curve, FleetFigures, GroupFigures, Head, KindLinks,
        LISTED_LINKS, LinkFigures, OneLink, Quantiles, ReleaseFigures, Report, SCHEMA,
    },
    scenario::{Bad, Bytes, Network, Share, Time},
};

use super::{Run, build::site_of, metrics::NEVER};

/// Kinds of site and classes that get lines of their own in a chart.
const LINES_MOST: usize = 12;

/// A kind of site or a class, and its honest nodes.
pub(super) struct Group {
    pub(super) by: &'static str,
    pub(super) name: String,
    pub(super) nodes: Vec<usize>,
}

impl Run<'_> {
    pub(super) fn report(&mut self, partial: bool) -> Report {
        self.gather();
        let groups = self.groups();
        let releases = self.releases(&groups);
        let curves = self.curves(&groups);
        let links = self.links();
        let cost = self.cost(&links);
        let stragglers = self.stragglers();
        let honest = self.metrics.honest();
        let mut report = Report {
            schema: SCHEMA,
            head: self.head(partial),
            answer: Vec::new(),
            fleet: FleetFigures {
                sites: self.fleet.places.len(),
                nodes: self.fleet.nodes.len(),
                honest,
                wan_links: self.fleet.wan.len(),
                lan_links: self.fleet.lan.len(),
            },
            releases,
            curves,
            links,
            stragglers,
            happened: std::mem::take(&mut self.metrics.happened),
            asserts: Vec::new(),
            cost,
        };
        report.happened.sort_by_key(|one| one.at_us);
        report.asserts = self.asserts(&report);
        report.answer = answer(&report);
        report
    }

    fn head(&self, partial: bool) -> Head {
        let network = match self.scenario.network {
            Network::Quantum => "quantum",
            Network::Fluid => "fluid",
        };
        Head {
            title: self.scenario.title.clone(),
            question: self.scenario.question.clone(),
            scenario: String::new(),
            seed: self.options.seed,
            scale_ppm: self.options.scale.ppm,
            commit: COMMIT.to_owned(),
            network: network.to_owned(),
            trace_hash: self.world.log_hash().to_string(),
            replay: String::new(),
            partial,
            virtual_us: self.world.now_us(),
            limit_us: self.limit_us,
        }
    }

    /// All honest nodes; then each kind of site and each class, where there are several.
    fn groups(&self) -> Vec<Group> {
        let honest = (0..self.fleet.nodes.len()).filter(|node| self.fleet.is_honest(*node));
        let honest: Vec<usize> = honest.collect();
        let kind_of = |node: &usize| self.fleet.places[self.fleet.nodes[*node].place].kind;
        let kinds = self
            .scenario
            .site
            .iter()
            .enumerate()
            .map(|(kind, site)| Group {
                by: "site",
                name: site.get_ref().name.get_ref().clone(),
                nodes: honest
                    .iter()
                    .copied()
                    .filter(|node| kind_of(node) == kind)
                    .collect(),
            });
        let classes = self
            .fleet
            .classes
            .iter()
            .enumerate()
            .map(|(class, name)| Group {
                by: "class",
                name: name.clone(),
                nodes: honest
                    .iter()
                    .copied()
                    .filter(|node| self.fleet.nodes[*node].class == class)
                    .collect(),
            });
        let all = Group {
            by: "all",
            name: "all".to_owned(),
            nodes: honest.clone(),
        };
        let filled = |groups: Vec<Group>| {
            let filled = groups.into_iter().filter(|group| !group.nodes.is_empty());
            let filled: Vec<Group> = filled.collect();
            if filled.len() > 1 { filled } else { Vec::new() }
        };
        let (kinds, classes) = if self.scenario.site.len() > 200 {
            (Vec::new(), filled(classes.collect()))
        } else {
            (filled(kinds.collect()), filled(classes.collect()))
        };
        std::iter::once(all).chain(kinds).chain(classes).collect()
    }

    fn releases(&self, groups: &[Group]) -> Vec<ReleaseFigures> {
        let published = self.published.iter().enumerate();
        let out = published.filter(|(_, published)| published.id.is_some());
        out.map(|(number, published)| {
            let at_us = published.at_us;
            let active = &self.metrics.active_us[number];
            let complete = &self.metrics.complete_us[number];
            let times = |times: &[u64], group: &Group| {
                let all = group.nodes.iter().map(|node| times[*node]);
                let came = all.filter(|time| *time != NEVER);
                let came: Vec<u64> = came.map(|time| time.saturating_sub(at_us)).collect();
                let never = group.nodes.len() - came.len();
                Quantiles::of(came, never)
            };
            let figures = groups.iter().map(|group| GroupFigures {
                by: group.by,
                name: group.name.clone(),
                complete: times(complete, group),
                active: times(active, group),
            });
            let came = |times: &[u64]| {
                let honest = groups[0].nodes.iter();
                honest.filter(|node| times[**node] != NEVER).count()
            };
            ReleaseFigures {
                version: published.version.clone(),
                at_us,
                by_thief: published.by_thief,
                bad: published.bad != Bad::No,
                bytes: published.release.length,
                new_bytes: published.new_bytes,
                ever_active: came(active),
                active: self.metrics.running(number),
                complete: came(complete),
                left_us: self.left_us(number),
                groups: figures.collect(),
            }
        })
        .collect()
    }

    /// When the last honest node stopped running a release, if none does any more.
    fn left_us(&self, number: usize) -> Option<u64> {
        if self.metrics.running(number) > 0 {
            return None;
        }
        let mut runs: Vec<bool> = vec![false; self.fleet.nodes.len()];
        let mut left_us = None;
        for (at_us, node, release) in &self.metrics.changes {
            let now = *release == Some(number as u32);
            let before = std::mem::replace(&mut runs[*node as usize], now);
            if before && !now {
                left_us = Some(*at_us);
            }
        }
        left_us
    }

    fn curves(&self, groups: &[Group]) -> Vec<Curve> {
        let (now_us, nodes) = (self.world.now_us(), self.fleet.nodes.len());
        let mut groups_of: Vec<Vec<u32>> = vec![Vec::new(); nodes];
        let mut shown: Vec<&Group> = Vec::new();
        for group in groups.iter().take(1 + LINES_MOST) {
            for node in &group.nodes {
                groups_of[*node].push(shown.len() as u32);
            }
            shown.push(group);
        }
        let mut counts = vec![vec![0_usize; shown.len()]; self.published.len()];
        let mut points = vec![vec![Vec::new(); shown.len()]; self.published.len()];
        let mut runs: Vec<Option<u32>> = vec![None; nodes];
        for (at_us, node, release) in &self.metrics.changes {
            let before = std::mem::replace(&mut runs[*node as usize], *release);
            for group in &groups_of[*node as usize] {
                let group = *group as usize;
                for (release, more) in [(before, false), (*release, true)] {
                    let Some(release) = release else { continue };
                    let count = &mut counts[release as usize][group];
                    *count = if more { *count + 1 } else { *count - 1 };
                    points[release as usize][group].push((*at_us, *count));
                }
            }
        }
        let mut curves = Vec::new();
        for (number, published) in self.published.iter().enumerate() {
            if published.id.is_none() {
                continue;
            }
            for (index, group) in shown.iter().enumerate() {
                let steps = std::mem::take(&mut points[number][index]);
                if steps.is_empty() && published.by_thief {
                    continue;
                }
                let last = counts[number][index];
                curves.push(Curve {
                    version: published.version.clone(),
                    by: group.by,
                    name: group.name.clone(),
                    nodes: group.nodes.len(),
                    points: thinned(steps, published.at_us, (now_us, last)),
                });
            }
        }
        curves
    }

    fn links(&self) -> LinkFigures {
        let home = self.fleet.nodes[self.fleet.publisher].place;
        let out = self.published.iter().filter(|one| one.id.is_some());
        let one_copy_bytes = out
            .filter(|one| !one.by_thief)
            .map(|one| one.new_bytes)
            .sum::<u64>();
        let mut kinds: BTreeMap<usize, (Vec<u64>, Vec<u64>)> = BTreeMap::new();
        let mut figures = LinkFigures {
            one_copy_bytes,
            ..LinkFigures::default()
        };
        let mut all = Vec::new();
        for (place, here) in self.fleet.places.iter().enumerate() {
            let traffic = self.world.site_traffic(site_of(place));
            let (down, up) = kinds.entry(here.kind).or_default();
            down.push(traffic.down_bytes);
            up.push(traffic.up_bytes);
            all.push((traffic, place));
            if place != home {
                figures.sites += 1;
                figures.down_bytes += traffic.down_bytes;
                let tenths = traffic.down_bytes * 10 / one_copy_bytes.max(1);
                *figures.histogram.entry(tenths).or_default() += 1;
            }
        }
        figures.least_bytes = one_copy_bytes * figures.sites as u64;
        figures.kinds = kinds
            .into_iter()
            .map(|(kind, (down, up))| KindLinks {
                name: self.scenario.site[kind].get_ref().name.get_ref().clone(),
                sites: down.len(),
                down_bytes: report::spread(down),
                up_bytes: report::spread(up),
            })
            .take(200)
            .collect();
        all.sort_by_key(|(traffic, place)| {
            let most = traffic.down_bytes.max(traffic.up_bytes);
            (std::cmp::Reverse(most), *place)
        });
        let listed = all.into_iter().take(LISTED_LINKS);
        figures.heaviest = listed
            .map(|(traffic, place)| OneLink {
                site: self.fleet.places[place].name.clone(),
                down_bytes: traffic.down_bytes,
                up_bytes: traffic.up_bytes,
            })
            .collect();
        figures
    }

    fn cost(&self, links: &LinkFigures) -> Cost {
        let now_us = self.world.now_us();
        let traffic = &self.world.traffic;
        let (messages, sent_bytes) = traffic.total();
        let metrics = &self.metrics;
        let honest = (0..self.fleet.nodes.len()).filter(|node| self.fleet.is_honest(*node));
        let on_us: u64 = honest
            .clone()
            .map(|node| now_us.saturating_sub(self.fleet.nodes[node].on_us))
            .sum();
        let off_us = metrics.downs.total(now_us);
        let duplicate_bytes = honest
            .filter_map(|node| self.world.node(node))
            .flat_map(|node| node.status().channels)
            .filter_map(|channel| channel.fetch)
            .map(|fetch| fetch.bytes_duplicate)
            .sum();
        let home = site_of(self.fleet.nodes[self.fleet.publisher].place);
        Cost {
            node_hours_milli: on_us.saturating_sub(off_us) / 3_600_000,
            wan_bytes: links.down_bytes + self.world.site_traffic(home).down_bytes,
            sent_bytes,
            data_bytes: traffic.bytes("data"),
            messages,
            duplicate_bytes,
            chunks_corrupt: metrics.chunks_corrupt,
            chunks_stored: self.world.figures().chunks_stored,
            peers_let_go: metrics.let_go_count,
            honest_let_go: self.blamed().len() as u64,
            nodes_fell: metrics.falls,
            records_refused: metrics.records_refused,
            withdrawn: metrics.withdrawn as u64,
            went_back: metrics.went_back as u64,
        }
    }
}

/// As many steps as a page can show; the first and the last are always among them.
fn thinned(steps: Vec<(u64, usize)>, from_us: u64, last: (u64, usize)) -> Vec<(u64, usize)> {
    let most = CURVE_POINTS - 2;
    let mut points = vec![(from_us, 0)];
    let count = steps.len();
    if count <= most {
        points.extend(steps);
    } else {
        points.extend((0..most).map(|step| steps[(step + 1) * count / most - 1]));
    }
    points.push(last);
    points
}

/// What was found, in sentences.
fn answer(report: &Report) -> Vec<String> {
    let mut told = Vec::new();
    let time = |us: Option<u64>| us.map(|us| Time { us }.to_string());
    if report.head.partial {
        let at = Time {
            us: report.head.virtual_us,
        };
        told.push(format!(
            "This run was interrupted at {at} of virtual time: figures end there."
        ));
    }
    if let Some(main) = report.main_release()
        && let Some(all) = main.groups.first()
    {
        let (version, honest) = (&main.version, report.fleet.honest);
        let share = Share {
            ppm: (main.active as u64 * 1_000_000 / honest.max(1) as u64) as u32,
        };
        let times = all.active;
        told.push(match (time(times.p50_us), time(times.p99_us), time(times.max_us)) {
            (Some(half), Some(most), Some(last)) if main.active == honest => format!(
                "All {honest} nodes run {version}: half of them after {half}, 99 % after {most}, the last after {last}."
            ),
            (Some(half), most, _) => {
                let most = most.map_or_else(String::new, |most| format!(", 99 % ran it after {most}"));
                format!(
                    "{share} of {honest} nodes run {version} at the end; half of them did after {half}{most}."
                )
            }
            (None, ..) => format!("{share} of {honest} nodes run {version} at the end."),
        });
    }
    for thief in report.releases.iter().filter(|release| release.by_thief) {
        let (version, ever, still) = (&thief.version, thief.ever_active, thief.active);
        let end = match (still, thief.left_us) {
            (0, Some(left_us)) => {
                let left = Time {
                    us: left_us - thief.at_us.min(left_us),
                };
                format!("the last stopped {left} after the theft")
            }
            _ => format!("{still} still do at the end"),
        };
        told.push(match ever {
            0 => format!("No honest node ever ran {version}, which the thief signed."),
            _ => format!("{ever} honest nodes ran {version}, which the thief signed; {end}."),
        });
    }
    let links = &report.links;
    if links.sites > 0 && links.one_copy_bytes > 0 {
        let copies = crate::scenario::Times {
            milli: u64::try_from(
                u128::from(links.down_bytes) * 1_000 / u128::from(links.least_bytes.max(1)),
            )
            .unwrap_or(u64::MAX),
        };
        let needed = Bytes(links.one_copy_bytes);
        let copies = copies.to_string();
        let copies = copies.trim_end_matches(" x");
        told.push(format!(
            "On average {copies} copies of the {needed} that a site needs came in over its link; one is the least."
        ));
    }
    let failed = report.asserts.iter().filter(|assert| !assert.holds).count();
    if !report.asserts.is_empty() {
        let count = report.asserts.len();
        told.push(match (failed, count) {
            (0, 1) => "The assert holds.".to_owned(),
            (0, _) => format!("All {count} asserts hold."),
            (_, 1) => "The assert does not hold.".to_owned(),
            _ => format!("{failed} of {count} asserts do not hold."),
        });
    }
    told
}
