//! How the parts of a line are written: words, readings, tags, times and what
//! stands between them, each in the ways of a [`Split`].

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::catalog::{
    ALARM, Component, DRIFTING, Direction, HELD_OUT_DEVICES, HELD_OUT_ORDERS, HIGH, KNOWN_DEVICES,
    LOW, MAXIMUM, MINIMUM, Measure, NORMAL, PLAIN_ORDERS, TRIP, VARIED_ORDERS, WARNING, Word,
    all_words,
};
use crate::generate::{Incident, Severity, Split};
use crate::noise;
use crate::random::Random;
use crate::wild;

/// How a reading stands to its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Normal,
    Drifting,
    Bad,
    FarOut,
}

/// Writes the parts of one line as its split writes them.
pub(crate) struct Writer<'a> {
    split: Split,
    random: &'a mut Random,
    spellings: Vec<String>,
}

/// Every order of the five fields that is not held out.
static WILD_ORDERS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut orders = vec![String::new()];
    for _ in 0..5 {
        orders = orders
            .iter()
            .flat_map(|start| {
                "TDCRS"
                    .chars()
                    .filter(|field| !start.contains(*field))
                    .map(move |field| format!("{start}{field}"))
            })
            .collect();
    }
    orders.retain(|order| !HELD_OUT_ORDERS.contains(&order.as_str()));
    orders
});
static HELD_OUT_SPELLINGS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    all_words()
        .iter()
        .flat_map(|word| word.held_out.iter().copied())
        .collect()
});
/// Every spelling that training lines use on purpose.
pub(crate) static KNOWN_SPELLINGS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    all_words()
        .iter()
        .flat_map(|word| word.known.iter().copied())
        .collect()
});

/// Share of a held-out line's words that are spelled in a held-out way.
const HELD_OUT_SPELLING_SHARE: f64 = 0.45;
/// Share of a held-out line's readings that are written in a held-out way.
const HELD_OUT_FORM_SHARE: f64 = 0.35;
/// Share of readings within their limits that are written down at all.
const NORMAL_READING_SHARE: f64 = 0.4;
/// Share of a varied line's words that are typed wrong or abbreviated.
const NOISED_SPELLING_SHARE: f64 = 0.5;

impl<'a> Writer<'a> {
    /// A writer that has written nothing.
    pub(crate) fn new(split: Split, random: &'a mut Random) -> Self {
        Self {
            split,
            random,
            spellings: Vec::new(),
        }
    }

    /// The spellings of all words that were written.
    pub(crate) fn into_spellings(self) -> Vec<String> {
        self.spellings
    }

    /// The status word, if any, and the readings that lead to `incident`.
    pub(crate) fn evidence(
        &mut self,
        component: &Component,
        incident: &Incident,
    ) -> (Option<String>, Vec<String>) {
        let both = incident.fault == 2;
        let mut states = match incident.fault {
            0 => [State::Bad, State::Normal],
            1 => [State::Normal, State::Bad],
            _ => [State::Bad, State::Bad],
        };
        let mut status = None;
        match incident.severity {
            Severity::Low => {
                for state in &mut states {
                    if *state == State::Bad {
                        *state = State::Drifting;
                    }
                }
            }
            Severity::Medium => {
                if self.random.chance(0.5) {
                    status = Some(self.spell(&WARNING));
                }
            }
            Severity::High => match self.random.below(if both { 3 } else { 2 }) {
                0 => status = Some(self.spell(&ALARM)),
                1 => {
                    let first = usize::from(states[0] != State::Bad);
                    states[first] = State::FarOut;
                }
                // Both readings are bad: that is enough.
                _ => {}
            },
            Severity::Critical => status = Some(self.spell(&TRIP)),
        }
        let mut shown: Vec<usize> = (0..2)
            .filter(|&index| {
                states[index] != State::Normal || self.random.chance(NORMAL_READING_SHARE)
            })
            .collect();
        if self.random.chance(0.5) {
            shown.reverse();
        }
        let readings = shown
            .into_iter()
            .map(|index| self.reading(&component.measures[index], states[index]))
            .collect();
        (status, readings)
    }

