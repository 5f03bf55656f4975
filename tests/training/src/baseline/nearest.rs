//! The answer of the training line that is most similar: cosine over character
//! trigrams, weighted by how rare they are. Digits count as one character, so
//! that times and tags do not drown the words.

use std::collections::HashMap;

use crate::generate::Example;

/// An index over training lines.
pub struct Nearest {
    answers: Vec<String>,
    postings: HashMap<[char; 3], Vec<(u32, f32)>>,
    rarity: HashMap<[char; 3], f32>,
}

impl Nearest {
    /// Indexes `examples`.
    pub fn new(examples: &[Example]) -> Self {
        let counted: Vec<HashMap<[char; 3], f32>> = examples
            .iter()
            .map(|example| trigrams(&example.line))
            .collect();
        let mut lines_with: HashMap<[char; 3], usize> = HashMap::new();
        for counts in &counted {
            for gram in counts.keys() {
                *lines_with.entry(*gram).or_default() += 1;
            }
        }
        let total = examples.len() as f32;
        let rarity: HashMap<[char; 3], f32> = lines_with
            .into_iter()
            .map(|(gram, lines)| (gram, (total / lines as f32).ln() + 1.0))
            .collect();
        let mut postings: HashMap<[char; 3], Vec<(u32, f32)>> = HashMap::new();
        for (line, counts) in counted.iter().enumerate() {
            let weight = |(gram, count): (&[char; 3], &f32)| (*gram, count * rarity[gram]);
            let weighted: Vec<_> = counts.iter().map(weight).collect();
            let length = weighted
                .iter()
                .map(|(_, w)| w * w)
                .sum::<f32>()
                .sqrt()
                .max(1e-6);
            for (gram, weight) in weighted {
                postings
                    .entry(gram)
                    .or_default()
                    .push((line as u32, weight / length));
            }
        }
        let answers = examples
            .iter()
            .map(|example| example.expected.clone())
            .collect();
        Self {
            answers,
            postings,
            rarity,
        }
    }

    /// The answer of the nearest line.
    pub fn answer(&self, line: &str) -> Option<String> {
        let mut scores = vec![0.0f32; self.answers.len()];
        for (gram, count) in trigrams(line) {
            let Some(rarity) = self.rarity.get(&gram) else {
                continue;
            };
            for (other, weight) in &self.postings[&gram] {
                scores[*other as usize] += count * rarity * weight;
            }
        }
        let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]))?;
        Some(self.answers[best].clone())
    }
}

fn trigrams(line: &str) -> HashMap<[char; 3], f32> {
    let plain = line
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter });
    let padded: Vec<char> = std::iter::once(' ')
        .chain(plain)
        .chain(std::iter::once(' '))
        .collect();
    let mut counts = HashMap::new();
    for window in padded.windows(3) {
        *counts
            .entry([window[0], window[1], window[2]])
            .or_insert(0.0) += 1.0;
    }
    counts
}
