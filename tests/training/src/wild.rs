//! The many further ways in which the lines that tune 1.1.0 are written.

use crate::catalog::HELD_OUT_DEVICES;
use crate::random::Random;
use crate::writer::KNOWN_SPELLINGS;

/// A reading against its limit.
pub(crate) fn relation(
    name: &str,
    value: &str,
    relation: &str,
    limit: &str,
    random: &mut Random,
) -> String {
    match random.below(6) {
        0 => format!("{name} ({value}{relation}{limit})"),
        1 => format!("{name}[{value}]{relation}{limit}"),
        2 => format!("{name}: {value} {relation}{limit}"),
        3 => format!("({value}{relation}{limit}) {name}"),
        4 => format!("{value} {relation} {limit} on {name}"),
        _ => format!("{value} {name} {relation} {limit}"),
    }
}

/// A reading beside its limit: only the numbers tell.
pub(crate) fn bound(
    name: &str,
    value: &str,
    named: &str,
    limit: &str,
    random: &mut Random,
) -> String {
    match random.below(5) {
        0 => format!("{name} {value} {named}={limit}"),
        1 => format!("{name} {value} ({limit} {named})"),
        2 => format!("{name}={value}, {named} {limit}"),
        3 => format!("{name} is {value} {named}:{limit}"),
        _ => format!("({named} {limit}) {name} {value}"),
    }
}

/// A reading with a word for how it stands.
pub(crate) fn word(name: &str, value: &str, said: &str, random: &mut Random) -> String {
    match random.below(9) {
        0 => format!("{name} {value} {said}"),
        1 => format!("{said} {value} {name}"),
        2 => format!("{said}({name} {value})"),
        3 => format!("{name}:{said}"),
        4 => format!("{name}({value}) {said}"),
        5 => format!("{name}-{said} {value}"),
        6 => format!("{name} [{said}]"),
        7 => format!("{said} {name}"),
        _ => format!("{value} ({said} {name})"),
    }
}

/// A made-up device, in a way in which held-out lines never write theirs.
pub(crate) fn tag(number: usize, random: &mut Random) -> String {
    let prefix = loop {
        let letters = 2 + random.below(3);
        let prefix: String = (0..letters)
            .map(|_| (b'A' + random.below(26) as u8) as char)
            .collect();
        let held_out = HELD_OUT_DEVICES
            .iter()
            .any(|(device, _)| prefix.contains(device));
        let known = KNOWN_SPELLINGS.contains(prefix.as_str());
        if !held_out && !known {
            break prefix;
        }
    };
    let digit = 1 + random.below(9);
    match random.below(8) {
        0 => format!("{prefix}-{number}"),
        1 => format!("{prefix}{number}"),
        2 => format!("{prefix}_{number}"),
        3 => format!("{number}-{prefix}"),
        4 => format!("{prefix}-{number}.{digit}"),
        5 => format!("U{digit}-{prefix}{number}"),
        6 => format!("{prefix}({number})"),
        _ => format!("S{digit}.{prefix}-{number}"),
    }
}
