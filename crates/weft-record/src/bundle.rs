//! Bundles: records, chunk maps and chunks in one stream of bytes, for a stick or
//! a pipe.
//!
//! A bundle proves nothing by itself: its records go through [`Trust`](crate::Trust)
//! and its bytes are held against the hashes that these name, like a peer's. Its own
//! checks only tell a broken copy early. Nothing in it becomes a path.
//!
//! ```text
//! header   "weftbdl1"  mesh id (32)
//! frame    tag (1)  length of what follows (4, little-endian)  payload
//!   1 record   an encoded envelope
//!   2 blob     BLAKE3 of the bytes (32)  bytes
//!   3 chunk    BLAKE3 of the bytes (32)  bytes
//!   4 end      frames before this one (8)  BLAKE3 of all bytes before this frame (32)
//! ```

use crate::{
    Hash, MeshId,
    bounds::{MAX_BLOB_BYTES, MAX_CHUNK_BYTES, MAX_RECORD_BYTES},
};

/// One part of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// First: whose bundle it is.
    Header {
        /// The mesh.
        mesh_id: MeshId,
    },
    /// An encoded envelope.
    Record(Vec<u8>),
    /// A small blob, such as a chunk map.
    Blob {
        /// BLAKE3 of the bytes.
        hash: Hash,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A chunk of a file.
    Chunk {
        /// BLAKE3 of the bytes.
        hash: Hash,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Last: the copy is whole.
    End {
        /// Frames between header and end.
        frames: u64,
        /// BLAKE3 of everything before this frame.
        digest: Hash,
    },
}

/// Why bytes are no bundle, or a part does not belong in one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Something else than a bundle.
    #[error("this is not a bundle")]
    Magic,
    /// It breaks off.
    #[error("the bundle breaks off after {bytes} bytes")]
    Truncated {
        /// How many bytes there were.
        bytes: u64,
    },
    /// It goes on after its end.
    #[error("bytes follow the end of the bundle")]
    Trailing,
    /// A part of a kind that is not known here.
    #[error("the frame at byte {at} has the unknown tag {tag}")]
    Tag {
        /// Its tag.
        tag: u8,
        /// Where it begins.
        at: u64,
    },
    /// A part that is longer, or shorter, than its kind allows.
    #[error("the {part} at byte {at} has {length} bytes, allowed are {least} to {most}")]
    Length {
        /// What it is.
        part: &'static str,
        /// Where it begins.
        at: u64,
        /// Its length.
        length: usize,
        /// The least allowed.
        least: usize,
        /// The most allowed.
        most: usize,
    },
    /// Bytes that are not the ones named.
    #[error("the {part} at byte {at} is not the one that its hash names")]
    Hash {
        /// What it is.
        part: &'static str,
        /// Where it begins.
        at: u64,
    },
    /// The end does not fit what came before.
    #[error("the end of the bundle does not fit what came before it")]
    End,
}

/// Makes a bundle, part by part; the driver writes what it returns, in order.
#[derive(Debug)]
pub struct Encoder {
    frames: u64,
    bytes: u64,
    digest: blake3::Hasher,
}

impl Encoder {
    /// Begins a bundle; the bytes are its header.
    pub fn new(mesh_id: MeshId) -> (Self, Vec<u8>) {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(mesh_id.as_bytes());
        let mut encoder = Self {
            frames: 0,
            bytes: 0,
            digest: blake3::Hasher::new(),
        };
        encoder.count(&header);
        (encoder, header)
    }

    /// An encoded envelope.
    pub fn record(&mut self, envelope: &[u8]) -> Result<Vec<u8>, BundleError> {
        self.frame(Tag::Record, &[envelope])
    }

    /// A small blob, such as a chunk map.
    pub fn blob(&mut self, bytes: &[u8]) -> Result<Vec<u8>, BundleError> {
        self.frame(Tag::Blob, &[Hash::of(bytes).as_bytes(), bytes])
    }

