//! Q8_0 and Q4_0 blocks as differences: first all scales of a piece, then all numbers.
//!
//! A scale is 16 bits of a float. What is coded is whether its sign flipped and how far its
//! magnitude went, in steps of the format.
//!
//! A number is predicted from the base's: the same weight under the new scale. Where the weight
//! moved less than the rounding, the prediction is right; where it fell close to the border
//! between two numbers, it may be one off, and to which side is known. So the context of a
//! number is how far its prediction was rounded, and how busy the blocks before it were; what is
//! coded is how far off it is, with the side of the rounding as its sign.

use half::f16;

use super::{
    bits::{self, BitReader, BitWriter},
    piece::Group,
    rans::{Decoder, LANES},
    tables::{Lookup, Symbol},
    varint,
};
use crate::quant::{BLOCK, Q4_0_BLOCK_BYTES, Q8_0_BLOCK_BYTES};

/// How much the scale before moved.
pub(super) const SCALE_CONTEXTS: usize = 4;
/// Classes of how busy the blocks before were.
const ACTIVITIES: usize = 14;
/// A symbol's class of rounding is below it, in any format.
const CLASSES: usize = 16;
/// Beyond it a ratio of scales predicts nothing.
const LARGEST_RATIO: f32 = 8.0;
/// Added and taken away again it leaves the nearest whole number, in plain arithmetic that gives
/// the same bits everywhere.
const ROUND: f32 = 12_582_912.0;
const FLIPPED: u8 = 128;

/// A block's numbers, or what belongs to each of them; for Q4_0 those of the low halves of its
/// bytes first, then those of the high.
type Numbers = [i8; BLOCK];

pub(super) trait Format {
    const BLOCK_BYTES: usize;
    const LEAST: f32;
    const MOST: f32;
    /// Symbols of a block.
    const SYMBOLS: usize;
    /// Where a class of rounding ends and the next begins.
    const ENDS: &'static [f32];
    /// Classes of rounding that a symbol can have.
    const ROUNDINGS: usize;
    const CONTEXTS: usize = ACTIVITIES * Self::ROUNDINGS;

    fn numbers(block: &[u8], out: &mut Numbers);
    fn store(numbers: &Numbers, block: &mut [u8]);
    /// The symbols' classes from those of the numbers.
    fn classes(numbers: &[u8; BLOCK], symbols: &mut [u8; BLOCK]);
    fn symbols(off: &Numbers, symbols: &mut [u8; BLOCK]);
    /// Undoes `symbols`; also says how much all are off together.
    fn off(symbols: &[u8; BLOCK], off: &mut Numbers) -> u32;
}

/// A symbol is a number.
pub(super) struct Q8;

impl Format for Q8 {
    const BLOCK_BYTES: usize = Q8_0_BLOCK_BYTES;
    const LEAST: f32 = -128.0;
    const MOST: f32 = 127.0;
    const SYMBOLS: usize = BLOCK;
    const ENDS: &'static [f32] = &[1.0 / 512.0, 1.0 / 128.0, 1.0 / 32.0, 1.0 / 8.0, 1.0 / 4.0];
    const ROUNDINGS: usize = 6;

    #[inline]
    fn numbers(block: &[u8], out: &mut Numbers) {
        for (number, byte) in out.iter_mut().zip(&block[2..]) {
            *number = *byte as i8;
        }
    }

    #[inline]
    fn store(numbers: &Numbers, block: &mut [u8]) {
        for (number, byte) in numbers.iter().zip(&mut block[2..]) {
            *byte = *number as u8;
        }
    }

    #[inline]
    fn classes(numbers: &[u8; BLOCK], symbols: &mut [u8; BLOCK]) {
        *symbols = *numbers;
    }

    #[inline]
    fn symbols(off: &Numbers, symbols: &mut [u8; BLOCK]) {
        *symbols = off.map(fold);
    }

    #[inline]
    fn off(symbols: &[u8; BLOCK], off: &mut Numbers) -> u32 {
        *off = symbols.map(unfold);
        symbols.iter().map(|symbol| u32::from(*symbol)).sum()
    }
}

/// A symbol is a byte: two numbers.
pub(super) struct Q4;

impl Format for Q4 {
    const BLOCK_BYTES: usize = Q4_0_BLOCK_BYTES;
    const LEAST: f32 = -8.0;
    const MOST: f32 = 7.0;
    const SYMBOLS: usize = BLOCK / 2;
    const ENDS: &'static [f32] = &[1.0 / 256.0, 1.0 / 32.0, 1.0 / 8.0];
    const ROUNDINGS: usize = 16;

    #[inline]
    fn numbers(block: &[u8], out: &mut Numbers) {
        let (low, high) = out.split_at_mut(BLOCK / 2);
        for ((low, high), byte) in low.iter_mut().zip(high).zip(&block[2..]) {
            *low = (byte & 15) as i8 - 8;
            *high = (byte >> 4) as i8 - 8;
        }
    }

