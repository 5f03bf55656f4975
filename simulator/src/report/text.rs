//! The report in a few lines, for a terminal.

use std::fmt::Write as _;

use crate::scenario::{Bytes, Time};

use super::Report;

/// What a person wants to read at once.
pub fn summary(report: &Report) -> String {
    let mut text = format!("{}\n", report.head.title);
    for sentence in &report.answer {
        let _ = writeln!(text, "  {sentence}");
    }
    let links = &report.links;
    for kind in links.kinds.iter().take(8) {
        let [_, _, most_in] = kind.down_bytes;
        let [_, _, most_out] = kind.up_bytes;
        let _ = writeln!(
            text,
            "  link of {}: at most {} in, {} out (one copy is {})",
            kind.name,
            Bytes(most_in),
            Bytes(most_out),
            Bytes(links.one_copy_bytes)
        );
    }
    let mut causes: Vec<_> = report.stragglers.causes.iter().collect();
    causes.sort_by_key(|(_, nodes)| std::cmp::Reverse(**nodes));
    for (cause, nodes) in causes.into_iter().take(4) {
        let later = Time {
            us: report.stragglers.later_than_us,
        };
        let _ = writeln!(text, "  {nodes} later than {later}: {cause}");
    }
    for assert in &report.asserts {
        let holds = if assert.holds {
            "holds"
        } else {
            "DOES NOT HOLD"
        };
        let _ = writeln!(text, "  {holds}: {} ({})", assert.text, assert.found);
    }
    let _ = writeln!(
        text,
        "  seed {}, commit {}, trace hash {}",
        report.head.seed, report.head.commit, report.head.trace_hash
    );
    let _ = writeln!(text, "  again: {}", report.head.replay);
    text
}
