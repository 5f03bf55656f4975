//! What hurried people and bad lines do to text. The kinds of noise that
//! training lines get and those that held-out lines get are different.

use crate::random::Random;

/// A typing error or an abbreviation of `word`; short words stay as they are.
/// The first letter stays, as it does when people abbreviate.
pub fn mistype(word: &str, random: &mut Random) -> String {
    let letters: Vec<char> = word.chars().collect();
    if letters.len() < 3 {
        return word.to_owned();
    }
    let long = letters.len() >= 5;
    let mut noised = match random.below(if long { 6 } else { 3 }) {
        0 => without_letter(&letters, random),
        1 => doubled(&letters, random),
        2 => swapped(&letters, random),
        3 => without_vowels(&letters, 1.0, random),
        4 => without_vowels(&letters, 0.5, random),
        _ => letters[..letters.len() - 1 - random.below(letters.len() - 4)].to_vec(),
    };
    if long && random.chance(0.2) {
        noised = match random.below(2) {
            0 => doubled(&noised, random),
            _ => swapped(&noised, random),
        };
    }
    noised.into_iter().collect()
}

/// A piece that says nothing, of a kind that training lines hold.
pub fn known_junk(random: &mut Random) -> String {
    match random.below(5) {
        0 => format!("seq={}", random.below(10_000)),
        1 => format!("[plc{}]", 1 + random.below(9)),
        2 => format!("#{}", random.below(1000)),
        3 => format!("shift {}", random.pick(&["A", "B", "C"])),
        _ => format!("ch{}", random.below(32)),
    }
}

/// A piece that says nothing, of one of many more kinds that training lines hold.
pub fn wild_junk(random: &mut Random) -> String {
    let number = random.below(10_000);
    let mut letter = || (b'a' + random.below(26) as u8) as char;
    let code: String = [letter(), letter()].iter().collect();
    match random.below(14) {
        0 => format!("id {number}"),
        1 => format!("{{node{}}}", number % 40),
        2 => format!("(fw 1.{}.{})", number % 7, number % 30),
        3 => "!!".to_owned(),
        4 => "***".to_owned(),
        5 => format!("usr={code}"),
        6 => format!("sn {number:x}"),
        7 => format!("@site{}", number % 9),
        8 => format!("{code}{}", number % 100),
        9 => format!("by {code}"),
        10 => "...".to_owned(),
        11 => format!("q:{}", number % 100),
        12 => format!("${number:04x}"),
        _ => known_junk(random),
    }
}

/// A piece that says nothing, of a kind that only held-out lines hold.
pub fn held_out_junk(random: &mut Random) -> String {
    match random.below(5) {
        0 => format!("<rx {}>", random.below(256)),
        1 => "~~~".to_owned(),
        2 => format!("op:{}", random.pick(&["jk", "mw", "tz"])),
        3 => format!("crc 0x{:04x}", random.below(65_536)),
        _ => "??".to_owned(),
    }
}

fn without_letter(letters: &[char], random: &mut Random) -> Vec<char> {
    let mut noised = letters.to_vec();
    noised.remove(1 + random.below(letters.len() - 1));
    noised
}

fn doubled(letters: &[char], random: &mut Random) -> Vec<char> {
    let mut noised = letters.to_vec();
    let place = random.below(letters.len());
    noised.insert(place, letters[place]);
    noised
}

fn swapped(letters: &[char], random: &mut Random) -> Vec<char> {
    let mut noised = letters.to_vec();
    if noised.len() >= 3 {
        let place = 1 + random.below(noised.len() - 2);
        noised.swap(place, place + 1);
    }
    noised
}

fn without_vowels(letters: &[char], share: f64, random: &mut Random) -> Vec<char> {
    letters
        .iter()
        .enumerate()
        .filter(|(place, letter)| {
            *place == 0 || !"aeiou".contains(**letter) || !random.chance(share)
        })
        .map(|(_, letter)| *letter)
        .collect()
}
