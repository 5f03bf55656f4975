//! A scenario from a table of sites.

use std::fmt::Write as _;

use serde::Deserialize;

use super::{
    mistake::{Mistake, Source, nearest},
    units::{PART, Rate, Share, Time},
};

/// Columns that a table of sites may have; the first two must be there.
pub(super) const COLUMNS: [&str; 9] = [
    "name",
    "nodes",
    "uplink",
    "downlink",
    "wan_round_trip",
    "loss",
    "dials_only",
    "open",
    "count",
];

/// One line of the table.
#[derive(Deserialize)]
struct Row {
    name: String,
    nodes: String,
    #[serde(default)]
    count: String,
    #[serde(default)]
    uplink: String,
    #[serde(default)]
    downlink: String,
    #[serde(default)]
    wan_round_trip: String,
    #[serde(default)]
    loss: String,
    #[serde(default)]
    dials_only: String,
    #[serde(default)]
    open: String,
}

/// The text of a scenario in which one release of this size goes to these sites; the first
/// is the publisher's. It is a text, so that people add to it what they know.
pub fn from_csv(source: Source<'_>, size: &str) -> Result<String, Mistake> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(source.text.as_bytes());
    let at = |position: Option<&csv::Position>| {
        let byte = position.map_or(0, |position| position.byte() as usize);
        byte..byte
    };
    let headers = reader.headers().cloned().unwrap_or_default();
    for header in &headers {
        if !COLUMNS.contains(&header) {
            let why = format!("there is no column {header:?}");
            let next = match nearest(header, COLUMNS.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("columns are {}", COLUMNS.join(", ")),
            };
            return Err(source.mistake(0..0, why, next));
        }
    }
    for needed in ["name", "nodes"] {
        if !headers.iter().any(|header| header == needed) {
            let next = format!("the first line names the columns: {}", COLUMNS.join(","));
            return Err(source.mistake(0..0, format!("the column {needed:?} is missing"), next));
        }
    }
    let mut text = format!(
        "title = \"A release to the sites of {}\"\ntime_limit = \"7 d\"\n\n[[release]]\nversion = \"1.0.0\"\nsize = \"{size}\"\n",
        source.name.replace(['"', '\\'], "'"),
    );
    let mut record = csv::StringRecord::new();
    let mut rows = 0;
    let mut dialled: Vec<String> = Vec::new();
    loop {
        let start = reader.position().clone();
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                let why = error.to_string();
                let next = "every line has as many cells as the first";
                return Err(source.mistake(at(error.position().or(Some(&start))), why, next));
            }
        }
        let span = at(record.position());
        let row: Row = record
            .deserialize(Some(&headers))
            .map_err(|error| source.mistake(span.clone(), error.to_string(), "check the cells"))?;
        row.write(&mut text, &parents(&dialled, rows))
            .map_err(|told| {
                let (why, next) = told.split_once(PART).unwrap_or((&told, "check the cells"));
                source.mistake(span, why, next)
            })?;
        if !matches!(row.dials_only.as_str(), "yes" | "true") {
            dialled.push(row.clean_name());
        }
        rows += 1;
    }
    if rows == 0 {
        return Err(source.mistake(0..0, "the table holds no site", "add a line for each site"));
    }
    Ok(text)
}

/// Sites that all dial the first one, at most; further ones dial sites before them.
const AROUND_FIRST: usize = 100;
/// Sites that dial one of those.
const AROUND_EACH: usize = 8;

/// Whom the site of this line dials, where they are too many to dial the first.
fn parents(dialled: &[String], row: usize) -> Vec<&String> {
    if row <= AROUND_FIRST {
        return Vec::new();
    }
    let place = row / AROUND_EACH;
    dialled.iter().skip(place).take(2).collect()
}

impl Row {
    fn clean_name(&self) -> String {
        self.name.replace(['"', '\\'], "'")
    }

    fn write(&self, text: &mut String, parents: &[&String]) -> Result<(), String> {
        let whole = |cell: &str, column: &str| {
            cell.parse::<u32>().map_err(|_| {
                format!("{cell:?} is not a number of {column}{PART}write a whole number")
            })
        };
        let clean = self.clean_name();
        let _ = write!(
            text,
            "\n[[site]]\nname = \"{clean}\"\nnodes = {}\n",
            whole(&self.nodes, "nodes")?
        );
        if !self.count.is_empty() {
            let _ = writeln!(text, "count = {}", whole(&self.count, "places")?);
        }
        for (key, cell, check) in [
            (
                "uplink",
                &self.uplink,
                rate as fn(&str) -> Result<(), String>,
            ),
            ("downlink", &self.downlink, rate),
            ("wan_round_trip", &self.wan_round_trip, time),
            ("loss", &self.loss, share),
        ] {
            if !cell.is_empty() {
                check(cell)?;
                let _ = writeln!(text, "{key} = \"{cell}\"");
            }
        }
        match self.dials_only.as_str() {
            "" | "no" | "false" => {}
            "yes" | "true" => text.push_str("dials_only = true\n"),
            other => return Err(format!("dials_only is {other:?}{PART}write yes or no")),
        }
        if !parents.is_empty() {
            let names: Vec<String> = parents.iter().map(|name| format!("\"{name}\"")).collect();
            let _ = writeln!(text, "dials = [{}]", names.join(", "));
        }
        if !self.open.is_empty() {
            let hours: Vec<&str> = self.open.split_whitespace().collect();
            for one in &hours {
                one.parse::<super::Hours>()?;
            }
            let quoted: Vec<String> = hours.iter().map(|one| format!("{one:?}")).collect();
            let _ = writeln!(text, "open = [{}]", quoted.join(", "));
        }
        Ok(())
    }
}

fn rate(cell: &str) -> Result<(), String> {
    cell.parse::<Rate>().map(|_| ())
}

fn time(cell: &str) -> Result<(), String> {
    cell.parse::<Time>().map(|_| ())
}

fn share(cell: &str) -> Result<(), String> {
    cell.parse::<Share>().map(|_| ())
}
