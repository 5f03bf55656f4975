//! Coverage over time: a chart and a table of each release.

use super::{Cell, table, thousands};
use crate::{
    report::{Axis, Chart, Curve, GroupFigures, Line, Report, Unit},
    scenario::Time,
};

pub(super) fn coverage(report: &Report, html: &mut String) {
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
