//! The report as one page that needs nothing else: no script, no font, no network.

mod coverage;
mod links;

use std::fmt::Write as _;

use crate::scenario::{Bytes, Share, Time};

use coverage::coverage;
use links::links;

use super::{
    Report,
    html::{STYLE, escape},
};

/// One cell of a table.
pub(super) enum Cell {
    Text(String),
    Number(String),
    Good(String),
    Bad(String),
}

/// A whole page around its body.
pub(super) fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><link rel=\"icon\" href=\"data:,\"><title>{}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n",
        escape(title)
    )
}

/// A table that scrolls by itself where the page is narrow.
pub(super) fn table(caption: &str, header: &[&str], rows: Vec<Vec<Cell>>) -> String {
    let mut html = format!(
        "<p class=\"caption\" aria-hidden=\"true\">{0}</p><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table aria-label=\"{0}\"><thead><tr>",
        escape(caption)
    );
    for (index, name) in header.iter().enumerate() {
        let numbers = rows.first().and_then(|row| row.get(index));
        let class = match numbers {
            Some(Cell::Number(_)) => " class=\"number\"",
            _ => "",
        };
        let _ = write!(html, "<th scope=\"col\"{class}>{}</th>", escape(name));
    }
    html.push_str("</tr></thead><tbody>");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            let (class, text) = match cell {
                Cell::Text(text) => ("", text),
                Cell::Number(text) => (" class=\"number\"", text),
                Cell::Good(text) => (" class=\"good\"", text),
                Cell::Bad(text) => (" class=\"bad\"", text),
            };
            let _ = write!(html, "<td{class}>{}</td>", escape(&text));
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
    html
}

/// The page of a report.
pub fn page(report: &Report) -> String {
    let mut body = head(report);
    coverage(report, &mut body);
    links(report, &mut body);
    stragglers(report, &mut body);
    happened(report, &mut body);
    asserts(report, &mut body);
    cost(report, &mut body);
    let _ = write!(
        body,
        "<footer>Virtual nodes ran the same node code as the daemon, in a virtual network and clock. How to read this page, and what it leaves out: docs/simulator.md. Written by weft-sim {} from commit {}.</footer>",
        env!("CARGO_PKG_VERSION"),
        escape(&report.head.commit)
    );
    document(&report.head.title, &body)
}

fn head(report: &Report) -> String {
    let head = &report.head;
    let mut html = format!("<h1>{}</h1>", escape(&head.title));
    if !head.question.is_empty() {
        let _ = write!(html, "<p class=\"question\">{}</p>", escape(&head.question));
    }
    let class = if report.holds() {
        "answer"
    } else {
        "answer fails"
    };
    let _ = write!(html, "<div class=\"{class}\">");
    for (index, sentence) in report.answer.iter().enumerate() {
        let warn = if head.partial && index == 0 {
            " class=\"warn\""
        } else {
            ""
        };
        let _ = write!(html, "<p{warn}>{}</p>", escape(sentence));
    }
    html.push_str("</div><dl class=\"head\">");
    let fleet = &report.fleet;
    let scale = Share {
        ppm: head.scale_ppm,
    };
    let size = format!(
        "{} nodes at {} sites, {} of them honest; {} links between sites, {} within{}",
        thousands(fleet.nodes as u64),
        thousands(fleet.sites as u64),
        thousands(fleet.honest as u64),
        thousands(fleet.wan_links as u64),
        thousands(fleet.lan_links as u64),
        if scale == Share::ALL {
            String::new()
        } else {
            format!(" ({scale} of the scenario's fleet)")
        },
    );
    let ran = format!(
        "{} of virtual time, network model {}",
        Time {
            us: head.virtual_us
        },
        head.network
    );
    for (name, value, code) in [
        ("fleet", size.as_str(), false),
        ("ran", ran.as_str(), false),
        ("seed", &head.seed.to_string(), false),
        ("commit", &head.commit, true),
        ("trace hash", &head.trace_hash, true),
        ("again", &head.replay, true),
    ] {
        let value = escape(value);
        let value = if code {
            format!("<code>{value}</code>")
        } else {
            value
        };
        let _ = write!(html, "<dt>{name}</dt><dd>{value}</dd>");
    }
    html.push_str("</dl>");
    html
}

