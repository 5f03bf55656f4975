//! Many runs held against each other: a sweep's chart, a comparison's table.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    Axis, Chart, Line, Report, Unit,
    html::escape,
    page::{Cell, document, table},
    spread,
};
use crate::statistics::Interval;

/// One value of a sweep, and what its runs found.
#[derive(Clone, Debug, Serialize)]
pub struct SweepPoint {
    /// As it was set.
    pub value: String,
    /// Figures: name, unit, then half of the runs, 95 of a hundred, the most; and how many
    /// runs never got there.
    pub figures: Vec<SweptFigure>,
    /// Runs whose asserts all hold.
    pub holding: usize,
    /// All runs.
    pub runs: usize,
}

/// One figure over the runs of one value.
#[derive(Clone, Debug, Serialize)]
pub struct SweptFigure {
    /// What it is.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// Least, median and most over the runs that got there.
    pub spread: Option<[u64; 3]>,
    /// Runs that never did.
    pub never: usize,
}

/// A sweep.
#[derive(Clone, Debug, Serialize)]
pub struct Sweep {
    /// The scenario's headline.
    pub title: String,
    /// The key that was changed.
    pub path: String,
    /// In the order given.
    pub points: Vec<SweepPoint>,
    /// The command that does it again.
    pub again: String,
    /// The commit of the program.
    pub commit: String,
    /// It was interrupted: some runs are missing.
    pub partial: bool,
}

impl SweepPoint {
    /// Of the runs of one value.
    pub fn of(value: &str, reports: &[Report]) -> Self {
        let names = reports.first().map(Report::figures).unwrap_or_default();
        let figures = names.iter().enumerate().map(|(index, (name, unit, _))| {
            let values = reports.iter().map(|report| report.figures()[index].2);
            let there: Vec<u64> = values.flatten().collect();
            let never = reports.len() - there.len();
            SweptFigure {
                name,
                unit: *unit,
                spread: (!there.is_empty()).then(|| {
                    let [median, _, most] = spread(there.clone());
                    [there.iter().copied().min().unwrap_or(0), median, most]
                }),
                never,
            }
        });
        Self {
            value: value.to_owned(),
            figures: figures.collect(),
            holding: reports.iter().filter(|report| report.holds()).count(),
            runs: reports.len(),
        }
    }
}

impl Sweep {
    /// As JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.title, self.path);
        for point in &self.points {
            let _ = writeln!(
                text,
                "  {} ({} of {} runs hold)",
                point.value, point.holding, point.runs
            );
            for figure in &point.figures {
                let _ = writeln!(text, "    {:<24} {}", figure.name, figure.told());
            }
        }
        let _ = writeln!(text, "  commit {}\n  again: {}", self.commit, self.again);
        text
    }

    /// As a page with a chart of each kind of figure.
    pub fn page(&self) -> String {
        let mut body = format!(
            "<h1>{}</h1><p class=\"question\">What <code>{}</code> changes</p>",
            escape(&self.title),
            escape(&self.path)
        );
        if self.partial {
            body.push_str("<p class=\"warn\">It was interrupted: some runs are missing.</p>");
        }
        for (unit, title) in [
            (Unit::Us, "Time from the publication (median of the runs)"),
            (Unit::Bytes, "Bytes (median of the runs)"),
            (Unit::Ppm, "Coverage at the end (median of the runs)"),
        ] {
            body.push_str(&self.chart(unit, title));
        }
        let mut header = vec!["figure"];
        header.extend(self.points.iter().map(|point| point.value.as_str()));
        let count = self.points.first().map_or(0, |point| point.figures.len());
        let rows = (0..count).map(|index| {
            let mut row = vec![Cell::Text(self.points[0].figures[index].name.to_owned())];
            row.extend(self.points.iter().map(|point| {
                let figure = point.figures.get(index);
                Cell::Number(figure.map_or("—".to_owned(), SweptFigure::told))
            }));
            row
        });
        let mut rows: Vec<Vec<Cell>> = rows.collect();
        let mut row = vec![Cell::Text("runs whose asserts hold".to_owned())];
        row.extend(
            self.points
                .iter()
                .map(|point| Cell::Number(format!("{} of {}", point.holding, point.runs))),
        );
        rows.push(row);
        body.push_str("<h2>All figures</h2>");
        body.push_str(&table(
            "The median; from least to most where runs differ",
            &header,
            rows,
        ));
        let _ = write!(
            body,
            "<dl class=\"head\"><dt>commit</dt><dd><code>{}</code></dd><dt>again</dt><dd><code>{}</code></dd></dl>",
            escape(&self.commit),
            escape(&self.again)
        );
        document(&self.title, &body)
    }

    /// Lines over the values, evenly spaced: they need not be numbers.
    fn chart(&self, unit: Unit, title: &str) -> String {
        let first = self.points.first();
        let names = first.into_iter().flat_map(|point| point.figures.iter());
        let lines: Vec<Line> = names
            .enumerate()
            .filter(|(_, figure)| figure.unit == unit)
            .map(|(index, figure)| Line {
                name: figure.name.to_owned(),
                points: self
                    .points
                    .iter()
                    .enumerate()
                    .filter_map(|(at, point)| {
                        Some((at as u64, point.figures.get(index)?.spread?[1]))
                    })
                    .collect(),
                steps: false,
            })
            .collect();
        let labels: Vec<String> = self
            .points
            .iter()
            .map(|point| point.value.clone())
            .collect();
        Chart {
            title,
            x_name: &self.path,
            lines,
            marks: Vec::new(),
            spans: Vec::new(),
            x_axis: Axis::Words(labels),
            unit,
        }
        .html()
    }
}

