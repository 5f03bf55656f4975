//! `weft node list`

use serde::Serialize;
use weft_record::{Enroll, Standing};

use crate::{
    context::Context,
    failure::Failure,
    output::table,
    signing::{From, Ground, now_s, words},
};

/// List the nodes whose enrolments are known here.
///
/// In a large mesh that is not all of them: an enrolment travels with its node.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft node list")]
pub(crate) struct List {
    #[command(flatten)]
    from: From,
}

#[derive(Serialize)]
struct Report {
    nodes: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    peer_id: String,
    /// `member`, `lapsed` or `revoked`.
    standing: &'static str,
    #[serde(flatten)]
    enroll: Enroll,
}

impl List {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let ground = Ground::open(context, &self.from)?;
        let nodes = ground.believed().enrolments().map(|enroll| Row {
            peer_id: weft_node::peer_name(&enroll.node),
            standing: match ground.believed().standing(&enroll.node, now_s()) {
                Standing::Member(_) => "member",
                Standing::Lapsed(_) => "lapsed",
                Standing::Stranger => "revoked",
            },
            enroll: Enroll::clone(enroll),
        });
        let report = Report {
            nodes: nodes.collect(),
        };
        context.output.result(&report, |style| {
            let rows: Vec<Vec<String>> = report.nodes.iter().map(Row::cells).collect();
            let head = [
                "node", "site", "owner", "class", "labels", "standing", "until",
            ];
            table(style, &head, &rows)
        })
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let labels = self.enroll.labels.iter();
        let labels: Vec<String> = labels
            .map(|label| format!("{}={}", label.name, label.value))
            .collect();
        vec![
            self.peer_id.clone(),
            self.enroll.site.to_string(),
            self.enroll.owner.to_string(),
            self.enroll.class.to_string(),
            if labels.is_empty() {
                "-".to_owned()
            } else {
                labels.join(", ")
            },
            self.standing.to_owned(),
            words::utc(self.enroll.expires_s),
        ]
    }
}
