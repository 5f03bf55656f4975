//! Whole numbers as a bucket, which is entropy coded, and the bits below it, which are not:
//! within a bucket all numbers are about equally likely.

/// Numbers below it have a bucket each.
const EXACT: u32 = 8;
/// Buckets of each doubling above.
const PER_OCTAVE: u32 = 4;

/// The bucket of a number, at most 123, and how many bits below it follow.
pub(super) fn bucket(value: u32) -> (u8, u32) {
    if value < EXACT {
        return (value as u8, 0);
    }
    let exponent = value.ilog2();
    let extra = exponent - 2;
    let bucket = EXACT + (exponent - 3) * PER_OCTAVE + ((value >> extra) & 3);
    (bucket as u8, extra)
}

/// The bucket's first number, and how many bits are added to it; `None` for no bucket.
pub(super) fn start(bucket: u8) -> Option<(u32, u32)> {
    let bucket = u32::from(bucket);
    if bucket < EXACT {
        return Some((bucket, 0));
    }
    let octave = (bucket - EXACT) / PER_OCTAVE;
    let quarter = (bucket - EXACT) % PER_OCTAVE;
    if octave > 28 {
        return None;
    }
    let extra = octave + 1;
    Some(((4 + quarter) << extra, extra))
}

/// Bits, lowest first.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl BitWriter {
    /// Adds the lowest `count` bits, at most 32.
    pub(super) fn push(&mut self, value: u32, count: u32) {
        let mask = (1_u64 << count) - 1;
        self.held |= (u64::from(value) & mask) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.held as u8);
        }
        self.bytes
    }
}

/// Reads what [`BitWriter`] wrote.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    held: u64,
    count: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            held: 0,
            count: 0,
        }
    }

    /// The next `count` bits, at most 32; `None` where there are no more.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        while self.count < count {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            self.held |= u64::from(*byte) << self.count;
            self.count += 8;
        }
        let value = self.held & ((1_u64 << count) - 1);
        self.held >>= count;
        self.count -= count;
        Some(value as u32)
    }

    /// Whether all was read, up to zeros that fill the last byte.
    pub(super) fn is_done(&self) -> bool {
        self.bytes.is_empty() && self.count < 8 && self.held == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_lies_in_its_bucket() {
        let near = (0..32).flat_map(|bit| {
            let at = 1_u64 << bit;
            [at - 1, at, at + 1, at + at / 3]
        });
        for value in near.chain(0..5000).chain([u64::from(u32::MAX)]) {
            let value = value as u32;
            let (index, extra) = bucket(value);
            let (first, bits) = start(index).expect("a bucket");
            assert_eq!(bits, extra, "{value}");
            assert_eq!(first + (value & ((1 << bits) - 1)), value);
        }
        assert_eq!(bucket(u32::MAX).0, 123);
        assert_eq!(start(124), None);
    }

    #[test]
    fn bits_come_back() {
        let mut writer = BitWriter::default();
        let all: Vec<(u32, u32)> = (0..500_u32)
            .map(|i| (i.wrapping_mul(0x9e37_79b9), i % 33))
            .collect();
        for (value, count) in &all {
            writer.push(*value, *count);
        }
        let bytes = writer.finish();
        let mut reader = BitReader::new(&bytes);
        for (value, count) in &all {
            let mask = ((1_u64 << count) - 1) as u32;
            assert_eq!(reader.take(*count), Some(value & mask));
        }
        assert!(reader.is_done());
        assert_eq!(reader.take(8), None);
    }
}
