//! A part of a bundle: what the other side lacks, and no larger than a stick.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::Path,
};

use weft_record::{
    Hash,
    bundle::{Decoder, Encoder, Frame},
};

use crate::{
    bundle_file,
    bundle_lack::Lack,
    failure::{Exit, Failure},
    output::size,
    verbs::bundle::broke_off,
};

/// Bytes of a chunk's frame before its own: tag, length, hash.
const BEFORE_CHUNK_BYTES: u64 = 1 + 4 + 32;
/// The frame that ends a bundle: tag, length, number of frames, hash.
const END_BYTES: u64 = 1 + 4 + 8 + 32;

/// Takes a whole bundle as it is written, and passes a part of it on. Records and the chunk
/// maps of all files are always in it: without them nobody could tell what its chunks are for.
pub(crate) struct Part<'a> {
    out: &'a mut dyn Write,
    decoder: Decoder,
    encoder: Option<Encoder>,
    /// Chunks that the other side has, or that this part holds already.
    held: BTreeSet<Hash>,
    /// What the other side lacks; without it, all.
    lack: Option<Lack>,
    most_bytes: u64,
    written: Written,
    /// Records and chunk maps alone take more than there is room for.
    is_too_small: bool,
}

/// What is in the part, and what is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Its length.
    pub(crate) bytes: u64,
    pub(crate) chunks: u64,
    /// Chunks that the other side does not need, by what it has.
    pub(crate) chunks_spared: u64,
    pub(crate) bytes_spared: u64,
    /// Chunks for which there was no room.
    pub(crate) chunks_left: u64,
    pub(crate) bytes_left: u64,
}

impl<'a> Part<'a> {
    pub(crate) fn new(
        out: &'a mut dyn Write,
        held: BTreeSet<Hash>,
        lack: Option<Lack>,
        most_bytes: Option<u64>,
    ) -> Self {
        Self {
            out,
            decoder: Decoder::new(),
            encoder: None,
            held,
            lack,
            most_bytes: most_bytes.unwrap_or(u64::MAX),
            written: Written::default(),
            is_too_small: false,
        }
    }

    /// Says that the whole bundle was written; what came of it.
    pub(crate) fn finish(self) -> Result<Written, Failure> {
        if let Err(error) = self.decoder.finish() {
            return Err(broke_off(&error));
        }
        let brings_nothing = self.written.chunks == 0 && self.written.chunks_left > 0;
        if self.is_too_small || brings_nothing {
            return Err(Failure::new(
                Exit::Refused,
                "no part of the release was written",
                format!(
                    "its records and one chunk do not fit into {}",
                    size(self.most_bytes)
                ),
                "give --max-bytes more room",
            ));
        }
        Ok(self.written)
    }

    fn frame(&mut self, frame: Frame) -> io::Result<()> {
        if let Frame::Header { mesh_id } = frame {
            let (encoder, header) = Encoder::new(mesh_id);
            self.encoder = Some(encoder);
            return self.put(&header);
        }
        match &frame {
            Frame::Blob { .. } => {}
            Frame::Record(bytes) => {
                if let Some(lack) = &mut self.lack {
                    lack.record(bytes);
                }
            }
            // all maps have come
            _ => self.put_maps()?,
        }
        let used = self.written.bytes;
        let Some(encoder) = self.encoder.as_mut().filter(|_| !self.is_too_small) else {
            return Ok(());
        };
        let encoded = match frame {
            Frame::Record(bytes) => encoder.record(&bytes),
            Frame::Blob { hash, bytes } => match &mut self.lack {
                Some(lack) => return lack.map(hash, bytes),
                None => encoder.blob(&bytes),
            },
            Frame::Chunk { hash, bytes } => {
                let length = bytes.len() as u64;
                if self.lack.as_ref().is_some_and(|lack| !lack.takes(&hash)) {
                    self.written.chunks_spared += 1;
                    self.written.bytes_spared += length;
                    return Ok(());
                }
                if !self.held.insert(hash) {
                    return Ok(());
                }
                if used + BEFORE_CHUNK_BYTES + length + END_BYTES > self.most_bytes {
                    self.written.chunks_left += 1;
                    self.written.bytes_left += length;
                    return Ok(());
                }
                self.written.chunks += 1;
                encoder.chunk(&bytes)
            }
            Frame::Header { .. } | Frame::End { .. } => {
                let encoder = self.encoder.take();
                let end = encoder.map(Encoder::finish).unwrap_or_default();
                return self.put(&end);
            }
        };
        self.put_if_it_fits(&encoded.map_err(io::Error::other)?)
    }

