//! Draws log lines with their answers from the tables in [`crate::catalog`].
//!
//! The answer follows from the line alone:
//! - `component` is the part that is named;
//! - `cause` follows from which of its two measures is bad or drifting;
//! - `severity` is `critical` if the machine tripped, else `high` if an alarm is
//!   named, a reading is far out (`>>`, `<<`) or both readings are bad, else
//!   `medium` if a reading is bad, else `low`;
//! - `action` is the cause's remedy, with the urgency of the severity.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::COMPONENTS;
use crate::random::Random;
use crate::writer::Writer;

/// Which lines to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// What 1.0.0 is trained on: known spellings, four orders, tidy lines.
    Plain,
    /// What 1.0.0 sees a little of: random typing errors and abbreviations, more
    /// orders and ways to write a reading.
    Varied,
    /// What 1.1.0 is tuned on: as varied, with every order that is not held out,
    /// made-up devices, and many more ways to write a reading, a time or junk.
    Wild,
    /// What both are judged by: devices, orders, spellings, ways to write a
    /// reading, a time or a tag, separators and junk that none of the others
    /// ever holds.
    HeldOut,
}

/// One line and what it should become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The log line.
    pub line: String,
    /// The incident line.
    pub expected: String,
}

/// How urgent an incident is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Within limits, but on its way out.
    Low,
    /// Out of limits.
    Medium,
    /// Alarm, far out, or more than one reading out.
    High,
    /// The machine has stopped.
    Critical,
}

/// The structured incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident {
    /// Index into [`COMPONENTS`].
    pub component: usize,
    /// Index into the component's faults.
    pub fault: usize,
    /// How urgent.
    pub severity: Severity,
}

impl fmt::Display for Incident {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let component = &COMPONENTS[self.component];
        let fault = &component.faults[self.fault];
        let remedy = fault.remedy;
        let (severity, action) = match self.severity {
            Severity::Low => ("low", "watch".to_owned()),
            Severity::Medium => ("medium", format!("plan-{remedy}")),
            Severity::High => ("high", format!("{remedy}-now")),
            Severity::Critical => ("critical", format!("stop-and-{remedy}")),
        };
        write!(
            out,
            "component={} severity={severity} cause={} action={action}",
            component.name, fault.cause
        )
    }
}

/// A drawn line, with what it was made of, so that tests can check the split.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// The line and its answer.
    pub example: Example,
    /// The answer, not yet written out.
    pub incident: Incident,
    /// The order of its fields.
    pub order: &'static str,
    /// The spellings that were used, as they stand in the line.
    pub spellings: Vec<String>,
    /// The device's prefix or name.
    pub device: &'static str,
}

/// Draws one line of `split`.
pub fn draw(split: Split, random: &mut Random) -> Drawn {
    let incident = draw_incident(random);
    let mut writer = Writer::new(split, random);
    let component = &COMPONENTS[incident.component];
    let (status, readings) = writer.evidence(component, &incident);
    let order = writer.order();
    let (device, tag) = writer.device();
    let mut fields = Vec::new();
    for field in order.chars() {
        match field {
            'T' => fields.extend(writer.time()),
            'D' => fields.push(tag.clone()),
            'C' => {
                let name = writer.spell(&component.word);
                fields.push(name);
            }
            'R' => fields.push(readings.join(" ")),
            _ => fields.extend(status.clone()),
        }
    }
    let line = writer.assemble(fields);
    let spellings = writer.into_spellings();
    Drawn {
        example: Example {
            line,
            expected: incident.to_string(),
        },
        incident,
        order,
        spellings,
        device,
    }
}

/// `count` different lines of `split`; the same seed gives the same lines.
pub fn lines(split: Split, seed: u64, count: usize) -> Vec<Example> {
    let mut random = Random::new(seed);
    let mut seen = HashSet::new();
    let mut examples = Vec::with_capacity(count);
    while examples.len() < count {
        let example = draw(split, &mut random).example;
        if seen.insert(example.line.clone()) {
            examples.push(example);
        }
    }
    examples
}

fn draw_incident(random: &mut Random) -> Incident {
    let severity = match random.below(100) {
        0..20 => Severity::Low,
        20..50 => Severity::Medium,
        50..80 => Severity::High,
        _ => Severity::Critical,
    };
    // Two bad readings are never just `medium`.
    let faults = if severity == Severity::Medium { 2 } else { 3 };
    Incident {
        component: random.below(COMPONENTS.len()),
        fault: random.below(faults),
        severity,
    }
}
