//! Regular expressions for everything that training lines can hold: every
//! known spelling, long words also with their vowels left out, every way in
//! which training lines write a reading, and the exact rule that leads from
//! readings and status to severity and action.

use anyhow::Result;
use regex::Regex;

use crate::catalog::{
    ALARM, COMPONENTS, DRIFTING, Direction, HIGH, LOW, MAXIMUM, MINIMUM, Measure, NORMAL, TRIP,
    Word,
};
use crate::generate::{Incident, Severity};

/// From this length on, a word is recognised with its vowels left out too.
const LONG_WORD: usize = 5;

/// The rule set, compiled.
pub struct Rules {
    components: Vec<Regex>,
    measures: Vec<[Reading; 2]>,
    alarm: Regex,
    trip: Regex,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Normal,
    Drifting,
    Bad,
    FarOut,
}

struct Reading {
    direction: Direction,
    relation: [Regex; 2],
    bound: [Regex; 2],
    word: [Vec<(State, Regex)>; 2],
}

impl Rules {
    /// Compiles the rules.
    pub fn new() -> Result<Self> {
        let mut components = Vec::new();
        let mut measures = Vec::new();
        for component in &COMPONENTS {
            components.push(whole(&component.word)?);
            let [first, second] = &component.measures;
            measures.push([Reading::new(first)?, Reading::new(second)?]);
        }
        Ok(Self {
            components,
            measures,
            alarm: whole(&ALARM)?,
            trip: whole(&TRIP)?,
        })
    }

    /// The incident line for `line`, or nothing where no rule fits.
    pub fn answer(&self, line: &str) -> Option<String> {
        // Several components may be named ("flow" is none, "heat" is one):
        // the one whose readings are found wins, else the first.
        let named = (0..COMPONENTS.len()).filter(|index| self.components[*index].is_match(line));
        let mut guess = None;
        for component in named {
            let states = self.measures[component]
                .each_ref()
                .map(|reading| reading.state(line));
            let found = states.iter().flatten().count();
            if guess.is_none_or(|(_, _, best)| found > best) {
                guess = Some((component, states, found));
            }
        }
        let (component, states, _) = guess?;
        let shows = |state: Option<State>| state.is_some_and(|state| state != State::Normal);
        let fault = match (shows(states[0]), shows(states[1])) {
            (true, true) => 2,
            (false, true) => 1,
            // Something is wrong, else there would be no line.
            _ => 0,
        };
        let bad = |state: &Option<State>| matches!(state, Some(State::Bad | State::FarOut));
        let severity = if self.trip.is_match(line) {
            Severity::Critical
        } else if self.alarm.is_match(line)
            || states.contains(&Some(State::FarOut))
            || states.iter().all(bad)
        {
            Severity::High
        } else if states.contains(&Some(State::Drifting)) && !states.iter().any(bad) {
            Severity::Low
        } else {
            Severity::Medium
        };
        Some(
            Incident {
                component,
                fault,
                severity,
            }
            .to_string(),
        )
    }
}

impl Reading {
    fn new(measure: &Measure) -> Result<Self> {
        let name = alternatives(measure.word);
        let (bad, bound) = match measure.direction {
            Direction::High => (&HIGH, &MAXIMUM),
            Direction::Low => (&LOW, &MINIMUM),
        };
        let bound = alternatives(bound);
        let number = r"(\d+(?:\.\d+)?)";
        let unit = r"\s?[A-Za-z/%]*";
        let relation = r"(>>|<<|>|<)";
        let mut word = [Vec::new(), Vec::new()];
        for (state, spelled) in [
            (State::Drifting, &DRIFTING),
            (State::Normal, &NORMAL),
            (State::Bad, bad),
        ] {
            let said = alternatives(spelled);
            let first = format!(r"\b{name}[ =](?:{number}{unit} )?{said}\b");
            word[0].push((state, regex(&first)?));
            let second = format!(r"\b{said}[ :](?:{number}{unit} )?{name}\b");
            word[1].push((state, regex(&second)?));
        }
        Ok(Self {
            direction: measure.direction,
            relation: [
                regex(&format!(
                    r"\b{name}[ =]{number}{unit}\s?{relation}\s?{number}"
                ))?,
                regex(&format!(
                    r"{number}{unit}\s?{relation}\s?{number}{unit} {name}\b"
                ))?,
            ],
            bound: [
                regex(&format!(
                    r"\b{name}[ =:]+{number}{unit} \(?{bound}[ =]{number}"
                ))?,
                regex(&format!(r"{number}{unit} {name} {bound} {number}"))?,
            ],
            word,
        })
    }

    /// Names that come first are tried first: where two readings stand side by
    /// side, the number in between belongs to the name before it.
    fn state(&self, line: &str) -> Option<State> {
        self.by_relation(0, line)
            .or_else(|| self.by_word(0, line))
            .or_else(|| self.by_bound(0, line))
            .or_else(|| self.by_word(1, line))
            .or_else(|| self.by_relation(1, line))
            .or_else(|| self.by_bound(1, line))
    }

    fn by_relation(&self, order: usize, line: &str) -> Option<State> {
        let found = self.relation[order].captures(line)?;
        Some(match (&found[2], self.direction) {
            (">>", Direction::High) | ("<<", Direction::Low) => State::FarOut,
            (">", Direction::High) | ("<", Direction::Low) => State::Bad,
            _ => State::Normal,
        })
    }

    fn by_word(&self, order: usize, line: &str) -> Option<State> {
        self.word[order]
            .iter()
            .find(|(_, pattern)| pattern.is_match(line))
            .map(|(state, _)| *state)
    }

    fn by_bound(&self, order: usize, line: &str) -> Option<State> {
        let found = self.bound[order].captures(line)?;
        let (value, limit): (f64, f64) = (found[1].parse().ok()?, found[2].parse().ok()?);
        let out = match self.direction {
            Direction::High => value > limit,
            Direction::Low => value < limit,
        };
        Some(if out { State::Bad } else { State::Normal })
    }
}

fn whole(word: &Word) -> Result<Regex> {
    regex(&format!(r"\b{}\b", alternatives(word)))
}

fn alternatives(word: &Word) -> String {
    let mut spellings: Vec<String> = word.known.iter().map(|known| pattern(known)).collect();
    spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
    format!("(?:{})", spellings.join("|"))
}

fn pattern(known: &str) -> String {
    let long = known.len() >= LONG_WORD;
    let mut pattern = String::new();
    for (place, letter) in known.chars().enumerate() {
        pattern.push_str(&regex::escape(&letter.to_string()));
        if long && place > 0 && "aeiou".contains(letter) {
            pattern.push('?');
        }
    }
    pattern
}

fn regex(pattern: &str) -> Result<Regex> {
    Ok(Regex::new(&format!("(?i){pattern}"))?)
}
