//! Line charts as inline SVG. The lines stretch with the page; the words beside them are
//! HTML, so that they stay readable on a phone.

use std::fmt::Write as _;

use crate::scenario::{Time, Times};

use super::{
    Unit,
    html::escape,
    page::{Cell, table},
};

/// One line.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(u64, u64)>,
    /// It keeps its value until the next point.
    pub(super) steps: bool,
}

/// A chart of lines over one axis.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) x_name: &'a str,
    pub(super) lines: Vec<Line>,
    /// Vertical marks.
    pub(super) marks: Vec<u64>,
    /// Shaded stretches.
    pub(super) spans: Vec<(u64, u64)>,
    /// What the upright axis counts.
    pub(super) unit: Unit,
    pub(super) x_axis: Axis,
}

/// What stands under a chart.
pub(super) enum Axis {
    /// Microseconds.
    Time,
    /// Thousandths of a copy.
    Copies,
    /// Words in place of the numbers 0, 1, 2, …
    Words(Vec<String>),
}

/// Steps between two marks that people count in, microseconds.
const STEPS_US: [u64; 26] = {
    const S: u64 = 1_000_000;
    const MIN: u64 = 60 * S;
    const H: u64 = 60 * MIN;
    const D: u64 = 24 * H;
    [
        S,
        2 * S,
        5 * S,
        10 * S,
        15 * S,
        30 * S,
        MIN,
        2 * MIN,
        5 * MIN,
        10 * MIN,
        15 * MIN,
        20 * MIN,
        30 * MIN,
        H,
        2 * H,
        3 * H,
        4 * H,
        6 * H,
        12 * H,
        D,
        2 * D,
        4 * D,
        7 * D,
        14 * D,
        30 * D,
        90 * D,
    ]
};
/// The same for copies, thousandths.
const STEPS_MILLI: [u64; 12] = [
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000,
];
/// Marks under a chart at most: more would touch each other on a phone.
const TICKS_MOST: u64 = 5;

/// The size that lines are drawn in; the page stretches it.
const WIDTH: u64 = 1_000;
const HEIGHT: u64 = 400;
/// Rows of the table that stands for the chart.
const TABLE_ROWS: usize = 12;
/// Lines with a colour of their own.
const COLOURS: usize = 7;

