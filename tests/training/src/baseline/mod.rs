//! What the model must beat: a careful set of rules, and looking up the most
//! similar training line. Both are written and filled with training lines
//! only, as the model is.

mod nearest;
mod rules;

pub use nearest::Nearest;
pub use rules::Rules;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::generate::{self, Split};

    #[test]
    fn the_rules_know_the_plain_lines_they_were_written_for() {
        let rules = Rules::new().unwrap();
        let examples = generate::lines(Split::Plain, 4, 500);
        let right = examples
            .iter()
            .filter(|example| rules.answer(&example.line).as_ref() == Some(&example.expected))
            .count();
        assert!(right >= 475, "{right} of 500");
    }

    #[test]
    fn the_rules_say_nothing_where_no_component_is_named() {
        assert_eq!(
            Rules::new().unwrap().answer("03:12 PMP-204 temp 96C>85"),
            None
        );
    }

    #[test]
    fn the_nearest_line_to_a_known_line_is_itself() {
        let examples = generate::lines(Split::Plain, 4, 500);
        let nearest = Nearest::new(&examples);
        for example in &examples {
            assert_eq!(
                nearest.answer(&example.line).as_ref(),
                Some(&example.expected)
            );
        }
    }

    #[test]
    fn the_nearest_line_may_differ_in_its_digits() {
        let examples = generate::lines(Split::Plain, 4, 50);
        let nearest = Nearest::new(&examples);
        let other: String = examples[7]
            .line
            .chars()
            .map(|c| if c == '3' { '4' } else { c })
            .collect();
        assert_eq!(nearest.answer(&other).as_ref(), Some(&examples[7].expected));
    }
}
