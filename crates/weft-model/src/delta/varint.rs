//! LEB128, in the shortest form.

use std::io::{self, Read};

/// A u64 takes at most so many.
const MAX_BYTES: u32 = 10;

pub(super) fn write(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// `None` for bytes that are no shortest form of a u64.
pub(super) fn read(input: &mut impl Read) -> io::Result<Option<u64>> {
    let mut value = 0_u64;
    for place in 0..MAX_BYTES {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        let bits = u64::from(byte[0] & 0x7f);
        let shifted = bits << (7 * place);
        if shifted >> (7 * place) != bits {
            return Ok(None);
        }
        value |= shifted;
        if byte[0] < 0x80 {
            return Ok((byte[0] != 0 || place == 0).then_some(value));
        }
    }
    Ok(None)
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