impl SweptFigure {
    fn told(&self) -> String {
        let never = match self.never {
            0 => String::new(),
            some => format!(", never in {some}"),
        };
        match self.spread {
            None => "never".to_owned(),
            Some([least, median, most]) if least == most => {
                format!("{}{never}", self.unit.told(median))
            }
            Some([least, median, most]) => format!(
                "{} ({} to {}){never}",
                self.unit.told(median),
                self.unit.told(least),
                self.unit.told(most)
            ),
        }
    }
}

/// Two scenarios over the same seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Their names.
    pub names: [String; 2],
    /// Seeds that both ran to their end with.
    pub seeds: usize,
    /// Each figure.
    pub figures: Vec<ComparedFigure>,
    /// Runs of each whose asserts hold.
    pub holding: [usize; 2],
    /// The command that does it again.
    pub again: String,
    /// The commit of the program.
    pub commit: String,
    /// It was interrupted: some seeds are missing.
    pub partial: bool,
}

/// One figure of both.
#[derive(Clone, Debug, Serialize)]
pub struct ComparedFigure {
    /// What it is.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// The median of each, over the pairs where both got there.
    pub medians: [u64; 2],
    /// The second less the first, seed by seed.
    pub difference: Option<Interval>,
    /// Pairs where both got there.
    pub pairs: usize,
}

impl Comparison {
    /// Of pairs of runs with one seed each.
    pub fn of(names: [String; 2], pairs: &[(Report, Report)], again: &str) -> Self {
        let figures = pairs
            .first()
            .map(|(one, _)| one.figures())
            .unwrap_or_default();
        let figures = figures.iter().enumerate().map(|(index, (name, unit, _))| {
            let both: Vec<(u64, u64)> = pairs
                .iter()
                .filter_map(|(one, other)| {
                    Some((one.figures()[index].2?, other.figures()[index].2?))
                })
                .collect();
            let differences: Vec<i64> = both
                .iter()
                .map(|(one, other)| *other as i64 - *one as i64)
                .collect();
            ComparedFigure {
                name,
                unit: *unit,
                medians: [
                    spread(both.iter().map(|(one, _)| *one).collect())[0],
                    spread(both.iter().map(|(_, other)| *other).collect())[0],
                ],
                difference: Interval::of(&differences, index as u64),
                pairs: both.len(),
            }
        });
        let holding = [
            pairs.iter().filter(|(one, _)| one.holds()).count(),
            pairs.iter().filter(|(_, other)| other.holds()).count(),
        ];
        Self {
            names,
            seeds: pairs.len(),
            figures: figures.collect(),
            holding,
            again: again.to_owned(),
            commit: super::COMMIT.to_owned(),
            partial: false,
        }
    }

