//! `weft release pack|diff|sign|cosign|merge|publish|revoke|inspect|manifest`

mod cosign;
mod diff;
mod inspect;
mod manifest;
mod merge;
mod pack;
mod publish;
mod revoke;
mod sign;

use crate::{context::Context, failure::Failure};

pub(crate) use cosign::Cosign;
pub(crate) use revoke::revoke;

/// Pack, sign, publish or look at a release.
#[derive(clap::Subcommand)]
pub(crate) enum Release {
    Pack(pack::Pack),
    Diff(diff::Diff),
    Sign(sign::Sign),
    Cosign(Cosign),
    Merge(merge::Merge),
    Publish(publish::Publish),
    Revoke(revoke::Revoke),
    Inspect(inspect::Inspect),
    Manifest(manifest::Manifest),
}

impl Release {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Pack(verb) => verb.run(context),
            Self::Diff(verb) => verb.run(context),
            Self::Sign(verb) => verb.run(context),
            Self::Cosign(verb) => verb.run(context),
            Self::Merge(verb) => verb.run(context),
            Self::Publish(verb) => verb.run(context),
            Self::Revoke(verb) => verb.run(context),
            Self::Inspect(verb) => verb.run(context),
            Self::Manifest(verb) => verb.run(context),
        }
    }
}