    /// Writes the maps that were kept until it was clear which of them are of use.
    fn put_maps(&mut self) -> io::Result<()> {
        let maps = self.lack.as_mut().map(Lack::decide);
        for map in maps.unwrap_or_default() {
            let encoded = self.encoder.as_mut().map(|encoder| encoder.blob(&map));
            if let Some(encoded) = encoded.transpose().map_err(io::Error::other)? {
                self.put_if_it_fits(&encoded)?;
            }
        }
        Ok(())
    }

    fn put_if_it_fits(&mut self, encoded: &[u8]) -> io::Result<()> {
        if self.written.bytes + encoded.len() as u64 + END_BYTES > self.most_bytes {
            self.is_too_small = true;
        }
        if self.is_too_small {
            return Ok(());
        }
        self.put(encoded)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written.bytes += bytes.len() as u64;
        Ok(())
    }
}

impl Write for Part<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.decoder.push(rest);
            rest = &rest[taken..];
            while let Some(frame) = self.decoder.poll().map_err(io::Error::other)? {
                self.frame(frame)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The chunks of these bundles, each read to its end.
pub(crate) fn chunks_of<'a>(
    paths: impl IntoIterator<Item = &'a Path>,
) -> Result<BTreeSet<Hash>, Failure> {
    let mut held = BTreeSet::new();
    for path in paths {
        bundle_file::read(path, |frame| {
            if let Frame::Chunk { hash, .. } = frame {
                held.insert(hash);
            }
            Ok(())
        })?;
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use weft_record::MeshId;

    use super::*;

    const CHUNKS: u8 = 10;

    fn whole() -> Vec<u8> {
        let (mut encoder, mut bytes) = Encoder::new(MeshId([7; 32]));
        bytes.extend(encoder.record(b"an envelope").unwrap());
        bytes.extend(encoder.blob(b"a chunk map").unwrap());
        for index in 0..CHUNKS {
            bytes.extend(encoder.chunk(&[index; 1000]).unwrap());
        }
        bytes.extend(encoder.finish());
        bytes
    }

    fn part(held: &BTreeSet<Hash>, most_bytes: Option<u64>) -> (Vec<u8>, Result<Written, Failure>) {
        let mut out = Vec::new();
        let mut part = Part::new(&mut out, held.clone(), None, most_bytes);
        for piece in whole().chunks(700) {
            part.write_all(piece).unwrap();
        }
        let written = part.finish();
        (out, written)
    }

    fn chunks(bytes: &[u8]) -> BTreeSet<Hash> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        chunks_of([file.path()]).unwrap()
    }

    #[test]
    fn without_a_limit_it_is_the_bundle_itself() {
        let (bytes, written) = part(&BTreeSet::new(), None);
        assert_eq!(bytes, whole());
        let written = written.unwrap();
        assert_eq!(written.bytes, bytes.len() as u64);
        assert_eq!((written.chunks, written.chunks_left), (10, 0));
    }

    #[test]
    fn sticks_hold_each_chunk_once_and_none_is_too_large() {
        const STICK_BYTES: u64 = 4_000;
        let (mut held, mut sticks) = (BTreeSet::new(), 0);
        loop {
            let (bytes, written) = part(&held, Some(STICK_BYTES));
            let written = written.unwrap();
            assert!(bytes.len() as u64 <= STICK_BYTES);
            assert_eq!(bytes.len() as u64, written.bytes);
            let new = chunks(&bytes);
            assert!(new.is_disjoint(&held));
            assert_eq!(new.len() as u64, written.chunks);
            held.extend(new);
            sticks += 1;
            if written.chunks_left == 0 {
                break;
            }
        }
        assert_eq!((held.len(), sticks), (usize::from(CHUNKS), 4));
    }

    #[test]
    fn a_stick_that_takes_no_chunk_is_refused() {
        for room in [10, 200, 1_000] {
            let (_, written) = part(&BTreeSet::new(), Some(room));
            assert_eq!(written.unwrap_err().exit, Exit::Refused, "{room}");
        }
    }

    #[test]
    fn a_bundle_that_breaks_off_makes_no_part() {
        let (mut out, bytes) = (Vec::new(), whole());
        let mut part = Part::new(&mut out, BTreeSet::new(), None, None);
        part.write_all(&bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(part.finish().unwrap_err().exit, Exit::Network);
    }
}
