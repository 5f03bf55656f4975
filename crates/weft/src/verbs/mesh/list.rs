//! `weft mesh list`

use serde::Serialize;
use weft_core::NodeStanding;
use weft_node::report::EnrolmentReport;
use weft_record::{Enroll, Standing, Trust};

use crate::{context::Context, failure::Failure, output::table, signing};

/// List the nodes whose enrolment is known here.
///
/// Enrolments travel with their nodes: the admin's node knows those that it made, every node
/// those of the peers it met.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft mesh list")]
pub(crate) struct List {}

#[derive(Serialize)]
struct Report {
    enrolments: Vec<EnrolmentReport>,
}

impl List {
    #[allow(clippy::unused_self)] // as every verb
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let home = context.home()?;
        let mut enrolments = if home.running().is_some() {
            let report = context
                .client()?
                .enrolments()
                .map_err(|error| context.client_refused(&error))?;
            report.enrolments
        } else {
            let trust = signing::trust(context, &home)?;
            trust.enrolments().map(|one| told(&trust, one)).collect()
        };
        enrolments.sort_by(|a, b| (&a.site, &a.peer_id).cmp(&(&b.site, &b.peer_id)));
        let report = Report { enrolments };
        context.output.result(&report, |style| {
            if report.enrolments.is_empty() {
                return "No enrolment is known here.\n".to_owned();
            }
            let head = ["node", "site", "owner", "labels", "standing", "expires"];
            let rows: Vec<Vec<String>> = report.enrolments.iter().map(row).collect();
            table(style, &head, &rows)
        })
    }
}

fn row(enrolment: &EnrolmentReport) -> Vec<String> {
    let labels = enrolment.labels.iter();
    let labels: Vec<String> = labels
        .map(|label| format!("{}={}", label.name, label.value))
        .collect();
    let now_s = signing::now_s();
    let expires = match enrolment.expires_s.checked_sub(now_s) {
        Some(left_s) => format!("in {}", super::invite::days(left_s)),
        None => format!("{} ago", super::invite::days(now_s - enrolment.expires_s)),
    };
    vec![
        enrolment.peer_id.clone(),
        enrolment.site.to_string(),
        enrolment.owner.to_string(),
        if labels.is_empty() {
            "-".to_owned()
        } else {
            labels.join(" ")
        },
        standing(enrolment.standing).to_owned(),
        expires,
    ]
}

/// The word for it.
pub(crate) fn standing(standing: NodeStanding) -> &'static str {
    match standing {
        NodeStanding::Member => "member",
        NodeStanding::Lapsed => "lapsed",
        NodeStanding::Joining => "joining",
        NodeStanding::Stranger => "stranger",
    }
}

fn told(trust: &Trust, enroll: &Enroll) -> EnrolmentReport {
    EnrolmentReport {
        node: enroll.node,
        peer_id: weft_node::peer_name(&enroll.node),
        site: enroll.site.clone(),
        owner: enroll.owner.clone(),
        labels: enroll.labels.clone(),
        class: enroll.class.clone(),
        number: enroll.number,
        expires_s: enroll.expires_s,
        standing: match trust.standing(&enroll.node, signing::now_s()) {
            Standing::Member(_) => NodeStanding::Member,
            Standing::Lapsed(_) => NodeStanding::Lapsed,
            Standing::Stranger => NodeStanding::Stranger,
        },
    }
}