fn stragglers(report: &Report, html: &mut String) {
    let stragglers = &report.stragglers;
    html.push_str("<h2>Stragglers</h2>");
    let count: usize = stragglers.causes.values().sum();
    if count == 0 {
        html.push_str("<p>None: no node took more than twice as long as half of them did.</p>");
        return;
    }
    let _ = write!(
        html,
        "<p>{} nodes never ran {}, or later than {} after its publication, twice what half of them needed. What took most of their time:</p>",
        thousands(count as u64),
        escape(&stragglers.version),
        Time {
            us: stragglers.later_than_us
        },
    );
    let mut causes: Vec<(&String, &usize)> = stragglers.causes.iter().collect();
    causes.sort_by_key(|(_, nodes)| std::cmp::Reverse(**nodes));
    let rows = causes.into_iter().map(|(cause, nodes)| {
        vec![
            Cell::Text(cause.clone()),
            Cell::Number(thousands(*nodes as u64)),
        ]
    });
    html.push_str(&table("Causes", &["main cause", "nodes"], rows.collect()));
    let rows = stragglers.listed.iter().map(|one| {
        vec![
            Cell::Text(format!("{} at {}", one.node, one.site)),
            Cell::Text(one.class.clone()),
            Cell::Number(
                one.active_us
                    .map_or("never".to_owned(), |us| Time { us }.to_string()),
            ),
            Cell::Text(one.cause.clone()),
            Cell::Text(one.detail.clone()),
        ]
    });
    let listed = table(
        "The latest",
        &[
            "node",
            "class",
            "ran it after",
            "main cause",
            "how much of its time",
        ],
        rows.collect(),
    );
    let open = if count <= 12 { " open" } else { "" };
    let _ = write!(
        html,
        "<details{open}><summary>Nodes one by one</summary>{listed}</details>"
    );
}

/// Lines of the timeline that a page shows.
const HAPPENED_MOST: usize = 200;

fn happened(report: &Report, html: &mut String) {
    html.push_str("<h2>What happened</h2>");
    let rows = report.happened.iter().take(HAPPENED_MOST).map(|one| {
        let lasted = match one.until_us - one.at_us {
            0 => String::new(),
            us => Time { us }.to_string(),
        };
        vec![
            Cell::Text(Time { us: one.at_us }.to_string()),
            Cell::Text(lasted),
            Cell::Text(one.text.clone()),
        ]
    });
    let rows: Vec<Vec<Cell>> = rows.collect();
    if !rows.is_empty() {
        html.push_str(&table("In order of time", &["at", "for", "what"], rows));
    }
    if report.happened.len() > HAPPENED_MOST {
        let _ = write!(
            html,
            "<p class=\"note\">{} more are in the JSON.</p>",
            report.happened.len() - HAPPENED_MOST
        );
    }
    if report.cost.nodes_fell > 0 {
        let _ = write!(
            html,
            "<p>Nodes went down {} times in all.</p>",
            thousands(report.cost.nodes_fell)
        );
    }
}

fn asserts(report: &Report, html: &mut String) {
    html.push_str("<h2>Asserts</h2>");
    if report.asserts.is_empty() {
        html.push_str("<p>The scenario asserts nothing.</p>");
        return;
    }
    let rows = report.asserts.iter().map(|assert| {
        let holds = if assert.holds {
            Cell::Good("holds".to_owned())
        } else {
            Cell::Bad("does not hold".to_owned())
        };
        vec![
            holds,
            Cell::Text(assert.text.clone()),
            Cell::Text(assert.found.clone()),
        ]
    });
    html.push_str(&table(
        "What had to hold",
        &["", "assert", "found"],
        rows.collect(),
    ));
}

fn cost(report: &Report, html: &mut String) {
    html.push_str("<h2>What it cost</h2>");
    let cost = &report.cost;
    let hours = format!(
        "{}.{}",
        thousands(cost.node_hours_milli / 1_000),
        cost.node_hours_milli % 1_000 / 100
    );
    let talk = cost.sent_bytes.saturating_sub(cost.data_bytes);
    let rows = [
        ("bytes between sites", Bytes(cost.wan_bytes).to_string()),
        ("bytes sent in all", Bytes(cost.sent_bytes).to_string()),
        ("of these, talk of nodes", Bytes(talk).to_string()),
        ("messages", thousands(cost.messages)),
        ("chunks stored", thousands(cost.chunks_stored)),
        (
            "bytes fetched although held",
            Bytes(cost.duplicate_bytes).to_string(),
        ),
        (
            "chunks thrown away as corrupt",
            thousands(cost.chunks_corrupt),
        ),
        ("peers let go", thousands(cost.peers_let_go)),
        ("honest peers let go", thousands(cost.honest_let_go)),
        ("records refused", thousands(cost.records_refused)),
        ("went back to the release before", thousands(cost.went_back)),
        ("active releases withdrawn", thousands(cost.withdrawn)),
        ("hours that nodes were on", hours),
    ];
    let rows = rows
        .into_iter()
        .map(|(name, value)| vec![Cell::Text(name.to_owned()), Cell::Number(value)]);
    html.push_str(&table("In all", &["", "in all"], rows.collect()));
}

/// With a comma before every three digits.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut told = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}