    /// A chunk of a file.
    pub fn chunk(&mut self, bytes: &[u8]) -> Result<Vec<u8>, BundleError> {
        self.frame(Tag::Chunk, &[Hash::of(bytes).as_bytes(), bytes])
    }

    /// The end of the bundle.
    pub fn finish(self) -> Vec<u8> {
        let digest = self.digest.finalize();
        encode_frame(Tag::End, &[&self.frames.to_le_bytes(), digest.as_bytes()])
    }

    fn frame(&mut self, tag: Tag, parts: &[&[u8]]) -> Result<Vec<u8>, BundleError> {
        let length = parts.iter().map(|part| part.len()).sum();
        tag.check_length(length, self.bytes)?;
        let frame = encode_frame(tag, parts);
        self.count(&frame);
        self.frames += 1;
        Ok(frame)
    }

    fn count(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.digest.update(bytes);
    }
}

/// Takes a bundle apart. Push bytes as they come, take out frames until there is
/// none, and say at the end that nothing more comes. After an error it is of no use.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes of the buffer that were taken out.
    taken: usize,
    /// Where in the bundle the next frame begins.
    at: u64,
    frames: u64,
    digest: blake3::Hasher,
    begun: bool,
    ended: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Awaits a header.
    pub fn new() -> Self {
        Self {
            buffer: Vec::new(),
            taken: 0,
            at: 0,
            frames: 0,
            digest: blake3::Hasher::new(),
            begun: false,
            ended: false,
        }
    }

    /// Takes as many of these bytes as one frame may need and says how many: zero
    /// only while a whole frame waits in it. Take frames out before pushing more.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let count = bytes
            .len()
            .min(MAX_FRAME_BYTES - self.buffer.len().min(MAX_FRAME_BYTES));
        self.buffer.extend_from_slice(&bytes[..count]);
        count
    }

    /// The next frame, if it is whole.
    pub fn poll(&mut self) -> Result<Option<Frame>, BundleError> {
        if !self.begun {
            return self.header();
        }
        let waiting = &self.buffer[self.taken..];
        if self.ended {
            return if waiting.is_empty() {
                Ok(None)
            } else {
                Err(BundleError::Trailing)
            };
        }
        let Some((prefix, rest)) = waiting.split_at_checked(PREFIX_BYTES) else {
            return match waiting.first().map(|tag| Tag::from_byte(*tag, self.at)) {
                Some(Err(error)) => Err(error),
                _ => Ok(None),
            };
        };
        let tag = Tag::from_byte(prefix[0], self.at)?;
        let mut length = [0; 4];
        length.copy_from_slice(&prefix[1..]);
        let length = u32::from_le_bytes(length) as usize;
        tag.check_length(length, self.at)?;
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = self.take(tag, payload)?;
        let whole = PREFIX_BYTES + length;
        self.digest.update(&waiting[..whole]);
        self.frames += 1;
        self.ended = tag == Tag::End;
        self.taken += whole;
        self.at += whole as u64;
        Ok(Some(frame))
    }

    /// Says that no more bytes come: is the bundle whole?
    pub fn finish(&self) -> Result<(), BundleError> {
        let waiting = self.buffer.len() - self.taken;
        match (self.ended, waiting) {
            (true, 0) => Ok(()),
            (true, _) => Err(BundleError::Trailing),
            (false, _) => Err(BundleError::Truncated {
                bytes: self.at + waiting as u64,
            }),
        }
    }

    fn header(&mut self) -> Result<Option<Frame>, BundleError> {
        let known = self.buffer.len().min(MAGIC.len());
        if self.buffer[..known] != MAGIC[..known] {
            return Err(BundleError::Magic);
        }
        let Some(header) = self.buffer.get(..HEADER_BYTES) else {
            return Ok(None);
        };
        let mesh_id = MeshId(array(&header[MAGIC.len()..]));
        self.digest.update(header);
        (self.begun, self.taken, self.at) = (true, HEADER_BYTES, HEADER_BYTES as u64);
        Ok(Some(Frame::Header { mesh_id }))
    }

    fn take(&self, tag: Tag, payload: &[u8]) -> Result<Frame, BundleError> {
        let hashed = |payload: &[u8]| {
            let (hash, bytes) = payload.split_at(HASH_BYTES);
            let hash = Hash(array(hash));
            if Hash::of(bytes) == hash {
                Ok((hash, bytes.to_vec()))
            } else {
                Err(BundleError::Hash {
                    part: tag.name(),
                    at: self.at,
                })
            }
        };
        Ok(match tag {
            Tag::Record => Frame::Record(payload.to_vec()),
            Tag::Blob => {
                let (hash, bytes) = hashed(payload)?;
                Frame::Blob { hash, bytes }
            }
            Tag::Chunk => {
                let (hash, bytes) = hashed(payload)?;
                Frame::Chunk { hash, bytes }
            }
            Tag::End => {
                let (frames, digest) = payload.split_at(8);
                let mut count = [0; 8];
                count.copy_from_slice(frames);
                let (frames, digest) = (u64::from_le_bytes(count), Hash(array(digest)));
                let computed = Hash(*self.digest.finalize().as_bytes());
                if (frames, digest) != (self.frames, computed) {
                    return Err(BundleError::End);
                }
                Frame::End { frames, digest }
            }
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Record = 1,
    Blob = 2,
    Chunk = 3,
    End = 4,
}

impl Tag {
    fn from_byte(tag: u8, at: u64) -> Result<Self, BundleError> {
        match tag {
            1 => Ok(Self::Record),
            2 => Ok(Self::Blob),
            3 => Ok(Self::Chunk),
            4 => Ok(Self::End),
            _ => Err(BundleError::Tag { tag, at }),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Blob => "blob",
            Self::Chunk => "chunk",
            Self::End => "end",
        }
    }

    fn check_length(self, length: usize, at: u64) -> Result<(), BundleError> {
        let (least, most) = match self {
            Self::Record => (1, MAX_RECORD_BYTES),
            Self::Blob => (HASH_BYTES + 1, HASH_BYTES + MAX_BLOB_BYTES),
            Self::Chunk => (HASH_BYTES + 1, HASH_BYTES + MAX_CHUNK_BYTES as usize),
            Self::End => (8 + HASH_BYTES, 8 + HASH_BYTES),
        };
        if (least..=most).contains(&length) {
            Ok(())
        } else {
            Err(BundleError::Length {
                part: self.name(),
                at,
                length,
                least,
                most,
            })
        }
    }
}

fn encode_frame(tag: Tag, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = Vec::with_capacity(PREFIX_BYTES + length);
    frame.push(tag as u8);
    frame.extend_from_slice(&(length as u32).to_le_bytes());
    for part in parts {
        frame.extend_from_slice(part);
    }
    frame
}

/// Of exactly 32 bytes.
fn array(bytes: &[u8]) -> [u8; HASH_BYTES] {
    let mut array = [0; HASH_BYTES];
    array.copy_from_slice(bytes);
    array
}

const MAGIC: &[u8; 8] = b"weftbdl1";
const HASH_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + HASH_BYTES;
const PREFIX_BYTES: usize = 1 + 4;
/// What a decoder holds at most.
const MAX_FRAME_BYTES: usize = PREFIX_BYTES + HASH_BYTES + MAX_BLOB_BYTES;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn sample() -> Vec<u8> {
        let (mut encoder, mut bytes) = Encoder::new(MeshId([7; 32]));
        bytes.extend(encoder.record(b"an envelope").unwrap());
        bytes.extend(encoder.blob(b"a chunk map").unwrap());
        bytes.extend(encoder.chunk(&[9; 3000]).unwrap());
        bytes.extend(encoder.finish());
        bytes
    }

    /// Feeds a bundle in pieces of this length.
    fn read(mut bytes: &[u8], piece: usize) -> Result<Vec<Frame>, BundleError> {
        let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
        while !bytes.is_empty() {
            let taken = decoder.push(&bytes[..piece.min(bytes.len())]);
            bytes = &bytes[taken..];
            while let Some(frame) = decoder.poll()? {
                frames.push(frame);
            }
        }
        decoder.finish()?;
        Ok(frames)
    }

    #[test]
    fn what_is_written_is_read_whatever_the_pieces() {
        let whole = read(&sample(), usize::MAX).unwrap();
        assert_eq!(whole.len(), 5);
        assert_eq!(
            whole[0],
            Frame::Header {
                mesh_id: MeshId([7; 32])
            }
        );
        assert_eq!(whole[1], Frame::Record(b"an envelope".to_vec()));
        let hash = Hash::of(b"a chunk map");
        assert_eq!(
            whole[2],
            Frame::Blob {
                hash,
                bytes: b"a chunk map".to_vec()
            }
        );
        assert!(matches!(whole[4], Frame::End { frames: 3, .. }));
        for piece in [1, 7, 40, 100] {
            assert_eq!(read(&sample(), piece).unwrap(), whole, "pieces of {piece}");
        }
    }

    #[test]
    fn a_bundle_that_breaks_off_is_told_at_every_byte() {
        let bytes = sample();
        for cut in 0..bytes.len() {
            let error = read(&bytes[..cut], 64).unwrap_err();
            assert_eq!(error, BundleError::Truncated { bytes: cut as u64 });
        }
    }

    #[test]
    fn a_changed_byte_is_told_wherever_it_is() {
        let bytes = sample();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 0x10;
            assert!(read(&changed, 512).is_err(), "byte {index}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let bytes = sample();
        let changed = |index: usize, to: &[u8]| {
            let mut changed = bytes.clone();
            changed[index..index + to.len()].copy_from_slice(to);
            read(&changed, usize::MAX).unwrap_err()
        };
        assert_eq!(changed(0, b"PK"), BundleError::Magic);
        assert_eq!(changed(40, &[9]), BundleError::Tag { tag: 9, at: 40 });
        let endless = changed(41, &u32::MAX.to_le_bytes());
        assert!(matches!(
            endless,
            BundleError::Length {
                part: "record",
                at: 40,
                ..
            }
        ));
        // the record's 16 bytes, then the blob's prefix and hash
        assert_eq!(
            changed(40 + 16 + 37, b"A"),
            BundleError::Hash {
                part: "blob",
                at: 56
            }
        );
        assert_eq!(changed(bytes.len() - 40, &[4]), BundleError::End);
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(read(&longer, usize::MAX), Err(BundleError::Trailing));
        let (mut encoder, _) = Encoder::new(MeshId::ZERO);
        let long = vec![0; MAX_CHUNK_BYTES as usize + 1];
        assert!(matches!(
            encoder.chunk(&long),
            Err(BundleError::Length { .. })
        ));
        assert!(matches!(
            encoder.record(&[]),
            Err(BundleError::Length { .. })
        ));
    }

    #[test]
    fn holds_no_more_than_one_frame() {
        let mut decoder = Decoder::new();
        decoder.push(&Encoder::new(MeshId::ZERO).1);
        decoder.poll().unwrap();
        let flood = vec![2; 2 * MAX_FRAME_BYTES];
        assert_eq!(decoder.push(&flood), MAX_FRAME_BYTES);
        assert_eq!(decoder.push(&flood), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_frames_or_an_error(
            tail in prop::collection::vec(any::<u8>(), 0..300),
            piece in 1_usize..50,
        ) {
            let mut bytes = Encoder::new(MeshId::ZERO).1;
            bytes.extend(tail);
            prop_assert!(read(&bytes, piece).is_err());
        }
    }
}
