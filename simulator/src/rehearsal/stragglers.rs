//! Who was late, and what held it up most.

use crate::{
    report::{LISTED_STRAGGLERS, Straggler, Stragglers},
    scenario::{Share, Time},
};

use super::{Run, metrics::NEVER};

impl Run<'_> {
    /// Honest nodes that never ran the last good release, or took more than twice as long
    /// as half of them.
    pub(super) fn stragglers(&self) -> Stragglers {
        let Some(number) = self.number(None) else {
            return Stragglers::default();
        };
        let published = &self.published[number];
        if published.id.is_none() {
            return Stragglers::default();
        }
        let active_us = &self.metrics.active_us[number];
        let honest = (0..self.fleet.nodes.len()).filter(|node| self.fleet.is_honest(*node));
        let mut times: Vec<(u64, usize)> = honest
            .map(|node| (active_us[node].saturating_sub(published.at_us), node))
            .collect();
        times.sort_unstable();
        let median_us = times.get(times.len().div_ceil(2).saturating_sub(1));
        let later_than_us = median_us.map_or(0, |(time_us, _)| time_us.saturating_mul(2));
        let mut found = Stragglers {
            version: published.version.clone(),
            later_than_us,
            ..Stragglers::default()
        };
        for (time_us, node) in times.into_iter().rev() {
            let never = active_us[node] == NEVER;
            if !never && time_us <= later_than_us {
                break;
            }
            let (cause, detail) = self.cause(node, number);
            *found.causes.entry(cause.to_owned()).or_default() += 1;
            if found.listed.len() < LISTED_STRAGGLERS {
                let member = &self.fleet.nodes[node];
                found.listed.push(Straggler {
                    node,
                    site: self.fleet.places[member.place].name.clone(),
                    class: self.fleet.classes[member.class].clone(),
                    active_us: (!never).then_some(time_us),
                    cause: cause.to_owned(),
                    detail,
                });
            }
        }
        found
    }

    /// The largest part of a node's time, and how that is known.
    fn cause(&self, node: usize, number: usize) -> (&'static str, String) {
        let (now_us, metrics) = (self.world.now_us(), &self.metrics);
        let from_us = self.published[number].at_us;
        let member = &self.fleet.nodes[node];
        let active_us = metrics.active_us[number][node];
        let until_us = if active_us == NEVER {
            now_us
        } else {
            active_us
        };
        let told = |us| Time { us }.to_string();
        if active_us == NEVER {
            if member.on_us > now_us {
                return (
                    "not switched on yet",
                    format!("it is at {}", told(member.on_us)),
                );
            }
            if !self.world.is_up(node) {
                return ("down at the end", "it had no time to catch up".to_owned());
            }
            if let Some(trouble) = metrics.trouble.get(&node) {
                return ("it could not", trouble.clone());
            }
        }
        let off_us = member.on_us.clamp(from_us, until_us) - from_us;
        let down_us = metrics.downs.within(node, from_us, until_us);
        let closed_us = metrics.closures.within(member.place, from_us, until_us);
        let began_us = metrics.began_us[number][node].clamp(from_us, until_us);
        let complete_us = metrics.complete_us[number][node].clamp(began_us, until_us);
        let before_us = began_us - from_us;
        let kept_us = off_us
            + metrics.downs.within(node, from_us, began_us)
            + metrics.closures.within(member.place, from_us, began_us);
        let heard_us = before_us.saturating_sub(kept_us);
        let kept_us = metrics.downs.within(node, began_us, complete_us)
            + metrics.closures.within(member.place, began_us, complete_us);
        let fetch_us = (complete_us - began_us).saturating_sub(kept_us);
        let own_us = until_us - complete_us;
        let parts = [
            ("switched on late", off_us),
            ("down", down_us),
            ("its site's link was down", closed_us),
            ("heard of it late", heard_us),
            ("fetch", fetch_us),
            ("proving and activating it", own_us),
        ];
        let largest = parts.into_iter().rev().max_by_key(|(_, us)| *us);
        let (cause, part_us) = largest.unwrap_or(("fetch", 0));
        let whole_us = (until_us - from_us).max(1);
        let share = Share {
            ppm: (u128::from(part_us) * 1_000_000 / u128::from(whole_us)).min(1_000_000) as u32,
        };
        let detail = format!("{} of {}, {share}", told(part_us), told(whole_us));
        if cause == "fetch" {
            return (self.slow_part(node, number, fetch_us), detail);
        }
        (cause, detail)
    }

    /// What a fetch waited for: whatever alone would have taken half of its time.
    fn slow_part(&self, node: usize, number: usize, fetch_us: u64) -> &'static str {
        let member = &self.fleet.nodes[node];
        let place = &self.fleet.places[member.place];
        let site = self.scenario.site[place.kind].get_ref();
        let class = self
            .scenario
            .class
            .get(member.class)
            .map(toml::Spanned::get_ref);
        let bytes = self.published[number].new_bytes;
        let alone_us = |bytes_per_sec: u64| match bytes_per_sec {
            0 => 0,
            rate => (u128::from(bytes) * 1_000_000 / u128::from(rate)) as u64,
        };
        let nic = class.and_then(|class| class.nic).unwrap_or(site.lan);
        let cap = class.and_then(|class| class.fetch_cap).unwrap_or_default();
        let link = site.downlink.unwrap_or(site.uplink);
        let parts = [
            ("its fetch cap", alone_us(cap.bytes_per_sec)),
            ("its network card", alone_us(nic.bytes_per_sec)),
            ("its site's link is slow", alone_us(link.bytes_per_sec)),
        ];
        let slowest = parts.into_iter().rev().max_by_key(|(_, us)| *us);
        match slowest {
            Some((cause, us)) if us >= fetch_us / 2 => cause,
            _ => "its sources had it late",
        }
    }
}
