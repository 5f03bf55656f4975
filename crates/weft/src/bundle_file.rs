//! Bundles as files: frame by frame, never more than one in memory.

use std::{
    fs::File,
    io::{self, Read as _, Write},
    path::Path,
};

use weft_record::{
    MeshId,
    bundle::{BundleError, Decoder, Encoder, Frame},
};

use crate::{
    failure::{Exit, Failure},
    output::written,
};

/// Bytes read at a time.
const READ_BYTES: usize = 256 * 1024;
/// Magic and mesh id.
const HEADER_BYTES: u64 = 8 + 32;
/// Bytes of a frame before its payload: tag, length.
const PREFIX_BYTES: u64 = 1 + 4;
/// Before the bytes of a blob or chunk.
const HASH_BYTES: u64 = 32;

/// Writes a bundle.
pub(crate) struct BundleWriter<'a> {
    out: &'a mut dyn Write,
    encoder: Encoder,
}

impl<'a> BundleWriter<'a> {
    pub(crate) fn begin(out: &'a mut dyn Write, mesh_id: MeshId) -> Result<Self, Failure> {
        let (encoder, header) = Encoder::new(mesh_id);
        put(out, &header)?;
        Ok(Self { out, encoder })
    }

    pub(crate) fn record(&mut self, envelope: &[u8]) -> Result<(), Failure> {
        let frame = self.encoder.record(envelope);
        put(self.out, &fitting(frame)?)
    }

    pub(crate) fn blob(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let frame = self.encoder.blob(bytes);
        put(self.out, &fitting(frame)?)
    }

    pub(crate) fn chunk(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let frame = self.encoder.chunk(bytes);
        put(self.out, &fitting(frame)?)
    }

    pub(crate) fn finish(self) -> Result<(), Failure> {
        let end = self.encoder.finish();
        put(self.out, &end)
    }
}

/// The mesh that a bundle says it is of; nothing else of it is read.
pub(crate) fn mesh_of(path: &Path) -> Result<MeshId, Failure> {
    let (mut found, stop) = (MeshId::ZERO, Failure::quiet());
    let result = read(path, |frame| {
        if let Frame::Header { mesh_id } = frame {
            found = mesh_id;
        }
        Err(stop.clone())
    });
    match result {
        Err(failure) if failure != stop => Err(failure),
        _ => Ok(found),
    }
}

/// Reads a whole bundle and hands out its frames; every frame was held against its own
/// hash, and the bundle against its end.
pub(crate) fn read(
    path: &Path,
    mut each: impl FnMut(Frame) -> Result<(), Failure>,
) -> Result<(), Failure> {
    read_places(path, |_, frame| each(frame))
}

/// The same, with the place of each frame's payload in the file: where the bytes of a blob
/// or chunk begin.
pub(crate) fn read_places(
    path: &Path,
    mut each: impl FnMut(u64, Frame) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let unreadable =
        |error: &io::Error| Failure::file(format!("{} cannot be read", path.display()), error);
    let broken = |error: BundleError| {
        Failure::new(
            Exit::Verification,
            format!("{} is not a whole bundle", path.display()),
            error.to_string(),
            "get the file again, from where it came",
        )
    };
    let mut file = File::open(path).map_err(|error| unreadable(&error))?;
    let (mut decoder, mut buffer) = (Decoder::new(), vec![0; READ_BYTES]);
    let mut at = 0;
    loop {
        let read = file.read(&mut buffer).map_err(|error| unreadable(&error))?;
        if read == 0 {
            return decoder.finish().map_err(broken);
        }
        let mut bytes = &buffer[..read];
        while !bytes.is_empty() {
            bytes = &bytes[decoder.push(bytes)..];
            while let Some(frame) = decoder.poll().map_err(broken)? {
                let (before, length) = match &frame {
                    Frame::Header { .. } => (0, HEADER_BYTES),
                    Frame::Record(bytes) => (PREFIX_BYTES, bytes.len() as u64),
                    Frame::Blob { bytes, .. } | Frame::Chunk { bytes, .. } => {
                        (PREFIX_BYTES + HASH_BYTES, bytes.len() as u64)
                    }
                    // nothing follows it
                    Frame::End { .. } => (0, 0),
                };
                at += before;
                each(at, frame)?;
                at += length;
            }
        }
    }
}

fn put(out: &mut dyn Write, bytes: &[u8]) -> Result<(), Failure> {
    out.write_all(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => written(&error),
        _ => Failure::file("the bundle cannot be written", &error),
    })
}

fn fitting(frame: Result<Vec<u8>, BundleError>) -> Result<Vec<u8>, Failure> {
    frame.map_err(|error| {
        let what = "this does not fit into a bundle";
        Failure::new(
            Exit::Refused,
            what,
            error.to_string(),
            "make the model or its prompts smaller",
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_broken_copy_is_told() {
        let mut bytes = Vec::new();
        let mut writer = BundleWriter::begin(&mut bytes, MeshId::ZERO).unwrap();
        writer.record(b"record").unwrap();
        writer.chunk(&[1; 4000]).unwrap();
        writer.finish().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.weft");
        std::fs::write(&path, &bytes).unwrap();
        let mut frames = 0;
        read_places(&path, |at, frame| {
            frames += 1;
            if let Frame::Chunk { bytes: chunk, .. } | Frame::Record(chunk) = frame {
                let at = usize::try_from(at).unwrap();
                assert_eq!(bytes[at..at + chunk.len()], chunk);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(frames, 4);
        assert_eq!(mesh_of(&path).unwrap(), MeshId::ZERO);
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(
            read(&path, |_| Ok(())).unwrap_err().exit,
            Exit::Verification
        );
        std::fs::write(&path, b"something else, and long enough to be looked at").unwrap();
        assert_eq!(
            read(&path, |_| Ok(())).unwrap_err().exit,
            Exit::Verification
        );
        assert_eq!(
            read(&folder.path().join("b"), |_| Ok(())).unwrap_err().exit,
            Exit::NotFound
        );
    }
}
