//! Bytes over the links of sites, beside the least.

use std::fmt::Write as _;

use super::{Cell, escape, table, thousands};
use crate::{
    report::{Axis, Chart, Line, Report, Unit},
    scenario::Bytes,
};

pub(super) fn links(report: &Report, html: &mut String) {
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
