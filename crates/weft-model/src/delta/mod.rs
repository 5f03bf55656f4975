//! A file as its difference from another: what a release travels as to whoever has its base.
//!
//! A fine-tune moves every weight a little, so no chunk of the old file serves the new one. Here
//! tensors are paired by name and coded as differences of their planes: scales and quantized
//! numbers apart, each with statistics of its own.
//!
//! ```text
//! delta:   "weftdlt1", bytes of the base (u64), bytes of the target (u64), segments
//! copy:    0, length, place                       bytes of the base as they are
//! raw:     1, length, bytes                       bytes that stand here
//! coded:   2 + layout, length, place, payload length, payload
//! ```
//!
//! Lengths are LEB128; a place is a signed LEB128 (zigzag), counted from the end of the base's
//! bytes that the segment before used. Segments make up the target in order. A coded segment is
//! at most [`MAX_PIECE_BYTES`] long and its payload is shorter than it, so that a reader needs
//! room for one piece, whatever the size of the file. `piece` says what is in a payload.
//!
//! Nothing here says that the result is right: whoever applies a delta holds the result against
//! the hash that the release gives.

mod apply;
mod bits;
mod encode;
mod error;
mod floats;
mod piece;
mod quants;
mod rans;
mod tables;
#[cfg(test)]
mod tests;
mod varint;

pub use apply::{ReadAt, apply_delta};
pub use encode::{DeltaSummary, encode_delta};
pub use error::{ApplyError, DeltaError};

/// How a delta begins.
const MAGIC: &[u8; 8] = b"weftdlt1";
/// Longest coded segment, in bytes of the target: what a reader holds at once, a few times over.
const MAX_PIECE_BYTES: usize = 1 << 20;

const COPY: u8 = 0;
const RAW: u8 = 1;
/// The layout's number is added.
const CODED: u8 = 2;

/// How the bytes of a coded segment are read as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Bytes,
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
}

impl Layout {
    const ALL: [Layout; 6] = [
        Layout::Bytes,
        Layout::F32,
        Layout::F16,
        Layout::BF16,
        Layout::Q8_0,
        Layout::Q4_0,
    ];

    fn from_tag(tag: u8) -> Option<Layout> {
        Layout::ALL
            .get(usize::from(tag.checked_sub(CODED)?))
            .copied()
    }

    fn tag(self) -> u8 {
        CODED + self as u8
    }

    /// Bytes that belong together: a piece has a whole number of these.
    fn unit_bytes(self) -> usize {
        match self {
            Layout::Bytes => 1,
            Layout::F16 | Layout::BF16 => 2,
            Layout::F32 => 4,
            Layout::Q8_0 => crate::quant::Q8_0_BLOCK_BYTES,
            Layout::Q4_0 => crate::quant::Q4_0_BLOCK_BYTES,
        }
    }

    /// The longest piece of this layout.
    fn piece_bytes(self) -> usize {
        MAX_PIECE_BYTES / self.unit_bytes() * self.unit_bytes()
    }
}