    fn reading(&mut self, measure: &Measure, state: State) -> String {
        let name = self.spell(measure.word);
        let unit = self.random.pick(measure.units);
        let (value, limit) = self.numbers(measure, state);
        let high = measure.direction == Direction::High;
        let (bad_word, bound_word, beyond, within) = if high {
            (&HIGH, &MAXIMUM, ">", "<")
        } else {
            (&LOW, &MINIMUM, "<", ">")
        };
        // `>>` is the only way to say "far out"; a drift is always named.
        let form = match state {
            State::FarOut => 0,
            State::Drifting => 4 + self.random.below(4),
            _ => self.random.below(8),
        };
        let unseen = self.split == Split::HeldOut && self.random.chance(HELD_OUT_FORM_SHARE);
        if self.split == Split::Wild && self.random.chance(0.6) {
            let bound = self.spell(bound_word);
            let relation = match state {
                State::FarOut => format!("{beyond}{beyond}"),
                State::Bad => beyond.to_owned(),
                _ => within.to_owned(),
            };
            let said = match state {
                State::Normal => &NORMAL,
                State::Drifting => &DRIFTING,
                _ => bad_word,
            };
            let said = self.spell(said);
            let value = format!("{value}{unit}");
            return match form {
                0..3 => wild::relation(&name, &value, &relation, &limit, self.random),
                3 => wild::bound(&name, &value, &bound, &limit, self.random),
                _ => wild::word(&name, &value, &said, self.random),
            };
        }
        let varied = matches!(self.split, Split::Varied | Split::Wild) && self.random.chance(0.5);
        if form < 3 {
            let relation = match state {
                State::FarOut => format!("{beyond}{beyond}"),
                State::Bad => beyond.to_owned(),
                _ => within.to_owned(),
            };
            return match (unseen, varied) {
                (true, _) => format!("{value}{unit}{relation}{limit} {name}"),
                (_, true) => match self.random.below(3) {
                    0 => format!("{name} {value}{unit} {relation} {limit}"),
                    1 => format!("{name}={value}{unit}{relation}{limit}"),
                    _ => format!("{value} {relation} {limit}{unit} {name}"),
                },
                _ => format!("{name} {value}{unit}{relation}{limit}"),
            };
        }
        if form == 3 {
            // Only the numbers tell whether this is bad.
            let bound = self.spell(bound_word);
            return match (unseen, varied) {
                (true, _) => format!("{name}:{value}{unit}[{bound}={limit}]"),
                (_, true) => match self.random.below(3) {
                    0 => format!("{name}={value}{unit} ({bound} {limit})"),
                    1 => format!("{value}{unit} {name} {bound} {limit}"),
                    _ => format!("{name}: {value} {bound}={limit}{unit}"),
                },
                _ => format!("{name} {value}{unit} {bound} {limit}"),
            };
        }
        let word = self.spell(match state {
            State::Normal => &NORMAL,
            State::Drifting => &DRIFTING,
            _ => bad_word,
        });
        match (unseen, varied) {
            (true, _) => match self.random.below(2) {
                0 => format!("{word}-{name}({value}{unit})"),
                _ => format!("{value}{unit} {name} {word}"),
            },
            (_, true) => match self.random.below(5) {
                0 => format!("{word} {name} {value}{unit}"),
                1 => format!("{name}={word} ({value}{unit})"),
                2 => format!("{name} {value}{unit} {word}"),
                3 => format!("{word} {value}{unit} {name}"),
                _ => format!("{word}:{name}"),
            },
            _ if form == 7 => format!("{name} {word}"),
            _ => format!("{name} {word} {value}{unit}"),
        }
    }

    /// A value that stands to a drawn limit as `state` says, and the limit.
    fn numbers(&mut self, measure: &Measure, state: State) -> (String, String) {
        let scale = 10f64.powi(measure.decimals as i32);
        let limit = (self.random.between(measure.limit.0, measure.limit.1) * scale).round();
        let high = measure.direction == Direction::High;
        let (from, to) = match (state, high) {
            (State::Normal, true) => (0.5, 0.9),
            (State::Drifting, true) => (0.92, 0.99),
            (State::Bad, true) => (1.1, 1.4),
            (State::FarOut, true) => (1.4, 1.9),
            (State::Normal, false) => (1.1, 1.6),
            (State::Drifting, false) => (1.01, 1.08),
            (State::Bad, false) => (0.6, 0.9),
            (State::FarOut, false) => (0.2, 0.6),
        };
        let mut value = (limit * self.random.between(from, to)).round();
        let above = from > 1.0;
        if above && value <= limit {
            value = limit + 1.0;
        } else if !above && value >= limit {
            value = limit - 1.0;
        }
        let decimals = measure.decimals;
        (
            format!("{:.decimals$}", value / scale),
            format!("{:.decimals$}", limit / scale),
        )
    }

    pub(crate) fn spell(&mut self, word: &Word) -> String {
        let known = self.random.pick(word.known).to_owned();
        let spelled = match self.split {
            Split::Plain => known,
            Split::Varied | Split::Wild => {
                if self.random.chance(NOISED_SPELLING_SHARE) {
                    let noised = noise::mistype(&known, self.random);
                    let taken = HELD_OUT_SPELLINGS.contains(noised.as_str())
                        || KNOWN_SPELLINGS.contains(noised.as_str());
                    if taken { known } else { noised }
                } else {
                    known
                }
            }
            Split::HeldOut => {
                if self.random.chance(HELD_OUT_SPELLING_SHARE) {
                    self.random.pick(word.held_out).to_owned()
                } else {
                    known
                }
            }
        };
        self.spellings.push(spelled.clone());
        spelled
    }

