/// Watches text that comes in pieces for strings that end it. What might be the beginning of one
/// is held back until it is clear.
pub(crate) struct StopFilter<'a> {
    stops: &'a [String],
    held: String,
}

/// What may be shown, and whether a stop string came behind it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) text: String,
    pub(crate) stopped: bool,
}

impl<'a> StopFilter<'a> {
    /// Empty strings are none: they would stop everything.
    pub(crate) fn new(stops: &'a [String]) -> StopFilter<'a> {
        StopFilter {
            stops,
            held: String::new(),
        }
    }

    pub(crate) fn push(&mut self, text: &str) -> Shown {
        self.held.push_str(text);
        let stops = self.stops.iter().filter(|stop| !stop.is_empty());
        if let Some(end) = stops
            .clone()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min()
        {
            self.held.truncate(end);
            return Shown {
                text: std::mem::take(&mut self.held),
                stopped: true,
            };
        }
        let unclear = stops
            .map(|stop| overlap(&self.held, stop))
            .max()
            .unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - unclear);
        Shown {
            text: std::mem::replace(&mut self.held, rest),
            stopped: false,
        }
    }

    /// What was held back and turned out to be no stop string.
    pub(crate) fn take_held(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// The length of the longest end of `text` that `stop` begins with.
fn overlap(text: &str, stop: &str) -> usize {
    (1..stop.len().min(text.len() + 1))
        .rev()
        .filter(|length| stop.is_char_boundary(*length))
        .find(|length| text.ends_with(&stop[..*length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut filter = StopFilter::new(&stops);
        let mut texts = Vec::new();
        for piece in pieces {
            let shown = filter.push(piece);
            texts.push(shown.text);
            if shown.stopped {
                return (texts, true);
            }
        }
        texts.push(filter.take_held());
        (texts, false)
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn without_stops_everything_passes() {
        assert_eq!(shown(&[], &["a", "b"]), (owned(&["a", "b", ""]), false));
        assert_eq!(shown(&[""], &["a"]), (owned(&["a", ""]), false));
    }

    #[test]
    fn a_stop_across_pieces_is_found_and_never_shown() {
        assert_eq!(
            shown(&["END"], &["xE", "N", "D tail"]),
            (owned(&["x", "", ""]), true)
        );
    }

    #[test]
    fn a_false_beginning_comes_out_later() {
        assert_eq!(
            shown(&["END"], &["xEN", "T"]),
            (owned(&["x", "ENT", ""]), false)
        );
        assert_eq!(shown(&["END"], &["xEN"]), (owned(&["x", "EN"]), false));
    }

    #[test]
    fn the_earliest_of_several_stops_counts() {
        assert_eq!(shown(&["cd", "bc"], &["abcd"]), (owned(&["a"]), true));
    }

    #[test]
    fn characters_of_several_bytes_are_not_cut() {
        assert_eq!(
            shown(&["éü"], &["aé", "b"]),
            (owned(&["a", "éb", ""]), false)
        );
        assert_eq!(shown(&["é"], &["è"]), (owned(&["è", ""]), false));
    }

    proptest::proptest! {
        #[test]
        fn however_it_is_cut_the_text_ends_before_the_stop(
            pieces in proptest::collection::vec("[abé]{0,4}", 0..12),
            stop in "[abé]{1,4}",
        ) {
            let whole = pieces.concat();
            let before = whole.split(&stop).next().unwrap_or_default();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let (texts, stopped) = shown(&[&stop], &pieces);
            proptest::prop_assert_eq!(texts.concat(), before);
            proptest::prop_assert_eq!(stopped, whole.contains(&stop));
        }
    }
}
