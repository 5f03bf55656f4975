//! What is wrong with a scenario: where, why, and what to write instead.

use std::ops::Range;

use super::units::PART;

/// A scenario that cannot be rehearsed. Three lines for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The place, and the line as it stands there.
    pub what: String,
    /// Why it is wrong.
    pub why: String,
    /// What to write or run instead.
    pub next: String,
}

/// A text and its name, so that mistakes can point into it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// As the user named it.
    pub name: &'a str,
    /// All of it.
    pub text: &'a str,
}

/// What the reader calls things, and what people do.
const EXPECTED: [(&str, &str); 6] = [
    ("usize", "a whole number"),
    ("u64", "a whole number"),
    ("u16", "a whole number"),
    ("a string", "text in quotes"),
    ("a boolean", "true or false"),
    ("a sequence", "a list, such as [\"office\"]"),
];

impl Source<'_> {
    /// A mistake at a place of the text.
    pub fn mistake(
        &self,
        span: Range<usize>,
        why: impl Into<String>,
        next: impl Into<String>,
    ) -> Mistake {
        let (line, column, shown) = self.place(span.start);
        Mistake {
            what: format!("{}:{line}:{column}: {shown}", self.name),
            why: why.into(),
            next: next.into(),
        }
    }

    /// What the TOML reader did not like.
    pub(crate) fn unreadable(&self, error: &toml::de::Error) -> Mistake {
        let span = error.span().unwrap_or(0..0);
        let told = error.message();
        if let Some((why, next)) = told.split_once(PART) {
            return self.mistake(span, why, next);
        }
        for (lead, kind) in [("unknown field `", "key"), ("unknown variant `", "value")] {
            if let Some((given, known)) = told.strip_prefix(lead).and_then(|rest| {
                let (given, rest) = rest.split_once('`')?;
                Some((given, quoted(rest)))
            }) {
                let near = nearest(given, known.iter().copied());
                let why = format!("there is no {kind} `{given}` here");
                let list = known.join(", ");
                let next = match near {
                    Some(near) => format!("did you mean `{near}`?   (here go: {list})"),
                    None => format!("here go: {list}"),
                };
                return self.mistake(span, why, next);
            }
        }
        if let Some(missing) = told
            .strip_prefix("missing field `")
            .and_then(|rest| rest.strip_suffix('`'))
        {
            let why = format!("the key `{missing}` is missing");
            let next = format!("add `{missing} = …`   (docs/simulator.md lists every key)");
            return self.mistake(span, why, next);
        }
        let mut one_line = told.split_whitespace().collect::<Vec<_>>().join(" ");
        for (machine, people) in EXPECTED {
            one_line = one_line.replace(
                &format!("expected {machine}"),
                &format!("expected {people}"),
            );
        }
        self.mistake(span, one_line, "docs/simulator.md shows how it is written")
    }

    /// Line and column from 1, and the line without the space around it.
    fn place(&self, at: usize) -> (usize, usize, &str) {
        let at = at.min(self.text.len());
        let begin = self.text[..at].rfind('\n').map_or(0, |end| end + 1);
        let line = self.text[..begin].matches('\n').count() + 1;
        let column = self.text[begin..at].chars().count() + 1;
        let shown = self.text[begin..].lines().next().unwrap_or_default();
        (line, column, shown.trim())
    }
}

/// The words between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let small = given.to_lowercase();
    known
        .map(|name| {
            let likeness = strsim::jaro_winkler(&small, &name.to_lowercase());
            ((likeness * 1_000.0) as u32, name)
        })
        .filter(|(likeness, _)| *likeness >= 700)
        .max_by_key(|(likeness, _)| *likeness)
        .map(|(_, name)| name)
}