    #[inline]
    fn store(numbers: &Numbers, block: &mut [u8]) {
        let (low, high) = numbers.split_at(BLOCK / 2);
        for ((low, high), byte) in low.iter().zip(high).zip(&mut block[2..]) {
            *byte = (low.wrapping_add(8) as u8 & 15) | (high.wrapping_add(8) as u8) << 4;
        }
    }

    #[inline]
    fn classes(numbers: &[u8; BLOCK], symbols: &mut [u8; BLOCK]) {
        let (low, high) = numbers.split_at(BLOCK / 2);
        for ((low, high), symbol) in low.iter().zip(high).zip(symbols) {
            *symbol = low << 2 | high;
        }
    }

    #[inline]
    fn symbols(off: &Numbers, symbols: &mut [u8; BLOCK]) {
        // a difference of four bits, whichever way round is shorter
        let fold = |off: &i8| fold((off << 4) >> 4);
        let (low, high) = off.split_at(BLOCK / 2);
        for ((low, high), symbol) in low.iter().zip(high).zip(symbols) {
            *symbol = fold(low) | fold(high) << 4;
        }
    }

    #[inline]
    fn off(symbols: &[u8; BLOCK], off: &mut Numbers) -> u32 {
        let (low, high) = off.split_at_mut(BLOCK / 2);
        let mut sum = 0;
        for ((low, high), symbol) in low.iter_mut().zip(high).zip(symbols) {
            *low = unfold(symbol & 15);
            *high = unfold(symbol >> 4);
            sum += u32::from(symbol & 15) + u32::from(symbol >> 4);
        }
        sum
    }
}

pub(super) fn encode<F: Format>(base: &[u8], target: &[u8], bits: &mut BitWriter) -> [Group; 2] {
    let blocks = target.len() / F::BLOCK_BYTES;
    let mut scales = Group::new(SCALE_CONTEXTS, blocks);
    let mut numbers = Group::new(F::CONTEXTS, blocks * F::SYMBOLS);
    let (mut moved, mut activity) = (0, Activity::default());
    let mut prediction = Prediction::default();
    let (mut old, mut new) = ([0; BLOCK], [0; BLOCK]);
    let (mut symbols, mut classes) = ([0; BLOCK], [0; BLOCK]);
    let pairs = base
        .chunks_exact(F::BLOCK_BYTES)
        .zip(target.chunks_exact(F::BLOCK_BYTES));
    for (base, target) in pairs {
        let (from, to) = (scale(base), scale(target));
        let by = i64::from(to & 0x7fff) - i64::from(from & 0x7fff);
        let by = varint::zigzag(by) as u32;
        let (bucket, extra) = bits::bucket(by);
        bits.push(by, extra);
        let flipped = if (from ^ to) & 0x8000 == 0 {
            0
        } else {
            FLIPPED
        };
        scales.symbols.push(Symbol {
            context: moved,
            value: bucket | flipped,
        });
        moved = scale_context(by);

        F::numbers(base, &mut old);
        F::numbers(target, &mut new);
        prediction.make::<F>(&old, ratio(from, to));
        for (place, number) in new.iter_mut().enumerate() {
            *number = number.wrapping_sub(prediction.numbers[place]);
        }
        prediction.turn(&mut new);
        F::symbols(&new, &mut symbols);
        F::classes(&prediction.roundings, &mut classes);
        let class = activity.class() * F::ROUNDINGS;
        for (value, rounding) in symbols.iter().zip(&classes).take(F::SYMBOLS) {
            numbers.symbols.push(Symbol {
                context: class as u8 + rounding,
                value: *value,
            });
        }
        activity.add(F::off(&symbols, &mut new));
    }
    [scales, numbers]
}

