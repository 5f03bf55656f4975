//! `weft trust show|log|genesis|rotate|threshold|reset|join-fork|cosign`

mod change;
mod genesis;
mod join_fork;
mod log;
mod place;
mod public;
mod rotate;
mod show;
pub(crate) mod told;

use crate::{context::Context, failure::Failure, verbs::release::Cosign};

/// See and change who may sign what.
#[derive(clap::Subcommand)]
pub(crate) enum Trust {
    Show(show::Show),
    Log(log::Log),
    Genesis(genesis::Genesis),
    Rotate(rotate::Rotate),
    Threshold(rotate::Threshold),
    Reset(rotate::Reset),
    JoinFork(join_fork::JoinFork),
    Cosign(Cosign),
}

impl Trust {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Show(verb) => verb.run(context),
            Self::Log(verb) => verb.run(context),
            Self::Genesis(verb) => verb.run(context),
            Self::Rotate(verb) => verb.run(context),
            Self::Threshold(verb) => verb.run(context),
            Self::Reset(verb) => verb.run(context),
            Self::JoinFork(verb) => verb.run(context),
            Self::Cosign(verb) => verb.run(context),
        }
    }
}