    pub(crate) fn order(&mut self) -> &'static str {
        match self.split {
            Split::Plain => PLAIN_ORDERS[self.random.below(PLAIN_ORDERS.len())],
            Split::Varied => {
                let index = self.random.below(PLAIN_ORDERS.len() + VARIED_ORDERS.len());
                PLAIN_ORDERS
                    .get(index)
                    .copied()
                    .unwrap_or_else(|| VARIED_ORDERS[index - PLAIN_ORDERS.len()])
            }
            Split::Wild => WILD_ORDERS[self.random.below(WILD_ORDERS.len())].as_str(),
            Split::HeldOut => HELD_OUT_ORDERS[self.random.below(HELD_OUT_ORDERS.len())],
        }
    }

    /// The device's identity for the tests, and its tag as written.
    pub(crate) fn device(&mut self) -> (&'static str, String) {
        let number = 1 + self.random.below(400);
        if self.split == Split::HeldOut {
            let (prefix, name) = HELD_OUT_DEVICES[self.random.below(HELD_OUT_DEVICES.len())];
            let line = 1 + self.random.below(9);
            return match self.random.below(3) {
                0 => (prefix, format!("L{line}:{prefix}.{number}")),
                1 => (prefix, format!("{number}/{prefix}")),
                _ => (name, format!("{name}#{line}")),
            };
        }
        if self.split == Split::Wild && self.random.chance(0.6) {
            return ("", wild::tag(number, self.random));
        }
        let (prefix, name) = KNOWN_DEVICES[self.random.below(KNOWN_DEVICES.len())];
        let forms = if self.split == Split::Plain { 2 } else { 4 };
        match self.random.below(forms) {
            0 => (prefix, format!("{prefix}-{number}")),
            1 => (name, format!("{name} {}", 1 + number % 20)),
            2 => (prefix, format!("{prefix}{number}")),
            _ => (
                prefix,
                format!("{}-{prefix}-{number}", (b'A' + (number % 6) as u8) as char),
            ),
        }
    }

    pub(crate) fn time(&mut self) -> Option<String> {
        let (hour, minute, second) = (
            self.random.below(24),
            self.random.below(60),
            self.random.below(60),
        );
        match self.split {
            Split::Plain => Some(format!("{hour:02}:{minute:02}")),
            Split::Varied => match self.random.below(4) {
                0 => None,
                1 => Some(format!("{hour:02}:{minute:02}:{second:02}")),
                2 => Some(format!(
                    "{:02}/{:02} {hour:02}:{minute:02}",
                    1 + self.random.below(28),
                    1 + self.random.below(12)
                )),
                _ => Some(format!("{hour:02}:{minute:02}")),
            },
            Split::Wild => {
                let (day, month) = (1 + self.random.below(28), 1 + self.random.below(12));
                match self.random.below(8) {
                    0 => None,
                    1 => Some(format!("{hour:02}:{minute:02}:{second:02}")),
                    2 => Some(format!("{day:02}/{month:02} {hour:02}:{minute:02}")),
                    3 => Some(format!("{hour:02}.{minute:02}")),
                    4 => Some(format!("2025-{month:02}-{day:02} {hour:02}:{minute:02}")),
                    5 => Some(format!("[{hour:02}:{minute:02}]")),
                    6 => Some(format!("t={}", self.random.below(100_000))),
                    _ => Some(format!("{day}.{month}. {hour}:{minute:02}")),
                }
            }
            Split::HeldOut => match self.random.below(3) {
                0 => Some(format!("{hour:02}h{minute:02}")),
                1 => Some(format!("T+{}s", self.random.below(90_000))),
                _ => Some(format!(
                    "2026-{:02}T{hour:02}{minute:02}Z",
                    1 + self.random.below(12)
                )),
            },
        }
    }

    pub(crate) fn assemble(&mut self, mut fields: Vec<String>) -> String {
        let separator = match self.split {
            Split::Plain => " ",
            Split::Varied => self.random.pick(&[" ", " ", " ", ", ", " - ", "; "]),
            Split::Wild => self.random.pick(&[
                " ", " ", " ", ", ", " - ", "; ", " -- ", "  ", " . ", " * ", ": ",
            ]),
            Split::HeldOut => self.random.pick(&[" ", " ", " | ", " / ", " :: "]),
        };
        let junk = match self.split {
            Split::Plain => None,
            Split::Varied => self
                .random
                .chance(0.4)
                .then(|| noise::known_junk(self.random)),
            Split::Wild => self
                .random
                .chance(0.6)
                .then(|| noise::wild_junk(self.random)),
            // A held-out line without an unseen separator gets unseen junk.
            Split::HeldOut => (separator == " " || self.random.chance(0.3))
                .then(|| noise::held_out_junk(self.random)),
        };
        if let Some(junk) = junk {
            let place = self.random.below(fields.len() + 1);
            fields.insert(place, junk);
        }
        fields.join(separator)
    }
}