/// Decodes a piece; `None` where it is damaged. `target` gets the scales first.
pub(super) fn decode<F: Format>(
    base: &[u8],
    target: &mut [u8],
    tables: &[Lookup; 2],
    bits: &mut BitReader<'_>,
    decoder: &mut Decoder<'_>,
) -> Option<()> {
    let mut moved = 0;
    let runs = base
        .chunks(8 * F::BLOCK_BYTES)
        .zip(target.chunks_mut(8 * F::BLOCK_BYTES));
    for (base, target) in runs {
        decoder.window(|window| {
            let pairs = base
                .chunks_exact(F::BLOCK_BYTES)
                .zip(target.chunks_exact_mut(F::BLOCK_BYTES));
            for (lane, (base, target)) in pairs.enumerate() {
                let table = tables[0].table(usize::from(moved));
                let symbol = window.symbol(lane, &tables[0].slots, table);
                let (first, extra) = bits::start(symbol & !FLIPPED)?;
                let by = first.checked_add(bits.take(extra)?)?;
                moved = scale_context(by);
                let from = scale(base);
                let to = i64::from(from & 0x7fff) + varint::unzigzag(u64::from(by));
                let to = u16::try_from(to).ok().filter(|to| *to < 0x8000)?;
                let sign = (from & 0x8000) ^ (u16::from(symbol & FLIPPED) << 8);
                target[..2].copy_from_slice(&(to | sign).to_le_bytes());
            }
            Some(())
        })??;
    }
    let mut activity = Activity::default();
    let mut prediction = Prediction::default();
    let (mut old, mut new) = ([0; BLOCK], [0; BLOCK]);
    let (mut symbols, mut classes) = ([0; BLOCK], [0; BLOCK]);
    let pairs = base
        .chunks_exact(F::BLOCK_BYTES)
        .zip(target.chunks_exact_mut(F::BLOCK_BYTES));
    for (base, target) in pairs {
        F::numbers(base, &mut old);
        prediction.make::<F>(&old, ratio(scale(base), scale(target)));
        F::classes(&prediction.roundings, &mut classes);
        let class = activity.class() * F::ROUNDINGS;
        // a table for every class that a byte's half can name: no look-up below is outside
        let tables_of: [u32; CLASSES] =
            std::array::from_fn(|at| tables[1].table(class + at.min(F::ROUNDINGS - 1)));
        decoder.window(|window| {
            let symbols = symbols[..F::SYMBOLS].as_chunks_mut::<LANES>().0;
            let classes = classes.as_chunks::<LANES>().0;
            for (symbols, classes) in symbols.iter_mut().zip(classes) {
                for (lane, (symbol, class)) in symbols.iter_mut().zip(classes).enumerate() {
                    let table = tables_of[usize::from(*class) % CLASSES];
                    *symbol = window.symbol(lane, &tables[1].slots, table);
                }
            }
        })?;
        activity.add(F::off(&symbols, &mut new));
        prediction.turn(&mut new);
        for (number, predicted) in new.iter_mut().zip(&prediction.numbers) {
            *number = predicted.wrapping_add(*number);
        }
        F::store(&new, target);
    }
    Some(())
}

#[inline]
fn scale(block: &[u8]) -> u16 {
    u16::from_le_bytes([block[0], block[1]])
}

fn scale_context(moved_by: u32) -> u8 {
    match moved_by {
        0 => 0,
        1..8 => 1,
        8..64 => 2,
        _ => 3,
    }
}

/// The base's scale in parts of the target's.
#[inline]
fn ratio(from: u16, to: u16) -> f32 {
    if from == to {
        return 1.0;
    }
    let ratio = f16::from_bits(from).to_f32() / f16::from_bits(to).to_f32();
    // also where one is not a number
    if ratio.abs() <= LARGEST_RATIO {
        ratio
    } else {
        1.0
    }
}

/// What the numbers of a block should be.
#[derive(Default)]
struct Prediction {
    numbers: Numbers,
    /// How far each was rounded, by class.
    roundings: [u8; BLOCK],
    /// All ones where it was rounded up: the true value lies below.
    signs: Numbers,
}

impl Prediction {
    #[inline]
    fn make<F: Format>(&mut self, old: &Numbers, ratio: f32) {
        let exact = old.map(|number| (f32::from(number) * ratio).clamp(F::LEAST, F::MOST));
        let shifted = exact.map(|number| number + ROUND);
        // the whole number stands in the lowest bits of the sum
        self.numbers = shifted.map(|number| number.to_bits() as i8);
        let mut rest = [0.0; BLOCK];
        for ((rest, exact), shifted) in rest.iter_mut().zip(&exact).zip(&shifted) {
            *rest = exact - (shifted - ROUND);
        }
        self.signs = rest.map(|rest: f32| (rest.to_bits() as i32 >> 31) as i8);
        let far = rest.map(|rest| rest.to_bits() & i32::MAX as u32);
        let mut roundings = [0_i32; BLOCK];
        for end in F::ENDS {
            // floats without a sign are in the order of their bits
            let end = end.to_bits();
            for (rounding, far) in roundings.iter_mut().zip(&far) {
                *rounding += i32::from(*far as i32 >= end as i32);
            }
        }
        self.roundings = roundings.map(|rounding| rounding as u8);
    }

    /// Turns differences so that those on the side of the rounding are positive, or back.
    #[inline]
    fn turn(&self, off: &mut Numbers) {
        for (off, sign) in off.iter_mut().zip(&self.signs) {
            *off = (*off ^ sign).wrapping_sub(*sign);
        }
    }
}

/// How much the last blocks were off, the last one most.
#[derive(Default)]
struct Activity(u32);

impl Activity {
    #[inline]
    fn class(&self) -> usize {
        ((32 - self.0.leading_zeros()) as usize).min(ACTIVITIES - 1)
    }

    #[inline]
    fn add(&mut self, sum: u32) {
        self.0 = self.0 - self.0 / 4 + sum;
    }
}

#[inline]
fn fold(off: i8) -> u8 {
    ((off << 1) ^ (off >> 7)) as u8
}

#[inline]
fn unfold(symbol: u8) -> i8 {
    ((symbol >> 1) as i8) ^ -((symbol & 1) as i8)
}