    /// As JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let [one, other] = &self.names;
        let mut text = format!("{other} against {one}, {} seeds\n", self.seeds);
        for figure in &self.figures {
            let _ = writeln!(text, "  {:<24} {}", figure.name, figure.told());
        }
        let [first, second] = self.holding;
        let _ = writeln!(
            text,
            "  {:<24} {first}, then {second} of {}",
            "runs that hold", self.seeds
        );
        let _ = writeln!(text, "  commit {}\n  again: {}", self.commit, self.again);
        text
    }

    /// As a page.
    pub fn page(&self) -> String {
        let [one, other] = &self.names;
        let title = format!("{other} against {one}");
        let clear = self
            .figures
            .iter()
            .filter(|figure| figure.is_clear())
            .count();
        let mut body = format!(
            "<h1>{}</h1><div class=\"answer\"><p>Over the same {} seeds, {clear} of {} figures differ beyond doubt.</p><p>A is {}, B is {}.</p></div>",
            escape(&title),
            self.seeds,
            self.figures.len(),
            escape(one),
            escape(other)
        );
        if self.partial {
            body.push_str("<p class=\"warn\">It was interrupted: some seeds are missing.</p>");
        }
        let unit = |figure: &ComparedFigure, value: u64| Cell::Number(figure.unit.told(value));
        let rows = self.figures.iter().map(|figure| {
            let difference = figure.difference;
            let told = difference.map_or("—".to_owned(), |found| signed(figure.unit, found.mean));
            let range = difference.map_or("—".to_owned(), |found| {
                format!(
                    "{} to {}",
                    signed(figure.unit, found.low),
                    signed(figure.unit, found.high)
                )
            });
            vec![
                Cell::Text(figure.name.to_owned()),
                unit(figure, figure.medians[0]),
                unit(figure, figure.medians[1]),
                Cell::Number(told),
                Cell::Number(range),
                Cell::Text(
                    if figure.is_clear() {
                        "differs"
                    } else {
                        "no clear difference"
                    }
                    .to_owned(),
                ),
            ]
        });
        body.push_str("<h2>Figures</h2>");
        body.push_str(&table(
            "Medians, and the mean difference with its 95 % interval (bootstrap of the paired differences)",
            &["", "A", "B", "B less A", "95 % interval", ""],
            rows.collect(),
        ));
        let _ = write!(
            body,
            "<p>Runs whose asserts hold: {} of A and {} of B, of {} each.</p><dl class=\"head\"><dt>commit</dt><dd><code>{}</code></dd><dt>again</dt><dd><code>{}</code></dd></dl>",
            self.holding[0],
            self.holding[1],
            self.seeds,
            escape(&self.commit),
            escape(&self.again)
        );
        document(&title, &body)
    }
}

impl ComparedFigure {
    fn is_clear(&self) -> bool {
        self.difference.is_some_and(Interval::is_clear)
    }

    fn told(&self) -> String {
        let Some(found) = self.difference else {
            return "never in both".to_owned();
        };
        let [one, other] = self.medians.map(|median| self.unit.told(median));
        let clear = if found.is_clear() {
            ""
        } else {
            ", no clear difference"
        };
        format!(
            "{one} → {other}: {} ({} to {}){clear}",
            signed(self.unit, found.mean),
            signed(self.unit, found.low),
            signed(self.unit, found.high)
        )
    }
}

fn signed(unit: Unit, value: i64) -> String {
    let told = unit.told(value.unsigned_abs());
    match value {
        0 => "±0".to_owned(),
        1.. => format!("+{told}"),
        _ => format!("−{told}"),
    }
}
