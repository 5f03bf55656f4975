//! Whether what had to hold did.

use toml::Spanned;

use crate::{
    report::{AssertResult, Report},
    scenario::{Assert, Bad, Bytes, Share, Time, Times},
};

use super::{Run, build::site_of, metrics::NEVER};

impl Run<'_> {
    pub(super) fn asserts(&self, report: &Report) -> Vec<AssertResult> {
        let asserts = self.scenario.assert.iter().map(Spanned::get_ref);
        asserts.map(|assert| self.hold(assert, report)).collect()
    }

    /// Honest nodes that were let go by honest nodes.
    pub(super) fn blamed(&self) -> Vec<usize> {
        let let_go = &self.metrics.let_go;
        if let_go.is_empty() {
            return Vec::new();
        }
        let honest = (0..self.fleet.nodes.len()).filter(|node| self.fleet.is_honest(*node));
        honest
            .filter(|node| let_go.contains(&self.world.key(*node)))
            .collect()
    }

    fn hold(&self, assert: &Assert, report: &Report) -> AssertResult {
        let share = assert.coverage.as_ref().map(|share| (share, true));
        let share = share.or(assert.complete.as_ref().map(|share| (share, false)));
        if let Some((share, active)) = share {
            return self.coverage(assert, *share.get_ref(), active);
        }
        if let Some(most) = &assert.uplink_bytes_per_site {
            return self.links_carry(assert, *most.get_ref());
        }
        if assert.no_blame.is_some() {
            let blamed = self.blamed().len();
            return AssertResult {
                text: "no honest node was let go by another".to_owned(),
                holds: blamed == 0,
                found: format!("{blamed} were"),
            };
        }
        if let Some(version) = &assert.never_active {
            let count = self.count(version.get_ref(), |release| {
                self.metrics.active_us[release].clone()
            });
            return AssertResult {
                text: format!("no honest node ever ran {}", version.get_ref()),
                holds: count == 0,
                found: format!("{count} did"),
            };
        }
        if let Some(version) = &assert.gone {
            let number = self.number(Some(version.get_ref()));
            let count = number.map_or(0, |number| self.metrics.running(number));
            return AssertResult {
                text: format!("no honest node runs {} at the end", version.get_ref()),
                holds: count == 0,
                found: format!("{count} do"),
            };
        }
        let most = assert
            .duplicate_bytes
            .as_ref()
            .map_or(Share::ALL, |share| *share.get_ref());
        let fetched = report.cost.data_bytes;
        let twice = report.cost.duplicate_bytes as u128 * 1_000_000 / u128::from(fetched.max(1));
        let twice = Share {
            ppm: twice.min(1_000_000) as u32,
        };
        AssertResult {
            text: format!("at most {most} of what was fetched was held already"),
            holds: twice <= most,
            found: format!("{twice}, {}", Bytes(report.cost.duplicate_bytes)),
        }
    }

    fn coverage(&self, assert: &Assert, least: Share, active: bool) -> AssertResult {
        let version = assert.of.as_ref().map(|of| of.get_ref().as_str());
        let number = self.number(version);
        let places = self.fleet.places_of(self.scenario, &assert.sites);
        let nodes = places
            .iter()
            .flat_map(|place| self.fleet.places[*place].nodes.clone());
        let nodes: Vec<usize> = nodes.filter(|node| self.fleet.is_honest(*node)).collect();
        let count = match number {
            None => 0,
            Some(number) => {
                let published = &self.published[number];
                let by = assert.by.as_ref().map(|by| by.get_ref().us);
                let by_us = by.map_or(self.world.now_us(), |by_us| published.at_us + by_us);
                let complete_us = &self.metrics.complete_us[number];
                let ran = if active {
                    self.ran_at(by_us)
                } else {
                    Vec::new()
                };
                let at = |node: &&usize| {
                    if active {
                        ran[**node] == Some(number as u32)
                    } else {
                        complete_us[**node] != NEVER && complete_us[**node] <= by_us
                    }
                };
                nodes.iter().filter(at).count()
            }
        };
        let found = Share {
            ppm: (count as u64 * 1_000_000 / nodes.len().max(1) as u64) as u32,
        };
        let version = number.map_or("the release", |number| {
            self.published[number].version.as_str()
        });
        let verb = if active { "run" } else { "hold all of" };
        let by = match &assert.by {
            Some(by) => format!(
                "{} after it was published",
                Time {
                    us: by.get_ref().us
                }
            ),
            None => "at the end".to_owned(),
        };
        let names: Vec<&str> = assert
            .sites
            .iter()
            .map(|site| site.get_ref().as_str())
            .collect();
        let place = if names.is_empty() {
            String::new()
        } else {
            format!(" of {}", names.join(", "))
        };
        AssertResult {
            text: format!("at least {least} of the nodes{place} {verb} {version} {by}"),
            holds: count as u128 * 1_000_000 >= nodes.len() as u128 * u128::from(least.ppm),
            found: format!("{found}, {count} of {}", nodes.len()),
        }
    }

    /// What each node ran at a moment.
    fn ran_at(&self, at_us: u64) -> Vec<Option<u32>> {
        let mut ran = vec![None; self.fleet.nodes.len()];
        let changes = self.metrics.changes.iter();
        for (_, node, release) in changes.take_while(|(when_us, ..)| *when_us <= at_us) {
            ran[*node as usize] = *release;
        }
        ran
    }

    fn links_carry(&self, assert: &Assert, most: Times) -> AssertResult {
        let out = self.published.iter();
        let out = out.filter(|one| one.id.is_some() && !one.by_thief);
        let one_copy: u64 = out.map(|one| one.new_bytes).sum();
        let home = self.fleet.nodes[self.fleet.publisher].place;
        let places = self.fleet.places_of(self.scenario, &assert.sites);
        let carried = places
            .into_iter()
            .filter(|place| *place != home)
            .map(|place| (self.world.site_traffic(site_of(place)).down_bytes, place));
        let (bytes, place) = carried.max().unwrap_or((0, home));
        let milli = u128::from(bytes) * 1_000 / u128::from(one_copy.max(1));
        let found = Times {
            milli: u64::try_from(milli).unwrap_or(u64::MAX),
        };
        AssertResult {
            text: format!(
                "no site's link carries in more than {most} the {} that a site needs",
                Bytes(one_copy)
            ),
            holds: found <= most,
            found: format!(
                "{found}, {} at {}",
                Bytes(bytes),
                self.fleet.places[place].name
            ),
        }
    }

    /// Honest nodes with a time in this list.
    fn count(&self, version: &str, times: impl Fn(usize) -> Vec<u64>) -> usize {
        let Some(number) = self.number(Some(version)) else {
            return 0;
        };
        let times = times(number);
        let nodes = times.iter().enumerate();
        nodes
            .filter(|(node, time)| **time != NEVER && self.fleet.is_honest(*node))
            .count()
    }

    /// A release by its version; the last good one without.
    pub(super) fn number(&self, version: Option<&str>) -> Option<usize> {
        let all = self.published.iter();
        match version {
            Some(version) => all.clone().position(|one| one.version == version),
            None => all
                .clone()
                .rposition(|one| !one.by_thief && one.bad == Bad::No),
        }
    }
}
