//! The report as one page that needs nothing else: no script, no font, no network.

use std::fmt::Write as _;

use crate::scenario::{Bytes, Share, Time};

use super::{
    Axis, Chart, Curve, GroupFigures, Line, Report, Unit,
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

fn coverage(report: &Report, html: &mut String) {
    html.push_str("<h2>Coverage over time</h2>");
    let end_us = report.head.virtual_us;
    let several = report.releases.len() > 1;
    let marks = |kinds: &[&str]| -> Vec<u64> {
        let happened = report.happened.iter();
        happened
            .filter(|one| kinds.contains(&one.kind))
            .map(|one| one.at_us)
            .collect()
    };
    let spans: Vec<(u64, u64)> = report
        .happened
        .iter()
        .filter(|one| one.until_us > one.at_us)
        .map(|one| (one.at_us, one.until_us.min(end_us)))
        .collect();
    // a chart of one release begins with its publication: an hour later its seconds would
    // all have the same name
    let chart = |title: &str, curves: Vec<(String, &Curve)>, since_us: u64| {
        let until_us = calm_us(&curves, end_us);
        let lines = curves.into_iter().map(|(name, curve)| Line {
            name,
            points: curve
                .points
                .iter()
                .map(|(at_us, count)| ((*at_us).min(until_us).saturating_sub(since_us), *count))
                .map(|(at_us, count)| (at_us, count as u64 * 1_000_000 / curve.nodes.max(1) as u64))
                .collect(),
            steps: true,
        });
        Chart {
            title,
            x_name: if since_us == 0 {
                "virtual time since the beginning"
            } else {
                "virtual time since its publication"
            },
            lines: lines.collect(),
            marks: marks(&["release", "theft", "rotation"])
                .into_iter()
                .filter_map(|at_us| at_us.checked_sub(since_us))
                .collect(),
            spans: spans
                .iter()
                .filter(|(_, until_us)| *until_us > since_us)
                .map(|(at_us, until_us)| (at_us.saturating_sub(since_us), until_us - since_us))
                .collect(),
            unit: Unit::Ppm,
            x_axis: Axis::Time,
        }
        .html()
    };
    let main = report.main_release().map(|release| release.version.clone());
    let all = report.curves.iter().filter(|curve| curve.by == "all");
    let all: Vec<(String, &Curve)> = all.map(|curve| (curve.version.clone(), curve)).collect();
    let of = |by: &str| -> Vec<(String, &Curve)> {
        let own = report.curves.iter();
        own.filter(|curve| curve.by == by && Some(&curve.version) == main.as_ref())
            .map(|curve| {
                (
                    format!("{} ({} nodes)", curve.name, thousands(curve.nodes as u64)),
                    curve,
                )
            })
            .collect()
    };
    let (sites, classes) = (of("site"), of("class"));
    let version = main.clone().unwrap_or_default();
    let since_us = report.main_release().map_or(0, |release| release.at_us);
    if several || sites.is_empty() {
        html.push_str(&chart("Honest nodes that run each release", all, 0));
    }
    if !sites.is_empty() {
        html.push_str(&chart(
            &format!("Honest nodes that run {version}, by kind of site"),
            sites,
            since_us,
        ));
    }
    if !classes.is_empty() {
        html.push_str(&chart(
            &format!("Honest nodes that run {version}, by class of device"),
            classes,
            since_us,
        ));
    }
    if !marks(&["release", "theft", "rotation"]).is_empty() || !spans.is_empty() {
        html.push_str("<p class=\"note\">Dashed lines upright: a publication, a theft or new keys. Shaded: an outage or a partition.</p>");
    }
    for release in report.releases.iter().filter(|release| !release.by_thief) {
        let title = format!(
            "{}: time from its publication at {} until nodes ran it",
            release.version,
            Time { us: release.at_us }
        );
        let rows = release.groups.iter().map(group_row).collect();
        html.push_str(&table(
            &title,
            &[
                "",
                "nodes",
                "half",
                "95 %",
                "99 %",
                "all",
                "never",
                "all bytes there, 95 %",
            ],
            rows,
        ));
    }
}

/// A while after the last change: what follows is a flat line.
fn calm_us(curves: &[(String, &Curve)], end_us: u64) -> u64 {
    let points = |curve: &Curve| {
        let changes = curve.points.windows(2);
        let changes = changes.filter(|pair| pair[0].1 != pair[1].1);
        changes.map(|pair| pair[1].0).max()
    };
    let first_us = curves.iter().filter_map(|(_, curve)| curve.points.first());
    let first_us = first_us.map(|(at_us, _)| *at_us).min().unwrap_or(0);
    let last_us = curves.iter().filter_map(|(_, curve)| points(curve)).max();
    let last_us = last_us.unwrap_or(end_us);
    let after_us = last_us.saturating_sub(first_us) / 8;
    (last_us + after_us.max(1_000_000)).min(end_us)
}

fn group_row(group: &GroupFigures) -> Vec<Cell> {
    let time =
        |us: Option<u64>| Cell::Number(us.map_or("—".to_owned(), |us| Time { us }.to_string()));
    let name = match group.by {
        "all" => "all".to_owned(),
        by => format!("{by} {}", group.name),
    };
    let active = group.active;
    vec![
        Cell::Text(name),
        Cell::Number(thousands(active.count as u64)),
        time(active.p50_us),
        time(active.p95_us),
        time(active.p99_us),
        time(active.max_us),
        Cell::Number(thousands(active.never as u64)),
        time(group.complete.p95_us),
    ]
}

fn links(report: &Report, html: &mut String) {
    let links = &report.links;
    html.push_str("<h2>Bytes over the sites’ links</h2>");
    if links.sites == 0 {
        html.push_str("<p>There is one site, so nothing had to leave it.</p>");
        return;
    }
    let least = links.one_copy_bytes;
    let _ = write!(
        html,
        "<p>Every site needs {} once: less cannot be. {} sites took in {} together, where {} is the least.</p>",
        Bytes(least),
        thousands(links.sites as u64),
        Bytes(links.down_bytes),
        Bytes(links.least_bytes),
    );
    let widest = links
        .kinds
        .iter()
        .flat_map(|kind| [kind.down_bytes[2], kind.up_bytes[2]])
        .max();
    let widest = widest.unwrap_or(1).max(least).max(1);
    html.push_str("<figure><figcaption>The most that one link carried, by kind of site; the upright mark is one copy</figcaption><ul class=\"bars\">");
    let kinds = links.kinds.iter().take(24);
    for kind in kinds {
        for (way, bytes) in [("in", kind.down_bytes[2]), ("out", kind.up_bytes[2])] {
            let _ = write!(
                html,
                "<li><div class=\"row\"><span>{} ({}), {way}</span><span>{}</span></div><div class=\"track\"><div class=\"fill\" style=\"width:{}%\"></div><div class=\"least\" style=\"left:{}%\"></div></div></li>",
                escape(&kind.name),
                thousands(kind.sites as u64),
                Bytes(bytes),
                bytes * 100 / widest,
                least * 100 / widest,
            );
        }
    }
    html.push_str("</ul></figure>");
    if links.sites >= 12 {
        let bars = links
            .histogram
            .iter()
            .map(|(tenths, sites)| (*tenths * 100, *sites as u64));
        let mut points: Vec<(u64, u64)> = Vec::new();
        let mut below = 0;
        for (milli, sites) in bars {
            points.push((milli, below * 1_000_000 / links.sites as u64));
            below += sites;
            points.push((milli + 100, below * 1_000_000 / links.sites as u64));
        }
        let chart = Chart {
            title: "Sites whose link took in at most so many copies",
            x_name: "copies of what a site needs",
            lines: vec![Line {
                name: "sites".to_owned(),
                points,
                steps: false,
            }],
            marks: vec![1_000],
            spans: Vec::new(),
            unit: Unit::Ppm,
            x_axis: Axis::Copies,
        };
        html.push_str(&chart.html());
    }
    let bytes = |bytes: u64| Cell::Number(Bytes(bytes).to_string());
    let rows = links.kinds.iter().map(|kind| {
        let mut row = vec![
            Cell::Text(kind.name.clone()),
            Cell::Number(thousands(kind.sites as u64)),
        ];
        row.extend(kind.down_bytes.map(bytes));
        row.extend(kind.up_bytes.map(bytes));
        row
    });
    html.push_str(&table(
        "By kind of site",
        &[
            "",
            "sites",
            "in, half",
            "in, 95 %",
            "in, most",
            "out, half",
            "out, 95 %",
            "out, most",
        ],
        rows.collect(),
    ));
    let rows = links.heaviest.iter().map(|link| {
        vec![
            Cell::Text(link.site.clone()),
            bytes(link.down_bytes),
            bytes(link.up_bytes),
        ]
    });
    let heaviest = table(
        "The links that carried most",
        &["site", "in", "out"],
        rows.collect(),
    );
    let _ = write!(
        html,
        "<details><summary>Links one by one</summary>{heaviest}</details>"
    );
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
