//! The payload of a coded segment.
//!
//! ```text
//! payload: for each group its tables, length of the bits (LEB128), bits, states and words
//! ```
//!
//! Blocks have two groups, scales and numbers; plain numbers have one. The symbols of all groups
//! are one stream, in order.

use super::{
    Layout,
    bits::{BitReader, BitWriter},
    floats,
    quants::{self, Format as _, Q4, Q8},
    rans::{Decoder, Encoder, LANES},
    tables::{Lookup, Model, Symbol},
    varint,
};

/// Symbols that share statistics.
pub(super) struct Group {
    contexts: usize,
    pub(super) symbols: Vec<Symbol>,
}

impl Group {
    pub(super) fn new(contexts: usize, symbols: usize) -> Self {
        Self {
            contexts,
            symbols: Vec::with_capacity(symbols),
        }
    }
}

/// The target as its difference from a base of the same length.
pub(super) fn encode(layout: Layout, base: &[u8], target: &[u8]) -> Vec<u8> {
    debug_assert_eq!(base.len(), target.len());
    let mut bits = BitWriter::default();
    match layout {
        Layout::Q8_0 => write(&quants::encode::<Q8>(base, target, &mut bits), bits),
        Layout::Q4_0 => write(&quants::encode::<Q4>(base, target, &mut bits), bits),
        _ => write(&floats::encode(layout, base, target, &mut bits), bits),
    }
}

fn write(groups: &[Group], bits: BitWriter) -> Vec<u8> {
    let mut out = Vec::new();
    let mut models = Vec::new();
    for group in groups {
        let model = Model::of(&group.symbols, group.contexts);
        model.write(&mut out);
        models.push(model);
    }
    let bits = bits.finish();
    varint::write(&mut out, bits.len() as u64);
    out.extend(bits);
    let mut encoder = Encoder::new();
    for (group, model) in groups.iter().zip(&models).rev() {
        for (index, symbol) in group.symbols.iter().enumerate().rev() {
            let (start, frequency) = model.slots(*symbol);
            encoder.push(index % LANES, start, frequency);
        }
    }
    encoder.finish(&mut out);
    out
}

/// Takes payloads one after the other; its room is used again.
pub(super) struct Reader {
    tables: [Lookup; 2],
    words: Vec<u16>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            tables: [Lookup::new(), Lookup::new()],
            words: Vec::new(),
        }
    }

    /// Makes the target of the base; `None` for a payload that is damaged. Base and target are
    /// of one length, a whole number of the layout's units.
    pub(super) fn decode(
        &mut self,
        layout: Layout,
        base: &[u8],
        mut payload: &[u8],
        target: &mut [u8],
    ) -> Option<()> {
        let [scales, numbers] = &mut self.tables;
        match layout {
            Layout::Q8_0 => {
                scales.read(&mut payload, quants::SCALE_CONTEXTS)?;
                numbers.read(&mut payload, Q8::CONTEXTS)?;
            }
            Layout::Q4_0 => {
                scales.read(&mut payload, quants::SCALE_CONTEXTS)?;
                numbers.read(&mut payload, Q4::CONTEXTS)?;
            }
            _ => scales.read(&mut payload, floats::CONTEXTS)?,
        }
        let bits = usize::try_from(varint::read(&mut payload).ok()??).ok()?;
        let (bits, states) = payload.split_at_checked(bits)?;
        let mut bits = BitReader::new(bits);
        let mut decoder = Decoder::new(states, &mut self.words)?;
        match layout {
            Layout::Q8_0 => {
                quants::decode::<Q8>(base, target, &self.tables, &mut bits, &mut decoder)
            }
            Layout::Q4_0 => {
                quants::decode::<Q4>(base, target, &self.tables, &mut bits, &mut decoder)
            }
            _ => floats::decode(
                layout,
                base,
                target,
                &self.tables[0],
                &mut bits,
                &mut decoder,
            ),
        }?;
        (bits.is_done() && decoder.is_done()).then_some(())
    }
}
