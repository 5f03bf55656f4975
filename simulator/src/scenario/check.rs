//! What the format alone does not rule out.

mod names;

use std::{collections::BTreeSet, ops::Range};

use toml::Spanned;
use weft_core::bounds::PEERS;
use weft_record::{MAX_CHUNK_BYTES, MAX_CHUNKS};

use super::{
    format::{Release, Scenario, Site},
    mistake::{Mistake, Source, nearest},
    units::{Share, Time},
};

/// Most nodes of a scenario: what fits the memory that the plan allows.
pub const MOST_NODES: usize = 1_000_000;
/// Most sites.
pub const MOST_SITES: usize = 1_000_000;

/// The first mistake, from the top of the file.
pub(crate) fn check(scenario: &Scenario, source: Source<'_>) -> Result<(), Mistake> {
    let check = Check { scenario, source };
    let mut mistakes = check.all();
    mistakes.sort_by_key(|(at, _)| *at);
    match mistakes.into_iter().next() {
        Some((_, mistake)) => Err(mistake),
        None => Ok(()),
    }
}

struct Check<'a> {
    scenario: &'a Scenario,
    source: Source<'a>,
}

type Found = Vec<(usize, Mistake)>;

impl Check<'_> {
    fn all(&self) -> Found {
        let mut found = Found::new();
        self.fleet(&mut found);
        self.releases(&mut found);
        self.faults(&mut found);
        for assert in &self.scenario.assert {
            self.assert(assert, &mut found);
        }
        found
    }

    fn say(&self, found: &mut Found, span: Range<usize>, why: impl Into<String>, next: &str) {
        let at = span.start;
        found.push((at, self.source.mistake(span, why, next)));
    }

    fn fleet(&self, found: &mut Found) {
        let scenario = self.scenario;
        if scenario.time_limit.get_ref().us == 0 {
            let span = scenario.time_limit.span();
            self.say(
                found,
                span,
                "nothing can happen in no time",
                "write a time limit above zero, such as \"2 h\"",
            );
        }
        if scenario.site.is_empty() {
            let end = 0..0;
            self.say(
                found,
                end,
                "a scenario needs at least one site",
                "add:  [[site]]  name = \"office\"  nodes = 5",
            );
        }
        let mut names = BTreeSet::new();
        let (mut nodes, mut sites) = (0_usize, 0_usize);
        for site in &scenario.site {
            let site = site.get_ref();
            let (name, count, each) = (
                site.name.get_ref(),
                *site.count.get_ref(),
                *site.nodes.get_ref(),
            );
            if !names.insert(name.as_str()) {
                self.say(
                    found,
                    site.name.span(),
                    format!("two sites are called {name:?}"),
                    "give one of them another name",
                );
            }
            if name.is_empty() || name.contains(['"', '<', '&']) {
                self.say(
                    found,
                    site.name.span(),
                    "a name is some letters, digits and dashes",
                    "write a name such as \"clinic\"",
                );
            }
            if each == 0 {
                self.say(
                    found,
                    site.nodes.span(),
                    format!("the site {name:?} has no nodes"),
                    "give it at least one node, or take the site out",
                );
            }
            if count == 0 {
                self.say(
                    found,
                    site.count.span(),
                    format!("there is no place of the kind {name:?}"),
                    "write a count of at least 1, or take the site out",
                );
            }
            if *site.gateways.get_ref() == 0 {
                self.say(
                    found,
                    site.gateways.span(),
                    format!("without a gateway no node of {name:?} can reach another site"),
                    "write gateways = 1 or more",
                );
            }
            if *site.gateways.get_ref() > each && each > 0 {
                self.say(
                    found,
                    site.gateways.span(),
                    format!("{name:?} has only {each} nodes"),
                    "write at most as many gateways as nodes",
                );
            }
            let dial_count = *site.dial_count.get_ref();
            if dial_count == 0 || dial_count > 16 {
                self.say(
                    found,
                    site.dial_count.span(),
                    "a gateway dials 1 to 16 places",
                    "write a number from 1 to 16",
                );
            }
            self.dials(site, found);
            for hours in &site.open {
                if hours.get_ref().from == hours.get_ref().until {
                    self.say(
                        found,
                        hours.span(),
                        "these hours begin when they end",
                        "write two times, or leave `open` out for always",
                    );
                }
            }
            nodes = nodes.saturating_add(count.saturating_mul(each));
            sites = sites.saturating_add(count);
        }
        if nodes > MOST_NODES || sites > MOST_SITES {
            let span = scenario.site.first().map_or(0..0, Spanned::span);
            self.say(
                found,
                span,
                format!("{nodes} nodes are more than {MOST_NODES}"),
                "rehearse a part of the fleet: weft-sim run … --scale 10%",
            );
        }
        let mesh = &scenario.mesh;
        if let Some(publisher) = &mesh.publisher {
            self.known_site(publisher, found);
        }
        if !(1..=PEERS).contains(mesh.lan_neighbours.get_ref()) {
            self.say(
                found,
                mesh.lan_neighbours.span(),
                format!("a node has 1 to {PEERS} neighbours"),
                "8 are enough for most LANs",
            );
        }
        if !(1..=8).contains(mesh.threshold.get_ref()) {
            self.say(
                found,
                mesh.threshold.span(),
                "1 to 8 keys sign a release here",
                "write a number from 1 to 8",
            );
        }
        self.classes(found);
    }

    fn dials(&self, site: &Site, found: &mut Found) {
        for named in site.dials.iter().flatten() {
            self.known_site(named, found);
            let kind = self.scenario.site.iter().map(Spanned::get_ref);
            let mut kind = kind.filter(|other| other.name.get_ref() == named.get_ref());
            if kind.next().is_some_and(|other| other.dials_only) {
                let why = format!("nobody can dial {:?}: it only dials out", named.get_ref());
                self.say(
                    found,
                    named.span(),
                    why,
                    "dial a site without `dials_only`, or take that key out there",
                );
            }
        }
        if let Some(dials) = site.dials.as_ref().filter(|dials| dials.is_empty()) {
            let _ = dials;
            self.say(
                found,
                site.name.span(),
                "it dials nobody, so nothing reaches it",
                "name a site in `dials`, or leave the key out",
            );
        }
    }

    fn classes(&self, found: &mut Found) {
        let mut names = BTreeSet::new();
        let mut whole = 0_u64;
        for class in &self.scenario.class {
            let class = class.get_ref();
            let name = class.name.get_ref();
            if !names.insert(name) || name == "plain" {
                self.say(
                    found,
                    class.name.span(),
                    format!("the class {name:?} exists already"),
                    "give it another name (nodes of no class are called \"plain\")",
                );
            }
            for site in &class.sites {
                self.known_site(site, found);
            }
            if class.sites.is_empty() {
                whole += u64::from(class.share.get_ref().ppm);
                if whole > u64::from(Share::ALL.ppm) {
                    self.say(
                        found,
                        class.share.span(),
                        "the shares of the classes are more than 100 % together",
                        "lower a share; what is left over is of no class",
                    );
                }
            }
        }
    }

    fn releases(&self, found: &mut Found) {
        if self.scenario.release.is_empty() {
            let span = self.scenario.time_limit.span();
            self.say(
                found,
                span,
                "nothing is published, so there is nothing to rehearse",
                "add:  [[release]]  version = \"1.0.0\"  size = \"256 MiB\"",
            );
        }
        let mut versions = BTreeSet::new();
        let mut before = Time::default();
        for release in &self.scenario.release {
            let release = release.get_ref();
            let version = release.version.get_ref();
            self.version(&release.version, found);
            if !versions.insert(version.clone()) {
                self.say(
                    found,
                    release.version.span(),
                    format!("{version:?} is published twice"),
                    "give the second another version",
                );
            }
            let at = *release.at.get_ref();
            if at < before {
                self.say(
                    found,
                    release.at.span(),
                    "releases stand in the order in which they are published",
                    "move this one up, or publish it later",
                );
            }
            before = at;
            self.within_limit(&release.at, found);
            let (size, chunk) = (release.size.get_ref().0, release.chunk_bytes());
            if !(1..=u64::from(MAX_CHUNK_BYTES)).contains(&chunk) {
                self.say(
                    found,
                    release.chunk.as_ref().map_or(0..0, Spanned::span),
                    "a chunk is 1 byte to 1 MiB",
                    "write chunk = \"1 MiB\" or less",
                );
            } else if size == 0 || size.div_ceil(chunk) > MAX_CHUNKS as u64 {
                let why = format!(
                    "a release has 1 to {MAX_CHUNKS} chunks, this one {}",
                    size.div_ceil(chunk)
                );
                self.say(
                    found,
                    release.size.span(),
                    why,
                    "make the chunks larger, or the file smaller",
                );
            }
        }
        for theft in &self.scenario.theft {
            let theft = theft.get_ref();
            self.version(&theft.version, found);
            if !versions.insert(theft.version.get_ref().clone()) {
                self.say(
                    found,
                    theft.version.span(),
                    "the thief's version needs a name of its own",
                    "write a version that nobody publishes, such as \"6.6.6\"",
                );
            }
        }
    }

    /// Three numbers and, behind a dash or a plus, words: what a release may carry.
    fn version(&self, version: &Spanned<String>, found: &mut Found) {
        let text = version.get_ref();
        let (core, tail) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
        let parts: Vec<&str> = core.split('.').collect();
        let is_number = |part: &&str| {
            let digits = part.bytes().all(|byte| byte.is_ascii_digit());
            !part.is_empty() && digits && (*part == "0" || !part.starts_with('0'))
        };
        let is_tail = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
        let good_tail = tail.len() != 1 && tail.bytes().all(is_tail);
        if parts.len() != 3 || !parts.iter().all(is_number) || !good_tail || text.len() > 32 {
            let why = format!("{text:?} is not a version");
            self.say(
                found,
                version.span(),
                why,
                "write three numbers, such as \"1.2.3\" or \"1.2.3-rc.1\"",
            );
        }
    }

    fn faults(&self, found: &mut Found) {
        let scenario = self.scenario;
        for outage in scenario.outage.iter().map(Spanned::get_ref) {
            self.some_sites(&outage.sites, outage.at.span(), found);
            self.within_limit(&outage.at, found);
        }
        for partition in scenario.partition.iter().map(Spanned::get_ref) {
            self.some_sites(&partition.sites, partition.at.span(), found);
            self.within_limit(&partition.at, found);
        }
        for courier in scenario.courier.iter().map(Spanned::get_ref) {
            self.some_sites(&courier.sites, courier.version.span(), found);
            self.within_limit(&courier.told, found);
            for time in courier.at.iter().chain(&courier.expected_by) {
                self.within_limit(time, found);
            }
            let version = courier.version.get_ref();
            let is_it =
                |release: &&Spanned<Release>| release.get_ref().version.get_ref() == version;
            let release = scenario.release.iter().find(is_it);
            let Some(release) = release else {
                self.say(
                    found,
                    courier.version.span(),
                    format!("no release {version:?} is published"),
                    "write the version of a [[release]]",
                );
                continue;
            };
            let published = release.get_ref().at.get_ref();
            if let Some(at) = courier.at.as_ref().filter(|at| at.get_ref() < published) {
                self.say(
                    found,
                    at.span(),
                    format!("it arrives before {version} is published"),
                    "let it arrive later",
                );
            }
        }
        for churn in scenario.churn.iter().map(Spanned::get_ref) {
            self.known_sites(&churn.sites, found);
            self.within_limit(&churn.from, found);
            for mean in [&churn.mean_up, &churn.mean_down] {
                if mean.get_ref().us < 1_000_000 {
                    self.say(
                        found,
                        mean.span(),
                        "a node stays up, or down, for a second at least",
                        "write a mean time of \"1 s\" or more",
                    );
                }
            }
        }
        for late in scenario.late.iter().map(Spanned::get_ref) {
            self.known_sites(&late.sites, found);
            self.within_limit(&late.at, found);
        }
        for adversary in &scenario.adversary {
            let (span, adversary) = (adversary.span(), adversary.get_ref());
            self.known_sites(&adversary.sites, found);
            if adversary.share.is_some() == adversary.count.is_some() {
                self.say(
                    found,
                    span,
                    "how many adversaries is said once",
                    "write either share = \"5 %\" or count = 3",
                );
            }
        }
        for theft in scenario.theft.iter().map(Spanned::get_ref) {
            self.within_limit(&theft.at, found);
            if let Some(site) = &theft.site {
                self.known_site(site, found);
            }
            for key in &theft.keys {
                if !matches!(key.get_ref().as_str(), "head" | "release") {
                    let why = format!(
                        "a thief takes the keys \"head\" or \"release\", not {:?}",
                        key.get_ref()
                    );
                    self.say(
                        found,
                        key.span(),
                        why,
                        "write keys = [\"head\", \"release\"]",
                    );
                }
            }
            if let Some(rotated) = &theft.rotated {
                self.within_limit(rotated, found);
                if rotated.get_ref() <= theft.at.get_ref() {
                    self.say(
                        found,
                        rotated.span(),
                        "the keys are rotated before they are stolen",
                        "rotate them after the theft",
                    );
                }
            }
        }
    }
}

fn suggest<'a>(given: &str, known: impl Iterator<Item = &'a str> + Clone, lead: &str) -> String {
    match nearest(given, known.clone()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("{lead} {}", known.collect::<Vec<_>>().join(", ")),
    }
}

impl Site {
    /// Whether this is the name of the kind, or of one of its places.
    pub fn matches(&self, name: &str) -> bool {
        if name == self.name.get_ref() {
            return true;
        }
        let number = name.strip_prefix(self.name.get_ref().as_str());
        let number = number.and_then(|rest| rest.strip_prefix('-')?.parse::<usize>().ok());
        number.is_some_and(|number| (1..=*self.count.get_ref()).contains(&number))
    }
}
