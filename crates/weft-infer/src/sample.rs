use serde::{Deserialize, Serialize};

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// 0 always takes the most likely token; higher is bolder.
    pub temperature: f32,
    /// Only the so many most likely tokens; 0 for all.
    pub top_k: usize,
    /// Only the most likely tokens that together reach this probability; 1 for all.
    pub top_p: f32,
    /// Above 1, what was already said becomes less likely; 1 changes nothing.
    pub repeat_penalty: f32,
    /// The same seed gives the same answer.
    pub seed: u64,
}

impl Default for Sampling {
    /// Greedy.
    fn default() -> Sampling {
        Sampling {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            repeat_penalty: 1.0,
            seed: 0,
        }
    }
}

impl Sampling {
    /// The value that cannot be used, if there is one.
    pub(crate) fn problem(&self) -> Option<String> {
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            Some(format!(
                "temperature is {}, allowed is 0 and above",
                self.temperature
            ))
        } else if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            Some(format!(
                "top_p is {}, allowed is above 0 up to 1",
                self.top_p
            ))
        } else if !(self.repeat_penalty.is_finite() && self.repeat_penalty > 0.0) {
            Some(format!(
                "repeat_penalty is {}, allowed is above 0",
                self.repeat_penalty
            ))
        } else {
            None
        }
    }
}

/// Chooses tokens, one after the other.
pub(crate) struct Sampler<'a> {
    sampling: &'a Sampling,
    random: SplitMix,
}

impl<'a> Sampler<'a> {
    pub(crate) fn new(sampling: &'a Sampling) -> Sampler<'a> {
        Sampler {
            sampling,
            random: SplitMix(sampling.seed),
        }
    }

    /// A token for these logits; `said` is the prompt and what was answered so far.
    pub(crate) fn choose(&mut self, mut logits: Vec<f32>, said: &[u32]) -> u32 {
        penalize(&mut logits, said, self.sampling.repeat_penalty);
        if self.sampling.temperature == 0.0 {
            return most_likely(&logits);
        }
        let mut candidates: Vec<(u32, f32)> = (0_u32..).zip(logits).collect();
        // By logit, then by token: the order is total, so that a seed decides everything.
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if self.sampling.top_k > 0 {
            candidates.truncate(self.sampling.top_k);
        }
        let highest = candidates[0].1;
        let temperature = f64::from(self.sampling.temperature);
        let mut weights: Vec<f64> = candidates
            .iter()
            .map(|(_, logit)| (f64::from(logit - highest) / temperature).exp())
            .collect();
        truncate_to_mass(&mut weights, f64::from(self.sampling.top_p));
        let mut left = self.random.next_unit() * weights.iter().sum::<f64>();
        for (weight, (token, _)) in weights.iter().zip(&candidates) {
            left -= weight;
            if left < 0.0 {
                return *token;
            }
        }
        candidates[weights.len() - 1].0
    }
}

/// The most likely token; the first of several.
pub(crate) fn most_likely(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = index;
        }
    }
    best as u32
}

/// As transformers does it: a token counts once, however often it was said.
fn penalize(logits: &mut [f32], said: &[u32], penalty: f32) {
    #[allow(clippy::float_cmp)] // 1 is what switches it off
    if penalty == 1.0 {
        return;
    }
    let mut tokens = said.to_vec();
    tokens.sort_unstable();
    tokens.dedup();
    for token in tokens {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = if *logit > 0.0 {
                *logit / penalty
            } else {
                *logit * penalty
            };
        }
    }
}

/// Keeps the first weights, of descending order, until they hold `share` of the whole.
fn truncate_to_mass(weights: &mut Vec<f64>, share: f64) {
    let wanted = weights.iter().sum::<f64>() * share;
    let mut sum = 0.0;
    let kept = weights.iter().take_while(|weight| {
        let more = sum < wanted;
        sum += **weight;
        more
    });
    let kept = kept.count().max(1);
    weights.truncate(kept);
}

/// SplitMix64: a counter behind a mixer. Ours to keep, so that a seed means the same for ever.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly in [0, 1), in steps of 2⁻⁵³.
    fn next_unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [1.0, 3.0, 2.0, -1.0];

    fn draws(sampling: &Sampling) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling);
        (0..200)
            .map(|_| sampler.choose(LOGITS.to_vec(), &[]))
            .collect()
    }

    #[test]
    fn split_mix_gives_its_published_numbers() {
        let mut random = SplitMix(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn without_temperature_the_most_likely_token_is_taken() {
        assert!(draws(&Sampling::default()).iter().all(|token| *token == 1));
    }

    #[test]
    fn the_first_of_equals_is_most_likely() {
        assert_eq!(most_likely(&[0.0, 2.0, 2.0]), 1);
    }

    #[test]
    fn a_seed_decides_and_another_differs() {
        let with = |seed| Sampling {
            temperature: 1.0,
            seed,
            ..Sampling::default()
        };
        assert_eq!(draws(&with(7)), draws(&with(7)));
        assert_ne!(draws(&with(7)), draws(&with(8)));
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let sampling = Sampling {
            temperature: 1.0,
            ..Sampling::default()
        };
        let draws = draws(&sampling);
        let share = |token| draws.iter().filter(|drawn| **drawn == token).count() as f64 / 200.0;
        // softmax of the logits: 0.0886, 0.6552, 0.2410, 0.0120
        assert!((share(1) - 0.6552).abs() < 0.1, "{}", share(1));
        assert!((share(2) - 0.2410).abs() < 0.1, "{}", share(2));
    }

    #[test]
    fn top_k_leaves_the_k_most_likely() {
        let sampling = Sampling {
            temperature: 5.0,
            top_k: 2,
            ..Sampling::default()
        };
        let draws = draws(&sampling);
        assert!(draws.iter().all(|token| [1, 2].contains(token)));
        assert!(draws.contains(&2));
    }

    #[test]
    fn top_p_leaves_what_reaches_the_share() {
        let narrow = Sampling {
            temperature: 1.0,
            top_p: 0.6,
            ..Sampling::default()
        };
        assert!(draws(&narrow).iter().all(|token| *token == 1));
        let wider = Sampling {
            temperature: 1.0,
            top_p: 0.7,
            ..Sampling::default()
        };
        let drawn = draws(&wider);
        assert!(drawn.contains(&2) && !drawn.contains(&0));
    }

    #[test]
    fn a_penalty_turns_away_from_what_was_said() {
        let sampling = Sampling {
            repeat_penalty: 2.0,
            ..Sampling::default()
        };
        let mut sampler = Sampler::new(&sampling);
        assert_eq!(sampler.choose(LOGITS.to_vec(), &[1, 1]), 2);
        // A negative logit is pushed down, not up.
        assert_eq!(sampler.choose(vec![-1.0, -1.5], &[0]), 1);
    }

    #[test]
    fn values_that_mean_nothing_are_named() {
        let problem = |sampling: Sampling| sampling.problem().unwrap_or_default();
        let base = Sampling::default;
        assert!(
            problem(Sampling {
                temperature: f32::NAN,
                ..base()
            })
            .contains("temperature")
        );
        assert!(
            problem(Sampling {
                temperature: -1.0,
                ..base()
            })
            .contains("temperature")
        );
        assert!(
            problem(Sampling {
                top_p: 0.0,
                ..base()
            })
            .contains("top_p")
        );
        assert!(
            problem(Sampling {
                repeat_penalty: 0.0,
                ..base()
            })
            .contains("repeat_penalty")
        );
        assert_eq!(base().problem(), None);
    }
}
