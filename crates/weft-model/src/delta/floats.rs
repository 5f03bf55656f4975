//! Plain numbers as differences of their bits, taken as whole numbers in the order of their
//! values. How large a difference is hangs on the exponent, so that is the context.

use super::{
    Layout,
    bits::{self, BitReader, BitWriter},
    piece::Group,
    rans::{Decoder, WINDOW},
    tables::{Lookup, Symbol},
    varint,
};

pub(super) const CONTEXTS: usize = 16;

pub(super) fn encode(
    layout: Layout,
    base: &[u8],
    target: &[u8],
    bits: &mut BitWriter,
) -> [Group; 1] {
    let width = layout.unit_bytes();
    let mut group = Group::new(CONTEXTS, target.len() / width);
    let pairs = base.chunks_exact(width).zip(target.chunks_exact(width));
    for (from, to) in pairs {
        let (from, to) = (number(from), number(to));
        let value = difference(layout, from, to);
        let (bucket, extra) = bits::bucket(value);
        bits.push(value, extra);
        group.symbols.push(Symbol {
            context: context(layout, from),
            value: bucket,
        });
    }
    [group]
}

/// Decodes a piece; `None` where it is damaged.
pub(super) fn decode(
    layout: Layout,
    base: &[u8],
    target: &mut [u8],
    table: &Lookup,
    bits: &mut BitReader<'_>,
    decoder: &mut Decoder<'_>,
) -> Option<()> {
    let width = layout.unit_bytes();
    let starts: [u32; CONTEXTS] = std::array::from_fn(|context| table.table(context));
    let runs = base
        .chunks(WINDOW * width)
        .zip(target.chunks_mut(WINDOW * width));
    for (base, target) in runs {
        decoder.window(|window| {
            let pairs = base.chunks_exact(width).zip(target.chunks_exact_mut(width));
            for (lane, (from, to)) in pairs.enumerate() {
                let from = number(from);
                let at = starts[usize::from(context(layout, from)) % CONTEXTS];
                let (first, extra) = bits::start(window.symbol(lane, &table.slots, at))?;
                let value = first.checked_add(bits.take(extra)?)?;
                let bytes = moved(layout, from, value).to_le_bytes();
                to.copy_from_slice(&bytes[..width]);
            }
            Some(())
        })??;
    }
    Some(())
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn difference(layout: Layout, from: u32, to: u32) -> u32 {
    let unused = 32 - 8 * layout.unit_bytes() as u32;
    let by = ordered(layout, to).wrapping_sub(ordered(layout, from));
    // as a signed number of the layout's width
    let by = ((by << unused) as i32) >> unused;
    varint::zigzag(i64::from(by)) as u32
}

fn moved(layout: Layout, from: u32, value: u32) -> u32 {
    let by = varint::unzigzag(u64::from(value)) as u32;
    let to = ordered(layout, from).wrapping_add(by);
    unordered(layout, to & mask(layout))
}

/// The bits as a whole number that is larger where the float is.
fn ordered(layout: Layout, bits: u32) -> u32 {
    match sign(layout) {
        0 => bits,
        sign if bits & sign == 0 => bits | sign,
        _ => !bits & mask(layout),
    }
}

fn unordered(layout: Layout, number: u32) -> u32 {
    match sign(layout) {
        0 => number,
        sign if number & sign == 0 => !number & mask(layout),
        sign => number & !sign,
    }
}

fn sign(layout: Layout) -> u32 {
    if layout == Layout::Bytes {
        0
    } else {
        mask(layout) & !(mask(layout) >> 1)
    }
}

fn mask(layout: Layout) -> u32 {
    u32::MAX >> (32 - 8 * layout.unit_bytes())
}

/// The exponent, two to a class; what is far from what weights have shares one.
fn context(layout: Layout, bits: u32) -> u8 {
    match layout {
        Layout::Bytes | Layout::Q8_0 | Layout::Q4_0 => 0,
        Layout::F16 => (bits >> 11 & 15) as u8,
        Layout::BF16 => wide_exponent(bits >> 7),
        Layout::F32 => wide_exponent(bits >> 23),
    }
}

fn wide_exponent(exponent: u32) -> u8 {
    ((exponent & 255).saturating_sub(100) / 2).min(15) as u8
}
