use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
};

use super::{ApplyError, COPY, Layout, MAGIC, RAW, piece::Reader, varint};

/// Bytes that are copied at once.
const BUFFER_BYTES: usize = 64 << 10;

/// The base of a delta, read from any place.
pub trait ReadAt {
    /// Fills the buffer with what lies at this offset.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..)?.get(..buffer.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

/// Makes the target of a delta and its base, piece by piece.
///
/// Writes at most `target_bytes`, whatever the delta says. That they are the right ones is for
/// the caller to see, by their hash.
pub fn apply_delta<B: ReadAt + ?Sized>(
    base: &B,
    base_bytes: u64,
    delta: impl Read,
    target_bytes: u64,
    out: &mut impl Write,
) -> Result<(), ApplyError> {
    let mut delta = Delta(BufReader::new(delta));
    let mut head = [0; 24];
    delta.fill(&mut head)?;
    let (magic, lengths) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(ApplyError::Damaged("it does not begin as one"));
    }
    let (found, _) = lengths.as_chunks::<8>();
    let (base_found, target_found) = (u64::from_le_bytes(found[0]), u64::from_le_bytes(found[1]));
    if (base_found, target_found) != (base_bytes, target_bytes) {
        return Err(ApplyError::OtherFiles {
            base_found,
            base_expected: base_bytes,
            target_found,
            target_expected: target_bytes,
        });
    }
    let mut applying = Applying {
        base,
        base_bytes,
        used_to: 0,
        left: target_bytes,
        reader: Reader::new(),
        old: Vec::new(),
        payload: Vec::new(),
        new: Vec::new(),
    };
    while applying.left > 0 {
        applying.segment(&mut delta, out)?;
    }
    if delta.0.read(&mut [0]).map_err(ApplyError::Delta)? > 0 {
        return Err(ApplyError::Damaged("something stands behind its end"));
    }
    Ok(())
}

struct Applying<'a, B: ?Sized> {
    base: &'a B,
    base_bytes: u64,
    used_to: u64,
    /// Bytes of the target that are not made yet.
    left: u64,
    reader: Reader,
    // one piece each
    old: Vec<u8>,
    payload: Vec<u8>,
    new: Vec<u8>,
}

impl<B: ReadAt + ?Sized> Applying<'_, B> {
    fn segment(
        &mut self,
        delta: &mut Delta<impl Read>,
        out: &mut impl Write,
    ) -> Result<(), ApplyError> {
        let mut tag = [0];
        delta.fill(&mut tag)?;
        let length = delta.number()?;
        if length == 0 || length > self.left {
            return Err(ApplyError::Damaged("a segment ends outside of the target"));
        }
        match tag[0] {
            COPY => {
                let start = self.place(delta, length)?;
                self.copy(start, length, out)?;
            }
            RAW => self.raw(delta, length, out)?,
            tag => {
                let layout = Layout::from_tag(tag)
                    .ok_or(ApplyError::Damaged("a segment of an unknown kind"))?;
                let start = self.place(delta, length)?;
                self.coded(layout, start, length, delta, out)?;
            }
        }
        self.left -= length;
        Ok(())
    }

    /// Where the segment's bytes begin in the base; all of them are inside.
    fn place(&mut self, delta: &mut Delta<impl Read>, length: u64) -> Result<u64, ApplyError> {
        let by = varint::unzigzag(delta.number()?);
        let place = self.used_to.checked_add_signed(by).and_then(|start| {
            let end = start.checked_add(length)?;
            (end <= self.base_bytes).then_some((start, end))
        });
        let (start, end) =
            place.ok_or(ApplyError::Damaged("a segment lies outside of the base"))?;
        self.used_to = end;
        Ok(start)
    }

    fn copy(&mut self, start: u64, length: u64, out: &mut impl Write) -> Result<(), ApplyError> {
        let (mut at, end) = (start, start + length);
        while at < end {
            let some = (end - at).min(BUFFER_BYTES as u64);
            self.old.resize(some as usize, 0);
            self.base
                .read_exact_at(&mut self.old, at)
                .map_err(ApplyError::Base)?;
            out.write_all(&self.old).map_err(ApplyError::Write)?;
            at += some;
        }
        Ok(())
    }

    fn raw(
        &mut self,
        delta: &mut Delta<impl Read>,
        length: u64,
        out: &mut impl Write,
    ) -> Result<(), ApplyError> {
        let mut left = length;
        while left > 0 {
            let some = left.min(BUFFER_BYTES as u64);
            self.payload.resize(some as usize, 0);
            delta.fill(&mut self.payload)?;
            out.write_all(&self.payload).map_err(ApplyError::Write)?;
            left -= some;
        }
        Ok(())
    }

    fn coded(
        &mut self,
        layout: Layout,
        start: u64,
        length: u64,
        delta: &mut Delta<impl Read>,
        out: &mut impl Write,
    ) -> Result<(), ApplyError> {
        let payload = delta.number()?;
        let is_piece = length <= layout.piece_bytes() as u64
            && length.is_multiple_of(layout.unit_bytes() as u64)
            && payload < length;
        if !is_piece {
            return Err(ApplyError::Damaged("a coded segment of a wrong length"));
        }
        self.old.resize(length as usize, 0);
        self.new.resize(length as usize, 0);
        self.payload.resize(payload as usize, 0);
        delta.fill(&mut self.payload)?;
        self.base
            .read_exact_at(&mut self.old, start)
            .map_err(ApplyError::Base)?;
        self.reader
            .decode(layout, &self.old, &self.payload, &mut self.new)
            .ok_or(ApplyError::Damaged("a coded segment is no code"))?;
        out.write_all(&self.new).map_err(ApplyError::Write)
    }
}

/// The delta as it is read.
struct Delta<R>(BufReader<R>);

impl<R: Read> Delta<R> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ApplyError> {
        self.0.read_exact(buffer).map_err(cut_short)
    }

    fn number(&mut self) -> Result<u64, ApplyError> {
        varint::read(&mut self.0)
            .map_err(cut_short)?
            .ok_or(ApplyError::Damaged("a length is not written as one"))
    }
}

fn cut_short(error: io::Error) -> ApplyError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        ApplyError::Damaged("it ends in the middle")
    } else {
        ApplyError::Delta(error)
    }
}