impl Chart<'_> {
    /// The chart as a figure, with its legend and a table that says the same.
    pub(super) fn html(&self) -> String {
        let all = || self.lines.iter().flat_map(|line| line.points.iter());
        let from = all().map(|(x, _)| *x).min().unwrap_or(0);
        let until = all().map(|(x, _)| *x).max().unwrap_or(1).max(from + 1);
        let highest = all().map(|(_, y)| *y).max().unwrap_or(0);
        let most = self.most(highest);
        let x = |value: u64| scaled(value.clamp(from, until) - from, until - from, WIDTH);
        let y = |value: u64| HEIGHT - scaled(value.min(most), most, HEIGHT).min(HEIGHT);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
            escape(&self.summary())
        );
        let within = |(begin, end): &&(u64, u64)| *begin <= until && *end >= from;
        for (begin, end) in self.spans.iter().filter(within) {
            let (left, right) = (x(*begin), x(*end));
            let width = right.saturating_sub(left).max(1);
            let _ = write!(
                svg,
                "<rect class=\"span\" x=\"{left}\" y=\"0\" width=\"{width}\" height=\"{HEIGHT}\"/>"
            );
        }
        let heights: Vec<u64> = (0..=4).map(|quarter| most * quarter / 4).collect();
        for height in &heights {
            let (class, at) = (if *height == 0 { "base" } else { "grid" }, y(*height));
            let _ = write!(
                svg,
                "<line class=\"{class}\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{at}\" y2=\"{at}\"/>"
            );
        }
        let within = |mark: &&u64| (from..=until).contains(*mark);
        for mark in self.marks.iter().filter(within) {
            let at = x(*mark);
            let _ = write!(
                svg,
                "<line class=\"event\" x1=\"{at}\" x2=\"{at}\" y1=\"0\" y2=\"{HEIGHT}\"/>"
            );
        }
        for (index, line) in self.lines.iter().enumerate() {
            let _ = write!(
                svg,
                "<path class=\"line {}\" d=\"{}\"/>",
                style(index),
                path(line, &x, &y)
            );
        }
        svg.push_str("</svg>");
        let widest = heights.iter().map(|height| self.unit.told(*height));
        let widest = widest.max_by_key(String::len).unwrap_or_default();
        // in the flow, so that the column is as wide as its words
        let mut labels = format!("<i>{}</i>", escape(&widest));
        for height in &heights {
            let percent = height * 100 / most.max(1);
            let _ = write!(
                labels,
                "<span style=\"bottom:{percent}%\">{}</span>",
                escape(&self.unit.told(*height))
            );
        }
        let ticks = self.ticks(from, until);
        let mut html = format!("<figure><figcaption>{}</figcaption>", escape(self.title));
        let _ = write!(
            html,
            "<div class=\"plot\"><div class=\"y\" aria-hidden=\"true\">{labels}</div><div class=\"area\">{svg}</div><div class=\"x\" aria-hidden=\"true\">{ticks}</div></div><div class=\"axis\">{}</div>",
            escape(self.x_name)
        );
        if self.lines.len() > 1 {
            html.push_str("<ul class=\"legend\">");
            for (index, line) in self.lines.iter().enumerate() {
                let _ = write!(
                    html,
                    "<li><svg viewBox=\"0 0 30 10\" aria-hidden=\"true\"><path class=\"line {}\" d=\"M0 5H30\"/></svg>{}</li>",
                    style(index),
                    escape(&line.name)
                );
            }
            html.push_str("</ul>");
        }
        let _ = write!(
            html,
            "<details><summary>As a table</summary>{}</details></figure>",
            self.table(from, until)
        );
        html
    }

    /// Words under the chart: five of them, or one a value where values have words.
    fn ticks(&self, from: u64, until: u64) -> String {
        let marks = |steps: &[u64]| -> Vec<u64> {
            let fits = |step: &&u64| (until - from) / **step < TICKS_MOST;
            let step = steps.iter().find(fits);
            let step = step.copied().unwrap_or((until - from) / TICKS_MOST + 1);
            let first = from.div_ceil(step);
            (first..=until / step).map(|number| number * step).collect()
        };
        let values: Vec<u64> = match &self.x_axis {
            Axis::Words(words) => (0..words.len() as u64).collect(),
            Axis::Time => marks(&STEPS_US),
            Axis::Copies => marks(&STEPS_MILLI),
        };
        let mut ticks = String::new();
        for value in values {
            let permille = scaled(value - from, until - from, 1_000);
            // what stands at an end must not stick out
            let class = match permille {
                0..=40 => " class=\"first\"",
                960.. => " class=\"last\"",
                _ => "",
            };
            let label = escape(&self.x_told(value));
            let _ = write!(
                ticks,
                "<span{class} style=\"left:{}.{}%\">{label}</span>",
                permille / 10,
                permille % 10
            );
        }
        ticks
    }

    fn x_told(&self, value: u64) -> String {
        match &self.x_axis {
            Axis::Words(words) => words.get(value as usize).cloned().unwrap_or_default(),
            Axis::Time => Time { us: value }.to_string(),
            Axis::Copies => Times { milli: value }.to_string(),
        }
    }

    /// Where the upright axis ends: at four steps that are easily read.
    fn most(&self, highest: u64) -> u64 {
        let quarter = highest.div_ceil(4).max(1);
        match self.unit {
            Unit::Ppm => 1_000_000,
            Unit::Us => {
                4 * STEPS_US
                    .iter()
                    .copied()
                    .find(|step| *step >= quarter)
                    .unwrap_or(quarter)
            }
            Unit::Bytes => {
                let power = quarter.next_power_of_two();
                let three_quarters = power / 4 * 3;
                4 * if three_quarters >= quarter {
                    three_quarters
                } else {
                    power
                }
            }
        }
    }

    fn summary(&self) -> String {
        let ends = self.lines.iter().take(COLOURS).filter_map(|line| {
            let (_, last) = line.points.last()?;
            Some(format!("{} ends at {}", line.name, self.unit.told(*last)))
        });
        format!("{}: {}", self.title, ends.collect::<Vec<_>>().join("; "))
    }

    fn table(&self, from: u64, until: u64) -> String {
        let mut xs: Vec<u64> = if self
            .lines
            .iter()
            .all(|line| line.points.len() <= TABLE_ROWS)
        {
            let all = self.lines.iter().flat_map(|line| line.points.iter());
            all.map(|(x, _)| *x).collect()
        } else {
            let rows = TABLE_ROWS as u64 - 1;
            (0..=rows)
                .map(|row| from + (until - from) * row / rows)
                .collect()
        };
        xs.sort_unstable();
        xs.dedup();
        let mut header = vec![self.x_name];
        header.extend(self.lines.iter().map(|line| line.name.as_str()));
        let rows = xs.into_iter().map(|x| {
            let mut row = vec![Cell::Text(self.x_told(x))];
            row.extend(self.lines.iter().map(|line| {
                let before = line.points.iter().take_while(|(at, _)| *at <= x);
                Cell::Number(
                    before
                        .last()
                        .map_or("—".to_owned(), |(_, y)| self.unit.told(*y)),
                )
            }));
            row
        });
        table(self.title, &header, rows.collect())
    }
}

fn style(index: usize) -> String {
    // beyond the colours, lines differ by their dashes too
    format!("s{} d{}", index % COLOURS + 1, index % 4 + 1)
}

fn path(line: &Line, x: &impl Fn(u64) -> u64, y: &impl Fn(u64) -> u64) -> String {
    let mut path = String::new();
    for (index, (at, value)) in line.points.iter().enumerate() {
        let (at, value) = (x(*at), y(*value));
        let _ = match (index, line.steps) {
            (0, _) => write!(path, "M{at} {value}"),
            (_, true) => write!(path, "H{at}V{value}"),
            (_, false) => write!(path, "L{at} {value}"),
        };
    }
    path
}

fn scaled(value: u64, whole: u64, size: u64) -> u64 {
    (u128::from(value) * u128::from(size) / u128::from(whole.max(1))) as u64
}
