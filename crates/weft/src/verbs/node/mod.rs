//! `weft node request|enroll|revoke|list`

mod enroll;
mod list;
mod request;
mod revoke;

use crate::{context::Context, failure::Failure};

/// Let nodes into a mesh, or take them out.
#[derive(clap::Subcommand)]
pub(crate) enum Node {
    Request(request::Request),
    Enroll(enroll::Enroll),
    Revoke(revoke::Revoke),
    List(list::List),
}

impl Node {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Request(verb) => verb.run(context),
            Self::Enroll(verb) => verb.run(context),
            Self::Revoke(verb) => verb.run(context),
            Self::List(verb) => verb.run(context),
        }
    }
}
