//! Asserts, and the sites and versions that are named: whether they can be meant.

use std::ops::Range;

use toml::Spanned;

use super::{Check, Found, suggest};
use crate::scenario::{Assert, Bad, Time};

impl Check<'_> {
    pub(super) fn assert(&self, spanned: &Spanned<Assert>, found: &mut Found) {
        let (span, assert) = (spanned.span(), spanned.get_ref());
        let said = [
            assert.coverage.is_some(),
            assert.complete.is_some(),
            assert.uplink_bytes_per_site.is_some(),
            assert.no_blame.is_some(),
            assert.never_active.is_some(),
            assert.gone.is_some(),
            assert.duplicate_bytes.is_some(),
        ];
        if said.iter().filter(|said| **said).count() != 1 {
            self.say(found, span, "an assert says exactly one thing", "write one of coverage, complete, uplink_bytes_per_site, no_blame, never_active, gone, duplicate_bytes");
            return;
        }
        let of_coverage = assert.coverage.is_some() || assert.complete.is_some();
        if let Some(by) = assert.by.as_ref().filter(|_| !of_coverage) {
            self.say(
                found,
                by.span(),
                "only coverage and complete have a time",
                "take `by` out",
            );
        }
        if let Some(false) = assert.no_blame.as_ref().map(|said| *said.get_ref()) {
            let span = assert.no_blame.as_ref().map_or(span, Spanned::span);
            self.say(
                found,
                span,
                "only no_blame = true can be asserted",
                "take the assert out",
            );
        }
        self.known_sites(&assert.sites, found);
        for named in [&assert.of, &assert.never_active, &assert.gone]
            .into_iter()
            .flatten()
        {
            self.known_version(named, found);
        }
        let Some(by) = &assert.by else { return };
        let published = self.published_us(assert);
        let limit_us = self.scenario.time_limit.get_ref().us;
        if published.is_some_and(|at_us| at_us + by.get_ref().us > limit_us) {
            let limit = self.scenario.time_limit.get_ref();
            let why = format!("the run ends before that: its time limit is {limit}");
            self.say(
                found,
                by.span(),
                why,
                "raise `time_limit`, or ask for an earlier time",
            );
        }
    }

    pub(super) fn published_us(&self, assert: &Assert) -> Option<u64> {
        let releases = self.scenario.release.iter().map(Spanned::get_ref);
        let mut of = releases.rev().filter(|release| match &assert.of {
            Some(named) => named.get_ref() == release.version.get_ref(),
            None => release.bad == Bad::No,
        });
        of.next().map(|release| release.at.get_ref().us)
    }

    pub(super) fn within_limit(&self, at: &Spanned<Time>, found: &mut Found) {
        let limit = self.scenario.time_limit.get_ref();
        if at.get_ref() > limit {
            let why = format!("it would happen after the time limit, {limit}");
            self.say(
                found,
                at.span(),
                why,
                "raise `time_limit`, or let it happen earlier",
            );
        }
    }

    pub(super) fn some_sites(
        &self,
        sites: &[Spanned<String>],
        span: Range<usize>,
        found: &mut Found,
    ) {
        if sites.is_empty() {
            self.say(
                found,
                span,
                "it says of no site that it is hit",
                "name one in `sites`",
            );
        }
        self.known_sites(sites, found);
    }

    pub(super) fn known_sites(&self, sites: &[Spanned<String>], found: &mut Found) {
        for site in sites {
            self.known_site(site, found);
        }
    }

    /// A kind of site, or one of its places.
    pub(super) fn known_site(&self, named: &Spanned<String>, found: &mut Found) {
        let sites = || self.scenario.site.iter().map(Spanned::get_ref);
        if sites().any(|site| site.matches(named.get_ref())) {
            return;
        }
        let names = sites().map(|site| site.name.get_ref().as_str());
        let next = suggest(named.get_ref(), names, "sites are");
        let why = format!("there is no site {:?}", named.get_ref());
        self.say(found, named.span(), why, &next);
    }

    pub(super) fn known_version(&self, named: &Spanned<String>, found: &mut Found) {
        let releases = self.scenario.release.iter().map(Spanned::get_ref);
        let thefts = self.scenario.theft.iter().map(Spanned::get_ref);
        let versions: Vec<&str> = releases
            .map(|release| release.version.get_ref().as_str())
            .chain(thefts.map(|theft| theft.version.get_ref().as_str()))
            .collect();
        if versions.contains(&named.get_ref().as_str()) {
            return;
        }
        let next = suggest(named.get_ref(), versions.iter().copied(), "versions are");
        let why = format!("nobody publishes a release {:?}", named.get_ref());
        self.say(found, named.span(), why, &next);
    }
}
