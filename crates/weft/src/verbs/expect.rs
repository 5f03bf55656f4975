//! `weft bundle expect`

use serde::Serialize;
use weft_core::CourierStatus;
use weft_node::report::{ExpectRequest, StatusReport};
use weft_record::Name;

use super::mesh::{days, seconds};
use crate::{context::Context, failure::Failure, output::table};

/// Say that somebody brings a bundle, and see who is awaited.
///
/// What a release lacks here and would come later over the uplink is left to the courier;
/// records come all the time, and neighbours on the LAN give what they have. A courier that is
/// late is not waited for: then the uplink is used again. Say it on each node of a site.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft bundle expect --in 6h\n  weft bundle expect\n  weft bundle expect --cancel"
)]
pub(crate) struct Expect {
    /// For how long it is waited for, such as 6h, 30min or 2d
    #[arg(long = "in", value_name = "TIME", value_parser = seconds)]
    within: Option<u64>,
    /// Nobody is expected any more
    #[arg(long, conflicts_with = "within")]
    cancel: bool,
    /// Whose newest release is brought
    #[arg(long, value_name = "CHANNEL", default_value = "stable")]
    channel: Name,
}

#[derive(Serialize)]
struct Report {
    couriers: Vec<Courier>,
}

#[derive(Serialize)]
struct Courier {
    channel: Name,
    /// For so long it is still waited for.
    in_s: u64,
    /// Whether what is lacking is left to it.
    waits: bool,
}

impl Expect {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let refused = |error| context.client_refused(&error);
        if self.cancel || self.within.is_some() {
            let request = ExpectRequest {
                channel: self.channel,
                in_s: self.within,
            };
            client.expect(&request).map_err(refused)?;
        }
        let report = Report::of(&client.status().map_err(refused)?);
        context.output.result(&report, |style| {
            if report.couriers.is_empty() {
                return "No courier is expected.\n".to_owned();
            }
            let row = |courier: &Courier| {
                let uplink = if courier.waits {
                    "what is lacking is left to it"
                } else {
                    "is used meanwhile"
                };
                let channel = courier.channel.to_string();
                vec![
                    channel,
                    format!("in {}", days(courier.in_s)),
                    uplink.to_owned(),
                ]
            };
            let rows: Vec<Vec<String>> = report.couriers.iter().map(row).collect();
            table(style, &["channel", "expected", "uplink"], &rows)
        })
    }
}

impl Report {
    fn of(status: &StatusReport) -> Self {
        let channels = status.node.channels.iter();
        let couriers = channels.filter_map(|one| {
            let CourierStatus { in_s, waits } = one.courier?;
            Some(Courier {
                channel: one.channel.clone(),
                in_s,
                waits,
            })
        });
        Self {
            couriers: couriers.collect(),
        }
    }
}
