//! `weft version`

use serde::Serialize;

use crate::{context::Context, failure::Failure};

/// Print the version.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft version --json")]
pub(crate) struct Version {}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    architecture: &'static str,
    system: &'static str,
}

impl Version {
    // like every other verb
    #[allow(clippy::unused_self)]
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            architecture: std::env::consts::ARCH,
            system: std::env::consts::OS,
        };
        context
            .output
            .result(&report, |_| format!("weft {}\n", report.version))
    }
}
